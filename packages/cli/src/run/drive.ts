import { get } from '@doorbell/bits';
import { IOMMU, type Domain } from '@doorbell/iommu';
import { CPU_INTERFACE, INTERRUPTS, type Message } from '@doorbell/irqchip';
import {
  CapId,
  MSI,
  MSIX_ENTRY_SIZE,
  MSIX_PLACE,
  MSIX_TABLE,
  PCI,
  PCI_HARDWARE,
  type PciDevice,
  type Vectors,
} from '@doorbell/pci';
import {
  DoorbellError,
  effectiveId,
  hex,
  hex64,
  mapId,
  type Delivery,
  type FaultRecord,
  type Platform,
  type PlatformNode,
  type Refusal,
  type Step,
} from '@doorbell/platform';
import type { Failure } from './build.js';

/** One hop of a message, in the words of CONTRACTS `route`. */
export interface Hop {
  readonly at: string;
  readonly did: string;
  readonly detail: string;
}
export interface VectorReport {
  readonly index: number;
  /** As read back from the function after enabling. */
  readonly address: string;
  readonly data: string;
  readonly masked: boolean;
  readonly route: readonly Hop[];
  /** In the controller's own words; null where it did not arrive. */
  readonly delivered: Delivery | null;
  readonly blocked?: { readonly code: string | null; readonly name: string };
}
export interface FunctionReport {
  readonly bdf: string;
  readonly requesterId: number;
  /** `1b36:0010` and class `0108`. */
  readonly id: string;
  readonly class: string;
  readonly group: number;
  readonly isolated: boolean;
  readonly witness: readonly string[];
  readonly standIn?: true;
  readonly window: { readonly base: string; readonly size: number; readonly kind: 'fixed' | 'software' } | null;
  /** Null: nothing could be enabled; `failures` says why. */
  readonly msi: {
    readonly kind: 'msix' | 'msi';
    readonly offered: number;
    readonly vectors: readonly VectorReport[];
  } | null;
  /** Nodes that its requests and its messages go to. */
  readonly iommu: string | null;
  readonly msiController: string | null;
}

export interface DriveOptions {
  /** Vectors per function at most. Default: as many as it offers. */
  readonly vectors?: number;
  /** Where the window for MSIs goes; default: wherever there is room. */
  readonly window?: { readonly base: number; readonly size: number };
  /** Only these functions. */
  readonly only?: (device: PciDevice) => boolean;
  readonly standIns?: ReadonlySet<string>;
  /** Controllers that take messages only where a map leads to them (ITS, GICv2m): one that is alone is no reason to send to it. */
  readonly byMap?: ReadonlySet<string>;
  /** What was found missing when the platform was built. */
  readonly failures?: readonly Failure[];
  /** Host bridges as the machine has them: a function behind something that nobody models is left alone. */
  readonly hosts?: readonly PlatformNode[];
}
export interface DriveResult {
  readonly functions: readonly FunctionReport[];
  readonly failures: readonly Failure[];
}

export const canSignal = (d: PciDevice): boolean => d.msixVectors > 0 || d.msiVectors > 0;

/** Enables every function that can send messages, lets it send each of them, and tells what arrived where. */
export function drive(platform: Platform, options: DriveOptions = {}): DriveResult {
  const pci = platform.service(PCI);
  const driven = new Driver(platform, options);
  const chosen = pci.functions.filter((d) => canSignal(d) && (options.only?.(d) ?? true));
  const functions = chosen.map((d) => driven.run(d));
  return { functions, failures: driven.failures };
}

class Driver {
  readonly failures: Failure[] = [];
  private readonly domains = new Map<number, Domain | null>();
  /** What this run enabled and left enabled, as on a running machine. */
  private readonly live: Vectors[] = [];

  constructor(
    private readonly platform: Platform,
    private readonly options: DriveOptions,
  ) {}

  run(device: PciDevice): FunctionReport {
    const iommu = this.platform.service(IOMMU);
    const present = new Set(this.platform.allNodes.map((n) => n.name));
    const [unit, controller] = [this.told(device, 'iommuMap'), this.told(device, 'msiMap')];
    const missing = unit !== null && !present.has(unit);
    // A node that is no IOMMU's (a PCIe controller's own windows) checks nobody.
    const checker = missing ? unit : (iommu.unitOf(device)?.name ?? null);
    const base = {
      bdf: device.name,
      requesterId: device.requester,
      id: `${hex4(device.vendor)}:${hex4(device.deviceId)}`,
      class: hex4(device.classCode >>> 8),
      ...this.groupOf(device, checker),
      ...(this.options.standIns?.has(device.name) && { standIn: true as const }),
      window: null,
      msi: null,
      iommu: checker,
      msiController: controller ?? this.unmappedRoot(device),
    };
    // What is missing (NO_BACKEND) was told when the platform was built.
    if (missing || (controller && !present.has(controller))) return base;
    if (this.options.hosts && base.msiController === null) {
      // Said once where there is none at all.
      if (this.options.failures?.some((f) => f.code === 'NO_MSI_CONTROLLER')) return base;
      const message = 'no msi-map or msi-parent of its host bridge leads to an MSI controller that is modelled';
      this.failures.push({ bdf: device.name, code: 'NO_MSI_CONTROLLER', message });
      return base;
    }
    try {
      const domain = this.domainOf(device);
      const vectors = this.enable(device);
      const offered = vectors.kind === 'msix' ? device.msixVectors : device.msiVectors;
      const window = windowOf(domain);
      const msi = { kind: vectors.kind, offered, vectors: this.fireAll(device, vectors) };
      return { ...base, msiController: this.rootOf(device), window, msi };
    } catch (error) {
      this.failures.push(failureOf(device.name, error));
      return { ...base, window: windowOf(this.domains.get(device.isolation.group) ?? null) };
    }
  }

  /** The functions that are owned together: those that PCI cannot tell apart, and those that share an id at their unit. */
  private groupOf(device: PciDevice, checker: string | null): Pick<FunctionReport, 'group' | 'isolated' | 'witness'> {
    const { group, isolated, witness } = device.isolation;
    if (checker === null) {
      const open = 'no IOMMU is in its way: it reaches all memory and every doorbell';
      return { group, isolated: false, witness: [...witness, open] };
    }
    const others = this.platform
      .service(IOMMU)
      .groupOf(device)
      .devices.filter((d) => d.isolation.group !== group);
    if (others.length === 0) return { group, isolated, witness };
    const names = others.map((d) => d.name).join(', ');
    return {
      group: Math.min(group, ...others.map((d) => d.isolation.group)),
      isolated: false,
      witness: [...witness, `it has its id at the unit in common with ${names}`],
    };
  }

  /** The domain of the function's group, made, attached and given a window with the first function that needs it. */
  private domainOf(device: PciDevice): Domain | null {
    const iommu = this.platform.service(IOMMU);
    const { group } = device.isolation;
    let domain = this.domains.get(group);
    if (domain === undefined) {
      domain = null;
      if (iommu.unitOf(device)) {
        // A platform that comes with its own set-up keeps it.
        const there = iommu.domainOf(device);
        const devices = iommu.groupOf(device).devices;
        domain =
          there.type === 'blocked' ? iommu.createDomain({ type: 'dma', devices, name: `group ${group}` }) : there;
        if (there !== domain) iommu.attach(device, domain);
      }
      this.domains.set(group, domain);
    }
    if (domain && domain.msiWindow === null && iommu.msiDemand([device], domain).pages > 0) {
      if (this.options.window) domain.reserveMsiWindow(this.options.window);
      else iommu.placeMsiWindow(domain, iommu.groupOf(device).devices);
    }
    return domain;
  }

  /** As many vectors as it offers. Where those of others leave too little room, they are given back: each function is judged by itself. */
  private enable(device: PciDevice): Vectors {
    const pci = this.platform.service(PCI);
    const own = pci.vectorsOf(device);
    if (own) return own;
    const cpus = this.platform.service(INTERRUPTS).domainFor(device).root.cpus;
    const offered = device.msixVectors || device.msiVectors;
    const max = Math.min(this.options.vectors ?? Infinity, offered);
    const spread = (over: number): Vectors =>
      pci.allocateVectors(device, { min: 1, max, kinds: ['msix', 'msi'], cpus: cpus.slice(0, over) });
    // Over fewer CPUs where that gives more: 32 vectors of an MPIC go to one CPU.
    const attempt = (): Vectors => {
      let best = { over: cpus.length, count: 0 };
      for (let over = cpus.length; over >= 1; over >>= 1) {
        const vectors = spread(over);
        if (vectors.count === max) return vectors;
        if (vectors.count > best.count) best = { over, count: vectors.count };
        vectors.free();
      }
      return spread(best.over);
    };
    let vectors: Vectors | null = null;
    try {
      vectors = attempt();
    } catch (error) {
      if (!isDoorbellError(error) || error.code !== 'IRQ_EXHAUSTED' || this.live.length === 0) throw error;
    }
    if (vectors === null || (vectors.count < max && this.live.length > 0)) {
      vectors?.free();
      for (const other of this.live.splice(0)) other.free();
      vectors = attempt();
    }
    this.live.push(vectors);
    return vectors;
  }

  private fireAll(device: PciDevice, vectors: Vectors): VectorReport[] {
    return Array.from({ length: vectors.count }, (_, index) => {
      const seen = fire(this.platform, device, index);
      if (seen.delivered === null) {
        const { name } = seen.blocked ?? { name: 'NOT_DELIVERED' };
        const message = `vector ${index} of ${device.name} did not arrive: ${name}`;
        this.failures.push({ bdf: device.name, code: 'MSI_NOT_DELIVERED', message, index, fault: seen.blocked });
      }
      return { index, ...shown(vectors.message(index)), masked: maskedOf(device, vectors, index), ...seen };
    });
  }

  /** Who takes a function's messages where no map says so. */
  private unmappedRoot(device: PciDevice): string | null {
    const root = this.rootOf(device);
    return root !== null && this.options.byMap?.has(root) ? null : root;
  }

  private rootOf(device: PciDevice): string | null {
    try {
      return this.platform.service(INTERRUPTS).domainFor(device).root.name;
    } catch {
      return null;
    }
  }

  private told(device: PciDevice, map: 'iommuMap' | 'msiMap'): string | null {
    const hosts = (this.options.hosts ?? []).filter((h) => (h.segment ?? 0) === device.segment);
    return hosts.reduce<string | null>((to, h) => mapId(h[map] ?? [], effectiveId(device))?.to ?? to, null);
  }
}

/** What became of one message. */
export interface Seen {
  readonly route: readonly Hop[];
  readonly delivered: Delivery | null;
  readonly blocked?: { readonly code: string | null; readonly name: string };
}

/** Lets the function send vector `index` itself. */
export function fire(platform: Platform, device: PciDevice, index: number): Seen {
  const fn = hardwareOf(platform, device);
  return watch(platform, () => void fn?.fire(index));
}

/** Lets a function write a DWORD anywhere: what one that misbehaves can always do. */
export function write(platform: Platform, device: PciDevice, message: Message): Seen {
  const fn = hardwareOf(platform, device);
  return watch(platform, () => void fn?.write32(message.addressHi, message.addressLo, message.data));
}

const hardwareOf = (platform: Platform, device: PciDevice) =>
  platform.hardwareService(PCI_HARDWARE).host(device.segment, device.bus)?.find(device.requester);

/** Runs `send` and collects what hardware tells meanwhile: its steps, a delivery, a refusal or a fault. */
export function watch(platform: Platform, send: () => void): Seen {
  const taps = tapsOf(platform);
  Object.assign(taps, { delivered: null, refused: null, fault: null });
  taps.on = true;
  const { steps } = platform.trace.record(() => {
    send();
    platform.settle();
  });
  taps.on = false;
  const { delivered, refused, fault } = taps;
  acknowledge(platform);
  const why = refused ?? fault;
  const route = inOrder(steps).map(hopOf);
  if (!why) return { route, delivered };
  const code = why.code === null || why.code < 0 ? null : hex(why.code);
  // What arrived beside a refusal is the unit's own fault interrupt.
  return { route, delivered: null, blocked: { code, name: why.name } };
}

interface Taps {
  on: boolean;
  delivered: Delivery | null;
  refused: Refusal | null;
  fault: FaultRecord | null;
}
const TAPS = new WeakMap<Platform, Taps>();

/** One set of taps per platform: taps cannot be taken back. */
function tapsOf(platform: Platform): Taps {
  const known = TAPS.get(platform);
  if (known) return known;
  const taps: Taps = { on: false, delivered: null, refused: null, fault: null };
  platform.hooks.delivered.tap('doorbell run', (d) => void (taps.on && (taps.delivered ??= d)));
  platform.hooks.refused.tap('doorbell run', (r) => void (taps.on && (taps.refused = r)));
  platform.hooks.fault.tap('doorbell run', (f) => void (taps.on && (taps.fault = f)));
  TAPS.set(platform, taps);
  return taps;
}

/** Takes every interrupt at every CPU, so that the next one is seen as new. */
function acknowledge(platform: Platform): void {
  const cpus = platform.find(CPU_INTERFACE);
  if (!cpus) return;
  for (const cpu of cpusOf(platform))
    for (let n = cpus.acknowledge(cpu); n !== null; n = cpus.acknowledge(cpu)) cpus.end(cpu, n);
}

const CPUS = new WeakMap<Platform, readonly number[]>();
function cpusOf(platform: Platform): readonly number[] {
  let cpus = CPUS.get(platform);
  if (cpus === undefined) {
    const interrupts = platform.service(INTERRUPTS);
    const roots = platform.service(PCI).functions.flatMap((d) => {
      try {
        return interrupts.domainFor(d).root.cpus;
      } catch {
        return [];
      }
    });
    CPUS.set(platform, (cpus = [...new Set(roots)]));
  }
  return cpus;
}

/** The bus tells where a write landed once it has: on the way that is before whoever took it. */
function inOrder(steps: readonly Step[]): readonly Step[] {
  const last = steps.at(-1);
  const at = last?.by === 'system bus' ? steps.findIndex((s) => s.by === last.what) : -1;
  return at < 0 ? steps : [...steps.slice(0, at), last!, ...steps.slice(at, -1)];
}

const hopOf = (s: Step): Hop => ({
  // Functions of a dump are called by their place.
  at: s.by.replace(/^(\S+) \1$/, '$1'),
  did: s.what + (s.at === null ? '' : ` at ${hex(s.at)}`),
  detail: [s.decoded, s.why].filter((x) => x !== '').join('; '),
});

export const shown = ({ addressHi, addressLo, data }: Message) => ({
  address: hex64(addressHi, addressLo),
  data: hex(data),
});

const windowOf = (domain: Domain | null): FunctionReport['window'] => {
  const fixed = domain?.capabilities?.msiWindow;
  if (fixed) return { base: hex(fixed.first), size: fixed.last - fixed.first + 1, kind: 'fixed' };
  const range = domain?.msiWindow?.range;
  return range ? { base: hex(range.first), size: range.last - range.first + 1, kind: 'software' } : null;
};

/** The vector's mask bit as it stands in the function; MSI without per-vector masking has none. */
function maskedOf(device: PciDevice, vectors: Vectors, index: number): boolean {
  if (vectors.kind === 'msi') {
    const at = device.capability(CapId.msi);
    const control = device.read(at);
    if (!get(control, MSI.PerVectorMasking)) return false;
    // PCI 3.0 §6.8.1: the mask bits follow the data, which follows one or two words of address.
    return ((device.read(at + (get(control, MSI.Address64) ? 0x10 : 0x0c)) >>> index) & 1) === 1;
  }
  const place = device.read(device.capability(CapId.msix) + MSIX_TABLE);
  const table = (place & MSIX_PLACE.Offset.mask) >>> 0;
  return (device.bar(get(place, MSIX_PLACE.Bir)).read32(table + index * MSIX_ENTRY_SIZE + 12) & 1) === 1;
}

/** A failure in the words of CONTRACTS: the error's code and values. */
export function failureOf(bdf: string | null, error: unknown): Failure {
  if (!isDoorbellError(error)) throw error;
  const { code, message, remedy, details } = error;
  return { bdf, code, message, remedy, details: JSON.parse(JSON.stringify(details, plain)) as unknown };
}
/** A platform module may have its own copy of the package, with a class of its own. */
const isDoorbellError = (error: unknown): error is DoorbellError =>
  error instanceof Error && 'code' in error && 'remedy' in error && 'details' in error;

const plain = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? hex(Number(value)) : value);

const hex4 = (n: number): string => n.toString(16).padStart(4, '0');

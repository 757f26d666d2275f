import { get, set } from '@doorbell/bits';
import {
  DoorbellError,
  parseBdf,
  rangeOf,
  token,
  type PlatformNode,
  type Service,
  type SoftwareHost,
} from '@doorbell/platform';
import type { InterruptCore } from '@doorbell/irqchip';
import { hostOptions } from '../options.js';
import { PCIEXBAR } from '../spec/index.js';
import { assign, sizeBars } from './assign.js';
import { cf8Port, ecamPort, type ConfigPort } from './config-port.js';
import type { PciDevice } from './device.js';
import { disableMessages, scan } from './enumerate.js';
import { assignGroups, enableAcs } from './groups.js';
import { enable, type EnableOptions, type VectorKind, type Vectors } from './vectors.js';

export interface AllocateVectors extends EnableOptions {
  readonly min: number;
  readonly max: number;
  /** In order of preference. Default: MSI-X, then MSI. */
  readonly kinds?: readonly VectorKind[];
}

interface Segment {
  readonly node: PlatformNode;
  readonly config: ConfigPort;
  done: boolean;
}

/** All PCI segments of a machine as software sees them: enumeration, functions, interrupts. */
export class PciBus {
  private readonly segments: Segment[] = [];
  private readonly found: PciDevice[] = [];
  private readonly enabled = new Map<PciDevice, Vectors>();
  /** BARs that found no room in any window: their names. */
  readonly unplaced: string[] = [];
  /** Bridges for which no bus number was left, so that nothing below them was found: their names. */
  readonly unnumbered: string[] = [];

  private interrupts: InterruptCore | undefined;

  constructor(private readonly host: SoftwareHost) {}

  /** A host bridge's driver announces its segment. On q35 this programs PCIEXBAR where the ECAM is to be used. */
  addHost(node: PlatformNode, interrupts: InterruptCore): void {
    this.interrupts = interrupts;
    const { ecam, access, q35 } = hostOptions(node);
    const { cpu } = this.host;
    if (q35 && access === 'ecam') programPciexbar(cf8Port(cpu), ecam.base, ecam.buses);
    const config = access === 'cf8' ? cf8Port(cpu) : ecamPort(cpu, ecam.base, ecam.firstBus, ecam.buses);
    this.segments.push({ node, config, done: false });
  }

  /**
   * Finds every function of every segment that was not scanned yet: bus numbers (those of firmware stay), BARs, bridge windows, ACS,
   * aliases, isolation groups; then announces each through `hooks.deviceAdded`. Returns all functions.
   */
  enumerate(): readonly PciDevice[] {
    const fresh: PciDevice[] = [];
    for (const s of this.segments) {
      if (s.done) continue;
      s.done = true;
      const { ecam, windows } = hostOptions(s.node);
      const result = scan(this.host.cpu, s.config, s.node.segment ?? 0, ecam.firstBus, ecam.buses);
      for (const d of result.devices) {
        disableMessages(d);
        sizeBars(d);
      }
      this.unnumbered.push(...result.unnumbered.map((d) => d.name));
      this.unplaced.push(
        ...assign(
          result,
          windows.map((w) => rangeOf(w.base, w.size)),
        ),
      );
      enableAcs(result.devices);
      fresh.push(...result.devices);
    }
    this.found.push(...fresh);
    if (fresh.length > 0) assignGroups(this.found);
    for (const d of fresh) this.host.hooks.deviceAdded.call(d);
    return this.found;
  }

  /** Every function, bridges before what is below them. Enumerates when first asked. */
  get functions(): readonly PciDevice[] {
    return this.enumerate();
  }

  /** A function by `[segment:]bus:device.function` or requester id of segment 0. */
  find(bdf: string | number): PciDevice | undefined {
    const place = typeof bdf === 'number' ? { segment: 0, requester: bdf } : parseBdf(bdf);
    return this.functions.find((d) => d.segment === place?.segment && d.requester === place.requester);
  }

  /** Like `find`. Errors: `NO_SUCH_FUNCTION` naming what there is. */
  get(bdf: string | number): PciDevice {
    const device = this.find(bdf);
    if (device) return device;
    const there = this.functions.map((d) => d.name);
    throw new DoorbellError(
      'NO_SUCH_FUNCTION',
      `there is no function ${bdf}`,
      `there are: ${there.slice(0, 16).join(', ')}`,
      {
        bdf,
        functions: there,
      },
    );
  }

  /** MSI-X vectors: `max`, or fewer down to `min` where the interrupt controller runs out. Errors: see `allocateVectors`. */
  enableMsixRange(device: PciDevice, min: number, max: number, options: EnableOptions = {}): Vectors {
    return this.enable(device, 'msix', min, max, options);
  }

  /** MSI vectors: one address, consecutive data values; numbers are taken by powers of two. Errors: see `allocateVectors`. */
  enableMsiRange(device: PciDevice, min: number, max: number, options: EnableOptions = {}): Vectors {
    return this.enable(device, 'msi', min, max, options);
  }

  /**
   * The first of `kinds` that gives at least `min` vectors. Returns with the function programmed and enabled, bus mastering on; on
   * any error nothing has changed.
   *
   * Errors: `BAD_VECTOR`, `MSI_NOT_SUPPORTED`, `MSI_ALREADY_ENABLED`, `IRQ_EXHAUSTED`, `NO_BAR`, `NO_MSI_CONTROLLER`,
   * `MSI_ADDRESS_UNREACHABLE`, `MSI_REFUSED`, and those of the IOMMU's MSI window.
   */
  allocateVectors(device: PciDevice, { min, max, kinds = ['msix', 'msi'], ...options }: AllocateVectors): Vectors {
    let first: DoorbellError | undefined;
    for (const kind of kinds) {
      try {
        return this.enable(device, kind, min, max, options);
      } catch (error) {
        if (!(error instanceof DoorbellError) || !OTHER_KIND_MAY_DO.has(error.code)) throw error;
        // A capability that is there and cannot be used says more than one that is missing.
        if (first === undefined || first.code === 'MSI_NOT_SUPPORTED') first = error;
      }
    }
    throw first ?? new DoorbellError('BAD_VECTOR', 'no kind of interrupt is allowed', 'allow msix or msi', { kinds });
  }

  /** The function's enabled vectors, if any. */
  vectorsOf(device: PciDevice): Vectors | undefined {
    return this.enabled.get(device);
  }

  /** Turns a function's vectors off and gives their numbers back. Without any: nothing happens. Errors as `Vectors.free`. */
  disable(device: PciDevice): void {
    this.enabled.get(device)?.free();
  }

  private enable(device: PciDevice, kind: VectorKind, min: number, max: number, options: EnableOptions): Vectors {
    const live = this.enabled.get(device);
    if (live)
      throw new DoorbellError(
        'MSI_ALREADY_ENABLED',
        `${device.name} has ${live.count} vectors of ${live.kind} enabled`,
        'disable them first',
        { device: device.name, kind: live.kind, count: live.count },
      );
    const vectors = enable(this.interrupts!, device, kind, min, max, options, () => this.enabled.delete(device));
    this.enabled.set(device, vectors);
    return vectors;
  }
}

const OTHER_KIND_MAY_DO = new Set(['MSI_NOT_SUPPORTED', 'IRQ_EXHAUSTED', 'NO_BAR', 'MSI_ADDRESS_UNREACHABLE']);

/** Puts the ECAM where the node says: nobody may have done so before. Base before enable, as a change while enabled would move it twice. */
function programPciexbar(config: ConfigPort, base: number, buses: number): void {
  const at = PCIEXBAR.$.at;
  const length = buses > 128 ? 0 : buses > 64 ? 1 : 2;
  const low = set(set(base >>> 0, PCIEXBAR.Length, length), PCIEXBAR.Enable, 1);
  const high = Math.floor(base / 2 ** 32);
  const now = config.read(0, at);
  if (now === low && config.read(0, at + 4) === high) return;
  if (get(now, PCIEXBAR.Enable)) config.write(0, at, set(now, PCIEXBAR.Enable, 0));
  config.write(0, at + 4, high);
  config.write(0, at, low);
}

/** `platform.service(PCI)`: the PCI core. */
export const PCI: Service<PciBus> = {
  token: token<PciBus>('software:pci'),
  create: (host) => new PciBus(host),
};

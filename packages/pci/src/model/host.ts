import { get } from '@doorbell/bits';
import {
  DoorbellError,
  hex,
  join64,
  token,
  type HardwareHost,
  type MmioRegion,
  type Model,
  type PlatformNode,
  type PortRegion,
  type Service,
} from '@doorbell/platform';
import { MISC, PCIEXBAR } from '../spec/index.js';
import { hostOptions } from '../options.js';
import { PciBridge } from './bridge.js';
import { ConfigPorts, EcamRegion } from './config-access.js';
import { at, definePciFunction, type Placed } from './definition.js';
import { PciFunction, type FunctionHost, type FunctionState } from './function.js';
import { Topology, type Bus } from './topology.js';
import { BarWindow } from './windows.js';

/** Told when an interrupt line at the root changes: device number on the root bus, pin 1–4 after the bridges' swizzle. */
export type IntxListener = (segment: number, slot: number, pin: number, asserted: boolean) => void;

/** The hardware side's view of all segments: where other blocks put functions of their own, and where INTx lines end. */
export class PciHardware {
  private readonly hosts: PciHostModel[] = [];
  private readonly waiting: { segment: number; placed: Placed }[] = [];
  private readonly listeners = new Set<IntxListener>();

  /** Puts a function on a segment's root bus, also before its host bridge exists. */
  place(segment: number, placed: Placed): void {
    const host = this.host(segment);
    if (host) host.add(placed);
    else this.waiting.push({ segment, placed });
  }
  onIntx(listener: IntxListener): void {
    this.listeners.add(listener);
  }
  /** The host bridge of a segment: the first one, or the one that has `bus`. */
  host(segment = 0, bus?: number): PciHostModel | undefined {
    return this.hosts.find(({ topology: t }) => t.segment === segment && (bus === undefined || t.has(bus)));
  }

  attach(host: PciHostModel): void {
    const { segment } = host.topology;
    const first = this.host(segment) === undefined;
    this.hosts.push(host);
    if (first) for (const w of this.waiting) if (w.segment === segment) host.add(w.placed);
  }
  line(segment: number, slot: number, pin: number, asserted: boolean): void {
    for (const l of this.listeners) l(segment, slot, pin, asserted);
  }
}

/** `host.hardwareService(PCI_HARDWARE)`. */
export const PCI_HARDWARE: Service<PciHardware, HardwareHost> = {
  token: token<PciHardware>('hardware:pci'),
  create: () => new PciHardware(),
};

interface HostState {
  readonly address: number;
  readonly functions: readonly FunctionState[];
}

/** QEMU's q35 host bridge at 00:00.0, as far as software needs it to find the ECAM. */
const MCH = definePciFunction({
  name: 'q35 host bridge',
  vendor: 0x8086,
  device: 0x29c0,
  subsystem: { vendor: 0x1af4, device: 0x1100 },
  classCode: 0x060000,
  pcie: false,
  registers: [{ layout: PCIEXBAR }],
});

/** A PCI segment: host bridge, configuration access, windows to BARs, and every function on it. */
export class PciHostModel implements Model, FunctionHost {
  readonly topology: Topology;
  readonly regions: MmioRegion[];
  private readonly bars: readonly BarWindow[];
  readonly ports: PortRegion[] = [];
  private readonly configPorts: ConfigPorts | undefined;
  private ecam: EcamRegion | undefined;
  /** q35: what maps BARs now, the ECAM's place left out. */
  private open: BarWindow[] = [];
  private readonly mch: PciFunction | undefined;
  private readonly asserted = new Map<PciFunction, boolean>();

  constructor(
    private readonly node: PlatformNode,
    private readonly hardware: HardwareHost,
    private readonly lines: PciHardware,
  ) {
    const { ecam, windows, functions, q35 } = hostOptions(node);
    const segment = node.segment ?? 0;
    this.topology = new Topology(
      segment,
      ecam.firstBus,
      ecam.firstBus + ecam.buses - 1,
      hardware.fabric(segment),
      hardware.diagnostics,
      hardware.trace,
    );
    const bars = windows.map(
      (w, i) => new BarWindow(`${node.name} window ${i}`, w.base, w.size, this.topology.decoder),
    );
    this.regions = [...bars];
    this.open = bars;
    this.bars = bars;
    if (q35) {
      this.ports.push((this.configPorts = new ConfigPorts(node.name, this.topology)));
      this.mch = this.add(at('00.0', MCH));
      for (const offset of [PCIEXBAR.$.at, PCIEXBAR.$.at + 4]) this.mch.config.onWrite(offset, () => this.moveEcam());
    } else this.regions.unshift(new EcamRegion(`${node.name} ECAM`, ecam.base, ecam.buses * 2 ** 20, this.topology));
    for (const placed of functions as readonly Placed[]) this.add(placed);
    lines.attach(this);
  }

  get clock() {
    return this.hardware.clock;
  }
  get diagnostics() {
    return this.hardware.diagnostics;
  }
  get trace() {
    return this.hardware.trace;
  }

  /** Puts a function, with all below it, on a bus (default: the root). Errors: `BAD_FUNCTION` where the place is taken. */
  add(placed: Placed, bus: Bus = this.topology.root): PciFunction {
    const devfn = (placed.slot << 3) | placed.fn;
    const other = bus.functions[devfn];
    const place = `${placed.slot.toString(16).padStart(2, '0')}.${placed.fn}`;
    if (other)
      throw new DoorbellError(
        'BAD_FUNCTION',
        `${placed.definition.name} cannot stand at ${place} of ${this.node.name}: ${other.definition.name} does`,
        'give each its own place on the bus',
        { place },
      );
    if (bus.kind === 'link' && placed.slot !== 0)
      throw new DoorbellError(
        'BAD_FUNCTION',
        `${placed.definition.name} cannot stand at ${place} below ${bus.bridge!.definition.name}: a link has device 0 only`,
        'use 00.0 to 00.7, or put a switch there',
        { place },
      );
    if ('bridge' in placed.definition) {
      const b = new PciBridge(bus, placed, this);
      bus.functions[devfn] = b;
      for (const child of (placed.definition as { children: readonly Placed[] }).children) this.add(child, b.secondary);
    } else bus.functions[devfn] = new PciFunction(bus, placed, this);
    this.markMultiFunction(bus, placed.slot);
    this.topology.changed();
    return bus.functions[devfn];
  }

  /** The function at a bus, device and function as configured now. */
  find(requester: number): PciFunction | undefined {
    return this.topology.configTarget(requester >>> 8, requester & 0xff);
  }

  wire(fn: PciFunction, asserted: boolean): void {
    if ((this.asserted.get(fn) ?? false) === asserted) return;
    this.asserted.set(fn, asserted);
    let pin = fn.definition.pin ?? 0;
    if (pin === 0) return;
    let at: PciFunction = fn;
    for (; at.bus.bridge; at = at.bus.bridge) pin = ((pin - 1 + (at.devfn >>> 3)) & 3) + 1; // PCI-to-PCI bridge 1.2 §9.1
    this.lines.line(this.topology.segment, at.devfn >>> 3, pin, asserted);
  }

  reset(): void {
    for (const f of this.topology.all()) f.reset();
    if (this.configPorts) this.configPorts.address = 0;
    this.moveEcam();
  }

  dispose(): void {
    for (const region of [...this.open, ...(this.ecam ? [this.ecam] : [])]) this.hardware.bus.unmap(region);
    this.ecam = undefined;
  }

  snapshot(): HostState {
    return {
      address: this.configPorts?.address ?? 0,
      functions: [...this.topology.all()].map((f) => f.snapshot()),
    };
  }

  restore(state: HostState): void {
    if (this.configPorts) this.configPorts.address = state.address;
    // The order of functions depends on what was placed only, not on bus numbers.
    for (const [i, f] of [...this.topology.all()].entries()) f.restore(state.functions[i]!);
    this.topology.changed();
    this.moveEcam();
  }

  /** Any function of a slot beside function 0: all of them say so (Header Type bit 7). */
  private markMultiFunction(bus: Bus, slot: number): void {
    const all = [...bus.all()].filter((f) => f.devfn >>> 3 === slot);
    if (!all.some((f) => f.devfn & 7)) return;
    for (const f of all) f.config.fix(MISC.$.at, f.config.get(MISC.$.at) | MISC.MultiFunction.mask);
  }

  /** The ECAM lies where PCIEXBAR says, while it is enabled and nothing else is there. */
  private moveEcam(): void {
    if (!this.mch) return;
    const { bus } = this.hardware;
    if (this.ecam) {
      bus.unmap(this.ecam);
      this.ecam = undefined;
      this.openWindows();
    }
    const lo = this.mch.config.get(PCIEXBAR.$.at);
    const hi = this.mch.config.get(PCIEXBAR.$.at + 4);
    if (!get(lo, PCIEXBAR.Enable)) return;
    const length = get(lo, PCIEXBAR.Length);
    if (length === 3) return this.diagnostics.illegal(this.node.name, 'PCIEXBAR: Length = 3 is reserved');
    const size = 2 ** (28 - length);
    const base = join64(hi, lo & ~(size - 1) & 0xfc00_0000);
    const ecam = new EcamRegion(`${this.node.name} ECAM`, base, size, this.topology);
    try {
      this.openWindows(ecam);
      bus.map(ecam);
      this.ecam = ecam;
    } catch (error) {
      if (!(error instanceof DoorbellError)) throw error;
      this.openWindows();
      this.diagnostics.illegal(this.node.name, `PCIEXBAR at ${hex(base)}: ${error.message}`);
    }
  }
  /** Windows to BARs, around the ECAM where it lies in one: it is decoded first. */
  private openWindows(ecam?: EcamRegion): void {
    const { bus } = this.hardware;
    for (const w of this.open) bus.unmap(w);
    this.open = this.bars.flatMap((w) => {
      const end = w.base + w.size;
      if (ecam === undefined || ecam.base >= end || ecam.base + ecam.size <= w.base) return [w];
      const part = (base: number, last: number) =>
        base < last ? [new BarWindow(w.name, base, last - base, this.topology.decoder)] : [];
      return [...part(w.base, ecam.base), ...part(ecam.base + ecam.size, end)];
    });
    for (const w of this.open) bus.map(w);
  }
}

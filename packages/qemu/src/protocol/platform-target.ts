import { BarWindow, PCI_HARDWARE, type PciHardware } from '@doorbell/pci';
import { hi32, lo32, type MmioRegion, type Platform, type SystemBus, type Word64 } from '@doorbell/platform';
import type { Endianness } from '../transport/qtest.js';
import type { EventLog } from './events.js';
import type { QtestTarget } from './target.js';

/** An interrupt controller's wired inputs, as `set_irq_in` and `irq_intercept_in` reach them. */
export interface WiredInputs {
  /** False: there is no such pin. */
  set(pin: number, level: boolean): boolean;
  /** Called when a device changes an input. */
  listen(tell: (pin: number, level: boolean) => void): void;
}

export interface PlatformTargetOptions {
  readonly endianness?: Endianness;
  /** Registers that a qtest client sees in place of what the bus has there: its accesses come from no CPU. */
  readonly overlay?: readonly MmioRegion[];
  /** Addresses that nothing else claims go to the first host bridge's BARs (a PC's PCI hole). */
  readonly subtractive?: boolean;
  /** By the path that the client says. */
  readonly inputs?: Readonly<Record<string, WiredInputs>>;
  readonly events?: EventLog;
  /** Told of a command that failed by a defect of ours. */
  readonly failed?: (line: string, error: unknown) => void;
}

/**
 * A platform as qtest reaches it. An access goes the way that QEMU's address spaces send it: RAM as bytes, registers in aligned
 * pieces of at most the block's largest size; a size that the block does not take, and a place where nothing is, reads 0 and
 * swallows writes; a window to BARs (not a PC's hole) then reads ones.
 */
export class PlatformTarget implements QtestTarget {
  readonly endianness: Endianness;
  private readonly bus: SystemBus;
  private readonly pci: PciHardware;
  private readonly scratch = new Uint8Array(8);
  private readonly view = new DataView(this.scratch.buffer);
  private readonly pair: Word64 = { hi: 0, lo: 0 };
  private now = 0;

  constructor(
    private readonly platform: Platform,
    private readonly options: PlatformTargetOptions = {},
  ) {
    this.endianness = options.endianness ?? 'little';
    this.bus = platform.bus;
    this.pci = platform.hardwareService(PCI_HARDWARE);
  }

  read(address: number, size: 1 | 2 | 4 | 8, into: Word64): void {
    const { memory } = this.bus;
    if (size === 4 && address % 4 === 0 && memory.has(address)) {
      into.lo = memory.read32(address);
      into.hi = 0;
      return;
    }
    this.scratch.fill(0);
    this.readBytes(address, this.scratch.subarray(0, size));
    into.lo = this.view.getUint32(0, true);
    into.hi = this.view.getUint32(4, true);
  }

  write(address: number, size: 1 | 2 | 4 | 8, hi: number, lo: number): void {
    this.view.setUint32(0, lo, true);
    this.view.setUint32(4, hi, true);
    this.writeBytes(address, this.scratch.slice(0, size));
  }

  readBytes(address: number, into: Uint8Array): void {
    for (let done = 0; done < into.length; ) {
      const here = address + done;
      const ram = this.ramFrom(here, into.length - done);
      if (ram > 0) this.bus.memory.readBytes(here, into.subarray(done, done + ram));
      done += ram > 0 ? ram : this.load(here, into, done);
    }
  }

  writeBytes(address: number, from: Uint8Array): void {
    let registers = false;
    for (let done = 0; done < from.length; ) {
      const here = address + done;
      const ram = this.ramFrom(here, from.length - done);
      if (ram > 0) this.bus.memory.writeBytes(here, from.subarray(done, done + ram));
      if (ram === 0) registers = true;
      done += ram > 0 ? ram : this.store(here, from, done);
    }
    if (registers) this.options.events?.settled();
  }

  in(port: number, size: 1 | 2 | 4): number {
    const ones = size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff;
    const region = this.bus.portAt(port);
    if (region === undefined) return ones;
    if (port % size !== 0) {
      let value = 0;
      for (let i = 0; i < size; i++) value |= this.in(port + i, 1) << (8 * i);
      return value >>> 0;
    }
    return size === 4 ? region.in32(port) >>> 0 : (region.in?.(port, size) ?? ones);
  }

  out(port: number, size: 1 | 2 | 4, value: number): void {
    const region = this.bus.portAt(port);
    if (region === undefined) return;
    if (port % size !== 0) for (let i = 0; i < size; i++) this.out(port + i, 1, (value >>> (8 * i)) & 0xff);
    else if (size === 4) region.out32(port, value >>> 0);
    else region.out?.(port, size, value);
    this.options.events?.settled();
  }

  hasDevice(path: string): boolean {
    return this.inputs(path) !== undefined;
  }

  setInput(path: string, pin: number, level: boolean): boolean {
    const known = this.inputs(path)?.set(pin, level) ?? false;
    this.options.events?.settled();
    return known;
  }

  intercept(path: string, tell: (pin: number, level: boolean) => void): void {
    this.inputs(path)?.listen(tell);
  }

  advance(nanoseconds: number): number {
    this.platform.settle();
    return (this.now += nanoseconds);
  }

  failed(line: string, error: unknown): void {
    this.options.failed?.(line, error);
  }

  beginCommand(): void {
    if (this.platform.clock.idle) return;
    this.platform.settle();
    this.options.events?.settled();
  }

  beforeReply(): void {
    this.options.events?.flush();
  }

  private inputs(path: string): WiredInputs | undefined {
    return Object.hasOwn(this.options.inputs ?? {}, path) ? this.options.inputs![path] : undefined;
  }

  /** How many of `length` bytes from `address` on lie in RAM; 0 where the first does not. */
  private ramFrom(address: number, length: number): number {
    for (const { base, size } of this.bus.memory.banks)
      if (address >= base && address < base + size) return Math.min(length, base + size - address);
    return 0;
  }

  /** One piece of a read that no RAM answers: its length. */
  private load(address: number, into: Uint8Array, at: number): number {
    const { pair } = this;
    pair.hi = 0;
    pair.lo = 0;
    const region = this.regionAt(address);
    const size = piece(address, into.length - at, region);
    if (region && this.options.overlay?.includes(region)) {
      if (takes(region, size)) pair.lo = region.read(address - region.base, size) >>> 0;
    } else if (region) {
      const { bus } = this;
      if (takes(region, size)) {
        // through the bus, which knows each block's byte order
        pair.lo = size >= 4 ? bus.read32(address) : size === 2 ? bus.read16(address) : bus.read8(address);
        if (size === 8) pair.hi = bus.read32(address + 4);
      }
    } else {
      const t = this.barAt(address);
      if (t && size === 8) t.fn.barRead64(t.bar, t.offset, pair);
      else if (t) pair.lo = t.fn.barRead(t.bar, t.offset, size) >>> 0;
      else if (!this.options.subtractive && this.isWindow(address)) pair.hi = pair.lo = 0xffff_ffff; // master abort
    }
    for (let i = 0; i < size; i++) into[at + i] = ((i < 4 ? pair.lo : pair.hi) >>> (8 * (i & 3))) & 0xff;
    return size;
  }

  private store(address: number, from: Uint8Array, at: number): number {
    const region = this.regionAt(address);
    const size = piece(address, from.length - at, region);
    let [lo, hi] = [0, 0];
    for (let i = 0; i < size; i++)
      if (i < 4) lo |= from[at + i]! << (8 * i);
      else hi |= from[at + i]! << (8 * (i & 3));
    lo >>>= 0;
    hi >>>= 0;
    if (region === undefined) {
      const t = this.barAt(address);
      if (t && size === 8) t.fn.barWrite64(t.bar, t.offset, hi, lo);
      else if (t) t.fn.barWrite(t.bar, t.offset, size, lo);
    } else if (this.options.overlay?.includes(region)) {
      if (takes(region, size)) region.write(address - region.base, size, lo, -1);
    } else if (takes(region, size)) {
      if (size === 8) this.bus.write64(address, hi, lo);
      else if (size === 4) this.bus.write32(address, lo);
      else if (size === 2) this.bus.write16(address, lo);
      else this.bus.write8(address, lo);
    }
    return size;
  }

  /** Registers at an address; not the windows to BARs, which the decoder answers for. */
  private regionAt(address: number): MmioRegion | undefined {
    const over = this.options.overlay?.find((r) => address >= r.base && address < r.base + r.size);
    if (over) return over;
    return this.isWindow(address) ? undefined : this.bus.regionAt(address);
  }

  private isWindow(address: number): boolean {
    return this.bus.regionAt(address) instanceof BarWindow;
  }

  private barAt(address: number) {
    if (!this.options.subtractive && !this.isWindow(address)) return undefined;
    return this.pci.host()?.topology.decoder.find(hi32(address), lo32(address));
  }
}

/** The next piece of an access to registers: a power of two, aligned, no more than the block's largest. */
function piece(address: number, length: number, region: MmioRegion | undefined): number {
  let size = Math.max(...(region?.sizes ?? DEFAULT_SIZES));
  while (size > length || address % size !== 0) size /= 2;
  return size;
}

const DEFAULT_SIZES: readonly number[] = [4, 8];

const takes = (region: MmioRegion, size: number): boolean => (region.sizes ?? DEFAULT_SIZES).includes(size);

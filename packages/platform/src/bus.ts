import { hex, overlaps, rangeOf } from './address.js';
import { DoorbellError } from './errors.js';
import type { PhysicalMemory } from './memory.js';
import { regionOverlap } from './overlap.js';
import { swap32, type CpuPort } from './ports.js';

/** Who makes an access that does not come from a device. */
export const CPU = -1;

/**
 * Registers or another target on the system bus. Values are at most 32 bits; an 8-byte access arrives as `write64`, or as two
 * 4-byte ones, low first, where that is absent. `source` is the DeviceID that travels beside a device's write, or `CPU`.
 */
export interface MmioRegion {
  readonly name: string;
  readonly base: number;
  readonly size: number;
  /** Byte order of the block's registers; `big` swaps at this border. */
  readonly endian?: 'little' | 'big';
  /** Legal access sizes in bytes. Default: 4 and 8. */
  readonly sizes?: readonly number[];
  read(offset: number, size: number): number;
  write(offset: number, size: number, value: number, source: number): void;
  write64?(offset: number, hi: number, lo: number, source: number): void;
}

const DEFAULT_SIZES: readonly number[] = [4, 8];

/** x86 port I/O. */
export interface PortRegion {
  readonly name: string;
  readonly first: number;
  readonly last: number;
  in32(port: number): number;
  out32(port: number, value: number): void;
  /** Accesses of 1 and 2 bytes, where the block takes them. */
  in?(port: number, size: 1 | 2): number;
  out?(port: number, size: 1 | 2, value: number): void;
}

/**
 * The address map: RAM and regions. The CPU's side (`CpuPort`) throws typed errors, since a stray access there is a mistake of
 * our caller; the device side (`deviceRead`, `deviceWrite`) answers as an interconnect does: 0, or dropped.
 */
export class SystemBus implements CpuPort {
  private regions: MmioRegion[] = [];
  private ports: PortRegion[] = [];
  private lastRegion: MmioRegion | undefined;

  constructor(readonly memory: PhysicalMemory) {}

  /** Adds a region. Errors: `REGION_OVERLAP` naming both. */
  map(region: MmioRegion): void {
    const range = rangeOf(region.base, region.size);
    for (const other of this.regions) {
      if (overlaps(range, rangeOf(other.base, other.size)))
        throw regionOverlap(region.name, range, other.name, rangeOf(other.base, other.size));
    }
    for (const bank of this.memory.banks) {
      if (overlaps(range, rangeOf(bank.base, bank.size)))
        throw regionOverlap(region.name, range, 'RAM', rangeOf(bank.base, bank.size));
    }
    this.regions.push(region);
    this.regions.sort((a, b) => a.base - b.base);
    this.lastRegion = undefined;
  }

  unmap(region: MmioRegion): void {
    this.regions = this.regions.filter((r) => r !== region);
    this.lastRegion = undefined;
  }

  /** Adds port I/O. Errors: `REGION_OVERLAP` naming both. */
  mapPorts(region: PortRegion): void {
    for (const other of this.ports)
      if (overlaps(region, other)) throw regionOverlap(`${region.name} ports`, region, `${other.name} ports`, other);
    this.ports.push(region);
  }

  unmapPorts(region: PortRegion): void {
    this.ports = this.ports.filter((p) => p !== region);
  }

  /** The region that holds an address, if any. */
  regionAt(address: number): MmioRegion | undefined {
    const last = this.lastRegion;
    if (last !== undefined && address >= last.base && address < last.base + last.size) return last;
    let lo = 0;
    let hi = this.regions.length - 1;
    while (lo <= hi) {
      const mid = (lo + hi) >>> 1;
      const r = this.regions[mid]!;
      if (address < r.base) hi = mid - 1;
      else if (address >= r.base + r.size) lo = mid + 1;
      else return (this.lastRegion = r);
    }
    return undefined;
  }

  /** A device's 4-byte write after translation. False: nothing is there. `source` is its DeviceID. */
  deviceWrite32(address: number, value: number, source: number): boolean {
    return this.deviceWrite(address, 4, value, source);
  }

  /** A device's 4-byte read after translation; all ones where nothing is. */
  deviceRead32(address: number): number {
    return this.deviceRead(address, 4);
  }

  /** A device's aligned write of 1, 2 or 4 bytes. False: dropped, since nothing there takes it. */
  deviceWrite(address: number, size: number, value: number, source: number): boolean {
    if ((address & (size - 1)) !== 0) return false;
    const memory = this.memory;
    if (memory.has(address)) {
      if (size === 4) memory.write32(address, value);
      else if (size === 2) memory.write16(address, value);
      else memory.write8(address, value);
      return true;
    }
    const region = this.regionAt(address);
    if (region === undefined || !legal(region, address, size)) return false;
    region.write(address - region.base, size, swapped(region, value, size) >>> 0, source);
    return true;
  }

  /** A device's aligned read of 1, 2 or 4 bytes; 0 where nothing answers, as devices of QEMU see it. */
  deviceRead(address: number, size: number): number {
    if ((address & (size - 1)) !== 0) return 0;
    const memory = this.memory;
    if (memory.has(address))
      return size === 4 ? memory.read32(address) : size === 2 ? memory.read16(address) : memory.read8(address);
    const region = this.regionAt(address);
    if (region === undefined || !legal(region, address, size)) return 0;
    const ones = size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff;
    return (swapped(region, region.read(address - region.base, size) >>> 0, size) & ones) >>> 0;
  }

  read8(address: number): number {
    return this.memory.has(address) ? this.memory.read8(address) : this.load(address, 1);
  }
  read16(address: number): number {
    return this.memory.has(address) ? this.memory.read16(address) : this.load(address, 2);
  }
  read32(address: number): number {
    return this.memory.has(address) ? this.memory.read32(address) : this.load(address, 4);
  }
  write8(address: number, value: number): void {
    if (this.memory.has(address)) this.memory.write8(address, value);
    else this.store(address, 1, value);
  }
  write16(address: number, value: number): void {
    if (this.memory.has(address)) this.memory.write16(address, value);
    else this.store(address, 2, value);
  }
  write32(address: number, value: number): void {
    if (this.memory.has(address)) this.memory.write32(address, value);
    else this.store(address, 4, value >>> 0);
  }
  write64(address: number, hi: number, lo: number): void {
    if (this.memory.has(address)) return this.memory.write64(address, hi, lo);
    const region = this.target(address, 8);
    const offset = address - region.base;
    if (region.endian === 'big') {
      // The first four bytes in memory order are the most significant ones.
      const first = swap32(lo);
      const second = swap32(hi);
      if (region.write64) region.write64(offset, first, second, CPU);
      else {
        region.write(offset, 4, first, CPU);
        region.write(offset + 4, 4, second, CPU);
      }
    } else if (region.write64) region.write64(offset, hi >>> 0, lo >>> 0, CPU);
    else {
      region.write(offset, 4, lo >>> 0, CPU);
      region.write(offset + 4, 4, hi >>> 0, CPU);
    }
  }

  in32(port: number): number {
    const region = this.portAt(port);
    return region ? region.in32(port) >>> 0 : 0xffff_ffff;
  }
  out32(port: number, value: number): void {
    this.portAt(port)?.out32(port, value >>> 0);
  }

  /** The block that has a port, if any. */
  portAt(port: number): PortRegion | undefined {
    return this.ports.find((p) => port >= p.first && port <= p.last);
  }

  private load(address: number, size: number): number {
    const region = this.target(address, size);
    return swapped(region, region.read(address - region.base, size) >>> 0, size);
  }

  private store(address: number, size: number, value: number): void {
    const region = this.target(address, size);
    region.write(address - region.base, size, swapped(region, value, size), CPU);
  }

  private target(address: number, size: number): MmioRegion {
    const region = this.regionAt(address);
    if (region === undefined) {
      throw new DoorbellError(
        'NO_SUCH_ADDRESS',
        `nothing answers at ${hex(address)}`,
        'check the address against platform.describe()',
        { address, size },
      );
    }
    if (!legal(region, address, size)) {
      const sizes = region.sizes ?? DEFAULT_SIZES;
      throw new DoorbellError(
        address % size ? 'UNALIGNED' : 'BAD_ACCESS_SIZE',
        `access of ${size} bytes at ${hex(address)} is not legal in ${region.name} (aligned ${sizes.join(', ')} bytes)`,
        'use a legal size at an aligned offset',
        { address, size, region: region.name },
      );
    }
    return region;
  }
}

const legal = (region: MmioRegion, address: number, size: number): boolean => {
  // Sizes are powers of two; `%` and `includes` cost half of a dispatch.
  const offset = address - region.base;
  return (offset & (size - 1)) === 0 && offset + size <= region.size && takes(region.sizes ?? DEFAULT_SIZES, size);
};

const takes = (sizes: readonly number[], size: number): boolean => {
  for (let i = 0; i < sizes.length; i++) if (sizes[i] === size) return true;
  return false;
};

const swapped = (region: MmioRegion, value: number, size: number): number => {
  if (region.endian !== 'big' || size === 1) return value;
  return size === 2 ? ((value & 0xff) << 8) | ((value >>> 8) & 0xff) : swap32(value);
};

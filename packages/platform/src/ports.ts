/**
 * What software sees of hardware. A driver holds ports and nothing else, so the same driver runs on our models and on a
 * live QEMU. All ports are synchronous. Addresses are numbers up to 2^52; values are unsigned 32-bit numbers.
 */

/** One block's registers, by byte offset; values in the block's own register order (its endianness is already applied). */
export interface RegisterPort {
  read32(offset: number): number;
  write32(offset: number, value: number): void;
  /** One 64-bit access where the hardware takes it; otherwise two, **low dword first, high dword last** (VT-d §11: the high one starts the operation). */
  write64(offset: number, hi: number, lo: number): void;
}

/** Physical memory as a driver uses it for tables and queues. 64-bit values are (hi, lo) pairs. */
export interface MemoryPort {
  read8(address: number): number;
  read16(address: number): number;
  /** Little-endian, address aligned to 4. */
  read32(address: number): number;
  write8(address: number, value: number): void;
  write16(address: number, value: number): void;
  write32(address: number, value: number): void;
  /** Both words in one go: a concurrent walker sees either the old or the new quadword. Address aligned to 8. */
  write64(address: number, hi: number, lo: number): void;
  readBytes(address: number, into: Uint8Array): void;
  writeBytes(address: number, from: Uint8Array): void;
  fill(address: number, length: number, byte: number): void;
  /** Everything written before is visible to the hardware before anything written after (before a doorbell register). */
  barrier(): void;
  /** Where memory is in this process: its words. Absent where each access is a message or where hardware runs beside us and must see whole quadwords. */
  readonly direct?: DirectMemory | undefined;
}

/** Memory whose words a driver may read and write in place: for runs of table entries. */
export interface DirectMemory {
  /**
   * The index in `located` of the word at `address`, or -1 where the `bytes` from there on do not lie in one piece: then the port's calls do it.
   * Both hold until the next access of any kind. Errors: `UNALIGNED`, `OUTSIDE_MEMORY`.
   */
  locateForWrite(address: number, bytes: number): number;
  readonly located: Uint32Array;
}

/** The CPU's loads and stores to any physical address: MMIO, ECAM, BARs, RAM. Little-endian values. */
export interface CpuPort {
  read8(address: number): number;
  read16(address: number): number;
  read32(address: number): number;
  write8(address: number, value: number): void;
  write16(address: number, value: number): void;
  write32(address: number, value: number): void;
  write64(address: number, hi: number, lo: number): void;
  /** x86 port I/O (CF8/CFC). Absent where the machine has none. */
  in32?(port: number): number;
  out32?(port: number, value: number): void;
}

/** Pages of RAM for a driver's tables and queues. */
export interface PageAllocator {
  /** `size` bytes (a power of two multiple of 4 KiB), zeroed, naturally aligned or to `align` if that is more. Throws `OUT_OF_MEMORY`. */
  allocate(size: number, align?: number): number;
  free(address: number, size: number): void;
}

/** A machine that drivers can be pointed at: a `Platform` of models, or a live QEMU. */
export interface Machine {
  readonly cpu: CpuPort;
  readonly memory: MemoryPort;
  readonly pages: PageAllocator;
  /** Polls until `condition()` is true; each poll lets the hardware proceed. Throws `HardwareTimeout` after `limit` polls (default: the machine's own). */
  waitUntil(what: string, condition: () => boolean, limit?: number): void;
}

/** A window on a machine's address space as one block's registers. `big` swaps: the block's registers are big-endian. */
export function registerPort(cpu: CpuPort, base: number, endian: 'little' | 'big' = 'little'): RegisterPort {
  if (endian === 'little') {
    return {
      read32: (offset) => cpu.read32(base + offset),
      write32: (offset, value) => cpu.write32(base + offset, value),
      write64: (offset, hi, lo) => cpu.write64(base + offset, hi, lo),
    };
  }
  return {
    read32: (offset) => swap32(cpu.read32(base + offset)),
    write32: (offset, value) => cpu.write32(base + offset, swap32(value)),
    write64: (offset, hi, lo) => {
      cpu.write32(base + offset, swap32(hi));
      cpu.write32(base + offset + 4, swap32(lo));
    },
  };
}

/** Reverses the bytes of a 32-bit word. */
export const swap32 = (v: number): number =>
  (((v & 0xff) << 24) | ((v & 0xff00) << 8) | ((v >>> 8) & 0xff00) | (v >>> 24)) >>> 0;

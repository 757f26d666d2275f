import { DoorbellError } from './errors.js';
import { hex, hi32, lo32, rangeOf } from './address.js';
import { regionOverlap } from './overlap.js';
import type { DirectMemory, MemoryPort } from './ports.js';

/** RAM is materialised in chunks of this size when first written. */
const CHUNK_BITS = 19;
/** Shifted, since the engine keeps a power as a double, and with it the base of every chunk and each comparison with one. */
const CHUNK = 1 << CHUNK_BITS;
const WORDS = CHUNK / 4;
/** The bits of an offset in a chunk that an aligned word may have. */
const ALIGNED = CHUNK - 4;
/** Chunks per directory: 1 GiB. */
const DIRECTORY_BITS = 30;
const PER_DIRECTORY = 2 ** (DIRECTORY_BITS - CHUNK_BITS);

/** Physical addresses have at most 52 bits. */
export const MAX_ADDRESS = 2 ** 52 - 1;

/** One bank of RAM: [base, base + size), both multiples of 8. */
export interface MemoryBank {
  readonly base: number;
  readonly size: number;
}

/** A power of two. */
const SLOTS = 512;
/** No base of a chunk. A small integer: while all addresses in use are such, the engine compares integers. */
const NOWHERE = -1;

/** Where an untouched chunk reads from: shared, never written. */
const ZERO = new Uint32Array(WORDS);

/**
 * Sparse physical memory up to 52-bit addresses. Creating it allocates nothing; a chunk of 512 KiB appears when it is first
 * written. Reads of memory that was never written give 0.
 *
 * Aligned 32-bit access is the fast path: the last chunk is remembered, so a walk or a queue costs two compares and a load;
 * behind it a direct-mapped table remembers the last chunks by number.
 * Values are little-endian, as every host that runs this is.
 */
export class PhysicalMemory implements MemoryPort, DirectMemory {
  readonly banks: readonly MemoryBank[];
  /** The banks with adjacent ones joined: an access may cross from one into the next. */
  private readonly extents: readonly MemoryBank[];
  private readonly directories = new Map<number, (Uint32Array | undefined)[]>();
  /** Base of the chunk in `last`, or `NOWHERE`. */
  private lastBase = NOWHERE;
  private last: Uint32Array = ZERO;
  /** `last` as bytes, as long as `viewed` is `last`. */
  private view: Uint8Array = new Uint8Array(ZERO.buffer);
  private viewed: Uint32Array = ZERO;
  /** Bases of the chunks in `slots`, by their number's low bits. */
  private readonly slotBases = new Float64Array(SLOTS).fill(NaN);
  private readonly slots: Uint32Array[] = new Array<Uint32Array>(SLOTS).fill(ZERO);

  /** Errors: `BAD_MEMORY_BANK` (no range, not multiples of 8, beyond 52 bits), `REGION_OVERLAP`. */
  constructor(banks: readonly MemoryBank[]) {
    this.banks = [...banks].sort((a, b) => a.base - b.base);
    this.extents = joined(this.banks);
  }

  /** Whether all of [address, address + length) is RAM. */
  contains(address: number, length = 1): boolean {
    const extents = this.extents;
    for (let i = 0; i < extents.length; i++) {
      const e = extents[i]!;
      if (address >= e.base && address + length <= e.base + e.size) return true;
    }
    return false;
  }

  /** Whether a walker may read there: never throws. */
  has(address: number): boolean {
    return address - (address & (CHUNK - 1)) === this.lastBase || this.contains(address);
  }

  /**
   * For walkers that read several words of one entry: the index in `located` of the word at `address`, or -1 where there is no RAM. Never
   * throws. Both hold until the next access of any kind; an entry of up to 8 bytes, aligned to its size, lies in it as a whole.
   */
  locate(address: number): number {
    const at = address & ALIGNED;
    return address - at === this.lastBase ? at >>> 2 : this.locateFar(address);
  }

  /**
   * The same of an address in two words, as entries hold it. A walk goes from load to load through the low word alone: as one number the
   * address would be a double above 2 GiB, and its way there and back takes longer than the loads.
   */
  locate64(hi: number, lo: number): number {
    const at = lo & ALIGNED;
    const base = hi * 0x1_0000_0000 + ((lo >>> 0) - at);
    return base === this.lastBase ? at >>> 2 : this.locateFar(base + at);
  }

  /** The same for writing: the piece is there then. See `DirectMemory`. */
  locateForWrite(address: number, bytes: number): number {
    const at = address & ALIGNED;
    if (address - at !== this.lastBase || this.last === ZERO) {
      this.far32ForWrite(address);
      if (this.lastBase === NOWHERE && !this.contains(address, bytes)) throw outside(address, bytes);
    }
    return at + bytes <= CHUNK ? at >>> 2 : -1;
  }

  /** The words that `locate` found, to be read, never written; or those of `locateForWrite`. */
  get located(): Uint32Array {
    return this.last;
  }

  read32(address: number): number {
    // One comparison: no unaligned, negative, fractional or huge number less these bits is the base of a chunk. The likely arm comes
    // first: the engine then lays it out without a jump.
    const at = address & ALIGNED;
    return address - at === this.lastBase ? this.last[at >>> 2]! : this.far32(address);
  }

  write32(address: number, value: number): void {
    const at = address & ALIGNED;
    if (address - at === this.lastBase && this.last !== ZERO) this.last[at >>> 2] = value;
    else {
      this.far32ForWrite(address);
      this.last[at >>> 2] = value;
    }
  }

  write64(address: number, hi: number, lo: number): void {
    if (address & 7) throw unaligned(address, 8);
    this.write32(address, lo);
    this.last[((address & ALIGNED) >>> 2) + 1] = hi;
  }

  read8(address: number): number {
    return (this.read32(address - (address & 3)) >>> (8 * (address & 3))) & 0xff;
  }

  read16(address: number): number {
    if (address & 1) throw unaligned(address, 2);
    return (this.read32(address - (address & 3)) >>> (8 * (address & 3))) & 0xffff;
  }

  write8(address: number, value: number): void {
    const at = address - (address & 3);
    const shift = 8 * (address & 3);
    this.write32(at, (this.read32(at) & ~(0xff << shift)) | ((value & 0xff) << shift));
  }

  write16(address: number, value: number): void {
    if (address & 1) throw unaligned(address, 2);
    const at = address - (address & 3);
    const shift = 8 * (address & 3);
    this.write32(at, (this.read32(at) & ~(0xffff << shift)) | ((value & 0xffff) << shift));
  }

  /** `count` aligned words into `into` from index `at` on: a descriptor for `getAt`, or a quadword as (lo, hi). */
  readWords(address: number, into: Uint32Array, at = 0, count = into.length - at): void {
    for (let i = 0; i < count; i++) into[at + i] = this.read32(address + 4 * i);
  }

  /** `count` bytes into `into` from index `first` on. */
  readBytes(address: number, into: Uint8Array, first = 0, count = into.length - first): void {
    if (count && !this.contains(address, count)) throw outside(address, count);
    for (let done = 0; done < count; ) {
      const offset = this.select(address + done);
      const n = Math.min(count - done, CHUNK - offset);
      copy(this.bytes(), offset, into, first + done, n);
      done += n;
    }
  }

  /** `count` bytes of `from` from index `first` on. */
  writeBytes(address: number, from: Uint8Array, first = 0, count = from.length - first): void {
    if (count && !this.contains(address, count)) throw outside(address, count);
    for (let done = 0; done < count; ) {
      const offset = this.selectForWrite(address + done);
      const n = Math.min(count - done, CHUNK - offset);
      copy(from, first + done, this.bytes(), offset, n);
      done += n;
    }
  }

  fill(address: number, length: number, byte: number): void {
    if (length && !this.contains(address, length)) throw outside(address, length);
    for (let done = 0; done < length; ) {
      const offset = this.select(address + done);
      const n = Math.min(length - done, CHUNK - offset);
      if (byte !== 0 || this.last !== ZERO) {
        this.selectForWrite(address + done);
        this.bytes().fill(byte, offset, offset + n);
      }
      done += n;
    }
  }

  /** In process everything written is visible at once. */
  barrier(): void {}

  get direct(): DirectMemory {
    return this;
  }

  /** Chunks that exist, in ascending order: the whole content, everything else is zero. */
  *chunks(): Generator<{ address: number; words: Uint32Array }> {
    for (const d of [...this.directories.keys()].sort((a, b) => a - b)) {
      const directory = this.directories.get(d)!;
      for (let i = 0; i < directory.length; i++) {
        const words = directory[i];
        if (words) yield { address: d * 2 ** DIRECTORY_BITS + i * CHUNK, words };
      }
    }
  }

  /** Bytes that are really allocated. */
  get allocated(): number {
    let n = 0;
    for (const { words } of this.chunks()) n += words.byteLength;
    return n;
  }

  snapshot(): MemoryState {
    return [...this.chunks()].map(({ address, words }) => ({ address, words: words.slice() }));
  }

  /** Puts all content back. Errors: `OUTSIDE_MEMORY` where the state has content and this memory no RAM; nothing changes then. */
  restore(state: MemoryState): void {
    for (const { address } of state)
      if (!this.extents.some((e) => address < e.base + e.size && address + CHUNK > e.base))
        throw outside(address, CHUNK);
    this.directories.clear();
    this.forget();
    for (const { address, words } of state) {
      const key = Math.floor(address / CHUNK);
      this.directory(key)[key % PER_DIRECTORY] = words.slice();
    }
  }

  /** Equal for equal contents, whatever was touched: FNV-1a over non-zero words and their addresses. */
  digest(): string {
    let h = 0x811c9dc5;
    for (const { address, words } of this.chunks()) {
      const base = (lo32(address) >>> 2) ^ Math.imul(hi32(address), 0x9e3779b1);
      for (let i = 0; i < words.length; i++) {
        const w = words[i]!;
        if (w !== 0) h = Math.imul(Math.imul(h ^ (base + i), 0x01000193) ^ w, 0x01000193);
      }
    }
    return (h >>> 0).toString(16).padStart(8, '0');
  }

  /** A read outside the last chunk, or an unaligned one. */
  private far32(address: number): number {
    const at = this.select(address);
    if (at & 3) throw unaligned(address, 4);
    return this.last[at >>> 2]!;
  }

  private far32ForWrite(address: number): void {
    if (address & 3) throw unaligned(address, 4);
    this.selectForWrite(address);
  }

  /** Makes `last` the chunk of `address` and returns the offset in it. */
  private select(address: number): number {
    // Masks and a shift, which take the low 32 bits of any number: a division and its rounding cost as much as all the rest.
    const at = address & (CHUNK - 1);
    const slot = (address >>> CHUNK_BITS) & (SLOTS - 1);
    if (this.slotBases[slot] !== address - at) return this.seek(address);
    this.last = this.slots[slot]!;
    this.lastBase = address - at;
    return at;
  }

  /** What `select` does for a chunk it does not remember. Apart, or the engine copies it into each loop that reads, whose variables then leave the registers. */
  private seek(address: number): number {
    if (!this.contains(address)) throw outside(address, 1);
    const key = Math.floor(address / CHUNK);
    this.remember(key, this.directories.get(Math.floor(key / PER_DIRECTORY))?.[key % PER_DIRECTORY] ?? ZERO);
    return address - key * CHUNK;
  }

  private bytes(): Uint8Array {
    if (this.viewed !== this.last) {
      this.viewed = this.last;
      this.view = new Uint8Array(this.last.buffer);
    }
    return this.view;
  }

  private locateFar(address: number): number {
    if (address & 3) return -1;
    const slot = (address >>> CHUNK_BITS) & (SLOTS - 1);
    // A chunk that is remembered is RAM as a whole: who walks from one to another and back does not search the banks.
    if (this.slotBases[slot] !== address - (address & ALIGNED) && !this.contains(address, 4)) return -1;
    return this.select(address) >>> 2;
  }

  private selectForWrite(address: number): number {
    const slot = (address >>> CHUNK_BITS) & (SLOTS - 1);
    if (this.slotBases[slot] === address - (address & (CHUNK - 1)) && this.slots[slot] !== ZERO)
      return this.select(address);
    return this.seekForWrite(address);
  }

  private seekForWrite(address: number): number {
    if (!this.contains(address)) throw outside(address, 1);
    const key = Math.floor(address / CHUNK);
    const directory = this.directory(key);
    this.remember(key, (directory[key % PER_DIRECTORY] ??= new Uint32Array(WORDS)));
    return address - key * CHUNK;
  }

  /** A chunk that is RAM only in part is used once and not remembered: its holes have to be refused each time. */
  private remember(key: number, chunk: Uint32Array): void {
    this.last = chunk;
    if (!this.contains(key * CHUNK, CHUNK)) {
      this.lastBase = NOWHERE;
      return;
    }
    this.lastBase = key * CHUNK;
    this.slotBases[key & (SLOTS - 1)] = key * CHUNK;
    this.slots[key & (SLOTS - 1)] = chunk;
  }

  private forget(): void {
    this.lastBase = NOWHERE;
    this.last = ZERO;
    this.slotBases.fill(NaN);
    this.slots.fill(ZERO);
  }

  private directory(key: number): (Uint32Array | undefined)[] {
    const d = Math.floor(key / PER_DIRECTORY);
    let directory = this.directories.get(d);
    if (!directory) this.directories.set(d, (directory = []));
    return directory;
  }
}

export type MemoryState = { address: number; words: Uint32Array }[];

/** A few bytes one by one: a call into the engine costs as much as 16, a window on an array as much as 40. */
function copy(from: Uint8Array, at: number, to: Uint8Array, start: number, n: number): void {
  if (n <= 16) for (let i = 0; i < n; i++) to[start + i] = from[at + i]!;
  else to.set(n === from.length ? from : from.subarray(at, at + n), start);
}

/** Checks the banks (ascending) and joins adjacent ones. */
function joined(banks: readonly MemoryBank[]): readonly MemoryBank[] {
  const extents: MemoryBank[] = [];
  for (const bank of banks) {
    const end = bank.base + bank.size;
    if (!(bank.base >= 0 && bank.size > 0 && end <= MAX_ADDRESS + 1 && bank.base % 8 === 0 && bank.size % 8 === 0)) {
      throw new DoorbellError(
        'BAD_MEMORY_BANK',
        `no bank of RAM can have ${hex(bank.size)} bytes at ${hex(bank.base)}`,
        'base and size are multiples of 8 below 2^52',
        { base: bank.base, size: bank.size },
      );
    }
    const before = extents[extents.length - 1];
    const reached = before ? before.base + before.size : -1;
    if (before && bank.base < reached)
      throw regionOverlap('RAM', rangeOf(bank.base, bank.size), 'RAM', rangeOf(before.base, before.size));
    if (before && bank.base === reached) extents[extents.length - 1] = { base: before.base, size: end - before.base };
    else extents.push({ base: bank.base, size: bank.size });
  }
  return extents;
}

const unaligned = (address: number, size: number): DoorbellError =>
  new DoorbellError(
    'UNALIGNED',
    `access of ${size} bytes at ${hex(address)} is not aligned`,
    `align it to ${size} bytes`,
    { address, size },
  );

const outside = (address: number, length: number): DoorbellError =>
  new DoorbellError(
    'OUTSIDE_MEMORY',
    `no RAM at ${hex(address)}${length > 1 ? ` (${length} bytes)` : ''}`,
    'give the platform a memory bank there, or check the address',
    { address, length },
  );

const SLOTS = 4096;
/** lo >>> 12 has 20 bits: no address matches. */
const EMPTY = 0xffff_ffff;

/** Rights as the TLB keeps them: unprivileged rwx in bits 2:0, privileged rwx in 5:3. */
export const PRIVILEGED_SHIFT = 3;

/** Words of an entry: bits 31:12 of the page's address (shifted down), bits 63:32, tag, and what `META` packs. */
export const ENTRY = { PAGE: 0, HI: 1, TAG: 2, META: 3, WORDS: 4 } as const;
/** Rights in bits 5:0, log2 of the leaf's size from SIZE on, log2 of the granule, level, global. */
export const META = { SIZE: 8, GRANULE: 16, LEVEL: 24, GLOBAL: 31 } as const;

/**
 * Leaves of finished walks in pieces of 4 KiB, direct-mapped by page, tagged by VMID and ASID. A block's pieces remember their size,
 * so that an invalidation of any address in the block removes all of them.
 */
export class Tlb {
  readonly words = new Uint32Array(SLOTS * ENTRY.WORDS);
  /** Physical address of the piece, by slot. */
  readonly pa = new Float64Array(SLOTS);
  /** Pieces of leaves above 4 KiB: while there are none, an invalidation looks at one slot. */
  private large = 0;
  private readonly tags = new Set<number>();
  private lastTag = -1;

  constructor() {
    this.clear();
  }

  /** Slot that holds the page, or -1. */
  find(hi: number, lo: number, tag: number): number {
    const i = ((lo >>> 12) ^ hi ^ tagHash(tag)) & (SLOTS - 1);
    const w = this.words;
    const at = i * 4;
    return w[at] === lo >>> 12 && w[at + 1] === hi >>> 0 && w[at + 2] === tag ? i : -1;
  }

  /** Caches a leaf's piece and returns its slot. */
  insert(
    hi: number,
    lo: number,
    tag: number,
    pa: number,
    rights: number,
    sizeBits: number,
    granule: number,
    level: number,
    global: boolean,
  ): number {
    const i = ((lo >>> 12) ^ hi ^ tagHash(tag)) & (SLOTS - 1);
    this.drop(i);
    const w = this.words;
    const at = i * 4;
    w[at] = lo >>> 12;
    w[at + 1] = hi;
    w[at + 2] = tag;
    w[at + 3] =
      rights | (sizeBits << META.SIZE) | (granule << META.GRANULE) | (level << META.LEVEL) | (global ? 1 << 31 : 0);
    this.pa[i] = pa - (pa & 4095);
    if (sizeBits > 12) this.large++;
    if (tag !== this.lastTag) {
      this.tags.add(tag);
      this.lastTag = tag;
    }
    return i;
  }

  rights(i: number): number {
    return this.words[4 * i + 3]! & 0x3f;
  }
  /** log2 of the leaf's size. */
  sizeBits(i: number): number {
    return (this.words[4 * i + 3]! >>> META.SIZE) & 0x3f;
  }

  clear(): void {
    for (let i = 0; i < SLOTS; i++) this.words[4 * i] = EMPTY;
    this.large = 0;
    this.tags.clear();
    this.lastTag = -1;
  }

  /** Everything of a VMID; with an ASID only its non-global entries. */
  invalidateContext(vmid: number, asid = -1): void {
    for (let i = 0; i < SLOTS; i++) {
      if (!this.holds(i, vmid)) continue;
      if (asid < 0 || (this.asid(i) === asid && !this.global(i))) this.drop(i);
    }
  }

  /**
   * The leaf that holds an address (bits 63:12 count), of one ASID and every global one; `asid` -1: of all. `granule` and `level` 0: any.
   */
  invalidateAddress(vmid: number, asid: number, hi: number, lo: number, granule = 0, level = 0): void {
    // Global entries lie under whichever ASID fetched them: ask every tag that is there.
    if (this.large === 0 && this.tags.size <= 64) {
      for (const tag of this.tags) {
        if (tag >>> 16 !== vmid) continue;
        const i = this.find(hi, lo, tag);
        if (i >= 0 && this.matches(i, asid, granule, level)) this.drop(i);
      }
      return;
    }
    for (let i = 0; i < SLOTS; i++) {
      if (!this.holds(i, vmid) || !this.matches(i, asid, granule, level)) continue;
      if (this.covers(i, hi, lo)) this.drop(i);
    }
  }

  /** Entries of one granule inside [hi:lo, + bytes): what a range TLBI must remove. */
  invalidateRange(
    vmid: number,
    asid: number,
    hi: number,
    lo: number,
    bytes: number,
    granule: number,
    level: number,
  ): void {
    const first = hi * 1048576 + (lo >>> 12);
    const last = first + bytes / 4096 - 1;
    for (let i = 0; i < SLOTS; i++) {
      if (!this.holds(i, vmid) || !this.matches(i, asid, granule, level)) continue;
      const pages = 2 ** (this.sizeBits(i) - 12);
      const page = this.words[4 * i + 1]! * 1048576 + this.words[4 * i]!;
      const start = page - (page % pages);
      if (start <= last && start + pages - 1 >= first) this.drop(i);
    }
  }

  private holds(i: number, vmid: number): boolean {
    return this.words[4 * i] !== EMPTY && this.words[4 * i + 2]! >>> 16 === vmid;
  }
  private asid(i: number): number {
    return this.words[4 * i + 2]! & 0xffff;
  }
  private global(i: number): boolean {
    return this.words[4 * i + 3]! >>> META.GLOBAL === 1;
  }

  private matches(i: number, asid: number, granule: number, level: number): boolean {
    if (asid >= 0 && !this.global(i) && this.asid(i) !== asid) return false;
    const meta = this.words[4 * i + 3]!;
    return (
      (granule === 0 || ((meta >>> META.GRANULE) & 0x1f) === granule) &&
      (level === 0 || ((meta >>> META.LEVEL) & 3) === level)
    );
  }

  private covers(i: number, hi: number, lo: number): boolean {
    const s = this.sizeBits(i);
    const w = this.words;
    if (s >= 32) return w[4 * i + 1]! >>> (s - 32) === hi >>> (s - 32);
    return w[4 * i + 1] === hi >>> 0 && w[4 * i]! >>> (s - 12) === (lo >>> 12) >>> (s - 12);
  }

  private drop(i: number): void {
    const at = 4 * i;
    if (this.words[at] === EMPTY) return;
    if (((this.words[at + 3]! >>> META.SIZE) & 0x3f) > 12) this.large--;
    this.words[at] = EMPTY;
  }
}

/** Spreads the contexts over the slots. */
export const tagHash = (tag: number): number => Math.imul(tag, 0x9e37_79b1) >>> 20;

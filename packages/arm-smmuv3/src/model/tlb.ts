const SLOTS = 4096;
/** lo >>> 12 has 20 bits: no address matches. */
const EMPTY = 0xffff_ffff;

/** Rights as the TLB keeps them: unprivileged rwx in bits 2:0, privileged rwx in 5:3. */
export const PRIVILEGED_SHIFT = 3;

/**
 * Leaves of finished walks in pieces of 4 KiB, direct-mapped by page, tagged by VMID and ASID. A block's pieces remember their size,
 * so that an invalidation of any address in the block removes all of them.
 */
export class Tlb {
  readonly pageLo = new Uint32Array(SLOTS).fill(EMPTY);
  readonly pageHi = new Uint32Array(SLOTS);
  /** VMID << 16 | ASID. */
  readonly tag = new Uint32Array(SLOTS);
  readonly pa = new Float64Array(SLOTS);
  readonly rights = new Uint8Array(SLOTS);
  /** log2 of the leaf's size. */
  readonly sizeBits = new Uint8Array(SLOTS);
  /** log2 of the granule. */
  readonly granule = new Uint8Array(SLOTS);
  readonly level = new Uint8Array(SLOTS);
  readonly global = new Uint8Array(SLOTS);
  /** Pieces of leaves above 4 KiB: while there are none, an invalidation looks at one slot. */
  private large = 0;
  private tags = new Set<number>();

  /** Slot of a page. `hash` is `tagHash(tag)`. */
  slot(hi: number, lo: number, hash: number): number {
    return ((lo >>> 12) ^ hi ^ hash) & (SLOTS - 1);
  }

  /** Slot that holds the page, or -1. */
  find(hi: number, lo: number, tag: number): number {
    const i = this.slot(hi, lo, tagHash(tag));
    return this.pageLo[i] === lo >>> 12 && this.pageHi[i] === hi >>> 0 && this.tag[i] === tag ? i : -1;
  }

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
  ): void {
    const i = this.slot(hi, lo, tagHash(tag));
    this.drop(i);
    this.pageLo[i] = lo >>> 12;
    this.pageHi[i] = hi;
    this.tag[i] = tag;
    this.pa[i] = pa - (pa % 4096);
    this.rights[i] = rights;
    this.sizeBits[i] = sizeBits;
    this.granule[i] = granule;
    this.level[i] = level;
    this.global[i] = global ? 1 : 0;
    if (sizeBits > 12) this.large++;
    this.tags.add(tag);
  }

  clear(): void {
    this.pageLo.fill(EMPTY);
    this.large = 0;
    this.tags.clear();
  }

  /** Everything of a VMID; with an ASID only its non-global entries. */
  invalidateContext(vmid: number, asid = -1): void {
    for (let i = 0; i < SLOTS; i++) {
      if (this.pageLo[i] === EMPTY || this.tag[i]! >>> 16 !== vmid) continue;
      if (asid < 0 || ((this.tag[i]! & 0xffff) === asid && this.global[i] === 0)) this.drop(i);
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
      if (this.pageLo[i] === EMPTY || this.tag[i]! >>> 16 !== vmid || !this.matches(i, asid, granule, level)) continue;
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
      if (this.pageLo[i] === EMPTY || this.tag[i]! >>> 16 !== vmid || !this.matches(i, asid, granule, level)) continue;
      const pages = 2 ** (this.sizeBits[i]! - 12);
      const page = this.pageHi[i]! * 1048576 + this.pageLo[i]!;
      const start = page - (page % pages);
      if (start <= last && start + pages - 1 >= first) this.drop(i);
    }
  }

  private matches(i: number, asid: number, granule: number, level: number): boolean {
    if (asid >= 0 && this.global[i] === 0 && (this.tag[i]! & 0xffff) !== asid) return false;
    return (granule === 0 || this.granule[i] === granule) && (level === 0 || this.level[i] === level);
  }

  private covers(i: number, hi: number, lo: number): boolean {
    const s = this.sizeBits[i]!;
    if (s >= 32) return this.pageHi[i]! >>> (s - 32) === hi >>> (s - 32);
    return this.pageHi[i] === hi >>> 0 && this.pageLo[i]! >>> (s - 12) === (lo >>> 12) >>> (s - 12);
  }

  private drop(i: number): void {
    if (this.pageLo[i] === EMPTY) return;
    if (this.sizeBits[i]! > 12) this.large--;
    this.pageLo[i] = EMPTY;
  }
}

/** Spreads the contexts over the slots. */
export const tagHash = (tag: number): number => Math.imul(tag, 0x9e37_79b1) >>> 20;

const SLOTS = 4096;
const MASK = SLOTS - 1;
/** Of both worlds. */
const ALL = 2 * SLOTS;
/** Word 1 of a slot without an entry: bits 31:21 of the real ones are 0. */
const EMPTY = -1;

/** Rights as the TLB keeps them: unprivileged rwx in bits 2:0, privileged rwx in 5:3. */
export const PRIVILEGED_SHIFT = 3;

/** Words of an entry: address bits 43:12; address bits 63:44; tag; what `META` packs. */
export const ENTRY = { PAGE: 0, HIGH: 1, TAG: 2, META: 3, WORDS: 4 } as const;
/** The first slot of entries whose input is an IPA: stage 2 alone was applied. They and the others never push each other out. */
export const STAGE2 = SLOTS;
/**
 * Rights in bits 5:0; device memory at stage 2 (a mask); log2 of the leaf's size (what a TLBI of any address in it removes); log2 of the page
 * that answers tell; log2 of the granule; level; where both stages are in it, the rights of stage 1 alone; global.
 */
export const META = { DEVICE: 0x40, SIZE: 8, PAGE: 13, GRANULE: 18, LEVEL: 23, STAGE1: 25, GLOBAL: 31 } as const;

/** For what runs with every walk: an import or export is loaded at each use, a constant of the module is folded. */
const SIZE_AT = META.SIZE;

/** Whose entries an invalidation is about. `asid` -1: of all. `world`: 0 for stage 1 (with or without a stage 2 below), `STAGE2` for stage 2 alone. */
export interface Scope {
  readonly world: number;
  readonly vmid: number;
  readonly asid: number;
}

/** VMID and ASID in one word. */
export const tagOf = (vmid: number, asid: number): number => (vmid << 16) | asid;

/** Spreads the contexts over the slots of their world: a slot is the page's low bits with this. */
const hashOf = (tag: number, world: number): number => (Math.imul(tag, 0x9e37_79b1) >>> 20) | world;
export const tagHash = hashOf;

/**
 * Leaves of finished walks in pieces of 4 KiB, direct-mapped by page, tagged by VMID, ASID and world. A block's pieces remember its size,
 * so that an invalidation of any address in the block removes all of them. Where a guest's stage 1 lies on a stage 2, an entry has both and
 * the size of stage 1; stage 2's own entries serve table walks.
 */
export class Tlb {
  readonly words = new Int32Array(ALL * ENTRY.WORDS);
  /** Physical address of the piece, by slot. */
  readonly pa = new Float64Array(ALL);
  /** What stage 1 gave, where both stages are in the entry. */
  readonly ipa = new Float64Array(ALL);
  /** Pieces of leaves above 4 KiB: while there are none, an invalidation looks at one slot. */
  private large = 0;
  /** Entries that hold for every ASID, under whichever fetched them. */
  private globals = 0;

  constructor() {
    this.clear();
  }

  /** Slot that holds the page, or -1. Addresses and tags are compared as signed words. */
  find(hi: number, lo: number, tag: number, world: number): number {
    const page = (hi << 20) | (lo >>> 12);
    const i = (page & MASK) ^ hashOf(tag, world);
    const w = this.words;
    const at = i * 4;
    return w[at] === page && w[at + 1] === hi >>> 12 && w[at + 2] === tag ? i : -1;
  }

  /** Caches a leaf's piece and returns its slot. `pa` may be any address in the piece; `meta` as `META` packs it. */
  insert(hi: number, lo: number, tag: number, world: number, pa: number, meta: number): number {
    const page = (hi << 20) | (lo >>> 12);
    const i = (page & MASK) ^ hashOf(tag, world);
    if ((this.large | this.globals) !== 0) this.drop(i);
    const w = this.words;
    const at = i * 4;
    w[at] = page;
    w[at + 1] = hi >>> 12;
    w[at + 2] = tag;
    w[at + 3] = meta;
    this.pa[i] = pa - (pa & 4095);
    if (((meta >>> SIZE_AT) & 31) > 12) this.large++;
    if (meta < 0) this.globals++;
    return i;
  }

  /**
   * The same for a page of 4 KiB that is not global, by what the caller has at hand already: most of what is ever cached. The caller puts the
   * address in `pa`: a double that is passed would be allocated.
   */
  insertPage(page: number, high: number, tag: number, hash: number, meta: number): number {
    const i = (page & MASK) ^ hash;
    if ((this.large | this.globals) !== 0) this.drop(i);
    const at = i * 4;
    const w = this.words;
    w[at] = page;
    w[at + 1] = high;
    w[at + 2] = tag;
    w[at + 3] = meta;
    return i;
  }

  meta(i: number): number {
    return this.words[4 * i + 3]!;
  }

  clear(): void {
    for (let i = 0; i < ALL; i++) this.words[4 * i + 1] = EMPTY;
    this.large = 0;
    this.globals = 0;
  }

  /**
   * Every entry of a VMID and world, or of an ASID. Global ones that were fetched under the ASID may stay or go (DDI 0487 D8); they go, as
   * in QEMU, which has no global entries.
   */
  invalidateContext(scope: Scope): void {
    for (let i = scope.world; i < scope.world + SLOTS; i++) {
      if (!this.holds(i, scope)) continue;
      if (scope.asid < 0 || this.asid(i) === scope.asid) this.drop(i);
    }
  }

  /** The leaf that holds an address (bits 63:12 count), of one ASID and every global one. `granule` and `level` 0: any. */
  invalidateAddress(scope: Scope, hi: number, lo: number, granule = 0, level = 0): void {
    if (this.large === 0 && scope.asid >= 0 && this.globals === 0) {
      const i = this.find(hi, lo, tagOf(scope.vmid, scope.asid), scope.world);
      if (i >= 0 && this.matches(i, scope, granule, level)) this.drop(i);
      return;
    }
    for (let i = scope.world; i < scope.world + SLOTS; i++) {
      if (!this.holds(i, scope) || !this.matches(i, scope, granule, level)) continue;
      if (this.covers(i, hi, lo)) this.drop(i);
    }
  }

  /** Entries of one granule inside [hi:lo, + bytes): what a range TLBI must remove. */
  invalidateRange(scope: Scope, hi: number, lo: number, bytes: number, granule: number, level: number): void {
    const first = (hi >>> 0) * 1048576 + (lo >>> 12);
    const last = first + bytes / 4096 - 1;
    for (let i = scope.world; i < scope.world + SLOTS; i++) {
      if (!this.holds(i, scope) || !this.matches(i, scope, granule, level)) continue;
      const pages = 2 ** (this.sizeBits(i) - 12);
      const page = this.words[4 * i + 1]! * 2 ** 32 + (this.words[4 * i]! >>> 0);
      const start = page - (page % pages);
      if (start <= last && start + pages - 1 >= first) this.drop(i);
    }
  }

  private holds(i: number, { vmid }: Scope): boolean {
    return this.words[4 * i + 1]! !== EMPTY && this.words[4 * i + 2]! >>> 16 === vmid;
  }
  private sizeBits(i: number): number {
    return (this.meta(i) >>> SIZE_AT) & 31;
  }
  private asid(i: number): number {
    return this.words[4 * i + 2]! & 0xffff;
  }
  private global(i: number): boolean {
    return this.meta(i) < 0;
  }

  private matches(i: number, { asid }: Scope, granule: number, level: number): boolean {
    if (asid >= 0 && !this.global(i) && this.asid(i) !== asid) return false;
    const meta = this.meta(i);
    return (
      (granule === 0 || ((meta >>> META.GRANULE) & 31) === granule) &&
      (level === 0 || ((meta >>> META.LEVEL) & 3) === level)
    );
  }

  private covers(i: number, hi: number, lo: number): boolean {
    const beyond = this.sizeBits(i) - 12;
    const w = this.words;
    const page = (hi << 20) | (lo >>> 12);
    return w[4 * i + 1]! === hi >>> 12 && w[4 * i]! >>> beyond === page >>> beyond;
  }

  private drop(i: number): void {
    const at = 4 * i;
    if (this.words[at + 1] === EMPTY) return;
    if (this.sizeBits(i) > 12) this.large--;
    if (this.global(i)) this.globals--;
    this.words[at + 1] = EMPTY;
  }
}

/** Slots; the cache is direct-mapped. */
const BITS = 12;
const SLOTS = 1 << BITS;
/** Bits of a tag's second word: in use, as a signed number; level 2 or 3. */
const VALID = 1 << 31;
const LARGE = 1 << 14;

/**
 * The IOTLB: leaves by (domain id, input page). An entry stays until an invalidation reaches it or another page takes its slot.
 * A tag is two words: page number bits 31:0, and valid | DID | level | page number bits 44:32.
 */
export class Iotlb {
  private readonly low = new Int32Array(SLOTS);
  private readonly high = new Int32Array(SLOTS);
  private readonly pages = new Float64Array(SLOTS);
  private readonly rights = new Uint8Array(SLOTS);
  /** Entries of large pages: while there are none, nobody looks for them. */
  private large = 0;

  /** The slot that holds (did, hi:lo), or -1. */
  find(did: number, hi: number, lo: number): number {
    const slot = this.findPage(did, hi, lo);
    return slot >= 0 || this.large === 0 ? slot : this.findLarge(did, hi, lo);
  }

  /** The same for pages of 4 KiB alone. */
  findPage(did: number, hi: number, lo: number): number {
    const page = (hi << 20) | (lo >>> 12);
    const slot = (page ^ (did << 3)) & (SLOTS - 1);
    return this.low[slot] === page && this.high[slot] === (VALID | (did << 15) | 0x2000 | (hi >>> 12)) ? slot : -1;
  }

  get hasLarge(): boolean {
    return this.large !== 0;
  }

  pa(slot: number): number {
    return this.pages[slot]!;
  }
  permissions(slot: number): number {
    return this.rights[slot]!;
  }
  level(slot: number): number {
    return (this.high[slot]! >>> 13) & 3;
  }

  /** `pa` is the leaf's base. */
  fill(did: number, hi: number, lo: number, level: number, pa: number, permissions: number): void {
    const page = base(hi, lo, level);
    const slot = slotOf(page, did, level);
    if (this.high[slot]! & LARGE) this.large--;
    if (level > 1) this.large++;
    this.low[slot] = page;
    this.high[slot] = tag(did, hi, level);
    this.pages[slot] = pa;
    this.rights[slot] = permissions;
  }

  /** The same for a page of 4 KiB. */
  fillPage(did: number, hi: number, lo: number, pa: number, permissions: number): void {
    const page = (hi << 20) | (lo >>> 12);
    const slot = (page ^ (did << 3)) & (SLOTS - 1);
    if (this.large !== 0 && this.high[slot]! & LARGE) this.large--;
    this.low[slot] = page;
    this.high[slot] = VALID | (did << 15) | 0x2000 | (hi >>> 12);
    this.pages[slot] = pa;
    this.rights[slot] = permissions;
  }

  clear(): void {
    this.high.fill(0);
    this.large = 0;
  }

  invalidateDomain(did: number): void {
    for (let slot = 0; slot < SLOTS; slot++) if (this.belongs(slot, did)) this.drop(slot);
  }

  /** Every entry of the domain that overlaps the 2^am pages from (hi, lo), aligned down to them. */
  invalidatePages(did: number, hi: number, lo: number, am: number): void {
    // Up to a few pages: probe. Beyond that one pass over the cache is cheaper.
    const first = Math.floor((hi * 2 ** 20 + (lo >>> 12)) / 2 ** am) * 2 ** am;
    const last = first + 2 ** am - 1;
    if (am < 4) {
      for (let page = first; page <= last; page++) {
        for (let slot = this.holding(did, page); slot >= 0; slot = this.holding(did, page)) this.drop(slot);
      }
      return;
    }
    for (let slot = 0; slot < SLOTS; slot++) {
      if (!this.belongs(slot, did)) continue;
      const page = (this.high[slot]! & 0x1fff) * 2 ** 32 + (this.low[slot]! >>> 0);
      if (page <= last && page + 512 ** (this.level(slot) - 1) - 1 >= first) this.drop(slot);
    }
  }

  get size(): number {
    return this.high.reduce((n, high) => n + (high < 0 ? 1 : 0), 0);
  }

  snapshot(): unknown {
    return { low: this.low, high: this.high, pages: this.pages, rights: this.rights };
  }

  restore(state: unknown): void {
    const s = state as {
      low: Int32Array;
      high: Int32Array;
      pages: Float64Array;
      rights: Uint8Array;
    };
    this.low.set(s.low);
    this.high.set(s.high);
    this.pages.set(s.pages);
    this.rights.set(s.rights);
    this.large = s.high.reduce((n, high) => n + (high & LARGE ? 1 : 0), 0);
  }

  /** The slot that holds a page by its number. */
  private holding(did: number, page: number): number {
    return this.find(did, Math.floor(page / 2 ** 20), (page * 4096) >>> 0);
  }

  private findLarge(did: number, hi: number, lo: number): number {
    for (let level = 2; level <= 3; level++) {
      const page = base(hi, lo, level);
      const slot = slotOf(page, did, level);
      if (this.low[slot] === page && this.high[slot] === tag(did, hi, level)) return slot;
    }
    return -1;
  }

  private belongs(slot: number, did: number): boolean {
    const high = this.high[slot]!;
    return high < 0 && ((high >>> 15) & 0xffff) === did;
  }

  private drop(slot: number): void {
    if (this.high[slot]! & LARGE) this.large--;
    this.high[slot] = 0;
  }
}

/** Bits 31:0 of the number of the first page of the leaf that holds (hi, lo). */
const base = (hi: number, lo: number, level: number): number => ((hi << 20) | (lo >>> 12)) & (-1 << (9 * (level - 1)));
const tag = (did: number, hi: number, level: number): number => VALID | (did << 15) | (level << 13) | (hi >>> 12);
const slotOf = (page: number, did: number, level: number): number =>
  ((page >>> (9 * (level - 1))) ^ (did << 3) ^ (level === 1 ? 0 : level << 9)) & (SLOTS - 1);

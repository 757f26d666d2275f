/**
 * An IOTLB for models that need no special one: direct-mapped, one page size, tagged by whatever tells tables apart (a root address, a
 * domain id). It remembers until it is told to forget, as hardware does: a driver that does not invalidate is found out.
 */
export class TranslationCache {
  /** By slot: where the page lies, and what may be done with it. */
  readonly physical: Float64Array;
  readonly rights: Uint32Array;
  private readonly pages: Float64Array;
  private readonly tags: Float64Array;
  /** A mask where a remainder would do: that of two doubles costs more than all the rest. */
  private readonly mask: number;

  /** Slots are rounded up to a power of two. */
  constructor(atLeast = 64) {
    const slots = 1 << Math.ceil(Math.log2(atLeast));
    this.mask = slots - 1;
    this.physical = new Float64Array(slots);
    this.rights = new Uint32Array(slots);
    this.pages = new Float64Array(slots).fill(-1);
    this.tags = new Float64Array(slots);
  }

  /** The slot of a page's translation, or -1. */
  find(tag: number, page: number): number {
    const slot = page & this.mask;
    return this.pages[slot] === page && this.tags[slot] === tag ? slot : -1;
  }

  /** Takes the place of what was in the slot, which it returns. */
  store(tag: number, page: number, physical: number, rights: number): number {
    const slot = page & this.mask;
    this.pages[slot] = page;
    this.tags[slot] = tag;
    this.physical[slot] = physical;
    this.rights[slot] = rights;
    return slot;
  }

  forget(tag: number): void {
    for (let slot = 0; slot < this.tags.length; slot++) if (this.tags[slot] === tag) this.pages[slot] = -1;
  }

  clear(): void {
    this.pages.fill(-1);
  }
}

import { DoorbellError } from './errors.js';
import { hex } from './address.js';
import type { MemoryPort, PageAllocator } from './ports.js';

const PAGE = 4096;

type Extent = { readonly base: number; readonly size: number };
export type PagesState = readonly Extent[];

/** First-fit over one range of RAM with naturally aligned blocks; pages come zeroed. Deterministic: the same calls give the same pages. */
export class RangePageAllocator implements PageAllocator {
  /** Free extents, ascending. */
  private extents: Extent[];

  constructor(
    private readonly memory: MemoryPort,
    private readonly base: number,
    private readonly size: number,
  ) {
    this.extents = [{ base, size }];
  }

  allocate(size: number, align = PAGE): number {
    const bytes = wholePages(size);
    if (!Number.isInteger(Math.log2(align)))
      throw new DoorbellError('BAD_ALIGNMENT', `${align} is no alignment`, 'use a power of two', { align });
    const boundary = Math.max(naturalAlignment(size), align);
    for (let i = 0; i < this.extents.length; i++) {
      const e = this.extents[i]!;
      const base = Math.ceil(e.base / boundary) * boundary;
      const end = e.base + e.size;
      if (base + bytes > end) continue;
      const pieces = [
        { base: e.base, size: base - e.base },
        { base: base + bytes, size: end - base - bytes },
      ].filter((p) => p.size > 0);
      this.extents.splice(i, 1, ...pieces);
      this.memory.fill(base, bytes, 0);
      return base;
    }
    const free = this.extents.reduce((n, e) => n + e.size, 0);
    throw new DoorbellError(
      'OUT_OF_MEMORY',
      `no ${bytes} bytes aligned to ${boundary} left for tables (${free} free)`,
      'give the platform more RAM',
      {
        bytes,
        boundary,
        free,
      },
    );
  }

  /** Gives pages back. Errors: `BAD_FREE` where they are not (all) allocated from here. */
  free(address: number, size: number): void {
    const bytes = wholePages(size);
    const end = address + bytes;
    let i = this.extents.findIndex((e) => e.base + e.size > address);
    if (i < 0) i = this.extents.length;
    const next = this.extents[i];
    const inside = address % PAGE === 0 && address >= this.base && end <= this.base + this.size;
    if (!inside || (next !== undefined && next.base < end)) {
      throw new DoorbellError(
        'BAD_FREE',
        `${bytes} bytes at ${hex(address)} are not allocated here`,
        'free each block once, with its own size',
        { address, size },
      );
    }
    // Free pages hold zeros, so that taking pages for a plan that fails leaves memory bit-identical.
    this.memory.fill(address, bytes, 0);
    this.extents.splice(i, 0, { base: address, size: bytes });
    for (const j of [i, i - 1]) {
      const a = this.extents[j];
      const b = this.extents[j + 1];
      if (a && b && a.base + a.size === b.base) this.extents.splice(j, 2, { base: a.base, size: a.size + b.size });
    }
  }

  snapshot(): PagesState {
    return [...this.extents];
  }

  restore(state: PagesState): void {
    this.extents = [...state];
  }

  /** Equal when the same pages are free. */
  digest(): string {
    return this.extents.map((e) => `${e.base.toString(16)}+${e.size.toString(16)}`).join(' ');
  }
}

const wholePages = (size: number): number => {
  if (!(size > 0 && size < Infinity))
    throw new DoorbellError('BAD_SIZE', `${size} bytes are no pages`, 'ask for at least one byte', { size });
  return Math.ceil(size / PAGE) * PAGE;
};

/** The power of two that holds `size`. */
const naturalAlignment = (size: number): number => {
  let n = PAGE;
  while (n < size) n *= 2;
  return n;
};

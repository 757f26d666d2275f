import type { Range } from '@doorbell/platform';
import { IovaTree, type FreeRange } from './iova-tree.js';

/** Sizes that are kept for reuse: 2^0 to 2^5 granules, as in Linux. */
const KEPT_ORDERS = 6;
/** How many of each. */
const KEPT = 256;

/**
 * Free IOVA space of a domain: what was freed last is given out first, otherwise the highest place that fits, so that low addresses stay for
 * devices that reach no others. Sizes are rounded up to a power of two granules (2^order) and naturally aligned. Deterministic; a call that
 * fails gives out nothing.
 *
 * As in Linux, a tree knows what is free, and magazines before it hold the last freed blocks of the small sizes: the page of a buffer that
 * comes and goes costs a store and a load. Before a request fails, the magazines go back into the tree.
 */
export class IovaAllocator {
  private readonly tree: IovaTree;
  private readonly share: number;
  /** The magazines, one after the other: bases; and how many each holds. */
  private readonly kept = new Float64Array(KEPT_ORDERS * KEPT);
  private readonly counts = new Int32Array(KEPT_ORDERS);

  constructor(
    aperture: Range,
    private readonly granule: number,
  ) {
    this.share = 1 / granule;
    // Address 0 is never given out: drivers take it for "not mapped".
    const first = Math.max(Math.ceil(aperture.first / granule), 1);
    this.tree = new IovaTree(first, Math.floor((aperture.last + 1) / granule) - 1);
  }

  /** The base of `size` bytes that end at or below `limit`, or -1. */
  allocate(size: number, limit: number): number {
    const order = this.orderOf(size);
    if (order < KEPT_ORDERS) {
      const n = this.counts[order]!;
      if (n > 0) {
        const base = this.kept[order * KEPT + n - 1]!;
        if (base + this.granule * (1 << order) - 1 <= limit) {
          this.counts[order] = n - 1;
          return base;
        }
      }
    }
    return this.fromTree(order, limit);
  }

  /** Whether `allocate(size)` can have given `base`: else `free` must not be called. */
  fits(base: number, size: number): boolean {
    const granules = 2 ** this.orderOf(size);
    const start = base * this.share;
    return start % granules === 0 && start >= this.tree.first && start + granules - 1 <= this.tree.last;
  }

  /** Takes back what `allocate` gave. */
  free(base: number, size: number): void {
    const order = this.orderOf(size);
    if (order >= KEPT_ORDERS) return this.tree.give(order, base * this.share);
    if (this.counts[order] === KEPT) this.giveBack(order, KEPT / 2);
    this.kept[order * KEPT + this.counts[order]!++] = base;
  }

  /** Takes whatever of the range is free out of it: reserved regions, the MSI window. */
  exclude(range: Range): void {
    this.giveAllBack();
    this.set(range, false);
  }

  /** Gives an excluded range back. */
  include(range: Range): void {
    this.set(range, true);
  }

  /** The free ranges. */
  digest(): string {
    const ranges = this.tree.ranges();
    for (let order = 0; order < KEPT_ORDERS; order++) {
      for (let i = 0; i < this.counts[order]!; i++) {
        const first = this.kept[order * KEPT + i]! * this.share;
        ranges.push({ first, last: first + (1 << order) - 1 });
      }
    }
    const hex = (granule: number, offset: number) => (granule * this.granule + offset).toString(16);
    return joined(ranges)
      .map((r) => `${hex(r.first, 0)}-${hex(r.last + 1, -1)}`)
      .join(' ');
  }

  private orderOf(size: number): number {
    let order = 0;
    for (let bytes = this.granule; bytes < size; bytes *= 2) order++;
    return order;
  }

  private fromTree(order: number, limit: number): number {
    const end = Math.floor((limit + 1) * this.share);
    let start = this.tree.take(order, end);
    if (start < 0 && this.giveAllBack()) start = this.tree.take(order, end);
    return start < 0 ? -1 : start * this.granule;
  }

  /** The oldest of a magazine. */
  private giveBack(order: number, count: number): void {
    const at = order * KEPT;
    for (let i = 0; i < count; i++) this.tree.give(order, this.kept[at + i]! * this.share);
    this.kept.copyWithin(at, at + count, at + this.counts[order]!);
    this.counts[order]! -= count;
  }

  /** Whether there was anything. */
  private giveAllBack(): boolean {
    let any = false;
    for (let order = 0; order < KEPT_ORDERS; order++) {
      const count = this.counts[order]!;
      if (count > 0) any = true;
      this.giveBack(order, count);
    }
    return any;
  }

  private set(range: Range, free: boolean): void {
    this.tree.set(Math.floor(range.first * this.share), Math.ceil((range.last + 1) * this.share) - 1, free);
  }
}

function joined(ranges: FreeRange[]): FreeRange[] {
  const all: FreeRange[] = [];
  for (const range of ranges.sort((a, b) => a.first - b.first)) {
    const before = all.at(-1);
    if (before?.last === range.first - 1) before.last = range.last;
    else all.push(range);
  }
  return all;
}

import type { Range } from '@doorbell/platform';

/**
 * Free IOVA space of a domain: gives out from the top, as Linux does, so that low addresses stay for devices that reach no others.
 * Sizes are rounded up to a power of two granules and naturally aligned. Deterministic.
 */
export class IovaAllocator {
  /** Free ranges, ascending, never adjacent; `count` of them. */
  private firsts = new Float64Array(16);
  private lasts = new Float64Array(16);
  private count = 0;

  constructor(
    aperture: Range,
    private readonly granule: number,
  ) {
    // Address 0 is never given out: drivers take it for "not mapped".
    this.insert(0, Math.max(aperture.first, granule), aperture.last);
  }

  /** The base of `size` bytes that end at or below `limit`, or -1. */
  allocate(size: number, limit: number): number {
    const bytes = this.rounded(size);
    for (let i = this.count - 1; i >= 0; i--) {
      const last = Math.min(this.lasts[i]!, limit);
      const base = Math.floor((last + 1 - bytes) / bytes) * bytes;
      if (base < this.firsts[i]!) continue;
      this.cut(i, base, base + bytes - 1);
      return base;
    }
    return -1;
  }

  free(base: number, size: number): void {
    this.give(base, base + this.rounded(size) - 1);
  }

  /** Takes whatever of the range is free out of it: reserved regions, the MSI window. */
  exclude(range: Range): void {
    const first = Math.floor(range.first / this.granule) * this.granule;
    const last = Math.ceil((range.last + 1) / this.granule) * this.granule - 1;
    for (let i = this.count - 1; i >= 0; i--) {
      if (this.lasts[i]! < first || this.firsts[i]! > last) continue;
      this.cut(i, Math.max(first, this.firsts[i]!), Math.min(last, this.lasts[i]!));
    }
  }

  /** Gives an excluded range back, exactly. */
  include(range: Range): void {
    this.give(range.first, range.last);
  }

  digest(): string {
    const ranges = Array.from(this.firsts.subarray(0, this.count));
    return ranges.map((f, i) => `${f.toString(16)}-${this.lasts[i]!.toString(16)}`).join(' ');
  }

  private rounded(size: number): number {
    let bytes = this.granule;
    while (bytes < size) bytes *= 2;
    return bytes;
  }

  private cut(i: number, first: number, last: number): void {
    const before = this.firsts[i]!;
    const after = this.lasts[i]!;
    if (before < first && last < after) {
      this.lasts[i] = first - 1;
      this.insert(i + 1, last + 1, after);
    } else if (before < first) this.lasts[i] = first - 1;
    else if (last < after) this.firsts[i] = last + 1;
    else this.remove(i);
  }

  private give(first: number, last: number): void {
    let i = 0;
    let end = this.count;
    while (i < end) {
      const mid = (i + end) >>> 1;
      if (this.firsts[mid]! < first) i = mid + 1;
      else end = mid;
    }
    const joinsBefore = i > 0 && this.lasts[i - 1] === first - 1;
    const joinsAfter = i < this.count && this.firsts[i] === last + 1;
    if (joinsBefore && joinsAfter) {
      this.lasts[i - 1] = this.lasts[i]!;
      this.remove(i);
    } else if (joinsBefore) this.lasts[i - 1] = last;
    else if (joinsAfter) this.firsts[i] = first;
    else this.insert(i, first, last);
  }

  private insert(i: number, first: number, last: number): void {
    if (this.count === this.firsts.length) {
      this.firsts = grown(this.firsts);
      this.lasts = grown(this.lasts);
    }
    this.firsts.copyWithin(i + 1, i, this.count);
    this.lasts.copyWithin(i + 1, i, this.count);
    this.firsts[i] = first;
    this.lasts[i] = last;
    this.count++;
  }

  private remove(i: number): void {
    this.count--;
    this.firsts.copyWithin(i, i + 1, this.count + 1);
    this.lasts.copyWithin(i, i + 1, this.count + 1);
  }
}

function grown(from: Float64Array): Float64Array<ArrayBuffer> {
  const to = new Float64Array(2 * from.length);
  to.set(from);
  return to;
}

import type { Range } from '@doorbell/platform';

/**
 * Free IOVA space of a domain: gives out from the top, as Linux does, so that low addresses stay for devices that reach no others.
 * Sizes are rounded up to a power of two granules and naturally aligned. Deterministic.
 */
export class IovaAllocator {
  /** Free ranges, ascending, never adjacent. */
  private readonly firsts: number[] = [];
  private readonly lasts: number[] = [];

  constructor(
    aperture: Range,
    private readonly granule: number,
  ) {
    // Address 0 is never given out: drivers take it for "not mapped".
    this.firsts.push(Math.max(aperture.first, granule));
    this.lasts.push(aperture.last);
  }

  /** The base of `size` bytes that end at or below `limit`, or -1. */
  allocate(size: number, limit: number): number {
    const bytes = this.rounded(size);
    for (let i = this.firsts.length - 1; i >= 0; i--) {
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
    for (let i = this.firsts.length - 1; i >= 0; i--) {
      if (this.lasts[i]! < first || this.firsts[i]! > last) continue;
      this.cut(i, Math.max(first, this.firsts[i]!), Math.min(last, this.lasts[i]!));
    }
  }

  digest(): string {
    return this.firsts.map((f, i) => `${f.toString(16)}-${this.lasts[i]!.toString(16)}`).join(' ');
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
      this.firsts.splice(i + 1, 0, last + 1);
      this.lasts.splice(i + 1, 0, after);
    } else if (before < first) this.lasts[i] = first - 1;
    else if (last < after) this.firsts[i] = last + 1;
    else {
      this.firsts.splice(i, 1);
      this.lasts.splice(i, 1);
    }
  }

  private give(first: number, last: number): void {
    let i = 0;
    let end = this.firsts.length;
    while (i < end) {
      const mid = (i + end) >>> 1;
      if (this.firsts[mid]! < first) i = mid + 1;
      else end = mid;
    }
    const joinsBefore = i > 0 && this.lasts[i - 1] === first - 1;
    const joinsAfter = i < this.firsts.length && this.firsts[i] === last + 1;
    if (joinsBefore && joinsAfter) {
      this.lasts[i - 1] = this.lasts[i]!;
      this.firsts.splice(i, 1);
      this.lasts.splice(i, 1);
    } else if (joinsBefore) this.lasts[i - 1] = last;
    else if (joinsAfter) this.firsts[i] = first;
    else {
      this.firsts.splice(i, 0, first);
      this.lasts.splice(i, 0, last);
    }
  }
}

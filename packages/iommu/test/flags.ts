/** One flag per granule and a search from the top: slow, and plain to see that it is right. */
export class Flags {
  private readonly free: boolean[];
  constructor(
    private readonly first: number,
    last: number,
  ) {
    this.free = Array.from({ length: last + 1 }, (_, i) => i >= first);
  }
  allocate(pages: number, limit: number): number {
    const size = 2 ** Math.ceil(Math.log2(pages));
    for (let at = Math.floor(this.free.length / size) * size; at >= 0; at -= size) {
      if (at + size > Math.min(this.free.length, limit + 1)) continue;
      if (!this.free.slice(at, at + size).every(Boolean)) continue;
      this.set(at, at + size - 1, false);
      return at;
    }
    return -1;
  }
  set(first: number, last: number, free: boolean): void {
    for (let i = Math.max(first, this.first); i <= Math.min(last, this.free.length - 1); i++) this.free[i] = free;
  }
  fits(pages: number, limit: number): boolean {
    const start = this.allocate(pages, limit);
    if (start >= 0) this.set(start, start + 2 ** Math.ceil(Math.log2(pages)) - 1, true);
    return start >= 0;
  }
  isFree(first: number, last: number): boolean {
    return this.free.slice(first, last + 1).every(Boolean);
  }
  ranges(): [number, number][] {
    const ranges: [number, number][] = [];
    for (let i = 0; i < this.free.length; i++) {
      if (!this.free[i] || this.free[i - 1]) continue;
      let end = i;
      while (this.free[end + 1]) end++;
      ranges.push([i, end]);
    }
    return ranges;
  }
  show(): string {
    return this.ranges()
      .map(([a, b]) => `${a}-${b}`)
      .join(' ');
  }
}

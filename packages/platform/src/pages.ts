import { DoorbellError } from './errors.js';
import type { MemoryPort, PageAllocator } from './ports.js';

const PAGE = 4096;

/** First-fit over one range of RAM with naturally aligned blocks; pages come zeroed. Deterministic: the same calls give the same pages. */
export class RangePageAllocator implements PageAllocator {
  /** Free extents, ascending. */
  private extents: { base: number; size: number }[];

  constructor(
    private readonly memory: MemoryPort,
    base: number,
    size: number,
  ) {
    this.extents = [{ base, size }];
  }

  allocate(size: number, align = size): number {
    const bytes = Math.max(PAGE, Math.ceil(size / PAGE) * PAGE);
    const boundary = Math.max(PAGE, align);
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

  free(address: number, size: number): void {
    const bytes = Math.max(PAGE, Math.ceil(size / PAGE) * PAGE);
    let i = this.extents.findIndex((e) => e.base > address);
    if (i < 0) i = this.extents.length;
    this.extents.splice(i, 0, { base: address, size: bytes });
    for (const j of [i, i - 1]) {
      const a = this.extents[j];
      const b = this.extents[j + 1];
      if (a && b && a.base + a.size === b.base) this.extents.splice(j, 2, { base: a.base, size: a.size + b.size });
    }
  }

  /** Equal when the same pages are free. */
  digest(): string {
    return this.extents.map((e) => `${e.base.toString(16)}+${e.size.toString(16)}`).join(' ');
  }
}

import type { PhysicalMemory } from '@doorbell/platform';
import type { Half } from './geometry.js';

/**
 * The most usual walk: 4 KiB granule, three or four levels, tables below 2^31 that take no rights away, a page with AF at the end. Words are
 * signed here: sums of doubles on the way from load to load cost more than the loads. -1: the full walk
 * has to look; otherwise the page descriptor's place in `memory.located`.
 */
export class QuickWalk {
  constructor(private readonly memory: PhysicalMemory) {}

  page(half: Half, hi: number, lo: number): number {
    let entry = half.near;
    if (entry <= 0 || (hi & half.signHi) !== 0) return -1;
    const first = half.firstMask << 3;
    if (half.start === 0) {
      entry = this.next(entry | ((hi >>> 4) & first));
      if (entry === 0) return -1;
      entry = this.next((entry & ~0xfff) | (((hi << 5) | (lo >>> 27)) & 0xff8));
    } else entry = this.next(entry + (((hi << 5) | (lo >>> 27)) & first));
    if (entry === 0) return -1;
    entry = this.next((entry & ~0xfff) | ((lo >>> 18) & 0xff8));
    if (entry === 0) return -1;
    const { memory } = this;
    const n = memory.locate((entry & ~0xfff) | ((lo >>> 9) & 0xff8));
    return n >= 0 && (memory.located[n]! & 0x403) === 0x403 ? n : -1;
  }

  /** Low word of a table's entry that points to the next one below 2^31 and does nothing else; 0 for any other. */
  private next(at: number): number {
    const { memory } = this;
    const n = memory.locate(at);
    if (n < 0) return 0;
    const words = memory.located;
    const low = words[n]! | 0;
    return (low & 3) === 3 && low > 0 && words[n + 1] === 0 ? low : 0;
  }
}

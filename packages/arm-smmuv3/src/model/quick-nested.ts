import { READ, type PhysicalMemory } from '@doorbell/platform';
import { RIGHTS, SECOND, type Half } from './geometry.js';
import type { QuickWalk } from './quick-walk.js';
import type { Stage2 } from './second-stage.js';
import { META, type Tlb } from './tlb.js';

/** Constants of this module: the engine folds them, while an import is loaded at each use. */
const READABLE = READ;
const DEVICE = META.DEVICE;
const RIGHTS_OF = RIGHTS;
const OF_STAGE2 = SECOND;

/**
 * The usual walk of both stages: a guest's 4 KiB tables below 2^32 that take no rights away, each found through stage 2's entries in the TLB;
 * a page at the end, and a page of stage 2 for it. False: the full walk has to look, and fills in what was missing.
 */
export class QuickNested {
  /** What stage 1 gave, without the offset; its rights. */
  ipa = 0;
  first = 0;
  /** Where that lies; the rights of both. */
  pa = 0;
  rights = 0;
  private readonly words: Int32Array;
  private readonly addresses: Float64Array;

  constructor(
    private readonly memory: PhysicalMemory,
    tlb: Tlb,
    private readonly quick: QuickWalk,
  ) {
    this.words = tlb.words;
    this.addresses = tlb.pa;
  }

  /** `limit`, `key`: the rules of stage 1. */
  page(half: Half, limit: number, key: number, two: Stage2, hi: number, lo: number): boolean {
    let entry = half.near;
    if (entry === 0 || (hi & half.signHi) !== 0) return false;
    const first = half.firstMask << 3;
    if (half.start === 0) {
      entry = this.next(two, entry | ((hi >>> 4) & first));
      if (entry === 0) return false;
      entry = this.next(two, (entry & ~0xfff) | (((hi << 5) | (lo >>> 27)) & 0xff8));
    } else entry = this.next(two, entry + (((hi << 5) | (lo >>> 27)) & first));
    if (entry === 0) return false;
    entry = this.next(two, (entry & ~0xfff) | ((lo >>> 18) & 0xff8));
    if (entry === 0) return false;
    const n = this.locate(two, (entry & ~0xfff) | ((lo >>> 9) & 0xff8));
    if (n < 0) return false;
    const words = this.memory.located;
    const low = words[n]! | 0;
    const high = words[n + 1]! | 0;
    // a page with AF, not global
    if ((low & 0xc03) !== 0xc03) return false;
    const ipaHi = high & 0xffff;
    const ipaLo = low & ~0xfff;
    this.ipa = ipaHi * 4294967296 + (ipaLo >>> 0);
    this.first = RIGHTS_OF[((low >>> 6) & 3) | ((high >>> 19) & 12) | key]!;
    return this.ipa < limit && this.last(two, ipaHi, ipaLo);
  }

  /** The page of stage 2 that an IPA lies in. */
  private last(two: Stage2, hi: number, lo: number): boolean {
    const n = this.quick.page(two.half, hi, lo);
    if (n < 0) return false;
    const words = this.memory.located;
    const low = words[n]! | 0;
    const high = words[n + 1]! | 0;
    this.pa = (high & 0xffff) * 4294967296 + ((low & ~0xfff) >>> 0);
    this.rights = this.first & RIGHTS_OF[((low >>> 6) & 3) | ((high >>> 19) & 12) | OF_STAGE2]!;
    return this.pa < two.rules.limit;
  }

  /** Low word of a table's entry at an IPA, where it points to the next table below 2^32 and does nothing else; 0 for any other. */
  private next(two: Stage2, at: number): number {
    const n = this.locate(two, at);
    if (n < 0) return 0;
    const words = this.memory.located;
    const low = words[n]! | 0;
    return (low & 3) === 3 && words[n + 1] === 0 ? low : 0;
  }

  /** Where the descriptor at an IPA stands in `memory.located`, by the TLB alone. */
  private locate(two: Stage2, ipa: number): number {
    const page = ipa >>> 12;
    const i = (page & 4095) ^ two.hash;
    const at = i * 4;
    const w = this.words;
    if (w[at] !== page || w[at + 1] !== 0 || w[at + 2] !== two.tag) return -1;
    const meta = w[at + 3]!;
    if ((meta & READABLE) === 0 || (two.protectedWalks && (meta & DEVICE) !== 0)) return -1;
    const table = this.addresses[i]!;
    return table < 0x8000_0000 ? this.memory.locate((table | 0) + (ipa & 0xfff)) : -1;
  }
}

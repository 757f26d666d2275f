import { decode } from '@doorbell/bits';
import { EXEC, hex, READ, WRITE, type PhysicalMemory, type Trace } from '@doorbell/platform';
import { EVENT_ID, firstBlockLevel, LEAF, levelShift, startLevel, stride, TABLE } from '../spec/index.js';
import { PRIVILEGED_SHIFT } from './tlb.js';

/** One half of a stage-1 address space (TTB0 or TTB1), with everything that the walk needs computed once. */
export interface Half {
  /** False: no such half, or EPDx = 1; every access is F_TRANSLATION. */
  readonly enabled: boolean;
  readonly upper: boolean;
  readonly tbi: boolean;
  /** Bits of the address that must equal bit 55. */
  readonly signHi: number;
  readonly signLo: number;
  readonly base: number;
  /** `base` below 2^31, where walks are done in 32-bit integers; else -1. */
  readonly baseLow: number;
  readonly g: number;
  readonly start: number;
  /** Lowest address bit that the first level resolves. */
  readonly shift: number;
  /** Entries of the first table − 1. */
  readonly firstMask: number;
  /** APTable, UXNTable, PXNTable do not count (HADx). */
  readonly had: boolean;
}

export interface HalfOptions {
  readonly enabled: boolean;
  readonly upper: boolean;
  readonly tbi: boolean;
  readonly had: boolean;
  readonly txsz: number;
  readonly g: number;
  readonly ttb: number;
}

export function makeHalf(o: HalfOptions): Half {
  const g = o.g === 0 ? 12 : o.g;
  const inputBits = 64 - o.txsz;
  const start = startLevel(g, inputBits);
  const firstBits = inputBits - levelShift(g, start);
  const size = Math.max(64, 8 * 2 ** firstBits);
  const top = (o.tbi ? 0x00ff_ffff : 0xffff_ffff) >>> 0;
  return {
    enabled: o.enabled,
    upper: o.upper,
    tbi: o.tbi,
    signHi: inputBits >= 32 ? (top & ~(2 ** (inputBits - 32) - 1)) >>> 0 : top,
    signLo: inputBits >= 32 ? 0 : ~(2 ** inputBits - 1) >>> 0,
    base: o.ttb - (o.ttb % size),
    baseLow: o.ttb < 2 ** 31 ? o.ttb - (o.ttb % size) : -1,
    g,
    start,
    shift: levelShift(g, start),
    firstMask: 2 ** firstBits - 1,
    had: o.had,
  };
}

/** What decides about an address apart from its half. */
export interface WalkRules {
  /** Table and leaf addresses beyond this are F_ADDR_SIZE: 2^min(IPS, OAS). */
  readonly limit: number;
  readonly affd: boolean;
  /** CD.WXN and CD.PAN, as `WXN` and `PAN`. */
  readonly rightsKey: number;
}

/** Stage-1 walks of VMSAv8-64 tables. The results of the last walk are its fields: nothing is allocated. */
export class Walker {
  pa = 0;
  level = 0;
  sizeBits = 12;
  rights = 0;
  global = false;
  /** Address of the last descriptor: F_WALK_EABT reports it. */
  at = 0;

  constructor(
    private readonly name: string,
    private readonly memory: PhysicalMemory,
    private readonly trace: Trace,
  ) {}

  /** 0, or the number of the event. Permissions are for the caller to compare: `rights` holds both privileges'. */
  walk(half: Half, rules: WalkRules, hi: number, lo: number): number {
    if (!half.enabled) return EVENT_ID.F_TRANSLATION;
    // §3.4: all bits above the input size equal bit 55
    if (half.upper) {
      if ((hi & half.signHi) >>> 0 !== half.signHi || (lo & half.signLo) >>> 0 !== half.signLo)
        return EVENT_ID.F_TRANSLATION;
    } else if ((hi & half.signHi) !== 0 || (lo & half.signLo) !== 0) return EVENT_ID.F_TRANSLATION;

    if (half.baseLow >= 0 && !this.trace.on) {
      if (half.g === 12 && half.start < 2 && this.walkPage(half, rules, hi, lo)) return 0;
      if (this.walkLow(half, rules, hi, lo)) return 0;
    }
    const memory = this.memory;
    const g = half.g;
    const bits = g - 3;
    const low = ~((1 << g) - 1);
    let mask = half.firstMask;
    let table = half.base;
    // PXNTable, UXNTable, APTable of the levels so far: descriptor bits 62:59, as bits 30:27 of the upper word
    let inherited = 0;
    let shift = half.shift;
    for (let level = half.start; ; level++) {
      const index =
        shift >= 32
          ? (hi >>> (shift - 32)) & mask
          : shift + bits <= 32
            ? (lo >>> shift) & mask
            : ((lo >>> shift) | (hi << (32 - shift))) & mask;
      const at = table + 8 * index;
      this.at = at;
      this.level = level;
      if (!memory.has(at)) return this.missing(level);
      const dlo = memory.read32(at);
      const dhi = memory.read32(at + 4);
      const type = dlo & 3;
      if (this.trace.on) this.tell(level, at, dhi, dlo, g);
      if (level < 3 && type === 3) {
        table = (dhi & 0xffff) * 4294967296 + ((dlo & low) >>> 0);
        if (table >= rules.limit) return EVENT_ID.F_ADDR_SIZE;
        inherited |= dhi;
        mask = (1 << bits) - 1;
        shift -= bits;
        continue;
      }
      const leaf = level === 3 ? type === 3 : type === 1 && level >= (g === 12 ? 1 : 2);
      if (!leaf) return EVENT_ID.F_TRANSLATION;
      const within = (1 << shift) - 1;
      const pa = (dhi & 0xffff) * 4294967296 + (((dlo & ~within) | (lo & within)) >>> 0);
      if (pa >= rules.limit) return EVENT_ID.F_ADDR_SIZE;
      if ((dlo & 0x400) === 0 && !rules.affd) return EVENT_ID.F_ACCESS;
      this.pa = pa;
      this.sizeBits = shift;
      this.global = (dlo & 0x800) === 0;
      this.rights = rightsOf(dlo, dhi, half.had ? 0 : inherited, rules);
      return 0;
    }
  }

  /**
   * The most usual walk: 4 KiB granule, three or four levels, tables below 2^31 that take no rights away, a page at the end. Words are
   * signed here: sums of doubles on the way from load to load cost more than the loads. False: `walkLow` or `walk` have to look.
   */
  private walkPage(half: Half, rules: WalkRules, hi: number, lo: number): boolean {
    let entry = half.baseLow;
    const first = half.firstMask << 3;
    if (half.start === 0) {
      entry = this.next(entry, (hi >>> 4) & first);
      if (entry === 0) return false;
      entry = this.next(entry, ((hi << 5) | (lo >>> 27)) & 0xff8);
    } else entry = this.next(entry, ((hi << 5) | (lo >>> 27)) & first);
    if (entry === 0) return false;
    entry = this.next(entry, (lo >>> 18) & 0xff8);
    if (entry === 0) return false;
    const { memory } = this;
    const n = memory.locate((entry & ~0xfff) | ((lo >>> 9) & 0xff8));
    if (n < 0) return false;
    const low = memory.located[n]! | 0;
    const high = memory.located[n + 1]! | 0;
    if ((low & 0x403) !== 0x403) return false; // no page, or AF = 0
    const pa = (high & 0xffff) * 4294967296 + (((low & ~0xfff) | (lo & 0xfff)) >>> 0);
    if (pa >= rules.limit) return false;
    this.level = 3;
    this.pa = pa;
    this.sizeBits = 12;
    this.global = (low & 0x800) === 0;
    this.rights = rightsOf(low, high, 0, rules);
    return true;
  }

  /** Low word of a table's entry that points to the next one below 2^31 and does nothing else; 0 for any other. */
  private next(table: number, offset: number): number {
    const { memory } = this;
    const n = memory.locate((table & ~0xfff) | offset);
    if (n < 0) return 0;
    const words = memory.located;
    const low = words[n]! | 0;
    return (low & 3) === 3 && low > 0 && words[n + 1] === 0 ? low : 0;
  }

  /**
   * The same walk while every table lies below 2^31: sums of doubles on the way from load to load cost more than the loads. False:
   * anything out of the ordinary; nothing was changed and `walk` has to look.
   */
  private walkLow(half: Half, rules: WalkRules, hi: number, lo: number): boolean {
    const memory = this.memory;
    const bits = half.g - 3;
    const low = ~((1 << half.g) - 1);
    let mask = half.firstMask;
    let table = half.baseLow;
    let inherited = 0;
    let shift = half.shift;
    for (let level = half.start; ; level++) {
      const index =
        shift >= 32
          ? (hi >>> (shift - 32)) & mask
          : shift + bits <= 32
            ? (lo >>> shift) & mask
            : ((lo >>> shift) | (hi << (32 - shift))) & mask;
      const at = (table + 8 * index) | 0;
      const n = memory.locate(at);
      if (n < 0) return false;
      const words = memory.located;
      const dlo = words[n]!;
      const dhi = words[n + 1]!;
      if (level < 3 && (dlo & 3) === 3) {
        table = dlo & low;
        if ((dhi & 0xffff) !== 0 || table < 0) return false;
        inherited |= dhi;
        mask = (1 << bits) - 1;
        shift -= bits;
        continue;
      }
      if ((dlo & 0x401) !== 0x401) return false; // invalid, or AF = 0
      if (level === 3 ? (dlo & 2) === 0 : (dlo & 2) !== 0 || level < (half.g === 12 ? 1 : 2)) return false;
      const within = (1 << shift) - 1;
      const pa = (dhi & 0xffff) * 4294967296 + (((dlo & ~within) | (lo & within)) >>> 0);
      if (pa >= rules.limit) return false;
      this.level = level;
      this.pa = pa;
      this.sizeBits = shift;
      this.global = (dlo & 0x800) === 0;
      this.rights = rightsOf(dlo, dhi, half.had ? 0 : inherited, rules);
      return true;
    }
  }

  private missing(level: number): number {
    if (this.trace.on)
      this.trace.step({
        by: this.name,
        what: `stage-1 descriptor, level ${level}`,
        at: this.at,
        words: [],
        decoded: '',
        why: 'nothing answers there: F_WALK_EABT',
      });
    return EVENT_ID.F_WALK_EABT;
  }

  private tell(level: number, at: number, dhi: number, dlo: number, g: number): void {
    const words = Uint32Array.of(dlo, dhi);
    const type = dlo & 3;
    const isTable = level < 3 && type === 3;
    const isLeaf = level === 3 ? type === 3 : type === 1 && level >= firstBlockLevel(g);
    const size = 2 ** (g + (3 - level) * stride(g));
    this.trace.step({
      by: this.name,
      what: `stage-1 descriptor, level ${level}`,
      at,
      words: [dlo, dhi],
      decoded: decode(isTable ? TABLE : LEAF, words),
      why: isTable
        ? 'next table'
        : !isLeaf
          ? 'no valid descriptor: F_TRANSLATION'
          : `${level === 3 ? 'page' : 'block'} of ${hex(size)} bytes`,
    });
  }
}

/** §9: AP, UXN and PXN of the leaf with what the tables above take away, for both privileges. */
function rightsOf(dlo: number, dhi: number, inherited: number, rules: WalkRules): number {
  const user = (dlo >>> 6) & ~(inherited >>> 29) & 1; // AP[1], APTable[0]
  const readOnly = ((dlo >>> 7) | (inherited >>> 30)) & 1; // AP[2], APTable[1]
  const uxn = ((dhi >>> 22) | (inherited >>> 28)) & 1;
  const pxn = ((dhi >>> 21) | (inherited >>> 27)) & 1;
  return RIGHTS[user | (readOnly << 1) | (uxn << 2) | (pxn << 3) | rules.rightsKey]!;
}

/** Bits of `WalkRules.rightsKey`. */
export const WXN = 16;
export const PAN = 32;

/** Rights by what `rightsOf` found, CD.WXN and CD.PAN. */
const RIGHTS = Uint8Array.from({ length: 64 }, (_, key) => {
  const user = (key & 1) !== 0;
  const writable = (key & 2) === 0;
  const wxn = (key & WXN) !== 0;
  let unprivileged = 0;
  if (user) unprivileged = writable ? READ | WRITE : READ;
  let privileged = (key & PAN) !== 0 && user ? 0 : writable ? READ | WRITE : READ;
  if ((key & 4) === 0 && !(wxn && user && writable)) unprivileged |= EXEC;
  if ((key & 8) === 0 && !(user && writable) && !(wxn && writable)) privileged |= EXEC;
  return unprivileged | (privileged << PRIVILEGED_SHIFT);
});

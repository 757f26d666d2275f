import { decode } from '@doorbell/bits';
import { hex, type PhysicalMemory, type Trace } from '@doorbell/platform';
import { EVENT_ID, firstBlockLevel, LEAF, LEAF2, stride, TABLE } from '../spec/index.js';
import type { FaultSite } from './fault-site.js';
import { rightsOf, SECOND, type Half, type WalkRules } from './geometry.js';
import type { SecondStage, Stage2 } from './second-stage.js';

/** Walks of VMSAv8-64 tables, of either stage. The results of the last walk are its fields: nothing is allocated. */
export class Walker {
  pa = 0;
  level = 0;
  sizeBits = 12;
  /** Both privileges', as the TLB keeps them. */
  rights = 0;
  global = false;
  /** Stage 2: MemAttr says device memory. */
  device = false;
  /** Physical address of the last descriptor: F_WALK_EABT reports it. */
  at = 0;

  constructor(
    private readonly name: string,
    private readonly memory: PhysicalMemory,
    private readonly trace: Trace,
    private readonly site: FaultSite,
    /** Whom a stage 1 asks where its tables really are. */
    private readonly below: SecondStage | null,
  ) {}

  /**
   * 0, or the number of the event. Permissions are for the caller to compare. With a `second` stage the tables' addresses are IPAs; a fault
   * of it is in `site`, and so is a descriptor that cannot be read.
   */
  walk(half: Half, rules: WalkRules, second: Stage2 | null, hi: number, lo: number): number {
    this.site.input();
    if (!half.enabled) return EVENT_ID.F_TRANSLATION;
    // §3.4: all bits above the input size equal bit 55
    if (half.upper) {
      if ((hi & half.signHi) !== half.signHi || (lo & half.signLo) !== half.signLo) return EVENT_ID.F_TRANSLATION;
    } else if ((hi & half.signHi) !== 0 || (lo & half.signLo) !== 0) return EVENT_ID.F_TRANSLATION;

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
      // firstMask has at most 17 bits (13, and 4 of concatenation)
      const index = shift >= 32 ? (hi >>> (shift - 32)) & mask : ((lo >>> shift) | (hi << (32 - shift))) & mask;
      let at = table + 8 * index;
      if (second !== null) {
        const event = this.below!.fetch(second, at);
        if (event !== 0) return event;
        at = this.below!.pa;
      }
      this.at = at;
      this.level = level;
      const n = memory.locate(at);
      if (n < 0) return this.missing(rules);
      const words = memory.located;
      const dlo = words[n]!;
      const dhi = words[n + 1]!;
      const type = dlo & 3;
      if (this.trace.on) this.tell(dhi, dlo, g, rules);
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
      this.device = (dlo & 0x30) === 0;
      this.rights = rightsOf(dlo, dhi, half.had ? 0 : inherited, rules.rightsKey);
      return 0;
    }
  }

  private missing(rules: WalkRules): number {
    this.site.stage1Fetch(this.at);
    if (this.trace.on)
      this.trace.step({
        by: this.name,
        what: `${stageOf(rules)} descriptor, level ${this.level}`,
        at: this.at,
        words: [],
        decoded: '',
        why: 'nothing answers there: F_WALK_EABT',
      });
    return EVENT_ID.F_WALK_EABT;
  }

  private tell(dhi: number, dlo: number, g: number, rules: WalkRules): void {
    const { level } = this;
    const words = Uint32Array.of(dlo, dhi);
    const type = dlo & 3;
    const isTable = level < 3 && type === 3;
    const isLeaf = level === 3 ? type === 3 : type === 1 && level >= firstBlockLevel(g);
    const size = 2 ** (g + (3 - level) * stride(g));
    this.trace.step({
      by: this.name,
      what: `${stageOf(rules)} descriptor, level ${level}`,
      at: this.at,
      words: [dlo, dhi],
      decoded: decode(isTable ? TABLE : rules.rightsKey & SECOND ? LEAF2 : LEAF, words),
      why: isTable
        ? 'next table'
        : !isLeaf
          ? 'no valid descriptor'
          : `${level === 3 ? 'page' : 'block'} of ${hex(size)} bytes`,
    });
  }
}

const stageOf = (rules: WalkRules): string => (rules.rightsKey & SECOND ? 'stage-2' : 'stage-1');

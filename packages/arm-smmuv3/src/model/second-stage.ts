import { hex, READ, type PhysicalMemory, type Trace } from '@doorbell/platform';
import { getAddress, getAt } from '@doorbell/bits';
import { ADDRESS_BITS, CLASS, EVENT_ID, STE, startLevelOfSl0, TG0_BITS } from '../spec/index.js';
import type { FaultSite } from './fault-site.js';
import type { Features } from './features.js';
import { makeHalf, SECOND, type Half, type WalkRules } from './geometry.js';
import { META, STAGE2, tagHash, tagOf, type Tlb } from './tlb.js';
import { Walker } from './walk.js';

/** What an STE says of its stage 2. */
export interface Stage2 {
  /** VMID << 16. */
  readonly tag: number;
  readonly hash: number;
  readonly half: Half;
  readonly rules: WalkRules;
  /** S2PTW: what stage 1 itself reads must not be device memory. */
  readonly protectedWalks: boolean;
  /** S2R: faults are recorded. A is fixed at 1: they abort. */
  readonly record: boolean;
}

/** Output address bits of stage 2: min(S2PS, OAS), and 48 without 52-bit descriptors. */
export const effectiveS2ps = (ste: Uint32Array, f: Features): number =>
  Math.min(ADDRESS_BITS[getAt(ste, 0, STE.S2PS)]!, f.oasBits, 48);

/** Of a legal STE with Config 11x. */
export function stage2Of(ste: Uint32Array, f: Features): Stage2 {
  const at = (field: Parameters<typeof getAt>[2]) => getAt(ste, 0, field);
  const g = TG0_BITS[at(STE.S2TG)]!;
  const tag = tagOf(at(STE.S2VMID), 0);
  return {
    tag,
    hash: tagHash(tag, STAGE2),
    half: makeHalf({
      enabled: true,
      had: true,
      txsz: at(STE.S2T0SZ),
      g,
      ttb: getAddress(ste, 0, STE.S2TTB),
      start: startLevelOfSl0(g, at(STE.S2SL0)),
    }),
    rules: { limit: 2 ** effectiveS2ps(ste, f), affd: at(STE.S2AFFD) === 1, rightsKey: SECOND },
    protectedWalks: at(STE.S2PTW) === 1,
    record: at(STE.S2R) === 1,
  };
}

/** Stage 2 below a guest's stage 1: from an IPA to a physical address. The results are its fields; leaves are kept in the TLB. */
export class SecondStage {
  pa = 0;
  rights = 0;
  sizeBits = 12;
  private device = false;
  private readonly walker: Walker;

  constructor(
    private readonly name: string,
    memory: PhysicalMemory,
    private readonly trace: Trace,
    private readonly site: FaultSite,
    private readonly tlb: Tlb,
  ) {
    this.walker = new Walker(name, memory, trace, site, null);
  }

  /** An address that a stage-1 walk reads. 0, or the number of the event with its `site`. */
  fetch(s: Stage2, ipa: number, purpose: number = CLASS.TT): number {
    const event = this.find(s, Math.floor(ipa / 4294967296), ipa >>> 0, purpose);
    if (event !== 0) return event;
    if ((this.rights & READ) !== 0 && !(s.protectedWalks && this.device)) return 0;
    this.site.stage2(purpose, page(ipa));
    if (this.trace.on)
      this.tell(ipa, this.rights & READ ? 'device memory and S2PTW = 1: F_PERMISSION' : 'no read: F_PERMISSION');
    return EVENT_ID.F_PERMISSION;
  }

  /** Where an IPA lies; rights are for the caller to compare. 0, or the number of the event with its `site`. */
  find(s: Stage2, hi: number, lo: number, purpose: number): number {
    const { tlb, walker } = this;
    const i = tlb.find(hi, lo, s.tag, STAGE2);
    if (i >= 0) {
      const meta = tlb.meta(i);
      this.pa = tlb.pa[i]! + (lo & 4095);
      this.rights = meta & 0x3f;
      this.sizeBits = (meta >>> META.SIZE) & 31;
      this.device = (meta & META.DEVICE) !== 0;
      if (this.trace.on) this.tell(hi * 4294967296 + lo, `TLB: stage-2 leaf of 2^${this.sizeBits} bytes`);
      return 0;
    }
    const event = walker.walk(s.half, s.rules, null, hi, lo);
    if (event !== 0) {
      const ipa = (hi >>> 0) * 4294967296 + (lo >>> 0);
      this.site.stage2(purpose, event === EVENT_ID.F_WALK_EABT ? walker.at : page(ipa));
      return event;
    }
    this.pa = walker.pa;
    this.rights = walker.rights;
    this.sizeBits = walker.sizeBits;
    this.device = walker.device;
    const size = walker.sizeBits;
    tlb.insert(hi, lo, s.tag, STAGE2, walker.pa, this.meta(s, size));
    return 0;
  }

  private meta(s: Stage2, size: number): number {
    return (
      this.rights |
      (this.device ? META.DEVICE : 0) |
      (size << META.SIZE) |
      (size << META.PAGE) |
      (s.half.g << META.GRANULE) |
      (this.walker.level << META.LEVEL)
    );
  }

  private tell(ipa: number, why: string): void {
    this.trace.step({ by: this.name, what: `IPA ${hex(ipa)}`, at: null, words: [], decoded: '', why });
  }
}

/** Bits 51:12: what records tell of an IPA. */
const page = (ipa: number): number => (ipa - (ipa % 4096)) % 2 ** 52;

import { decode, getAddress, getAt, type LayoutInfo } from '@doorbell/bits';
import { hex, type PhysicalMemory, type Trace } from '@doorbell/platform';
import { CD, CLASS, CONFIG, EVENT_ID, L1CD, L1STD, S1DSS, STE } from '../spec/index.js';
import { KIND, NOBODY, plainContext, stage1Context, stage2Context, type Context } from './context.js';
import type { FaultSite } from './fault-site.js';
import type { Features } from './features.js';
import { badCd, badSte, cdBits } from './legality.js';
import { stage2Of, type SecondStage, type Stage2 } from './second-stage.js';

/** Where the stream table lies, from STRTAB_BASE and STRTAB_BASE_CFG. */
export interface StreamTable {
  readonly base: number;
  readonly log2size: number;
  readonly twoLevel: boolean;
  readonly split: number;
}

const SLOTS = 1024;

/**
 * From a StreamID and SSID to a context, through the stream table and CDs in memory, each cached as the architecture allows: an entry
 * stays until a CFGI command names it. What was not valid is not cached.
 */
export class Configuration {
  /** Direct-mapped by StreamID and SSID; the fast path looks here. */
  readonly contexts: Context[] = new Array<Context>(SLOTS).fill(NOBODY);
  private readonly l1stds = new Map<number, Uint32Array>();
  private readonly stes = new Map<number, Uint32Array>();
  private readonly l1cds = new Map<string, Uint32Array>();
  private readonly cds = new Map<string, Uint32Array>();
  /** The context of the last `find` that returned 0. */
  found: Context = NOBODY;
  /** Whether the event that `find` returned is to be recorded: those of a stage 2 only with S2R. */
  records = true;
  /** Physical address of what `locateCd` or a stage 2 found. */
  private at = 0;

  constructor(
    private readonly name: string,
    private readonly memory: PhysicalMemory,
    private readonly trace: Trace,
    private readonly site: FaultSite,
    /** Whom it asks where the CDs of a nested stream are. */
    private readonly below: SecondStage,
    /** Some cached context is gone. */
    private readonly forgotten: () => void,
  ) {}

  slot(sid: number, ssid: number): number {
    return (sid ^ ((ssid + 1) << 4)) & (SLOTS - 1);
  }

  /** 0 with `found`, or the number of the event. */
  find(sid: number, ssid: number, table: StreamTable, f: Features): number {
    const slot = this.slot(sid, ssid);
    const cached = this.contexts[slot]!;
    if (cached.sid === sid && cached.ssid === ssid && !this.trace.on) {
      this.found = cached;
      return 0;
    }
    this.site.input();
    this.records = true;
    const event = this.build(sid, ssid, table, f);
    if (event === 0) this.contexts[slot] = this.found;
    return event;
  }

  private build(sid: number, ssid: number, table: StreamTable, f: Features): number {
    let ste = this.stes.get(sid);
    if (ste) this.tell('STE (cached)', null, STE, ste, 'from the configuration cache');
    else {
      const at = this.locateSte(sid, table, f);
      if (at < 0) return -at;
      ste = this.load(at, 16);
      if (ste === undefined) return this.lost('STE', at, EVENT_ID.F_STE_FETCH);
      const bad = badSte(ste, f);
      this.tell('STE', at, STE, ste, bad ? `C_BAD_STE: ${bad}` : meaningOf(getAt(ste, 0, STE.Config)));
      if (bad) return EVENT_ID.C_BAD_STE;
      this.stes.set(sid, ste);
    }
    const config = getAt(ste, 0, STE.Config);
    if (config < CONFIG.BYPASS) return this.plain(sid, ssid, KIND.ABORT);
    if (config === CONFIG.BYPASS) return ssid >= 0 ? EVENT_ID.C_BAD_SUBSTREAMID : this.plain(sid, ssid, KIND.BYPASS);
    // §7.3.7, §7.3.9: which CD, if any
    const stage2 = config & 2 ? stage2Of(ste, f) : null;
    if (config === CONFIG.S2) return ssid >= 0 ? EVENT_ID.C_BAD_SUBSTREAMID : this.second(sid, ssid, ste, stage2!, f);
    const max = cdBits(ste, f);
    const dss = getAt(ste, 0, STE.S1DSS);
    if (ssid >= 0) {
      if (max === 0 || ssid >= 2 ** max) return EVENT_ID.C_BAD_SUBSTREAMID;
      if (ssid === 0 && dss === S1DSS.SSID0) return EVENT_ID.F_STREAM_DISABLED;
    } else if (max > 0) {
      if (dss === S1DSS.BYPASS)
        return stage2 ? this.second(sid, ssid, ste, stage2, f) : this.plain(sid, ssid, KIND.BYPASS);
      if (dss !== S1DSS.SSID0) return EVENT_ID.F_STREAM_DISABLED;
    }
    return this.fetchCd(sid, ssid, ste, stage2, max, f);
  }

  private fetchCd(
    sid: number,
    ssid: number,
    ste: Uint32Array,
    stage2: Stage2 | null,
    max: number,
    f: Features,
  ): number {
    const id = Math.max(ssid, 0);
    const key = `${sid}/${id}`;
    let cd = this.cds.get(key);
    if (cd) this.tell('CD (cached)', null, CD, cd, 'from the configuration cache');
    else {
      const event = this.locateCd(sid, id, ste, stage2, max, f);
      if (event !== 0) return event;
      const { at } = this;
      cd = this.load(at, 16);
      if (cd === undefined) return this.lost('CD', at, EVENT_ID.F_CD_FETCH);
      const bad = badCd(cd, ste, f);
      this.tell('CD', at, CD, cd, bad ? `C_BAD_CD: ${bad}` : `legal, ASID ${getAt(cd, 0, CD.ASID)}`);
      if (bad) return EVENT_ID.C_BAD_CD;
      this.cds.set(key, cd);
    }
    this.found = stage1Context(sid, ssid, ste, cd, stage2, f);
    return 0;
  }

  private second(sid: number, ssid: number, ste: Uint32Array, stage2: Stage2, f: Features): number {
    this.found = stage2Context(sid, ssid, ste, stage2, f);
    return 0;
  }

  /** Leaves in `at` where an address of stage 1's own is: an IPA while there is a stage 2. 0, or the event. */
  private place(address: number, stage2: Stage2 | null): number {
    this.at = address;
    if (!stage2) return 0;
    const event = this.below.fetch(stage2, address, CLASS.CD);
    this.at = this.below.pa;
    if (event !== 0) this.records = stage2.record || event === EVENT_ID.F_WALK_EABT;
    return event;
  }

  private plain(sid: number, ssid: number, kind: number): number {
    this.found = plainContext(sid, ssid, kind);
    return 0;
  }

  /** Address of the STE, or minus the event. */
  private locateSte(sid: number, t: StreamTable, f: Features): number {
    if (sid >= 2 ** t.log2size) return -this.outside(sid, `beyond LOG2SIZE = ${t.log2size}`);
    if (!t.twoLevel || !f.twoLevel) return t.base - (t.base % (64 * 2 ** t.log2size)) + 64 * sid;
    const entries = 2 ** Math.max(0, t.log2size - t.split);
    const base = t.base - (t.base % Math.max(64, 8 * entries));
    const index = Math.floor(sid / 2 ** t.split);
    const at = base + 8 * index;
    let l1 = this.l1stds.get(index);
    if (!l1) {
      l1 = this.load(at, 2);
      if (l1 === undefined) return -this.lost('level-1 stream table descriptor', at, EVENT_ID.F_STE_FETCH);
    }
    const span = getAt(l1, 0, L1STD.SPAN);
    const within = sid % 2 ** t.split;
    const why =
      span === 0
        ? 'SPAN = 0'
        : span > 11
          ? 'SPAN is reserved'
          : span > t.split + 1
            ? 'SPAN > SPLIT + 1'
            : within >= 2 ** (span - 1)
              ? 'StreamID beyond SPAN'
              : null;
    this.tell('level-1 stream table descriptor', at, L1STD, l1, why ? `C_BAD_STREAMID: ${why}` : `2^${span - 1} STEs`);
    if (why) return -EVENT_ID.C_BAD_STREAMID;
    this.l1stds.set(index, l1);
    const ptr = getAddress(l1, 0, L1STD.L2PTR);
    return ptr - (ptr % (64 * 2 ** (span - 1))) + 64 * within;
  }

  /** Leaves the address of the CD in `at`; 0, or the event. */
  private locateCd(
    sid: number,
    ssid: number,
    ste: Uint32Array,
    stage2: Stage2 | null,
    max: number,
    f: Features,
  ): number {
    const ptr = getAddress(ste, 0, STE.S1ContextPtr);
    const fmt = getAt(ste, 0, STE.S1Fmt);
    if (max === 0 || (fmt !== 1 && fmt !== 2)) return this.place(ptr - (ptr % (64 * 2 ** max)) + 64 * ssid, stage2);
    const split = fmt === 1 ? 6 : 10;
    const base = ptr - (ptr % Math.max(64, 8 * 2 ** Math.max(0, max - split)));
    const index = ssid >>> split;
    const key = `${sid}/${index}`;
    let l1 = this.l1cds.get(key);
    if (!l1) {
      const event = this.place(base + 8 * index, stage2);
      if (event !== 0) return event;
      const { at } = this;
      l1 = this.load(at, 2);
      if (l1 === undefined) return this.lost('level-1 context descriptor', at, EVENT_ID.F_CD_FETCH);
      this.tell('level-1 context descriptor', at, L1CD, l1, reaches(l1, f) ? 'valid' : 'C_BAD_SUBSTREAMID');
    } else this.tell('level-1 context descriptor (cached)', null, L1CD, l1, 'from the configuration cache');
    if (!reaches(l1, f)) return EVENT_ID.C_BAD_SUBSTREAMID;
    this.l1cds.set(key, l1);
    const l2 = getAddress(l1, 0, L1CD.L2PTR);
    return this.place(l2 - (l2 % (64 * 2 ** split)) + 64 * (ssid % 2 ** split), stage2);
  }

  /** CFGI_STE: the STE and every CD fetched through it; `leaf` false: the level-1 descriptor too. */
  invalidateSte(sid: number, leaf: boolean, split: number): void {
    this.stes.delete(sid);
    this.invalidateCds(sid);
    if (!leaf) this.l1stds.delete(Math.floor(sid / 2 ** split));
  }

  /** CFGI_STE_RANGE: an aligned block of 2^`bits` StreamIDs. */
  invalidateSteRange(sid: number, bits: number, split: number): void {
    const first = sid - (sid % 2 ** bits);
    const inside = (id: number) => id >= first && id < first + 2 ** bits;
    for (const id of [...this.stes.keys()]) if (inside(id)) this.invalidateSte(id, true, split);
    for (const index of [...this.l1stds.keys()])
      if (inside(index * 2 ** split) || inside(index * 2 ** split + 2 ** split - 1)) this.l1stds.delete(index);
  }

  /** CFGI_CD: one CD; `leaf` false: its level-1 descriptor too (which one is not told apart). */
  invalidateCd(sid: number, ssid: number, leaf: boolean): void {
    this.cds.delete(`${sid}/${ssid}`);
    if (!leaf) this.forget(this.l1cds, sid);
    this.forgetContexts((c) => c.sid === sid && Math.max(c.ssid, 0) === ssid);
  }

  /** CFGI_CD_ALL. */
  invalidateCds(sid: number): void {
    this.forget(this.cds, sid);
    this.forget(this.l1cds, sid);
    this.forgetContexts((c) => c.sid === sid);
  }

  clear(): void {
    for (const cache of [this.l1stds, this.stes, this.l1cds, this.cds]) cache.clear();
    this.contexts.fill(NOBODY);
    this.forgotten();
  }

  private forget(cache: Map<string, Uint32Array>, sid: number): void {
    for (const key of [...cache.keys()]) if (key.startsWith(`${sid}/`)) cache.delete(key);
  }

  private forgetContexts(which: (c: Context) => boolean): void {
    for (let i = 0; i < SLOTS; i++) if (which(this.contexts[i]!)) this.contexts[i] = NOBODY;
    this.forgotten();
  }

  private load(at: number, count: number): Uint32Array | undefined {
    if (!this.memory.has(at) || !this.memory.has(at + 4 * count - 4)) return undefined;
    const words = new Uint32Array(count);
    for (let i = 0; i < count; i++) words[i] = this.memory.read32(at + 4 * i);
    return words;
  }

  private lost(what: string, at: number, event: number): number {
    this.site.configurationFetch(at);
    if (this.trace.on)
      this.trace.step({
        by: this.name,
        what,
        at,
        words: [],
        decoded: '',
        why: `no memory at ${hex(at)}: the fetch aborts`,
      });
    return event;
  }

  private outside(sid: number, why: string): number {
    if (this.trace.on)
      this.trace.step({
        by: this.name,
        what: `StreamID ${hex(sid)}`,
        at: null,
        words: [],
        decoded: '',
        why: `C_BAD_STREAMID: ${why}`,
      });
    return EVENT_ID.C_BAD_STREAMID;
  }

  private tell(what: string, at: number | null, l: { readonly $: LayoutInfo }, words: Uint32Array, why: string): void {
    if (this.trace.on) this.trace.step({ by: this.name, what, at, words: [...words], decoded: decode(l, words), why });
  }
}

/** Config of a legal STE, for people. */
const meaningOf = (config: number): string =>
  config < CONFIG.BYPASS
    ? 'every transaction aborts'
    : ['nothing is translated', 'stage 1 translates', 'stage 2 translates', 'both stages translate'][config & 3]!;

/** L1CD: valid, and its pointer inside OAS (an IPA's IAS is the same). */
const reaches = (l1: Uint32Array, f: Features): boolean =>
  getAt(l1, 0, L1CD.V) === 1 && getAddress(l1, 0, L1CD.L2PTR) < 2 ** f.oasBits;

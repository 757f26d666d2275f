import { get } from '@doorbell/bits';
import {
  EXEC,
  hex64,
  join64,
  PRIVILEGED,
  READ,
  TRANSLATED,
  UNTRANSLATED,
  Verdict,
  WRITE,
  type HardwareHost,
  type Outcome,
  type PhysicalMemory,
  type Request,
} from '@doorbell/platform';
import { CLASS, CR0, CR0ACK, CR2, EVENT_ID, EVENT_NAMES, GBPA, GERROR } from '../spec/index.js';
import { Configuration, type StreamTable } from './configuration.js';
import { KIND, NOBODY, type Context } from './context.js';
import { PUSHED, type EventQueue } from './event-queue.js';
import { FaultSite } from './fault-site.js';
import type { Features } from './features.js';
import { RIGHTS } from './geometry.js';
import { QuickNested } from './quick-nested.js';
import { QuickWalk } from './quick-walk.js';
import { fillRecord } from './record.js';
import type { SmmuRegisters } from './registers.js';
import { SecondStage } from './second-stage.js';
import type { Signals } from './signals.js';
import { META, PRIVILEGED_SHIFT, STAGE2, Tlb } from './tlb.js';
import { Walker } from './walk.js';

/*
 * Constants of this module for the code that every transaction runs: the engine folds them, while an import is loaded at each use (8.7 ns a
 * hit, with these 5.2).
 */
const EXECUTE = EXEC;
const WRITE_OR_EXECUTE = EXEC | WRITE;
const DATA = READ | WRITE;
const BY_PRIVILEGED = PRIVILEGED;
const SHIFT = PRIVILEGED_SHIFT;
const PAGE_AT = META.PAGE;
const PLAIN = UNTRANSLATED;
const DONE = Verdict.translated;
const RIGHTS_OF = RIGHTS;
const GLOBAL = 1 << META.GLOBAL;
const DEVICE = META.DEVICE;
const STAGE1_AT = META.STAGE1;
const BOTH = KIND.NESTED;
/** A page of 4 KiB from level 3, as `META` packs it. */
const PAGE_META = (12 << META.SIZE) | (12 << META.PAGE) | (12 << META.GRANULE) | (3 << META.LEVEL);

/** From a transaction to its verdict: TLB, configuration, both stages, and the record of what went wrong. */
export class Translation {
  readonly tlb = new Tlb();
  readonly configuration: Configuration;
  /** From the registers; kept by `Smmu`. */
  features!: Features;
  table: StreamTable = { base: 0, log2size: 0, twoLevel: false, split: 6 };
  gbpa = 0;
  private enabled = false;
  /** On, and nobody traces. */
  private fast = false;
  /** Of the last transaction; `NOBODY` while the fast path must not be taken. */
  private current = NOBODY;
  /** The same as far as a hit needs it: one object to look into. */
  private sid = NOBODY.sid;
  private ssid = NOBODY.ssid;
  private hash = 0;
  private tag = 0;
  private world = 0;
  /** What a TLB hit reads, without the way there. */
  private readonly entries = this.tlb.words;
  private readonly addresses = this.tlb.pa;
  private readonly contexts: readonly Context[];
  private readonly site = new FaultSite();
  private readonly second: SecondStage;
  private readonly first: Walker;
  private readonly quick: QuickWalk;
  private readonly both: QuickNested;
  private readonly memory: PhysicalMemory;

  constructor(
    private readonly name: string,
    private readonly host: HardwareHost,
    private readonly registers: SmmuRegisters,
    private readonly events: EventQueue,
    private readonly signals: Signals,
  ) {
    const { memoryModel, trace } = host;
    this.memory = memoryModel;
    this.second = new SecondStage(name, memoryModel, trace, this.site, this.tlb);
    this.first = new Walker(name, memoryModel, trace, this.site, this.second);
    this.quick = new QuickWalk(memoryModel);
    this.both = new QuickNested(memoryModel, this.tlb, this.quick);
    const forgotten = () => this.use(NOBODY);
    this.configuration = new Configuration(name, memoryModel, trace, this.site, this.second, forgotten);
    this.contexts = this.configuration.contexts;
    trace.onSwitch(() => this.switch(this.enabled));
  }

  /** CR0ACK.SMMUEN as it is now. */
  switch(enabled: boolean): void {
    this.enabled = enabled;
    this.use(NOBODY);
    this.fast = enabled && !this.host.trace.on;
  }

  /** A TLB hit takes no call, no allocation and no hook. */
  translate(q: Request, out: Outcome): Verdict {
    if ((this.sid === q.stream && this.ssid === q.pasid) || this.switchTo(q.stream, q.pasid)) {
      if (q.kind !== PLAIN) return this.slow(q, out);
      const { hi, lo } = q;
      const page = (hi << 20) | (lo >>> 12);
      const i = (page & 4095) ^ this.hash;
      const at = i * 4;
      const w = this.entries;
      if (w[at] !== page || w[at + 1] !== hi >>> 12 || w[at + 2] !== this.tag) return this.miss(this.current, q, out);
      const a = q.access;
      const meta = w[at + 3]!;
      const rights = (a & BY_PRIVILEGED) === 0 ? meta : meta >>> SHIFT;
      const need = (a & WRITE_OR_EXECUTE) === EXECUTE ? EXECUTE : a & DATA;
      if ((rights & need) === need) {
        out.pa = this.addresses[i]! + (lo & 4095);
        out.pageSize = 1 << (meta >>> PAGE_AT);
        out.permissions = rights & 7;
        return DONE;
      }
    }
    return this.slow(q, out);
  }

  /** Makes the cached context of a stream the current one; false: the fast path may not serve it. */
  private switchTo(sid: number, ssid: number): boolean {
    const c = this.contexts[(sid ^ ((ssid + 1) << 4)) & 1023]!;
    if (!this.fast || !c.plain || c.sid !== sid || c.ssid !== ssid) return false;
    this.use(c);
    return true;
  }

  private use(c: Context): void {
    this.current = c;
    this.sid = c.sid;
    this.ssid = c.ssid;
    this.hash = c.hash;
    this.tag = c.tag;
    this.world = c.world;
  }

  /** The usual walk of one stage, where nothing is in its way; everything else is `walked`'s. */
  private miss(c: Context, q: Request, out: Outcome): Verdict {
    const a = q.access;
    const hi = q.hi | 0;
    const lo = q.lo | 0;
    const n = this.quick.page(c.quick, hi, lo);
    if (n < 0) return c.kind === BOTH ? this.missBoth(c, q, out) : this.walked(c, q, out, a);
    const words = this.memory.located;
    const low = words[n]!;
    const high = words[n + 1]!;
    const base = (high & 0xffff) * 4294967296 + ((low & ~0xfff) >>> 0);
    const both = RIGHTS_OF[((low >>> 6) & 3) | ((high >>> 19) & 12) | c.rules.rightsKey]!;
    const rights = (a & BY_PRIVILEGED) === 0 ? both : both >>> SHIFT;
    const need = (a & WRITE_OR_EXECUTE) === EXECUTE ? EXECUTE : a & DATA;
    if (base >= c.rules.limit || (rights & need) !== need) return this.walked(c, q, out, a);
    const { tag, world } = this;
    const meta = both | PAGE_META | (world !== 0 && (low & 0x30) === 0 ? DEVICE : 0);
    if ((low & 0x800) === 0 && world === 0) this.tlb.insert(hi, lo, tag, world, base, meta | GLOBAL);
    else this.addresses[this.tlb.insertPage((hi << 20) | (lo >>> 12), hi >>> 12, tag, this.hash, meta)] = base;
    out.pa = base + (lo & 0xfff);
    out.pageSize = 4096;
    out.permissions = rights & 7;
    return DONE;
  }

  /** The same of both stages. */
  private missBoth(c: Context, q: Request, out: Outcome): Verdict {
    const { both } = this;
    const a = q.access;
    const hi = q.hi | 0;
    const lo = q.lo | 0;
    if (!both.page(c.lower, c.rules.limit, c.rules.rightsKey, c.stage2!, hi, lo)) return this.walked(c, q, out, a);
    const rights = (a & BY_PRIVILEGED) === 0 ? both.rights : both.rights >>> SHIFT;
    const need = (a & WRITE_OR_EXECUTE) === EXECUTE ? EXECUTE : a & DATA;
    if ((rights & need) !== need) return this.walked(c, q, out, a);
    const meta = both.rights | PAGE_META | (both.first << STAGE1_AT);
    const i = this.tlb.insertPage((hi << 20) | (lo >>> 12), hi >>> 12, c.tag, c.hash, meta);
    this.addresses[i] = both.pa;
    this.tlb.ipa[i] = both.ipa;
    out.pa = both.pa + (lo & 0xfff);
    out.pageSize = 4096;
    out.permissions = rights & 7;
    return DONE;
  }

  private slow(q: Request, out: Outcome): Verdict {
    this.site.input();
    if (!this.enabled) return this.unconfigured(q, out);
    // ATS = 0: no translation requests; ATSCHK has nothing to check against, translated requests are refused
    if (q.kind !== UNTRANSLATED) return this.unsupported(q, out);
    const event = this.configuration.find(q.stream, q.pasid, this.table, this.features);
    if (event !== 0) {
      const named = event !== EVENT_ID.C_BAD_STREAMID || get(this.registers.get(CR2.$.at), CR2.RECINVSID) === 1;
      return this.fail(event, q, out, q.access, named && this.configuration.records);
    }
    const c = this.configuration.found;
    if (c.kind === KIND.ABORT) return this.silent('STE_ABORT', 'Config = 0xx aborts without an event', out);
    if (c.kind === KIND.BYPASS)
      return this.beyondIas(q)
        ? this.fail(EVENT_ID.F_ADDR_SIZE, q, out, q.access, true)
        : this.pass(q, out, 'STE bypass');
    return this.walked(c, q, out, c.overrides ? overridden(c, q.access) : q.access);
  }

  /** TLB, or the walk of the stages that are on; then rights. */
  private walked(c: Context, q: Request, out: Outcome, access: number): Verdict {
    const half = (q.hi & 0x0080_0000) !== 0 ? c.upper : c.lower; // VA bit 55
    const hi = half.tbi ? (q.hi << 8) >> 8 : q.hi | 0;
    const lo = q.lo | 0;
    const { tlb } = this;
    const shift = (access & PRIVILEGED) !== 0 ? PRIVILEGED_SHIFT : 0;
    const need = (access & (EXEC | WRITE)) === EXEC ? EXEC : access & (READ | WRITE);
    let i = half.enabled || c.world !== 0 ? tlb.find(hi, lo, c.tag, c.world) : -1;
    if (i >= 0) {
      if (this.host.trace.on)
        this.tell('TLB entry', `leaf of 2^${(tlb.meta(i) >>> META.SIZE) & 31} bytes cached by an earlier walk`);
    } else if (c.kind === KIND.STAGE2) {
      this.site.input();
      if (this.beyondIas(q)) return this.fail(EVENT_ID.F_ADDR_SIZE, q, out, access, true);
      const event = this.second.find(c.stage2!, hi, lo, CLASS.IN);
      if (event !== 0) return this.fail(event, q, out, access, c.record || event === EVENT_ID.F_WALK_EABT);
      i = tlb.find(hi, lo, c.tag, STAGE2);
    } else {
      const w = this.first;
      let event = w.walk(half, c.rules, c.stage2, q.hi | 0, lo);
      if (event !== 0) {
        const record = this.site.s2 ? c.stage2!.record : c.record;
        return this.fail(event, q, out, access, record || event === EVENT_ID.F_WALK_EABT);
      }
      let { pa, rights } = w;
      let size = w.sizeBits;
      if (c.stage2) {
        // stage 1 judges first
        if (((rights >>> shift) & need) !== need) return this.fail(EVENT_ID.F_PERMISSION, q, out, access, c.record);
        const { second } = this;
        event = second.find(c.stage2, Math.floor(pa / 4294967296), pa | 0, CLASS.IN);
        if (event !== 0) return this.fail(event, q, out, access, c.stage2.record || event === EVENT_ID.F_WALK_EABT);
        pa = second.pa;
        rights &= second.rights;
        size = Math.min(size, second.sizeBits);
      }
      const meta =
        rights |
        (w.sizeBits << META.SIZE) |
        (size << META.PAGE) |
        (half.g << META.GRANULE) |
        (w.level << META.LEVEL) |
        (w.rights << META.STAGE1) |
        (w.global ? 1 << META.GLOBAL : 0);
      i = tlb.insert(hi, lo, c.tag, 0, pa, meta);
      tlb.ipa[i] = w.pa - (w.pa & 4095);
    }
    const meta = tlb.meta(i);
    const rights = (meta >>> shift) & 7;
    if ((rights & need) !== need) return this.refused(c, i, (meta >>> (META.STAGE1 + shift)) & 7, need, q, out, access);
    out.pa = tlb.pa[i]! + (lo & 4095);
    out.pageSize = 1 << (meta >>> META.PAGE);
    out.permissions = rights;
    if (this.host.trace.on) this.tell('translation', `${hex64(q.hi, q.lo)} → 0x${out.pa.toString(16)}`);
    return Verdict.translated;
  }

  /** §7.3.13: a stage 1 that is off or bypassed checks the input against IAS. */
  private beyondIas(q: Request): boolean {
    return q.hi >>> 0 >= 2 ** (this.features.oasBits - 32);
  }

  /** F_PERMISSION of the stage that does not grant it: stage 1 if it refuses too. */
  private refused(
    c: Context,
    slot: number,
    first: number,
    need: number,
    q: Request,
    out: Outcome,
    access: number,
  ): Verdict {
    this.site.input();
    const ipa = c.world !== 0 ? (q.hi >>> 0) * 4294967296 + ((q.lo & ~0xfff) >>> 0) : this.tlb.ipa[slot]!;
    const second = c.stage2 !== null && (c.world !== 0 || (first & need) === need);
    if (second) this.site.stage2(CLASS.IN, ipa);
    return this.fail(EVENT_ID.F_PERMISSION, q, out, access, second ? c.stage2.record : c.record);
  }

  private unconfigured(q: Request, out: Outcome): Verdict {
    // §6.3.14: ABORT = 1 terminates everything without an event
    if (this.gbpa & GBPA.ABORT.mask) return this.silent('GBPA_ABORT', 'SMMUEN = 0 and GBPA.ABORT = 1', out);
    return q.kind === UNTRANSLATED ? this.pass(q, out, 'SMMUEN = 0') : this.unsupported(q, out);
  }

  private unsupported(q: Request, out: Outcome): Verdict {
    const event = q.kind === TRANSLATED ? EVENT_ID.F_TRANSL_FORBIDDEN : EVENT_ID.F_BAD_ATS_TREQ;
    return this.fail(event, q, out, q.access, true);
  }

  private pass(q: Request, out: Outcome, why: string): Verdict {
    out.pa = join64(q.hi, q.lo);
    out.pageSize = 0;
    out.permissions = READ | WRITE | EXEC;
    if (this.host.trace.on) this.tell('bypass', why);
    return Verdict.bypass;
  }

  private silent(name: string, why: string, out: Outcome): Verdict {
    out.code = -1;
    out.fault = name;
    out.recorded = false;
    if (this.host.trace.on) this.tell('abort', why);
    return Verdict.fault;
  }

  /** §7.3: fills in the record of an event and tries to store it. */
  private fail(event: number, q: Request, out: Outcome, access: number, record: boolean): Verdict {
    out.code = event;
    out.fault = EVENT_NAMES[event]!;
    out.recorded = record && this.record(event, q, access);
    if (this.host.trace.on) {
      const { s2 } = this.site;
      this.tell(
        out.fault,
        `StreamID 0x${q.stream.toString(16)}, input ${hex64(q.hi, q.lo)}${s2 ? ', stage 2' : ''}; ${out.recorded ? 'recorded' : 'not recorded'}`,
      );
    }
    return Verdict.fault;
  }

  private record(event: number, q: Request, access: number): boolean {
    if ((this.registers.get(CR0ACK.$.at) & CR0.EVENTQEN.mask) === 0) return false;
    fillRecord(this.events.begin(), event, q, access, this.site);
    const wasEmpty = this.events.empty;
    const pushed = this.events.push();
    if (pushed === PUSHED.ABORTED) this.signals.raise(GERROR.EVENTQ_ABT_ERR.mask);
    if (pushed !== PUSHED.STORED) return false;
    const { fault } = this.host.hooks;
    if (fault.isUsed())
      fault.call({
        unit: this.name,
        code: event,
        name: EVENT_NAMES[event]!,
        requester: q.stream,
        address: { hi: q.hi, lo: q.lo },
      });
    if (wasEmpty) this.signals.event();
    return true;
  }

  private tell(what: string, why: string): void {
    this.host.trace.step({ by: this.name, what, at: null, words: [], decoded: '', why });
  }
}

/** §5.2: PRIVCFG and INSTCFG replace what the transaction says, before permissions are looked at; writes are always data. */
function overridden(c: Context, access: number): number {
  let a = access;
  if (c.privCfg === 2) a &= ~PRIVILEGED;
  if (c.privCfg === 3) a |= PRIVILEGED;
  if (c.instCfg === 2) a &= ~EXEC;
  if (c.instCfg === 3 && (a & WRITE) === 0) a |= EXEC;
  return a;
}

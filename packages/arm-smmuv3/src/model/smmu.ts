import { get } from '@doorbell/bits';
import {
  capturedBlock,
  EXEC,
  hex64,
  join64,
  PRIVILEGED,
  READ,
  TRANSLATED,
  UNTRANSLATED,
  Verdict,
  WRITE,
  type CaptureRestored,
  type HardwareHost,
  type Lane,
  type Model,
  type Outcome,
  type Request,
  type Restorable,
  type TableExtent,
  type TranslationUnit,
} from '@doorbell/platform';
import {
  CMDQ_BASE,
  CMDQ_PROD,
  COMMAND_SIZE,
  CR0,
  CR0ACK,
  CR2,
  EVENT_ID,
  EVENT_NAMES,
  EVENT_SIZE,
  EVENTQ_BASE,
  EVENTQ_PROD,
  IDENTIFICATION,
  GBPA,
  GERROR,
  GERRORN,
  IDR0,
  IDR1,
  IDR3,
  IDR5,
  AIDR,
  IRQ_CTRL,
  IRQ_CTRLACK,
  REGISTERS,
  SMMU_SIZE,
  STRTAB_BASE,
  STRTAB_BASE_CFG,
} from '../spec/index.js';
import { CommandQueue, type CommandTarget } from './command-queue.js';
import { Configuration, type StreamTable } from './configuration.js';
import { KIND, NOBODY, type Context } from './context.js';
import { EventQueue, PUSHED, queueGeometry } from './event-queue.js';
import { smmuExtents } from './extents.js';
import { featuresOf, idRegisters, type Features, type SmmuOptions } from './features.js';
import { fillRecord } from './record.js';
import { SmmuRegisters } from './registers.js';
import { Signals, type Wires } from './signals.js';
import { META, PRIVILEGED_SHIFT, Tlb } from './tlb.js';
import { Walker } from './walk.js';

/**
 * An SMMUv3 with stage 1: registers, stream table, CDs, walks, TLB, command and event queue (IHI 0070 H.a). Nothing that software puts
 * in memory or registers makes it throw: it faults as the architecture says.
 */
export class Smmu implements Model, TranslationUnit, CommandTarget, Restorable {
  readonly regions: readonly SmmuRegisters[];
  readonly tlb = new Tlb();
  readonly configuration: Configuration;
  features!: Features;
  private readonly registers: SmmuRegisters;
  private readonly walker: Walker;
  private readonly events: EventQueue;
  private readonly commands: CommandQueue;
  private readonly signals: Signals;
  private readonly commandLane: Lane;
  private readonly ackLane: Lane;
  private table: StreamTable = { base: 0, log2size: 0, twoLevel: false, split: 6 };
  /** CR0ACK.SMMUEN: translation is on. */
  private enabled = false;
  /** On, and nobody traces. */
  private fast = false;
  /** Of the last transaction; `NOBODY` while the fast path must not be taken. */
  private current = NOBODY;
  /** What a TLB hit reads, without the way there. */
  private readonly entries = this.tlb.words;
  private readonly addresses = this.tlb.pa;
  private readonly contexts: Context[];
  private gbpa = 0;

  constructor(
    readonly name: string,
    base: number,
    private readonly host: HardwareHost,
    private readonly options: SmmuOptions = {},
    wires?: Wires,
  ) {
    const { memoryModel, trace, clock, diagnostics } = host;
    this.registers = new SmmuRegisters({ name, base, size: SMMU_SIZE, diagnostics, registers: [...REGISTERS] });
    this.regions = [this.registers];
    this.configuration = new Configuration(name, memoryModel, trace, () => (this.current = NOBODY));
    this.contexts = this.configuration.contexts;
    trace.onSwitch(() => this.refreshFast());
    this.walker = new Walker(name, memoryModel, trace);
    this.events = new EventQueue(this.registers, memoryModel);
    this.commands = new CommandQueue(this.registers, memoryModel, trace, this);
    this.signals = new Signals({
      registers: this.registers,
      bus: host.bus,
      options: this.options,
      wires,
      msi: () => this.features.msi,
    });
    this.commandLane = clock.lane();
    this.ackLane = clock.lane();
    this.connect();
    IDENTIFICATION.forEach(([offset, value]) => this.registers.onRead(offset, () => value));
    this.reset();
  }

  get split(): number {
    return this.table.split;
  }

  /** Injects a refusal: `after` commands go through, the next one ends in CERROR_ILL. -1 takes it back. */
  refuseCommand(after: number): void {
    this.commands.refuseIn = after;
  }

  reset(): void {
    const r = this.registers;
    r.reset();
    const ids = idRegisters(this.options);
    r.set(IDR0.$.at, ids.idr0);
    r.set(IDR1.$.at, ids.idr1);
    r.set(IDR3.$.at, ids.idr3);
    r.set(IDR5.$.at, ids.idr5);
    r.set(AIDR.$.at, 1); // SMMUv3.1
    for (const { $ } of [CMDQ_BASE, EVENTQ_BASE]) r.set($.at, this.options.queueBits ?? 19); // the largest, as QEMU
    this.refresh();
  }

  snapshot(): Uint32Array {
    return this.registers.snapshot();
  }

  /** Registers and what follows from them; the caches are empty then, which the architecture allows at any time. */
  restore(state: unknown): void {
    this.registers.restore(state as Uint32Array);
    this.refresh();
  }

  /** Puts a captured machine's registers in place, without any of the effects of writing them; the caches are empty then. */
  restoreCapture(registers: unknown): CaptureRestored {
    const block = capturedBlock(registers, this.registers.base);
    if (!block) return { problems: [`no registers of ${this.name} at 0x${this.registers.base.toString(16)}`] };
    const problems = [...block.problems];
    this.registers.reset();
    for (const { $ } of REGISTERS) for (let i = 0; i < $.width / 32; i++) this.registers.set($.at + 4 * i, 0);
    for (const [at, value] of block.words) {
      if (REGISTERS.some(({ $ }) => at >= $.at && at < $.at + $.width / 8)) this.registers.set(at, value);
      else if (value !== 0)
        problems.push(`${this.name}: 0x${at.toString(16)} = 0x${value.toString(16)} is not modelled`);
    }
    for (const { $ } of [IDR0, IDR1, IDR5, CR0, CR0ACK, STRTAB_BASE, STRTAB_BASE_CFG])
      if (!block.words.has($.at)) problems.push(`${this.name}: ${$.name} is missing`);
    this.refresh();
    return { problems };
  }

  /** All memory that answers depend on. */
  tables(): Generator<TableExtent> {
    const { base, bits } = this.events;
    return smmuExtents(this.host.memoryModel, this.table, this.features, {
      base,
      bits,
      prod: this.registers.get(EVENTQ_PROD.$.at),
    });
  }

  /** A TLB hit takes no call, no allocation and no hook. */
  translate(q: Request, out: Outcome): Verdict {
    let c = this.current;
    if (c.sid !== q.stream || c.ssid !== q.pasid) c = this.switchTo(q.stream, q.pasid);
    if (c.plain && q.kind === UNTRANSLATED) {
      const page = q.lo >>> 12;
      const i = (page ^ q.hi ^ c.hash) & 4095;
      const w = this.entries;
      const at = i * 4;
      if (w[at] === page && w[at + 1] === q.hi && w[at + 2] === c.tag) {
        const a = q.access;
        const meta = w[at + 3]!;
        const rights = (a & PRIVILEGED) === 0 ? meta : meta >>> PRIVILEGED_SHIFT;
        const need = (a & 6) === EXEC ? EXEC : a & 3;
        if ((rights & need) === need) {
          out.pa = this.addresses[i]! + (q.lo & 4095);
          out.pageSize = 1 << (meta >>> META.SIZE);
          out.permissions = rights & 7;
          return Verdict.translated;
        }
      }
      return this.stage1(c, q, out, q.access);
    }
    return this.translateSlow(q, out);
  }

  /** The cached context of a stream, if the fast path may serve it, as the current one; otherwise `NOBODY`. */
  private switchTo(sid: number, ssid: number): Context {
    const c = this.contexts[(sid ^ ((ssid + 1) << 4)) & 1023]!;
    return this.fast && c.sid === sid && c.ssid === ssid ? (this.current = c) : NOBODY;
  }

  private translateSlow(q: Request, out: Outcome): Verdict {
    if (!this.enabled) return this.unconfigured(q, out);
    if (q.kind !== UNTRANSLATED) {
      // ATS = 0: no translation requests; ATSCHK has nothing to check against, translated requests are refused
      return this.fail(
        q.kind === TRANSLATED ? EVENT_ID.F_TRANSL_FORBIDDEN : EVENT_ID.F_BAD_ATS_TREQ,
        q,
        out,
        q.access,
        true,
      );
    }
    const event = this.configuration.find(q.stream, q.pasid, this.table, this.features);
    if (event !== 0) {
      const recorded = event !== EVENT_ID.C_BAD_STREAMID || get(this.registers.get(CR2.$.at), CR2.RECINVSID) === 1;
      return this.fail(event, q, out, q.access, recorded);
    }
    const c = this.configuration.found;
    if (c.kind === KIND.ABORT) return this.silent('STE_ABORT', 'Config = 0xx aborts without an event', out);
    if (c.kind === KIND.BYPASS) {
      // §7.3.13: a bypassed stage 1 checks the input against IAS
      if (q.hi >= 2 ** (this.features.oasBits - 32)) return this.fail(EVENT_ID.F_ADDR_SIZE, q, out, q.access, true);
      return this.pass(q, out, 'STE bypass');
    }
    return this.stage1(c, q, out, c.overrides ? overridden(c, q.access) : q.access);
  }

  private stage1(c: Context, q: Request, out: Outcome, access: number): Verdict {
    const half = (q.hi & 0x0080_0000) !== 0 ? c.upper : c.lower; // VA bit 55
    const key = half.tbi ? ((q.hi << 8) >> 8) >>> 0 : q.hi >>> 0;
    const tracing = this.host.trace.on;
    const shift = (access & PRIVILEGED) !== 0 ? PRIVILEGED_SHIFT : 0;
    const need = (access & (EXEC | WRITE)) === EXEC ? EXEC : access & (READ | WRITE);
    let i = half.enabled ? this.tlb.find(key, q.lo, c.tag) : -1;
    if (i < 0) {
      const w = this.walker;
      const event = w.walk(half, c.rules, q.hi, q.lo);
      if (event !== 0) return this.fail(event, q, out, access, event === EVENT_ID.F_WALK_EABT || c.record);
      i = this.tlb.insert(key, q.lo, c.tag, w.pa, w.rights, w.sizeBits, half.g, w.level, w.global);
    } else if (tracing) this.tell('TLB entry', `leaf of 2^${this.tlb.sizeBits(i)} bytes cached by an earlier walk`);
    const rights = (this.tlb.rights(i) >>> shift) & 7;
    if ((rights & need) !== need) return this.fail(EVENT_ID.F_PERMISSION, q, out, access, c.record);
    out.pa = this.tlb.pa[i]! + (q.lo & 4095);
    out.pageSize = BYTES[this.tlb.sizeBits(i)]!;
    out.permissions = rights;
    if (tracing) this.tell('translation', `${hex64(q.hi, q.lo)} → 0x${out.pa.toString(16)}`);
    return Verdict.translated;
  }

  private unconfigured(q: Request, out: Outcome): Verdict {
    // §6.3.14: ABORT = 1 terminates everything without an event
    if (this.gbpa & GBPA.ABORT.mask) return this.silent('GBPA_ABORT', 'SMMUEN = 0 and GBPA.ABORT = 1', out);
    if (q.kind === UNTRANSLATED) return this.pass(q, out, 'SMMUEN = 0');
    return this.fail(
      q.kind === TRANSLATED ? EVENT_ID.F_TRANSL_FORBIDDEN : EVENT_ID.F_BAD_ATS_TREQ,
      q,
      out,
      q.access,
      true,
    );
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
      this.tell(
        out.fault,
        `StreamID 0x${q.stream.toString(16)}, input ${hex64(q.hi, q.lo)}; ${out.recorded ? 'recorded' : 'not recorded'}`,
      );
    }
    return Verdict.fault;
  }

  private record(event: number, q: Request, access: number): boolean {
    if ((this.registers.get(CR0ACK.$.at) & CR0.EVENTQEN.mask) === 0) return false;
    const fetch =
      event === EVENT_ID.F_WALK_EABT
        ? this.walker.at
        : event === EVENT_ID.F_STE_FETCH || event === EVENT_ID.F_CD_FETCH
          ? this.configuration.fetchAt
          : -1;
    fillRecord(this.events.begin(), event, q, access, fetch);
    return this.store(event, q);
  }

  private store(event: number, q: Request): boolean {
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

  signalSync(address: number, data: number): void {
    this.signals.sync(address, data);
  }

  commandError(): void {
    this.signals.raise(GERROR.CMDQ_ERR.mask);
  }

  private get commandsRun(): boolean {
    const stopped = (this.registers.get(GERROR.$.at) ^ this.registers.get(GERRORN.$.at)) & GERROR.CMDQ_ERR.mask;
    return (this.registers.get(CR0ACK.$.at) & CR0.CMDQEN.mask) !== 0 && !stopped;
  }

  private kick(): void {
    this.commandLane.run(() => {
      if (this.commandsRun) this.commands.consume();
    });
  }

  /** What writes do after they are stored. */
  private connect(): void {
    const r = this.registers;
    r.onWrite(CR0.$.at, (value) => {
      this.ackLane.run(() => {
        r.set(CR0ACK.$.at, value);
        this.refresh(false);
        this.kick();
      });
    });
    r.onWrite(IRQ_CTRL.$.at, (value) => this.ackLane.run(() => r.set(IRQ_CTRLACK.$.at, value)));
    r.onWrite(GBPA.$.at, (value, written) => {
      // §6.3.14: only a write with UPDATE = 1 counts, and none while one is under way
      const pending = (this.gbpa & GBPA.UPDATE.mask) !== 0;
      if (pending || (written & GBPA.UPDATE.mask) === 0) return r.set(GBPA.$.at, this.gbpa);
      this.gbpa = ((this.gbpa & ~GBPA.UPDATE.mask) | GBPA.UPDATE.mask) >>> 0;
      this.ackLane.run(() => {
        this.gbpa = (value & ~GBPA.UPDATE.mask) >>> 0;
        r.set(GBPA.$.at, this.gbpa);
      });
    });
    r.onWrite(CMDQ_PROD.$.at, () => this.kick());
    r.onWrite(GERRORN.$.at, () => this.kick());
    for (const { $ } of [STRTAB_BASE_CFG, STRTAB_BASE, CMDQ_BASE, EVENTQ_BASE])
      for (let i = 0; i < $.width / 32; i++) r.onWrite($.at + 4 * i, () => this.refresh(false));
  }

  /** Recomputes what follows from the registers. */
  private refresh(caches = true): void {
    const r = this.registers;
    if (caches) {
      this.features = featuresOf(r.get(IDR0.$.at), r.get(IDR1.$.at), r.get(IDR3.$.at), r.get(IDR5.$.at));
      this.tlb.clear();
      this.configuration.clear();
      this.gbpa = r.get(GBPA.$.at);
    }
    const cfg = r.get(STRTAB_BASE_CFG.$.at);
    const split = get(cfg, STRTAB_BASE_CFG.SPLIT);
    this.table = {
      base: join64(r.get(STRTAB_BASE.$.at + 4) & 0xfffff, (r.get(STRTAB_BASE.$.at) & ~63) >>> 0),
      log2size: Math.min(get(cfg, STRTAB_BASE_CFG.LOG2SIZE), this.features.sidBits),
      twoLevel: get(cfg, STRTAB_BASE_CFG.FMT) === 1, // reserved values act as linear
      split: split === 8 || split === 10 ? split : 6,
    };
    Object.assign(
      this.commands,
      queueGeometry(r.get(CMDQ_BASE.$.at), r.get(CMDQ_BASE.$.at + 4), this.features.cmdqBits, COMMAND_SIZE),
    );
    Object.assign(
      this.events,
      queueGeometry(r.get(EVENTQ_BASE.$.at), r.get(EVENTQ_BASE.$.at + 4), this.features.eventqBits, EVENT_SIZE),
    );
    this.enabled = (r.get(CR0ACK.$.at) & CR0.SMMUEN.mask) !== 0;
    this.refreshFast();
  }

  private refreshFast(): void {
    this.current = NOBODY;
    this.fast = this.enabled && !this.host.trace.on;
  }

  private tell(what: string, why: string): void {
    this.host.trace.step({ by: this.name, what, at: null, words: [], decoded: '', why });
  }
}

/** 2^n: a power costs more than the walk. */
const BYTES = Float64Array.from({ length: 64 }, (_, n) => 2 ** n);

/** §5.2: PRIVCFG and INSTCFG replace what the transaction says, before permissions are looked at; writes are always data. */
function overridden(c: Context, access: number): number {
  let a = access;
  if (c.privCfg === 2) a &= ~PRIVILEGED;
  if (c.privCfg === 3) a |= PRIVILEGED;
  if (c.instCfg === 2) a &= ~EXEC;
  if (c.instCfg === 3 && (a & WRITE) === 0) a |= EXEC;
  return a;
}

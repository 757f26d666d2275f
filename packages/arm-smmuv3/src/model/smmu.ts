import { get } from '@doorbell/bits';
import {
  capturedBlock,
  join64,
  type CaptureRestored,
  type HardwareHost,
  type Lane,
  type Model,
  type Outcome,
  type Request,
  type Restorable,
  type TableExtent,
  type TranslationUnit,
  type Verdict,
} from '@doorbell/platform';
import {
  AIDR,
  CMDQ_BASE,
  CMDQ_PROD,
  COMMAND_SIZE,
  CR0,
  CR0ACK,
  EVENT_SIZE,
  EVENTQ_BASE,
  EVENTQ_PROD,
  GBPA,
  GERROR,
  GERRORN,
  IDENTIFICATION,
  IDR0,
  IDR1,
  IDR3,
  IDR5,
  IRQ_CTRL,
  IRQ_CTRLACK,
  REGISTERS,
  SMMU_SIZE,
  STRTAB_BASE,
  STRTAB_BASE_CFG,
} from '../spec/index.js';
import { CommandQueue, type CommandTarget } from './command-queue.js';
import type { Configuration } from './configuration.js';
import { EventQueue, queueGeometry } from './event-queue.js';
import { smmuExtents } from './extents.js';
import { featuresOf, idRegisters, type Features, type SmmuOptions } from './features.js';
import { SmmuRegisters } from './registers.js';
import { Signals, type Wires } from './signals.js';
import type { Tlb } from './tlb.js';
import { Translation } from './translation.js';

/**
 * An SMMUv3 with stage 1: registers, stream table, CDs, walks, TLB, command and event queue (IHI 0070 H.a). Nothing that software puts
 * in memory or registers makes it throw: it faults as the architecture says.
 */
export class Smmu implements Model, TranslationUnit, CommandTarget, Restorable {
  readonly regions: readonly SmmuRegisters[];
  private readonly translation: Translation;
  private readonly registers: SmmuRegisters;
  private readonly events: EventQueue;
  private readonly commands: CommandQueue;
  private readonly signals: Signals;
  private readonly commandLane: Lane;
  private readonly ackLane: Lane;
  private readonly consume = (): void => {
    if (this.commandsRun) this.commands.consume();
  };

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
    this.events = new EventQueue(this.registers, memoryModel);
    this.signals = new Signals({
      registers: this.registers,
      bus: host.bus,
      options: this.options,
      wires,
      msi: () => this.features.msi,
    });
    this.translation = new Translation(name, host, this.registers, this.events, this.signals);
    this.commands = new CommandQueue(this.registers, memoryModel, trace, this);
    this.commandLane = clock.lane();
    this.ackLane = clock.lane();
    this.connect();
    IDENTIFICATION.forEach(([offset, value]) => this.registers.onRead(offset, () => value));
    this.reset();
  }

  get tlb(): Tlb {
    return this.translation.tlb;
  }
  get configuration(): Configuration {
    return this.translation.configuration;
  }
  get features(): Features {
    return this.translation.features;
  }
  get split(): number {
    return this.translation.table.split;
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
      if (isRegister(at)) this.registers.set(at, value);
      else if (value !== 0 && !isEcho(at))
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
    return smmuExtents(this.host.memoryModel, this.translation.table, this.features, {
      base,
      bits,
      prod: this.registers.get(EVENTQ_PROD.$.at),
    });
  }

  translate(q: Request, out: Outcome): Verdict {
    return this.translation.translate(q, out);
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
    this.commandLane.run(this.consume);
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
      const { translation: t } = this;
      const pending = (t.gbpa & GBPA.UPDATE.mask) !== 0;
      if (pending || (written & GBPA.UPDATE.mask) === 0) return r.set(GBPA.$.at, t.gbpa);
      t.gbpa = ((t.gbpa & ~GBPA.UPDATE.mask) | GBPA.UPDATE.mask) >>> 0;
      this.ackLane.run(() => {
        t.gbpa = (value & ~GBPA.UPDATE.mask) >>> 0;
        r.set(GBPA.$.at, t.gbpa);
      });
    });
    r.onWrite(CMDQ_PROD.$.at, () => this.kick());
    r.onWrite(GERRORN.$.at, () => this.kick());
    for (const { $ } of [STRTAB_BASE_CFG, STRTAB_BASE, CMDQ_BASE, EVENTQ_BASE])
      for (let i = 0; i < $.width / 32; i++) r.onWrite($.at + 4 * i, () => this.refresh(false));
  }

  /** Recomputes what follows from the registers. */
  private refresh(caches = true): void {
    const { registers: r, translation: t } = this;
    if (caches) {
      t.features = featuresOf(r.get(IDR0.$.at), r.get(IDR1.$.at), r.get(IDR3.$.at), r.get(IDR5.$.at));
      t.tlb.clear();
      t.configuration.clear();
      t.gbpa = r.get(GBPA.$.at);
    }
    const cfg = r.get(STRTAB_BASE_CFG.$.at);
    const split = get(cfg, STRTAB_BASE_CFG.SPLIT);
    t.table = {
      base: join64(r.get(STRTAB_BASE.$.at + 4) & 0xfffff, (r.get(STRTAB_BASE.$.at) & ~63) >>> 0),
      log2size: Math.min(get(cfg, STRTAB_BASE_CFG.LOG2SIZE), t.features.sidBits),
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
    t.switch((r.get(CR0ACK.$.at) & CR0.SMMUEN.mask) !== 0);
  }
}

const isRegister = (at: number): boolean => REGISTERS.some(({ $ }) => at >= $.at && at < $.at + $.width / 8);
/** Identification registers, and what QEMU shows of one page in the other: they say nothing new. */
const isEcho = (at: number): boolean => (at & 0xffff) >= 0xfd0 || isRegister(at ^ 0x10000);

import { decode, getAddress, getAt } from '@doorbell/bits';
import {
  capturedBlock,
  RegisterFile,
  type CaptureRestored,
  type HardwareHost,
  type Lane,
  type Model,
  type Refusal,
  type Restorable,
  type TableExtent,
} from '@doorbell/platform';
import {
  BASER_TYPE,
  GITS_BASER,
  GITS_CBASER,
  GITS_CREADR,
  GITS_CTLR,
  GITS_CWRITER,
  GITS_IIDR,
  GITS_PIDR2,
  GITS_TRANSLATER_AT,
  GITS_TYPER,
  ITE_SIZE,
  ITS_COMMAND,
  ITS_COMMAND_SIZE,
  ITS_OP_NAMES,
  ITS_REGISTERS,
  ITS_SIZE,
  PIDR,
} from '../spec/index.js';
import { EventCache } from './event-cache.js';
import { identify, isIdentification } from './identification.js';
import { ItsCommands, type ItsTarget } from './its-commands.js';
import { ItsSteps } from './its-steps.js';
import { ItsTables, REASON } from './its-tables.js';
import { LPI, type Lpis } from './lpis.js';
import { IIDR_VALUE } from './redistributor.js';

export interface ItsOptions {
  /** DeviceID bits. Default 16. */
  readonly deviceBits?: number;
  /** EventID bits. Default 16. */
  readonly eventBits?: number;
  /** ICID bits. Default 16. */
  readonly collectionBits?: number;
  /** `stall` (default): a bad command stops the queue with CREADR.Stalled; `skip`: it has no effect, as in QEMU. */
  readonly commandErrors?: 'stall' | 'skip';
}

/** What an ITS needs of the GIC whose redistributors it writes to. */
export interface Redistributors {
  lpis(processor: number): Lpis | undefined;
  readonly forwards: boolean;
}

/** Names of refused messages, by REASON. */
const REFUSALS: Readonly<Record<number, string>> = {
  [REASON.DEVICE_RANGE]: 'DEVICE_OUT_OF_RANGE',
  [REASON.DEVICE_UNMAPPED]: 'UNMAPPED_DEVICE',
  [REASON.EVENT_RANGE]: 'EVENT_OUT_OF_RANGE',
  [REASON.EVENT_UNMAPPED]: 'UNMAPPED_EVENT',
  [REASON.COLLECTION_RANGE]: 'UNMAPPED_COLLECTION',
  [REASON.COLLECTION_UNMAPPED]: 'UNMAPPED_COLLECTION',
};

/** GITS_*: CBASER and BASERn hold still while the ITS is enabled; the translater takes 16 and 32 bits. */
class ItsRegisters extends RegisterFile {
  message: (event: number, source: number) => void = () => undefined;

  override write(offset: number, size: number, value: number, source: number): void {
    if (offset === GITS_TRANSLATER_AT) return this.message(value >>> 0, source);
    const base = (offset >= 0x80 && offset < 0x88) || (offset >= 0x100 && offset < 0x140);
    if (base && (this.get(GITS_CTLR.$.at) & 1) !== 0) {
      this.notes.illegal(this.name, `write of 0x${offset.toString(16)} while Enabled = 1`);
      return;
    }
    super.write(offset, size, value, source);
  }

  constructor(
    name: string,
    base: number,
    private readonly notes: HardwareHost['diagnostics'],
  ) {
    super({ name, base, size: ITS_SIZE, sizes: [2, 4, 8], diagnostics: notes, registers: ITS_REGISTERS });
  }
}

/**
 * An Interrupt Translation Service for physical LPIs (IHI 0069 ch. 5): command queue, device and collection tables, ITTs, and the
 * doorbell. The DeviceID of a message is what travels beside the write; software at a CPU counts as DeviceID 0.
 */
export class Its implements Model, ItsTarget, Restorable {
  readonly regions: readonly RegisterFile[];
  readonly tables: ItsTables;
  private readonly registers: ItsRegisters;
  private readonly commands: ItsCommands;
  private readonly cache = new EventCache();
  private readonly steps: ItsSteps;
  private readonly lane: Lane;
  private readonly word = new Uint32Array(ITS_COMMAND_SIZE / 4);
  private readonly doorbell: string;
  /** Commands that still go through before one is refused; -1: none is. */
  private refuseIn = -1;
  private enabled = false;
  private busy = false;

  constructor(
    readonly name: string,
    base: number,
    private readonly host: HardwareHost,
    private readonly gic: Redistributors,
    private readonly options: ItsOptions = {},
  ) {
    const r = (this.registers = new ItsRegisters(name, base, host.diagnostics));
    this.regions = [r];
    this.doorbell = `0x${(base + GITS_TRANSLATER_AT).toString(16)}`;
    this.tables = new ItsTables(host.memoryModel);
    this.steps = new ItsSteps(name, host, this.tables);
    this.commands = new ItsCommands(this.tables, this);
    this.lane = host.clock.lane();
    r.message = (event, source) => this.message(Math.max(source, 0), event);
    r.onWrite(GITS_CTLR.$.at, (value) => this.control(value));
    for (const at of [GITS_CBASER.$.at, GITS_CBASER.$.at + 4]) r.onWrite(at, () => r.set(GITS_CREADR.$.at, 0));
    r.onWrite(GITS_CWRITER.$.at, (value, written) => this.kick(value, written));
    for (const n of [0, 1]) for (const at of [0, 4]) r.onWrite(GITS_BASER[n]!.$.at + at, () => this.refresh());
    for (let n = 2; n < 8; n++)
      for (const at of [0, 4]) r.onWrite(GITS_BASER[n]!.$.at + at, () => r.set(GITS_BASER[n]!.$.at + at, 0));
    identify(r, PIDR.its);
    this.reset();
  }

  get eventBits(): number {
    return this.tables.eventBits;
  }
  /** Every redistributor shares the INTID range; the largest counts. */
  get lpiLimit(): number {
    return 65536;
  }
  lpis(cpu: number): Lpis | undefined {
    return this.gic.lpis(cpu);
  }

  /** Injects a refusal: `after` commands go through, the next one stalls the queue. -1 takes it back. */
  refuseCommand(after: number): void {
    this.refuseIn = after;
  }

  reset(): void {
    const r = this.registers;
    r.reset();
    const { deviceBits = 16, eventBits = 16, collectionBits = 16 } = this.options;
    r.set(GITS_IIDR.$.at, IIDR_VALUE);
    const typer =
      GITS_TYPER.Physical.mask |
      ((ITE_SIZE - 1) << GITS_TYPER.ITT_entry_size.lsb) |
      ((eventBits - 1) << GITS_TYPER.ID_bits.lsb) |
      ((deviceBits - 1) << GITS_TYPER.Devbits.lsb);
    r.set(GITS_TYPER.$.at, typer >>> 0);
    r.set(GITS_TYPER.$.at + 4, (collectionBits - 1) | GITS_TYPER.CIL.mask);
    r.set(GITS_PIDR2.$.at, 0x3b);
    const type = (n: number, t: number) => {
      r.set(GITS_BASER[n]!.$.at, 2 << GITS_BASER[n]!.Page_Size.lsb);
      r.set(GITS_BASER[n]!.$.at + 4, (t << 24) | (7 << 16)); // 8-byte entries
    };
    type(0, BASER_TYPE.DEVICES);
    type(1, BASER_TYPE.COLLECTIONS);
    this.refuseIn = -1;
    this.refresh();
  }

  snapshot(): Uint32Array {
    return this.registers.snapshot();
  }
  restore(state: unknown): void {
    this.registers.restore(state as Uint32Array);
    this.refresh();
  }

  /**
   * Puts a captured machine's registers in place, without any of the effects of writing them. Its private tables can be read where
   * they have QEMU 7.2's formats.
   */
  restoreCapture(registers: unknown): CaptureRestored {
    const r = this.registers;
    const block = capturedBlock(registers, r.base);
    if (!block) return { problems: [`no registers of ${this.name} at 0x${r.base.toString(16)}`] };
    const problems = [...block.problems];
    r.reset();
    for (const [at, value] of block.words) {
      if (ITS_REGISTERS.some(({ $ }) => at >= $.at && at < $.at + $.width / 8)) r.set(at, value);
      else if (value !== 0 && !isIdentification(at))
        problems.push(`${this.name}: 0x${at.toString(16)} = 0x${value.toString(16)} is not modelled`);
    }
    for (const { $ } of [GITS_CTLR, GITS_TYPER, GITS_BASER[0]!, GITS_BASER[1]!])
      if (!block.words.has($.at)) problems.push(`${this.name}: ${$.name} is missing`);
    const entry = getAt(r.words, GITS_TYPER.$.at / 4, GITS_TYPER.ITT_entry_size) + 1;
    if (entry !== ITE_SIZE)
      problems.push(`${this.name}: ITT entries of ${entry} bytes are in a private format that is not known here`);
    this.refresh();
    return { problems };
  }

  /** All memory that answers depend on, apart from the redistributors'. */
  extents(): Generator<TableExtent> {
    return this.tables.extents();
  }

  /** A write to GITS_TRANSLATER: steps of the fact sheet's §4. */
  private message(device: number, event: number): void {
    const { trace } = this.host;
    if (trace.on) this.steps.tell('GITS_TRANSLATER', null, [event], '', `DeviceID ${device}, EventID ${event}`);
    else {
      const slot = this.cache.find(device, event);
      if (slot >= 0) return this.again(device, event, slot);
    }
    if (!this.enabled) return this.refuse('ITS_DISABLED', 'GITS_CTLR.Enabled = 0');
    const reason = this.raiseInterrupt(device, event);
    if (reason !== '') this.refuse(reason, REFUSAL_WHY[reason] ?? '');
  }

  raise(device: number, event: number): void {
    this.raiseInterrupt(device, event);
  }

  /** An event that came before and reached a redistributor: no table is read. */
  private again(device: number, event: number, slot: number): void {
    const { cache } = this;
    const reason = this.deliver(device, event, cache.intid(slot), cache.icid(slot), cache.cpu(slot));
    if (reason !== '') this.refuse(reason, REFUSAL_WHY[reason] ?? '');
  }

  /** Sets the LPI pending; '' or the name of the refusal. */
  private raiseInterrupt(device: number, event: number): string {
    const t = this.tables;
    const reason = t.findInterrupt(device, event);
    if (this.host.trace.on) this.steps.event(reason);
    if (reason !== REASON.OK) return REFUSALS[reason]!;
    const { intid, icid } = t;
    const collection = t.findCollection(icid);
    if (this.host.trace.on) this.steps.collection(collection);
    if (collection !== REASON.OK) return 'UNMAPPED_COLLECTION';
    if (this.enabled) this.cache.fill(device, event, intid, icid, t.cpu);
    return this.deliver(device, event, intid, icid, t.cpu);
  }

  private deliver(device: number, event: number, intid: number, icid: number, cpu: number): string {
    const lpis = this.gic.lpis(cpu);
    if (lpis === undefined) return 'NO_REDISTRIBUTOR';
    const state = lpis.setPending(intid);
    if (this.host.trace.on) this.steps.lpi(lpis, intid, state);
    if (state === LPI.OFF) return 'LPIS_OFF';
    if (state === LPI.OUT_OF_RANGE) return 'LPI_OUT_OF_RANGE';
    if (state === LPI.DISABLED) return 'LPI_DISABLED';
    if (!this.gic.forwards) return 'GROUP_DISABLED';
    const { delivered } = this.host.hooks;
    if (delivered.isUsed()) {
      delivered.call({
        controller: 'gicv3-its',
        doorbell: this.doorbell,
        deviceId: device,
        eventId: event,
        intid,
        collection: icid,
        cpu,
        enabled: true,
      });
    }
    return '';
  }

  private refuse(name: string, why: string): void {
    if (this.host.trace.on) this.steps.tell('message dropped', null, [], name, why);
    const { refused } = this.host.hooks;
    const refusal: Refusal = { by: this.name, code: null, name, recorded: false };
    if (refused.isUsed()) refused.call(refusal);
  }

  private control(value: number): void {
    const r = this.registers;
    const on = (value & GITS_CTLR.Enabled.mask) !== 0;
    r.set(GITS_CTLR.$.at, ((value & GITS_CTLR.Enabled.mask) | GITS_CTLR.Quiescent.mask) >>> 0);
    this.enabled = on;
    this.cache.clear();
    if (on) this.schedule();
  }

  private kick(value: number, written: number): void {
    const r = this.registers;
    r.set(GITS_CWRITER.$.at, value & ~GITS_CWRITER.Retry.mask); // Retry reads as 0
    // §5: software mended the entry and asks to go on
    if ((written & GITS_CWRITER.Retry.mask) !== 0) r.set(GITS_CREADR.$.at, r.get(GITS_CREADR.$.at) & ~1);
    this.schedule();
  }

  private schedule(): void {
    this.lane.run(() => this.consume());
  }

  private consume(): void {
    const r = this.registers;
    const cbaser = GITS_CBASER.$.at / 4;
    if (this.busy || !this.enabled || getAt(r.words, cbaser, GITS_CBASER.Valid) === 0) return;
    const bytes = (getAt(r.words, cbaser, GITS_CBASER.Size) + 1) * 4096;
    const base = getAddress(r.words, cbaser, GITS_CBASER.PA);
    const end = r.get(GITS_CWRITER.$.at) & GITS_CWRITER.Offset.mask;
    if (end >= bytes) {
      this.host.diagnostics.illegal(this.name, 'CWRITER beyond the queue');
      return;
    }
    this.busy = true;
    for (let n = 0; n < bytes / ITS_COMMAND_SIZE; n++) {
      const creadr = r.get(GITS_CREADR.$.at);
      const at = creadr & GITS_CREADR.Offset.mask;
      if (at === end || (creadr & GITS_CREADR.Stalled.mask) !== 0) break;
      if (!this.step(base + at)) {
        r.set(GITS_CREADR.$.at, (at | GITS_CREADR.Stalled.mask) >>> 0);
        break;
      }
      r.set(GITS_CREADR.$.at, (at + ITS_COMMAND_SIZE) % bytes);
    }
    this.busy = false;
  }

  /** False: the queue stalls on this command. */
  private step(at: number): boolean {
    const { memoryModel, trace, diagnostics } = this.host;
    const w = this.word;
    if (!memoryModel.has(at) || !memoryModel.has(at + ITS_COMMAND_SIZE - 4)) return false;
    for (let i = 0; i < w.length; i++) w[i] = memoryModel.read32(at + 4 * i);
    this.cache.clear();
    const injected = this.refuseIn === 0;
    if (this.refuseIn >= 0) this.refuseIn--;
    const reason = injected ? REASON.UNKNOWN_COMMAND : this.commands.execute(w);
    const op = w[0]! & 0xff;
    const name = ITS_OP_NAMES[op] ?? `0x${op.toString(16)}`;
    const number = 0x010000 | ((op === 4 ? 5 : op) << 8) | reason; // CLEAR's errors carry 05
    if (trace.on)
      this.steps.tell(
        `command ${name}`,
        at,
        [...w],
        decode(ITS_COMMAND, w),
        reason ? `error 0x${number.toString(16)}` : 'done',
      );
    if (reason === REASON.OK) return true;
    if (!injected) {
      if (ITS_OP_NAMES[op] === undefined) diagnostics.unimplemented(this.name, `command 0x${op.toString(16)}`);
      else diagnostics.illegal(this.name, `${name}: error 0x${number.toString(16).padStart(6, '0')}`);
    }
    // errors found at the destination (20 and up) are ignored, the others stall
    return !injected && (this.options.commandErrors === 'skip' || (reason >= 0x20 && op !== 9 && reason !== 0xff));
  }

  private refresh(): void {
    this.tables.configure(this.registers.words);
    this.cache.clear();
    this.enabled = (this.registers.get(GITS_CTLR.$.at) & GITS_CTLR.Enabled.mask) !== 0;
  }
}

const REFUSAL_WHY: Readonly<Record<string, string>> = {
  DEVICE_OUT_OF_RANGE: 'no place in the device table',
  UNMAPPED_DEVICE: 'the DTE is not valid',
  EVENT_OUT_OF_RANGE: 'EventID ≥ 2^(Size + 1) of the MAPD',
  UNMAPPED_EVENT: 'the ITE is not valid',
  UNMAPPED_COLLECTION: 'the CTE is not valid',
  NO_REDISTRIBUTOR: 'the collection names a redistributor that is not there',
  LPIS_OFF: 'GICR_CTLR.EnableLPIs = 0',
  LPI_OUT_OF_RANGE: 'the INTID is beyond PROPBASER.IDbits',
  LPI_DISABLED: 'configuration byte: Enable = 0; it stays pending',
  GROUP_DISABLED: 'GICD_CTLR.EnableGrp1 = 0; it stays pending',
};

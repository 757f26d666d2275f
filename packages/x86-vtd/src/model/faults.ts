import { hex, hex64, READ, type HardwareHost, type Outcome, type RegisterFile } from '@doorbell/platform';
import { FAULT_NAMES, FECTL, FPD_MASKS, FRCD, FSTS } from '../spec/index.js';
import { EventMessage } from './events.js';
import type { MessagePort } from './messages.js';
import type { VtdConfig } from './options.js';

/** Status bits that share the fault event: while one is 1 there is no new event (§7.3). */
const SOURCES = FSTS.PFO.mask | FSTS.PPF.mask | FSTS.IQE.mask | FSTS.ICE.mask | FSTS.ITE.mask;
const F = FRCD.F.mask >>> 0;

/** Primary fault logging: fault recording registers, FSTS and the fault event. */
export class FaultRecorder {
  private readonly event: EventMessage;
  private readonly base: number;
  private readonly count: number;
  private next = 0;

  constructor(
    private readonly name: string,
    private readonly registers: RegisterFile,
    private readonly host: HardwareHost,
    private readonly config: VtdConfig,
    messages: MessagePort,
    private readonly onQueueErrorCleared: () => void,
  ) {
    this.base = config.faultOffset;
    this.count = config.faultRecords;
    this.event = new EventMessage(registers, FECTL.$.at, messages, config.extendedInterruptMode);
    registers.onWrite(FSTS.$.at, (_, written) => {
      if (written & FSTS.IQE.mask) this.onQueueErrorCleared();
      this.settle();
    });
    for (let n = 0; n < this.count; n++) registers.onWrite(this.base + 16 * n + 12, () => this.settle());
  }

  /**
   * A fault found by the unit. `fi` is (hi, lo) of the address, or the index in bits 63:48. Fills `out` and records unless `fpd` or a
   * full set of records forbids it.
   */
  report(
    reason: number,
    sid: number,
    hi: number,
    lo: number,
    access: number,
    kind: number,
    fpd: number,
    out: Outcome,
  ): void {
    out.code = reason;
    out.fault = FAULT_NAMES[reason]!;
    out.recorded = !(fpd && FPD_MASKS[reason]) && this.record(reason, sid, hi, lo, access, kind);
    if (this.host.trace.on) {
      this.host.trace.step({
        by: this.name,
        what: 'fault',
        at: null,
        words: [],
        decoded: `${out.fault} (${hex(reason)}) sid=${hex(sid)} fi=${hex64(hi, lo)}`,
        why: out.recorded
          ? 'recorded'
          : fpd && FPD_MASKS[reason]
            ? 'not recorded: FPD is set'
            : 'not recorded: no free record',
      });
    }
  }

  /** Sets a status bit of FSTS that queued invalidation owns (IQE, ICE, ITE). */
  raiseStatus(bit: number): void {
    const before = this.registers.get(FSTS.$.at);
    this.registers.set(FSTS.$.at, (before | bit) >>> 0);
    if ((before & SOURCES) === 0) this.event.raise();
  }

  get status(): number {
    return this.registers.get(FSTS.$.at);
  }

  reset(): void {
    this.next = 0;
  }
  snapshot(): number {
    return this.next;
  }
  restore(next: number): void {
    this.next = next;
  }

  private record(reason: number, sid: number, hi: number, lo: number, access: number, kind: number): boolean {
    const registers = this.registers;
    const before = registers.get(FSTS.$.at);
    if (before & FSTS.PFO.mask) return false;
    if (this.config.collapseFaults && this.pendingOf(sid)) return false;
    const n = this.next;
    const at = this.base + 16 * n;
    if (registers.get(at + 12) & F) {
      registers.set(FSTS.$.at, (before | FSTS.PFO.mask) >>> 0);
      if ((before & SOURCES) === 0) this.event.raise();
      return false;
    }
    this.next = (n + 1) % this.count;
    registers.set(at, (lo & 0xffff_f000) >>> 0);
    registers.set(at + 4, hi);
    registers.set(at + 8, sid);
    // T1 = 1 means read; an atomic access that needs both is recorded by what it was refused for.
    registers.set(at + 12, (F | (access & READ ? FRCD.T1.mask : 0) | ((kind & 3) << FRCD.AT.lsb) | reason) >>> 0);
    const { fault } = this.host.hooks;
    if (fault.isUsed())
      fault.call({ unit: this.name, code: reason, name: FAULT_NAMES[reason]!, requester: sid, address: { hi, lo } });
    if ((before & FSTS.PPF.mask) === 0) {
      registers.set(FSTS.$.at, ((before & ~FSTS.FRI.mask) | FSTS.PPF.mask | (n << FSTS.FRI.lsb)) >>> 0);
      if ((before & SOURCES) === 0) this.event.raise();
    }
    return true;
  }

  private pendingOf(sid: number): boolean {
    for (let n = 0; n < this.count; n++) {
      const at = this.base + 16 * n;
      if (this.registers.get(at + 12) & F && (this.registers.get(at + 8) & 0xffff) === sid) return true;
    }
    return false;
  }

  /** After software cleared bits: PPF is the OR of every F; with no source left a pending event is withdrawn. */
  private settle(): void {
    let any = 0;
    for (let n = 0; n < this.count; n++) any |= this.registers.get(this.base + 16 * n + 12) & F;
    const before = this.registers.get(FSTS.$.at);
    const now = any ? (before | FSTS.PPF.mask) >>> 0 : (before & ~FSTS.PPF.mask & ~FSTS.FRI.mask) >>> 0;
    this.registers.set(FSTS.$.at, now);
    if ((now & SOURCES) === 0) this.event.withdraw();
  }
}

import { getAt, getWide, setAt, setWide } from '@doorbell/bits';
import { CTE, DTE, FIRST_LPI, ITE, ITS_COMMAND, ITS_OP, MAPD } from '../spec/index.js';
import type { Lpis } from './lpis.js';
import { ItsTables, REASON } from './its-tables.js';

/** What commands act on besides the tables. */
export interface ItsTarget {
  lpis(cpu: number): Lpis | undefined;
  /** An LPI became pending or enabled: deliver it. */
  raise(device: number, event: number): void;
  readonly lpiLimit: number;
  readonly eventBits: number;
}

/** The commands of IHI 0069 §5.3, with their checks in the order of its pseudocode. 0, or the reason of the refusal. */
export class ItsCommands {
  private readonly entry2 = new Uint32Array(2);
  private readonly entry3 = new Uint32Array(3);

  constructor(
    private readonly tables: ItsTables,
    private readonly target: ItsTarget,
  ) {}

  execute(w: Uint32Array): number {
    const device = getAt(w, 0, ITS_COMMAND.DeviceID);
    const event = getAt(w, 0, ITS_COMMAND.EventID);
    switch (getAt(w, 0, ITS_COMMAND.OPCODE)) {
      case ITS_OP.MAPD:
        return this.mapd(w, device);
      case ITS_OP.MAPC:
        return this.mapc(w);
      case ITS_OP.MAPTI:
        return this.mapti(w, device, event, getAt(w, 0, ITS_COMMAND.pINTID));
      case ITS_OP.MAPI:
        return this.mapti(w, device, event, event);
      case ITS_OP.MOVI:
        return this.movi(w, device, event);
      case ITS_OP.MOVALL:
        return this.movall(w);
      case ITS_OP.DISCARD:
        return this.discard(device, event);
      case ITS_OP.CLEAR:
        return this.onInterrupt(device, event, (lpis, intid) => lpis.clearPending(intid));
      case ITS_OP.INT:
        return this.onInterrupt(device, event, () => this.target.raise(device, event));
      case ITS_OP.INV:
        return this.onInterrupt(device, event, (lpis, intid) => {
          if (lpis.invalidate(intid)) this.target.raise(device, event);
        });
      case ITS_OP.INVALL:
        return this.invall(getAt(w, 0, ITS_COMMAND.ICID));
      case ITS_OP.SYNC:
        return this.target.lpis(getWide(w, 0, ITS_COMMAND.RDbase)) ? REASON.OK : REASON.TARGET_RANGE;
      default:
        return REASON.UNKNOWN_COMMAND;
    }
  }

  private mapd(w: Uint32Array, device: number): number {
    const at = this.tables.devices.locate(device);
    if (at === -1) return REASON.DEVICE_RANGE;
    const valid = getAt(w, 0, MAPD.V) === 1;
    const size = getAt(w, 0, MAPD.Size);
    // V = 0 ignores Size
    if (valid && size + 1 > this.target.eventBits) return REASON.SIZE_RANGE;
    const dte = this.entry2.fill(0);
    if (valid) {
      setAt(dte, 0, DTE.V, 1);
      setAt(dte, 0, DTE.Size, size);
      setWide(dte, 0, DTE.ITT, getWide(w, 0, MAPD.ITT)); // both hold address bits 51:8
    }
    // a level-1 entry that is invalid has no place for V = 1; there is nothing to unmap under it either
    return this.tables.store(at, dte) || !valid ? REASON.OK : REASON.DEVICE_RANGE;
  }

  private mapc(w: Uint32Array): number {
    const at = this.tables.collections.locate(getAt(w, 0, ITS_COMMAND.ICID));
    if (at === -1) return REASON.COLLECTION_RANGE;
    const valid = getAt(w, 0, ITS_COMMAND.V) === 1;
    const target = getWide(w, 0, ITS_COMMAND.RDbase);
    if (valid && !this.target.lpis(target)) return REASON.TARGET_RANGE;
    const cte = this.entry2.fill(0);
    if (valid) {
      setAt(cte, 0, CTE.V, 1);
      setAt(cte, 0, CTE.RDbase, target);
    }
    return this.tables.store(at, cte) || !valid ? REASON.OK : REASON.COLLECTION_RANGE;
  }

  private mapti(w: Uint32Array, device: number, event: number, intid: number): number {
    const icid = getAt(w, 0, ITS_COMMAND.ICID);
    if (device >= this.tables.devices.entries) return REASON.DEVICE_RANGE;
    if (icid >= this.tables.collections.entries) return REASON.COLLECTION_RANGE;
    const reason = this.tables.findEvent(device, event);
    if (reason !== REASON.OK) return reason;
    if (intid < FIRST_LPI || intid >= this.target.lpiLimit) return REASON.INTID_RANGE;
    // the collection need not be mapped yet
    return this.writeIte(this.tables.iteAt, intid, icid) ? REASON.OK : REASON.EVENT_UNMAPPED;
  }

  private movi(w: Uint32Array, device: number, event: number): number {
    const icid = getAt(w, 0, ITS_COMMAND.ICID);
    if (device >= this.tables.devices.entries) return REASON.DEVICE_RANGE;
    if (icid >= this.tables.collections.entries) return REASON.COLLECTION_RANGE;
    const { tables } = this;
    let reason = tables.findInterrupt(device, event);
    if (reason !== REASON.OK) return reason;
    reason = tables.findCollection(tables.icid);
    if (reason !== REASON.OK) return reason;
    const from = tables.cpu;
    reason = tables.findCollection(icid);
    if (reason !== REASON.OK) return reason;
    const { intid } = tables;
    this.writeIte(tables.iteAt, intid, icid);
    const source = this.target.lpis(from);
    const to = this.target.lpis(tables.cpu);
    if (from !== tables.cpu && source && to && source.enabled && to.enabled && source.isPending(intid)) {
      source.clearPending(intid);
      to.setPending(intid);
    }
    // INV reaches the redistributor that has the interrupt now: who has it no more must not keep its configuration
    if (from !== tables.cpu) source?.forget(intid);
    return REASON.OK;
  }

  private movall(w: Uint32Array): number {
    const from = getWide(w, 0, ITS_COMMAND.RDbase);
    const to = getWide(w, 0, ITS_COMMAND.RDbase2);
    const source = this.target.lpis(from);
    const target = this.target.lpis(to);
    if (!source) return REASON.TARGET_RANGE;
    if (!target) return REASON.TARGET2_RANGE;
    if (from === to || !source.enabled || !target.enabled) return REASON.OK;
    for (const intid of source.pending()) {
      source.clearPending(intid);
      target.setPending(intid);
    }
    source.invalidateAll();
    return REASON.OK;
  }

  private discard(device: number, event: number): number {
    const reason = this.onInterrupt(device, event, (lpis, intid) => {
      lpis.clearPending(intid);
      lpis.forget(intid);
    });
    if (reason === REASON.OK) this.tables.store(this.tables.iteAt, this.entry3.fill(0));
    return reason;
  }

  private invall(icid: number): number {
    const reason = this.tables.findCollection(icid);
    if (reason === REASON.OK) this.target.lpis(this.tables.cpu)?.invalidateAll();
    return reason;
  }

  /** What DISCARD, CLEAR, INT and INV have in common: the event and its collection are mapped. */
  private onInterrupt(device: number, event: number, act: (lpis: Lpis, intid: number) => void): number {
    const { tables } = this;
    let reason = tables.findInterrupt(device, event);
    if (reason === REASON.OK) reason = tables.findCollection(tables.icid);
    if (reason !== REASON.OK) return reason;
    const lpis = this.target.lpis(tables.cpu);
    if (lpis) act(lpis, tables.intid);
    return REASON.OK;
  }

  private writeIte(at: number, intid: number, icid: number): boolean {
    const ite = this.entry3.fill(0);
    setAt(ite, 0, ITE.V, 1);
    setAt(ite, 0, ITE.Physical, 1);
    setAt(ite, 0, ITE.INTID, intid);
    setAt(ite, 0, ITE.ICID, icid);
    setAt(ite, 0, ITE.Doorbell, 1023); // none
    return this.tables.store(at, ite);
  }
}

import { getAt } from '@doorbell/bits';
import type { UnitFault } from '@doorbell/iommu';
import type { Machine, RegisterPort } from '@doorbell/platform';
import {
  EVENT,
  EVENT_NAMES,
  EVENT_SIZE,
  EVENTQ_BASE,
  EVENTQ_CONS,
  EVENTQ_PROD,
  GERROR,
  GERRORN,
} from '../spec/index.js';

/** Errors that need no more than an acknowledgement. */
const HARMLESS =
  GERROR.EVENTQ_ABT_ERR.mask |
  GERROR.MSI_CMDQ_ABT_ERR.mask |
  GERROR.MSI_EVENTQ_ABT_ERR.mask |
  GERROR.MSI_GERROR_ABT_ERR.mask;

/** The event queue, software's side. */
export class EventQueue {
  private readonly bits: number;
  private readonly base: number;
  private readonly record = new Uint32Array(EVENT_SIZE / 4);

  constructor(
    private readonly machine: Machine,
    private readonly registers: RegisterPort,
    private readonly unit: string,
    maxBits: number,
  ) {
    this.bits = Math.min(maxBits, 7);
    this.base = machine.pages.allocate(EVENT_SIZE * 2 ** this.bits);
    registers.write64(
      EVENTQ_BASE.$.at,
      (EVENTQ_BASE.RA.mask | Math.floor(this.base / 2 ** 32)) >>> 0,
      ((this.base >>> 0) | this.bits) >>> 0,
    );
    registers.write32(EVENTQ_PROD.$.at, 0);
    registers.write32(EVENTQ_CONS.$.at, 0);
  }

  /** Takes every record out, acknowledges an overflow and errors of the queue. */
  drain(): UnitFault[] {
    const { registers } = this;
    const faults: UnitFault[] = [];
    const mask = 2 ** (this.bits + 1) - 1;
    const prod = registers.read32(EVENTQ_PROD.$.at);
    let cons = registers.read32(EVENTQ_CONS.$.at) & mask;
    this.machine.memory.barrier();
    for (; cons !== (prod & mask); cons = (cons + 1) & mask) faults.push(this.read(cons));
    // §7.4: OVACKFLG follows OVFLG
    registers.write32(EVENTQ_CONS.$.at, (cons | (prod & EVENTQ_PROD.OVFLG.mask)) >>> 0);
    const active = (registers.read32(GERROR.$.at) ^ registers.read32(GERRORN.$.at)) & HARMLESS;
    if (active) registers.write32(GERRORN.$.at, (registers.read32(GERRORN.$.at) ^ active) >>> 0);
    return faults;
  }

  private read(index: number): UnitFault {
    const w = this.record;
    const at = this.base + EVENT_SIZE * (index & (2 ** this.bits - 1));
    for (let i = 0; i < w.length; i++) w[i] = this.machine.memory.read32(at + 4 * i);
    const code = getAt(w, 0, EVENT.ID);
    const transaction = code >= 0x10 || code === 0x0b || code === 0x07; // records that say which way the access went
    return {
      unit: this.unit,
      stream: getAt(w, 0, EVENT.SID),
      code,
      name: EVENT_NAMES[code] ?? `0x${code.toString(16)}`,
      addressHi: getAt(w, 0, EVENT.ADDR_HI),
      addressLo: getAt(w, 0, EVENT.ADDR_LO),
      write: transaction && getAt(w, 0, EVENT.RnW) === 0,
    };
  }
}

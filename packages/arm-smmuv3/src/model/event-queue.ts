import { get } from '@doorbell/bits';
import type { PhysicalMemory, RegisterFile } from '@doorbell/platform';
import { EVENT_SIZE, EVENTQ_BASE, EVENTQ_CONS, EVENTQ_PROD } from '../spec/index.js';

/** What became of a record. */
export const PUSHED = { STORED: 0, OVERFLOW: 1, ABORTED: 2 } as const;

/** Base address and log2 of the entries of a queue; the size is limited to what the unit has. */
export function queueGeometry(lo: number, hi: number, limit: number, entry: number): { base: number; bits: number } {
  const bits = Math.min(get(lo, EVENTQ_BASE.LOG2SIZE), limit);
  const address = (hi & 0xfffff) * 0x1_0000_0000 + ((lo & ~31) >>> 0);
  // lower bits are taken as 0: the base is aligned to the queue's size
  return { base: address - (address % Math.max(32, entry * 2 ** bits)), bits };
}

/** The event queue: the unit's side. */
export class EventQueue {
  /** The record under construction. */
  readonly record = new Uint32Array(EVENT_SIZE / 4);
  base = 0;
  bits = 0;

  constructor(
    private readonly registers: RegisterFile,
    private readonly memory: PhysicalMemory,
  ) {}

  /** Empties the record and writes nothing. */
  begin(): Uint32Array {
    this.record.fill(0);
    return this.record;
  }

  get empty(): boolean {
    const mask = 2 ** (this.bits + 1) - 1;
    return ((this.registers.get(EVENTQ_PROD.$.at) ^ this.registers.get(EVENTQ_CONS.$.at)) & mask) === 0;
  }

  /** Stores the record and moves PROD; a full queue drops it and toggles OVFLG unless that is unacknowledged. */
  push(): number {
    const prod = this.registers.get(EVENTQ_PROD.$.at);
    const cons = this.registers.get(EVENTQ_CONS.$.at);
    const size = 2 ** this.bits;
    const mask = 2 * size - 1;
    if (((prod ^ cons) & mask) === size) {
      if (((prod ^ cons) & EVENTQ_PROD.OVFLG.mask) === 0)
        this.registers.set(EVENTQ_PROD.$.at, (prod ^ EVENTQ_PROD.OVFLG.mask) >>> 0);
      return PUSHED.OVERFLOW;
    }
    const at = this.base + EVENT_SIZE * (prod & (size - 1));
    if (!this.memory.has(at) || !this.memory.has(at + EVENT_SIZE - 4)) return PUSHED.ABORTED;
    for (let i = 0; i < this.record.length; i++) this.memory.write32(at + 4 * i, this.record[i]!);
    this.registers.set(EVENTQ_PROD.$.at, ((prod & EVENTQ_PROD.OVFLG.mask) | ((prod + 1) & mask)) >>> 0);
    return PUSHED.STORED;
  }
}

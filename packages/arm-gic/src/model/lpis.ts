import type { PhysicalMemory } from '@doorbell/platform';
import { FIRST_LPI, LPI_ENABLE, LPI_PRIORITY, SPURIOUS } from '../spec/index.js';
import { IDLE } from './interrupt-bank.js';

/** What setting an LPI pending came to. */
export const LPI = { SIGNALLED: 0, PENDING: 1, DISABLED: 2, OFF: 3, OUT_OF_RANGE: 4 } as const;

/**
 * LPIs of one redistributor: configuration bytes are read once and kept until INV or INVALL; pending bits are kept here and written
 * through to the pending table.
 */
export class Lpis {
  enabled = false;
  propBase = 0;
  pendBase = 0;
  /** INTIDs below this exist: 2^(min(PROPBASER.IDbits, GICD_TYPER.IDbits) + 1). */
  limit = 0;
  private readonly config = new Int16Array(65536).fill(-1);
  private readonly pendingBits = new Uint32Array(65536 / 32);
  /** Pending and enabled: what competes for the CPU. */
  private ready = 0;
  private best: number = SPURIOUS;
  private bestPriority = IDLE;

  constructor(private readonly memory: PhysicalMemory) {}

  /** EnableLPIs 0 → 1: pending bits come from memory, also where PTZ promises that they are zero, as in QEMU. */
  enable(): void {
    this.enabled = true;
    this.config.fill(-1);
    this.pendingBits.fill(0);
    for (let word = FIRST_LPI / 32; word < Math.min(this.limit, 65536) / 32; word++) {
      const at = this.pendBase + 4 * word;
      if (this.memory.has(at)) this.pendingBits[word] = this.memory.read32(at);
    }
    this.rescan();
  }

  disable(): void {
    this.enabled = false;
    this.rescan();
  }

  isPending(intid: number): boolean {
    return ((this.pendingBits[intid >>> 5]! >>> (intid & 31)) & 1) === 1;
  }

  /** The cached configuration byte; the first use reads it. */
  configuration(intid: number): number {
    const cached = this.config[intid]!;
    if (cached >= 0) return cached;
    const at = this.propBase + intid - FIRST_LPI;
    return (this.config[intid] = this.memory.has(at) ? this.memory.read8(at) : 0);
  }

  setPending(intid: number): number {
    if (!this.enabled) return LPI.OFF;
    if (intid < FIRST_LPI || intid >= this.limit) return LPI.OUT_OF_RANGE;
    const byte = this.configuration(intid);
    const fresh = !this.isPending(intid);
    if (fresh) this.write(intid, true);
    if ((byte & LPI_ENABLE) === 0) return LPI.DISABLED;
    if (!fresh) return LPI.PENDING;
    this.ready++;
    this.offer(intid, byte & LPI_PRIORITY);
    return LPI.SIGNALLED;
  }

  clearPending(intid: number): void {
    if (intid < FIRST_LPI || intid >= this.limit || !this.isPending(intid)) return;
    this.write(intid, false);
    this.rescan();
  }

  /** INV: re-reads one byte. True: a pending LPI is signalled now and was not before. */
  invalidate(intid: number): boolean {
    if (!this.enabled || intid < FIRST_LPI || intid >= this.limit) return false;
    const before = this.config[intid]! > 0 && (this.config[intid]! & LPI_ENABLE) !== 0;
    this.config[intid] = -1;
    const now = (this.configuration(intid) & LPI_ENABLE) !== 0;
    if (!this.isPending(intid)) return false;
    this.rescan();
    return now && !before;
  }

  /** The interrupt is not this redistributor's any more. */
  forget(intid: number): void {
    this.config[intid] = -1;
  }

  /** INVALL. */
  invalidateAll(): void {
    this.config.fill(-1);
    this.rescan();
  }

  /** Pending INTIDs, ascending. */
  pending(onlyEnabled = false): number[] {
    const out: number[] = [];
    for (let word = FIRST_LPI / 32; word < this.pendingBits.length; word++) {
      for (let bits = this.pendingBits[word]!, b = 0; bits !== 0; bits >>>= 1, b++) {
        const intid = word * 32 + b;
        if (bits & 1 && (!onlyEnabled || this.configuration(intid) & LPI_ENABLE)) out.push(intid);
      }
    }
    return out;
  }

  /** Most urgent ready LPI: priority, `IDLE` where there is none. */
  get priority(): number {
    return this.enabled ? this.bestPriority : IDLE;
  }
  get candidate(): number {
    return this.best;
  }

  /** The CPU takes the candidate: pending goes away, an LPI has no active state. */
  take(): number {
    const intid = this.best;
    this.write(intid, false);
    if (--this.ready === 0) {
      this.best = SPURIOUS;
      this.bestPriority = IDLE;
    } else this.rescan();
    return intid;
  }

  snapshot(): unknown {
    return {
      enabled: this.enabled,
      propBase: this.propBase,
      pendBase: this.pendBase,
      limit: this.limit,
      pending: this.pendingBits.slice(),
      config: this.config.slice(),
    };
  }
  restore(s: unknown): void {
    const { pending, config, ...rest } = s as { pending: Uint32Array; config: Int16Array; enabled: boolean };
    Object.assign(this, rest);
    this.pendingBits.set(pending);
    this.config.set(config);
    this.rescan();
  }

  private offer(intid: number, priority: number): void {
    if (priority < this.bestPriority || (priority === this.bestPriority && intid < this.best)) {
      this.best = intid;
      this.bestPriority = priority;
    }
  }

  private rescan(): void {
    this.ready = 0;
    this.best = SPURIOUS;
    this.bestPriority = IDLE;
    if (!this.enabled) return;
    for (const intid of this.pending(true)) {
      this.ready++;
      this.offer(intid, this.configuration(intid) & LPI_PRIORITY);
    }
  }

  private write(intid: number, on: boolean): void {
    const word = intid >>> 5;
    const bit = 1 << (intid & 31);
    const now = (on ? this.pendingBits[word]! | bit : this.pendingBits[word]! & ~bit) >>> 0;
    this.pendingBits[word] = now;
    const at = this.pendBase + 4 * word;
    if (this.memory.has(at)) this.memory.write32(at, now);
  }
}

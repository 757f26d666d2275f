import {
  LAPIC_DFR,
  LAPIC_EOI,
  LAPIC_ID,
  LAPIC_IRR_BASE,
  LAPIC_ISR_BASE,
  LAPIC_LDR,
  LAPIC_PPR,
  LAPIC_SVR,
  LAPIC_TMR_BASE,
  LAPIC_TPR,
  LAPIC_VERSION,
} from '../spec/index.js';

/** What a local APIC looks like when the platform starts: as an operating system leaves it, because no CPU code runs here. */
export interface LapicOptions {
  readonly id: number;
  /** 32-bit ids and cluster-only logical mode. Default: xAPIC. */
  readonly x2apic?: boolean;
  /** SVR.ENABLE. Default true. */
  readonly enabled?: boolean;
  /** LDR[31:24] in xAPIC mode. Default: bit n of the CPU's number, flat model. */
  readonly logicalId?: number;
}

/** One local APIC: who it is, and its IRR, ISR and TMR. */
export class Lapic {
  readonly x2apic: boolean;
  readonly irr = new Uint32Array(8);
  readonly isr = new Uint32Array(8);
  /** 1: level-triggered. */
  readonly tmr = new Uint32Array(8);
  tpr = 0;
  enabled = true;
  /** xAPIC: LDR[31:24]. */
  logicalId = 0;
  /** DFR.MODEL: flat or cluster. */
  flat = true;
  /** NMI, SMI, INIT and ExtINT messages that arrived: they have no vector. */
  readonly special = new Uint32Array(8);

  constructor(
    readonly cpu: number,
    readonly options: LapicOptions,
    private readonly onEoi: (vector: number) => void,
  ) {
    this.x2apic = options.x2apic ?? false;
    this.reset();
  }

  get id(): number {
    return this.options.id;
  }
  /** x2APIC: cluster in the upper half, one bit of sixteen in the lower (SDM vol. 3 §11.12.10.2). */
  get x2LogicalId(): number {
    return (((this.id >>> 4) << 16) | (1 << (this.id & 15))) >>> 0;
  }

  reset(): void {
    this.irr.fill(0);
    this.isr.fill(0);
    this.tmr.fill(0);
    this.special.fill(0);
    this.tpr = 0;
    this.flat = true;
    this.enabled = this.options.enabled ?? true;
    this.logicalId = this.options.logicalId ?? (this.cpu < 8 ? 1 << this.cpu : 0);
  }

  /** Whether a message for `destination` is for this one. */
  matches(destination: number, logical: number): boolean {
    if (this.x2apic) {
      if (destination === 0xffff_ffff) return true;
      if (!logical) return destination === this.id;
      const mine = this.x2LogicalId;
      return destination >>> 16 === mine >>> 16 && (destination & mine & 0xffff) !== 0;
    }
    // Both modes: 0xff is everybody. Ids beyond 8 bits reach no xAPIC.
    if (destination === 0xff) return true;
    if (destination > 0xff) return false;
    if (!logical) return destination === this.id;
    if (this.flat) return (destination & this.logicalId) !== 0;
    const cluster = destination >>> 4;
    return (cluster === 15 || cluster === this.logicalId >>> 4) && (destination & this.logicalId & 15) !== 0;
  }

  /** Processor priority class that arbitration looks at. */
  get ppr(): number {
    const inService = top(this.isr);
    return Math.max(this.tpr, inService < 0 ? 0 : inService & 0xf0);
  }

  /** A fixed interrupt. Vectors below 16 are illegal (SDM vol. 3 §11.5.2). False: refused. */
  accept(vector: number, level: number): boolean {
    if (!this.enabled || vector < 16) return false;
    const word = vector >>> 5;
    const bit = 1 << (vector & 31);
    this.irr[word] = this.irr[word]! | bit;
    this.tmr[word] = level ? this.tmr[word]! | bit : this.tmr[word]! & ~bit;
    return true;
  }

  /** The CPU takes the highest pending interrupt above its priority: its vector, or -1. */
  acknowledge(): number {
    const vector = top(this.irr);
    if (vector < 0 || vector >>> 4 <= this.ppr >>> 4) return -1;
    const word = vector >>> 5;
    const bit = 1 << (vector & 31);
    this.irr[word] = this.irr[word]! & ~bit;
    this.isr[word] = this.isr[word]! | bit;
    return vector;
  }

  /** Ends the highest interrupt in service; a level-triggered one is told to the IOAPICs. */
  eoi(): void {
    const vector = top(this.isr);
    if (vector < 0) return;
    const word = vector >>> 5;
    const bit = 1 << (vector & 31);
    this.isr[word] = this.isr[word]! & ~bit;
    if (this.tmr[word]! & bit) this.onEoi(vector);
  }

  /** Vectors in IRR, ascending. */
  pending(): number[] {
    const vectors: number[] = [];
    for (let v = 0; v < 256; v++) if (this.irr[v >>> 5]! & (1 << (v & 31))) vectors.push(v);
    return vectors;
  }

  /** A register as the CPU reads it; -1 where there is none. */
  read(offset: number): number {
    switch (offset) {
      case LAPIC_ID.$.at:
        return (this.id << 24) >>> 0;
      case LAPIC_VERSION.$.at:
        return LAPIC_VERSION.$.reset[0]!;
      case LAPIC_TPR.$.at:
        return this.tpr;
      case LAPIC_PPR.$.at:
        return this.ppr;
      case LAPIC_EOI.$.at:
        return 0;
      case LAPIC_LDR.$.at:
        return (this.logicalId << 24) >>> 0;
      case LAPIC_DFR.$.at:
        return this.flat ? 0xffff_ffff : 0x0fff_ffff;
      case LAPIC_SVR.$.at:
        return (this.enabled ? LAPIC_SVR.ENABLE.mask : 0) | 0xff;
    }
    if (offset & 15) return -1;
    const n = (offset >>> 4) & 7;
    if (offset >= LAPIC_ISR_BASE && offset < LAPIC_TMR_BASE) return this.isr[n]!;
    if (offset >= LAPIC_TMR_BASE && offset < LAPIC_IRR_BASE) return this.tmr[n]!;
    if (offset >= LAPIC_IRR_BASE && offset < LAPIC_IRR_BASE + 0x80) return this.irr[n]!;
    return -1;
  }

  /** False: no such register. */
  write(offset: number, value: number): boolean {
    switch (offset) {
      case LAPIC_TPR.$.at:
        this.tpr = value & 0xff;
        return true;
      case LAPIC_EOI.$.at:
        this.eoi();
        return true;
      case LAPIC_LDR.$.at:
        this.logicalId = value >>> 24;
        return true;
      case LAPIC_DFR.$.at:
        this.flat = value >>> 28 === 0xf;
        return true;
      case LAPIC_SVR.$.at:
        this.enabled = (value & LAPIC_SVR.ENABLE.mask) !== 0;
        return true;
      default:
        return false;
    }
  }

  snapshot(): unknown {
    const { irr, isr, tmr, special, tpr, enabled, logicalId, flat } = this;
    return { irr, isr, tmr, special, tpr, enabled, logicalId, flat };
  }
  restore(state: unknown): void {
    const s = state as Pick<Lapic, 'irr' | 'isr' | 'tmr' | 'special' | 'tpr' | 'enabled' | 'logicalId' | 'flat'>;
    this.irr.set(s.irr);
    this.isr.set(s.isr);
    this.tmr.set(s.tmr);
    this.special.set(s.special);
    this.tpr = s.tpr;
    this.enabled = s.enabled;
    this.logicalId = s.logicalId;
    this.flat = s.flat;
  }
}

/** Highest set bit of eight words, or -1. */
function top(words: Uint32Array): number {
  for (let w = 7; w >= 0; w--) if (words[w] !== 0) return 32 * w + 31 - Math.clz32(words[w]!);
  return -1;
}

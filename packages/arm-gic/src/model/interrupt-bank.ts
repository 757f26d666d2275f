import { GICD_ARRAYS } from '../spec/index.js';

/** Priority of nothing: below every real one. */
export const IDLE = 0x100;

const BITMAPS_END = GICD_ARRAYS.IPRIORITYR;
const ROUTERS_END = 0x8000;

/** Offsets that hold arrays by INTID (IHI 0069 §12.9): bitmaps, priorities, targets, configuration, routes. */
export const isArray = (offset: number): boolean =>
  (offset >= GICD_ARRAYS.IGROUPR && offset < 0xd00) || (offset >= GICD_ARRAYS.IROUTER && offset < ROUTERS_END);

/** ICENABLER, ICPENDR, ICACTIVER: they read as their partners, and what is captured of them must not be written back. */
export const isClearing = (offset: number): boolean =>
  offset >= GICD_ARRAYS.ICENABLER && offset < GICD_ARRAYS.IPRIORITYR && (offset & 0x80) !== 0;

/**
 * Interrupts that are not LPIs, by INTID from `first` on: group, enable, pending, active, priority, configuration. The distributor
 * has one for SPIs, each redistributor one for SGIs and PPIs. Only edges set pending: nothing drives a level here.
 */
export class InterruptBank {
  private readonly group: Uint32Array;
  private readonly enabled: Uint32Array;
  private readonly pendingBits: Uint32Array;
  private readonly active: Uint32Array;
  private readonly priorities: Uint8Array;
  private readonly config: Uint32Array;
  /** IROUTER: Aff0 of the target; IRM = 1 (any CPU) is taken as CPU 0. */
  readonly route: Uint32Array;

  /** `first` and `count` are multiples of 32. */
  constructor(
    readonly first: number,
    readonly count: number,
  ) {
    const words = count / 32;
    this.group = new Uint32Array(words);
    this.enabled = new Uint32Array(words);
    this.pendingBits = new Uint32Array(words);
    this.active = new Uint32Array(words);
    this.priorities = new Uint8Array(count);
    this.config = new Uint32Array(count / 16);
    this.route = new Uint32Array(first === 0 ? 0 : count);
    this.reset();
  }

  holds(intid: number): boolean {
    return intid >= this.first && intid < this.first + this.count;
  }

  /** A word of an array; offsets are those of the distributor. */
  read(offset: number): number {
    if (offset < BITMAPS_END) {
      const word = this.word(offset);
      if (word < 0) return 0;
      const array = offset & ~0x7f;
      if (array === GICD_ARRAYS.IGROUPR) return this.group[word]!;
      if (array === GICD_ARRAYS.ISENABLER || array === GICD_ARRAYS.ICENABLER) return this.enabled[word]!;
      if (array === GICD_ARRAYS.ISPENDR || array === GICD_ARRAYS.ICPENDR) return this.pendingBits[word]!;
      return this.active[word]!;
    }
    if (offset < GICD_ARRAYS.ITARGETSR) {
      const i = offset - GICD_ARRAYS.IPRIORITYR - this.first;
      if (i < 0 || i + 3 >= this.count) return 0;
      const p = this.priorities;
      return (p[i]! | (p[i + 1]! << 8) | (p[i + 2]! << 16) | (p[i + 3]! << 24)) >>> 0;
    }
    if (offset < GICD_ARRAYS.ICFGR) return 0; // ITARGETSR is RES0 with affinity routing
    if (offset < GICD_ARRAYS.IROUTER) return this.config[(offset - GICD_ARRAYS.ICFGR) / 4 - this.first / 16] ?? 0;
    const i = (offset - GICD_ARRAYS.IROUTER) >>> 3;
    return (offset & 4) === 0 ? (this.route[i - this.first] ?? 0) : 0;
  }

  write(offset: number, value: number): void {
    if (offset < BITMAPS_END) {
      const word = this.word(offset);
      if (word >= 0) this.writeBits(offset & ~0x7f, word, value);
    } else if (offset < GICD_ARRAYS.ITARGETSR) {
      const i = offset - GICD_ARRAYS.IPRIORITYR - this.first;
      for (let b = 0; b < 4 && i >= 0 && i + b < this.count; b++) this.priorities[i + b] = (value >>> (8 * b)) & 0xf8;
    } else if (offset >= GICD_ARRAYS.ICFGR && offset < GICD_ARRAYS.IROUTER) {
      const i = (offset - GICD_ARRAYS.ICFGR) / 4 - this.first / 16;
      // SGIs are edges and nothing else
      if (i >= 0 && i < this.config.length && !(this.first === 0 && i === 0)) this.config[i] = value & 0xaaaa_aaaa;
    } else if (offset >= GICD_ARRAYS.IROUTER && (offset & 4) === 0) {
      const i = ((offset - GICD_ARRAYS.IROUTER) >>> 3) - this.first;
      if (i >= 0 && i < this.route.length) this.route[i] = value & 0x80ff_ffff;
    }
  }

  setPending(intid: number): void {
    const i = intid - this.first;
    this.pendingBits[i >>> 5]! |= 1 << (i & 31);
  }
  take(intid: number): void {
    const i = intid - this.first;
    this.pendingBits[i >>> 5]! &= ~(1 << (i & 31));
    this.active[i >>> 5]! |= 1 << (i & 31);
  }
  end(intid: number): void {
    const i = intid - this.first;
    this.active[i >>> 5]! &= ~(1 << (i & 31));
  }

  /** The first of those with the best priority that `ready` names, or -1. */
  mostUrgent(cpu: number): number {
    let best = -1;
    for (let w = 0; w < this.enabled.length; w++) {
      let bits = this.pendingBits[w]! & this.enabled[w]! & this.group[w]! & ~this.active[w]!;
      for (let b = 0; bits !== 0; bits >>>= 1, b++) {
        if ((bits & 1) === 0) continue;
        const intid = this.first + 32 * w + b;
        if (this.first !== 0 && this.target(intid) !== cpu) continue;
        if (best < 0 || this.priority(intid) < this.priority(best)) best = intid;
      }
    }
    return best;
  }

  /** INTIDs that compete for a CPU: pending, enabled, group 1, not active; ascending. `cpu` -1: whatever the route. */
  ready(cpu = -1): number[] {
    const out: number[] = [];
    for (let w = 0; w < this.enabled.length; w++) {
      let bits = (this.pendingBits[w]! & this.enabled[w]! & this.group[w]! & ~this.active[w]!) >>> 0;
      for (let b = 0; bits !== 0; bits >>>= 1, b++) {
        const intid = this.first + 32 * w + b;
        if (bits & 1 && (cpu < 0 || this.first === 0 || this.target(intid) === cpu)) out.push(intid);
      }
    }
    return out;
  }

  isReady(intid: number): boolean {
    const i = intid - this.first;
    const w = i >>> 5;
    return (((this.pendingBits[w]! & this.enabled[w]! & this.group[w]! & ~this.active[w]!) >>> (i & 31)) & 1) === 1;
  }

  priority(intid: number): number {
    return this.priorities[intid - this.first]!;
  }
  /** CPU that an SPI is routed to. */
  target(intid: number): number {
    const route = this.route[intid - this.first]!;
    return route >>> 31 ? 0 : route & 0xff;
  }

  snapshot(): Uint32Array[] {
    return this.state().map((a) => Uint32Array.from(a));
  }
  restore(state: Uint32Array[]): void {
    this.state().forEach((a, i) => a.set(state[i]!));
  }
  reset(): void {
    for (const a of this.state()) a.fill(0);
    if (this.first === 0) this.config[0] = 0xaaaa_aaaa;
  }

  private state(): (Uint32Array | Uint8Array)[] {
    return [this.group, this.enabled, this.pendingBits, this.active, this.priorities, this.config, this.route];
  }

  private word(offset: number): number {
    const word = (offset & 0x7f) / 4 - this.first / 32;
    return word >= 0 && word < this.enabled.length ? word : -1;
  }

  private writeBits(array: number, word: number, value: number): void {
    const set = (bits: Uint32Array) => (bits[word] = bits[word]! | value);
    const clear = (bits: Uint32Array) => (bits[word] = bits[word]! & ~value);
    switch (array) {
      case GICD_ARRAYS.IGROUPR:
        this.group[word] = value;
        break;
      case GICD_ARRAYS.ISENABLER:
        set(this.enabled);
        break;
      case GICD_ARRAYS.ICENABLER:
        clear(this.enabled);
        break;
      case GICD_ARRAYS.ISPENDR:
        set(this.pendingBits);
        break;
      case GICD_ARRAYS.ICPENDR:
        clear(this.pendingBits);
        break;
      case GICD_ARRAYS.ISACTIVER:
        set(this.active);
        break;
      case GICD_ARRAYS.ICACTIVER:
        clear(this.active);
        break;
    }
  }
}

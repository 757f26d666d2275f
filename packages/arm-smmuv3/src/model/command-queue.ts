import { getAddress, getAt, getHi, long } from '@doorbell/bits';
import type { PhysicalMemory, RegisterFile, Trace } from '@doorbell/platform';
import {
  CERROR,
  CMD_CFGI,
  CMD_CFGI_STE_RANGE,
  CMD_SYNC,
  CMD_TLBI,
  CMDQ_CONS,
  CMDQ_PROD,
  COMMAND_SIZE,
  CS,
  OP,
  OP_NAMES,
  TLBI_TG_BITS,
} from '../spec/index.js';
import type { Configuration } from './configuration.js';
import type { Features } from './features.js';
import { STAGE2, type Scope, type Tlb } from './tlb.js';

/** What commands act on. */
export interface CommandTarget {
  readonly name: string;
  readonly tlb: Tlb;
  readonly configuration: Configuration;
  readonly features: Features;
  readonly split: number;
  /** CMD_SYNC with CS = 1: the message if there is one, and the wire. */
  signalSync(address: number, data: number): void;
  commandError(): void;
}

const SSEC = 1 << 10;
/** Constants of this module: the engine folds them, while an import is loaded at each use. */
const CONS = CMDQ_CONS.$.at;
const PROD = CMDQ_PROD.$.at;
const READ_INDEX = CMDQ_CONS.RD.mask;
const ERROR = CMDQ_CONS.ERR.mask;
const ADDRESS = long(127, 64);

/** Consumes commands up to PROD, in order; stops at the first illegal one with CONS on it. */
export class CommandQueue {
  base = 0;
  bits = 0;
  /** Commands that still go through before one is refused; -1: none is. */
  refuseIn = -1;
  private busy = false;
  private readonly words = new Uint32Array(COMMAND_SIZE / 4);
  private readonly scoped = { world: 0, vmid: 0, asid: 0 };

  constructor(
    private readonly registers: RegisterFile,
    private readonly memory: PhysicalMemory,
    private readonly trace: Trace,
    private readonly target: CommandTarget,
  ) {}

  consume(): void {
    // a SYNC's message may reach our own registers: the outer loop goes on with whatever PROD is then
    if (this.busy) return;
    this.busy = true;
    const slots = (1 << this.bits) - 1;
    const mask = 2 * slots + 1;
    const { registers } = this;
    for (let n = 0; n <= mask; n++) {
      const cons = registers.get(CONS);
      if (((cons ^ registers.get(PROD)) & mask) === 0) break;
      const error = this.step(this.base + COMMAND_SIZE * (cons & slots));
      if (error !== CERROR.NONE) {
        registers.set(CONS, ((cons & READ_INDEX) | (error << CMDQ_CONS.ERR.lsb)) >>> 0);
        this.busy = false;
        return this.target.commandError();
      }
      registers.set(CONS, ((cons & ERROR) | ((cons + 1) & mask)) >>> 0);
    }
    this.busy = false;
  }

  private step(at: number): number {
    if (!this.memory.has(at + COMMAND_SIZE - 4)) return CERROR.ABT;
    // a queue's base is aligned to 32 bytes at least: an entry lies in one piece
    const n = this.memory.locate(at);
    if (n < 0) return CERROR.ABT;
    const w = this.words;
    const { located } = this.memory;
    for (let i = 0; i < 4; i++) w[i] = located[n + i]!;
    const error = this.refuseIn-- === 0 ? CERROR.ILL : this.execute(w);
    if (this.refuseIn < -1) this.refuseIn = -1;
    if (this.trace.on) {
      const op = w[0]! & 0xff;
      this.trace.step({
        by: this.target.name,
        what: `command ${OP_NAMES[op] ?? `0x${op.toString(16)}`}`,
        at,
        words: [...w],
        decoded: '',
        why: error === CERROR.NONE ? 'done' : `error ${error}`,
      });
    }
    return error;
  }

  /** §4.1, §4.3–4.7: what it does, or CERROR_ILL. */
  private execute(w: Uint32Array): number {
    const { tlb, configuration, features: f, split } = this.target;
    const op = w[0]! & 0xff;
    if (op <= OP.CFGI_CD_ALL && (w[0]! & SSEC) !== 0) return CERROR.ILL;
    switch (op) {
      case OP.PREFETCH_CONFIG:
      case OP.PREFETCH_ADDR:
        return CERROR.NONE; // a hint
      case OP.CFGI_STE:
        configuration.invalidateSte(getAt(w, 0, CMD_CFGI.SID), getAt(w, 0, CMD_CFGI.LEAF) === 1, split);
        return CERROR.NONE;
      case OP.CFGI_STE_RANGE: {
        const range = getAt(w, 0, CMD_CFGI_STE_RANGE.RANGE);
        if (range === 31) configuration.clear();
        else configuration.invalidateSteRange(getAt(w, 0, CMD_CFGI_STE_RANGE.SID), range + 1, split);
        return CERROR.NONE;
      }
      case OP.CFGI_CD:
        if (!f.s1p) return CERROR.ILL;
        configuration.invalidateCd(
          getAt(w, 0, CMD_CFGI.SID),
          getAt(w, 0, CMD_CFGI.SSID),
          getAt(w, 0, CMD_CFGI.LEAF) === 1,
        );
        return CERROR.NONE;
      case OP.CFGI_CD_ALL:
        if (!f.s1p) return CERROR.ILL;
        configuration.invalidateCds(getAt(w, 0, CMD_CFGI.SID));
        return CERROR.NONE;
      case OP.TLBI_NH_ALL:
        if (!f.s1p) return CERROR.ILL;
        tlb.invalidateContext(this.scope(w, -1));
        return CERROR.NONE;
      case OP.TLBI_NH_ASID:
        if (!f.s1p) return CERROR.ILL;
        tlb.invalidateContext(this.scope(w, getAt(w, 0, CMD_TLBI.ASID)));
        return CERROR.NONE;
      case OP.TLBI_NH_VA:
        return f.s1p ? this.tlbiAddress(w, this.scope(w, getAt(w, 0, CMD_TLBI.ASID))) : CERROR.ILL;
      case OP.TLBI_NH_VAA:
        return f.s1p ? this.tlbiAddress(w, this.scope(w, -1)) : CERROR.ILL;
      case OP.TLBI_S12_VMALL:
        if (!f.s2p) return CERROR.ILL;
        tlb.invalidateContext(this.scope(w, -1));
        tlb.invalidateContext(this.scope(w, -1, STAGE2));
        return CERROR.NONE;
      case OP.TLBI_S2_IPA:
        return f.s2p ? this.tlbiAddress(w, this.scope(w, -1, STAGE2)) : CERROR.ILL;
      case OP.TLBI_NSNH_ALL:
        tlb.clear();
        return CERROR.NONE;
      case OP.SYNC:
        return this.sync(w);
      default:
        // absent features (EL2, ATS, PRI, stalls, MPAM), secure forms and unknown opcodes
        return CERROR.ILL;
    }
  }

  /** Whose entries a TLBI is about: the VMID counts only where there is a stage 2. */
  private scope(w: Uint32Array, asid: number, world = 0): Scope {
    const { scoped } = this;
    scoped.world = world;
    scoped.vmid = this.target.features.s2p ? getAt(w, 0, CMD_TLBI.VMID) : 0;
    scoped.asid = asid;
    return scoped;
  }

  private tlbiAddress(w: Uint32Array, scope: Scope): number {
    const { tlb, features: f } = this.target;
    // TLBI_S2_IPA: address bits 51:12
    const hi = getHi(w, 0, ADDRESS) & (scope.world === STAGE2 ? 0xfffff : -1);
    const lo = w[2]! & ~0xfff;
    const g = f.ril ? TLBI_TG_BITS[getAt(w, 0, CMD_TLBI.TG)]! : 0;
    if (g === 0) {
      tlb.invalidateAddress(scope, hi, lo);
      return CERROR.NONE;
    }
    const num = getAt(w, 0, CMD_TLBI.NUM);
    const scale = getAt(w, 0, CMD_TLBI.SCALE);
    const ttl = getAt(w, 0, CMD_TLBI.TTL);
    if (num === 0 && scale === 0 && ttl === 0) return CERROR.ILL;
    const level = g === 14 && ttl === 1 ? 0 : ttl;
    if (num === 0 && scale === 0) tlb.invalidateAddress(scope, hi, lo, g, level);
    else tlb.invalidateRange(scope, hi, lo, (num + 1) * 2 ** scale * 2 ** g, g, level);
    return CERROR.NONE;
  }

  private sync(w: Uint32Array): number {
    const cs = getAt(w, 0, CMD_SYNC.CS);
    if (cs === 3) return CERROR.ILL;
    if (cs === CS.IRQ) this.target.signalSync(getAddress(w, 0, CMD_SYNC.MSIADDR), getAt(w, 0, CMD_SYNC.MSIDATA));
    return CERROR.NONE;
  }
}

import { setAddress, setAt } from '@doorbell/bits';
import { HardwareError, type Machine, type RegisterPort } from '@doorbell/platform';
import {
  CMD_CFGI,
  CMD_CFGI_STE_RANGE,
  CMD_TLBI,
  CMDQ_BASE,
  CMDQ_CONS,
  CMDQ_PROD,
  COMMAND_SIZE,
  GERROR,
  GERRORN,
  OP,
  OP_NAMES,
} from '../spec/index.js';

const WORDS = COMMAND_SIZE / 4;
const CERROR_NAMES: Readonly<Record<number, string>> = { 1: 'CERROR_ILL', 2: 'CERROR_ABT', 3: 'CERROR_ATC_INV_SYNC' };

/** The words of one command. */
export type Command = Uint32Array;

const start = (op: number): Command => {
  const w = new Uint32Array(WORDS);
  w[0] = op;
  return w;
};

export const cfgiSte = (sid: number): Command => {
  const w = start(OP.CFGI_STE);
  setAt(w, 0, CMD_CFGI.SID, sid);
  return w; // leaf = 0: the level-1 descriptor too
};
export const cfgiAll = (): Command => {
  const w = start(OP.CFGI_STE_RANGE);
  setAt(w, 0, CMD_CFGI_STE_RANGE.RANGE, 31);
  return w;
};
export const tlbiAll = (): Command => start(OP.TLBI_NSNH_ALL);
export const tlbiAsid = (asid: number): Command => {
  const w = start(OP.TLBI_NH_ASID);
  setAt(w, 0, CMD_TLBI.ASID, asid);
  return w;
};
/** One address, any granule; table entries on the way too. `w`: words to use again. */
export const tlbiVa = (asid: number, iova: number, w = start(OP.TLBI_NH_VA)): Command => {
  w[0] = OP.TLBI_NH_VA;
  setAt(w, 0, CMD_TLBI.ASID, asid);
  setAddress(w, 0, CMD_TLBI.VA, iova);
  return w;
};
/** Everything that was cached of a guest's stage 1, with or without the stage 2 below. */
export const tlbiVmidStage1 = (vmid: number): Command => {
  const w = start(OP.TLBI_NH_ALL);
  setAt(w, 0, CMD_TLBI.VMID, vmid);
  return w;
};
/** Everything of a VMID, both stages. */
export const tlbiVmid = (vmid: number): Command => {
  const w = start(OP.TLBI_S12_VMALL);
  setAt(w, 0, CMD_TLBI.VMID, vmid);
  return w;
};
/** One IPA of stage 2, any granule. */
export const tlbiIpa = (vmid: number, ipa: number): Command => {
  const w = start(OP.TLBI_S2_IPA);
  setAt(w, 0, CMD_TLBI.VMID, vmid);
  setAddress(w, 0, CMD_TLBI.VA, ipa);
  return w;
};
/** (num + 1) · 2^scale granules from the command's address on. Not for a single granule: NUM = SCALE = TTL = 0 is illegal with TG ≠ 0. */
export const ranged = (w: Command, tg: number, num: number, scale: number): Command => {
  setAt(w, 0, CMD_TLBI.TG, tg);
  setAt(w, 0, CMD_TLBI.NUM, num);
  setAt(w, 0, CMD_TLBI.SCALE, scale);
  return w;
};
const SYNC: Command = start(OP.SYNC); // CS = 0: completion is seen in CONS

/** The command queue, software's side (§3.5, §4). */
export class CommandQueue {
  private readonly bits: number;
  private readonly base: number;
  /** Bits of an entry's number; bits of the index with the wrap bit. */
  private readonly slots: number;
  private readonly wrapped: number;
  private prod = 0;

  constructor(
    private readonly machine: Machine,
    private readonly registers: RegisterPort,
    private readonly name: string,
    maxBits: number,
  ) {
    this.bits = Math.min(maxBits, 8);
    this.slots = 2 ** this.bits - 1;
    this.wrapped = 2 * this.slots + 1;
    this.base = machine.pages.allocate(COMMAND_SIZE * 2 ** this.bits);
    registers.write64(
      CMDQ_BASE.$.at,
      (CMDQ_BASE.RA.mask | Math.floor(this.base / 2 ** 32)) >>> 0,
      ((this.base >>> 0) | this.bits) >>> 0,
    );
    registers.write32(CMDQ_PROD.$.at, 0);
    registers.write32(CMDQ_CONS.$.at, 0);
  }

  /**
   * Runs commands and a SYNC, and returns when they are complete. When one is refused, those after it have no effect.
   * Errors: `HARDWARE_REFUSED` with `done`, the number of commands that took effect.
   */
  run(commands: readonly Command[]): void {
    const most = this.slots; // and the SYNC
    if (commands.length <= most) return this.part(commands, 0);
    for (let first = 0; first < commands.length; first += most) this.part(commands.slice(first, first + most), first);
  }

  private part(commands: readonly Command[], before: number): void {
    const { machine, registers } = this;
    const from = this.prod;
    for (let i = 0; i < commands.length; i++) this.put(this.prod++, commands[i]!);
    this.put(this.prod++, SYNC);
    machine.memory.barrier();
    registers.write32(CMDQ_PROD.$.at, this.index(this.prod));
    if (!this.drained()) this.recover(commands, from, before);
  }

  /** Waits until CONS = PROD; false: a command was refused. */
  private drained(): boolean {
    const { registers } = this;
    // most often there is nothing to wait for
    if ((registers.read32(CMDQ_CONS.$.at) & CMDQ_CONS.RD.mask) === this.index(this.prod)) return true;
    let failed = false;
    this.machine.waitUntil(`${this.name} to consume commands`, () => {
      if ((registers.read32(CMDQ_CONS.$.at) & CMDQ_CONS.RD.mask) === this.index(this.prod)) return true;
      failed = ((registers.read32(GERROR.$.at) ^ registers.read32(GERRORN.$.at)) & GERROR.CMDQ_ERR.mask) !== 0;
      return failed;
    });
    return !failed;
  }

  /** §7.1: replaces the refused command and those behind it by SYNCs, acknowledges, lets the queue run empty, and throws. */
  private recover(commands: readonly Command[], from: number, before: number): never {
    const { machine, registers } = this;
    const cons = registers.read32(CMDQ_CONS.$.at);
    const error = (cons & CMDQ_CONS.ERR.mask) >>> CMDQ_CONS.ERR.lsb;
    const done = (cons - from) & this.wrapped;
    for (let n = from + done; n < this.prod; n++) this.put(n, SYNC);
    machine.memory.barrier();
    registers.write32(GERRORN.$.at, (registers.read32(GERRORN.$.at) ^ GERROR.CMDQ_ERR.mask) >>> 0);
    const clean = this.drained();
    const op = OP_NAMES[(commands[done] ?? SYNC)[0]! & 0xff];
    throw new HardwareError(
      'HARDWARE_REFUSED',
      `${this.name} refused CMD_${op} with ${CERROR_NAMES[error] ?? error}`,
      clean ? 'the change was taken back' : 'its command queue stays in error: reset it',
      { unit: this.name, command: op, error: CERROR_NAMES[error] ?? null, done: before + done },
    );
  }

  private put(n: number, words: Command): void {
    const { memory } = this.machine;
    const at = this.base + COMMAND_SIZE * (n & this.slots);
    memory.write64(at, words[1]!, words[0]!);
    memory.write64(at + 8, words[3]!, words[2]!);
  }

  /** Index and wrap bit. */
  private index(n: number): number {
    return n & this.wrapped;
  }
}

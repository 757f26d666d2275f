import { setAddress, setAt } from '@doorbell/bits';
import { hex, type Machine, type RegisterPort } from '@doorbell/platform';
import { DoorbellError } from '@doorbell/platform';
import { CONFIG, L1STD, STE, STE_SIZE, STRTAB_BASE, STRTAB_BASE_CFG } from '../spec/index.js';

/** StreamIDs of one level-2 table: 2^SPLIT STEs, 16 KiB. */
const SPLIT = 8;

/** Words 2 and 3 of every STE (DW1). They are the same whatever Config says, so that one 64-bit write switches a stream. */
const DW1 = (() => {
  const w = new Uint32Array(STE_SIZE / 4);
  setAt(w, 0, STE.S1CIR, 1); // CD fetches: write-back, read-allocate,
  setAt(w, 0, STE.S1COR, 1);
  setAt(w, 0, STE.S1CSH, 3); // inner shareable
  setAt(w, 0, STE.SHCFG, 1); // traffic: as it comes
  return { lo: w[2]!, hi: w[3]! };
})();

/** What an STE's DW0 says. */
export interface Ste {
  readonly lo: number;
  readonly hi: number;
}
const dw0 = (config: number, cd = 0): Ste => {
  const w = new Uint32Array(2);
  setAt(w, 0, STE.V, 1);
  setAt(w, 0, STE.Config, config);
  setAddress(w, 0, STE.S1ContextPtr, cd);
  return { lo: w[0]!, hi: w[1]! };
};
export const STE_ABORT = dw0(CONFIG.ABORT);
export const STE_BYPASS = dw0(CONFIG.BYPASS);
export const steStage1 = (cd: number): Ste => dw0(CONFIG.S1, cd);

/**
 * The stream table, software's side: linear or two-level. Every stream aborts at first: level-1 descriptors point at one shared table
 * of aborting STEs until a stream of theirs is used.
 */
export class StreamTable {
  private readonly base: number;
  private readonly split: number;
  /** Address of each level-2 table, by level-1 index; a linear table is one. */
  private readonly leaves = new Map<number, number>();

  constructor(
    private readonly machine: Machine,
    registers: RegisterPort,
    private readonly name: string,
    private readonly sidBits: number,
    twoLevel: boolean,
  ) {
    this.split = twoLevel ? SPLIT : sidBits;
    const level1 = 8 * 2 ** Math.max(0, sidBits - SPLIT);
    this.base = twoLevel ? machine.pages.allocate(level1) : this.leaf();
    const shared = twoLevel ? this.leaf() : this.base;
    if (twoLevel) for (let i = 0; i < level1 / 8; i++) this.point(i, shared);
    else this.leaves.set(0, this.base);
    const cfg = twoLevel ? (1 << STRTAB_BASE_CFG.FMT.lsb) | (SPLIT << STRTAB_BASE_CFG.SPLIT.lsb) : 0;
    registers.write64(STRTAB_BASE.$.at, (STRTAB_BASE.RA.mask | Math.floor(this.base / 2 ** 32)) >>> 0, this.base >>> 0);
    registers.write32(STRTAB_BASE_CFG.$.at, cfg | sidBits);
  }

  /** A stream's DW0 as it stands; aborting where nothing was written. */
  read(sid: number): Ste {
    const leaf = this.leaves.get(Math.floor(sid / 2 ** this.split));
    if (leaf === undefined) return STE_ABORT;
    const at = leaf + STE_SIZE * (sid % 2 ** this.split);
    return { lo: this.machine.memory.read32(at), hi: this.machine.memory.read32(at + 4) };
  }

  /** Switches a stream by one 64-bit write. Errors: `BAD_STREAM`. */
  write(sid: number, ste: Ste): void {
    if (!(sid >= 0 && sid < 2 ** this.sidBits)) throw badStream(this.name, sid, this.sidBits);
    const index = Math.floor(sid / 2 ** this.split);
    let leaf = this.leaves.get(index);
    if (leaf === undefined) {
      leaf = this.leaf();
      this.point(index, leaf);
      this.leaves.set(index, leaf);
    }
    this.machine.memory.write64(leaf + STE_SIZE * (sid % 2 ** this.split), ste.hi, ste.lo);
    this.machine.memory.barrier();
  }

  /** One level-1 descriptor; CFGI_STE with leaf = 0 makes it visible. */
  private point(index: number, leaf: number): void {
    const w = new Uint32Array(2);
    setAt(w, 0, L1STD.SPAN, this.split + 1);
    setAddress(w, 0, L1STD.L2PTR, leaf);
    this.machine.memory.write64(this.base + 8 * index, w[1]!, w[0]!);
  }

  /** A table of aborting STEs, complete before anything points at it. */
  private leaf(): number {
    const { memory, pages } = this.machine;
    const size = STE_SIZE * 2 ** this.split;
    const base = pages.allocate(size);
    for (let at = base; at < base + size; at += STE_SIZE) {
      memory.write64(at, STE_ABORT.hi, STE_ABORT.lo);
      memory.write64(at + 8, DW1.hi, DW1.lo);
    }
    memory.barrier();
    return base;
  }
}

const badStream = (unit: string, sid: number, bits: number): DoorbellError =>
  new DoorbellError('BAD_STREAM', `${unit} has no stream ${hex(sid)}`, `its StreamIDs have ${bits} bits`, {
    unit,
    sid,
    bits,
  });

import { setAddress, setAt } from '@doorbell/bits';
import { hex, type Machine, type RegisterPort } from '@doorbell/platform';
import { DoorbellError } from '@doorbell/platform';
import { L1STD, STE_SIZE, STRTAB_BASE, STRTAB_BASE_CFG } from '../spec/index.js';
import { looksAt, STE_ABORT, STE_WORDS, type Ste } from './ste.js';

/** StreamIDs of one level-2 table: 2^SPLIT STEs, 16 KiB. */
const SPLIT = 8;

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
    /** IDR0.S2P. */
    private readonly stage2: boolean,
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

  /** Errors: `BAD_STREAM`. */
  check(sid: number): void {
    if (!(sid >= 0 && sid < 2 ** this.sidBits)) throw badStream(this.name, sid, this.sidBits);
  }

  /** A stream's DW0 to DW3 as they stand; aborting where nothing was written. */
  read(sid: number): Ste {
    const leaf = this.leaves.get(Math.floor(sid / 2 ** this.split));
    if (leaf === undefined) return { words: STE_ABORT.words, decides: 0b1111 };
    const at = leaf + STE_SIZE * (sid % 2 ** this.split);
    const words = Uint32Array.from({ length: STE_WORDS }, (_, i) => this.machine.memory.read32(at + 4 * i));
    return { words, decides: 0b1111 };
  }

  /**
   * Switches a stream: first what the STE as it stands does not look at, then DW0 by one 64-bit write. Where it does look at something that
   * changes, the stream aborts in between (§3.21.3); `visible` has to make that known to the unit. Errors: `visible`'s.
   */
  write(sid: number, { words, decides }: Ste, visible: () => void): void {
    const { memory } = this.machine;
    const index = Math.floor(sid / 2 ** this.split);
    let leaf = this.leaves.get(index);
    if (leaf === undefined) {
      leaf = this.leaf();
      this.point(index, leaf);
      this.leaves.set(index, leaf);
    }
    const at = leaf + STE_SIZE * (sid % 2 ** this.split);
    const now = this.read(sid).words;
    const used = looksAt(now, this.stage2);
    const changes = [1, 2, 3].filter(
      (n) => decides & (1 << n) && (now[2 * n] !== words[2 * n] || now[2 * n + 1] !== words[2 * n + 1]),
    );
    const looked = (i: number) => ((now[i]! ^ words[i]!) & used[i]!) !== 0;
    if (changes.some((n) => looked(2 * n) || looked(2 * n + 1))) {
      memory.write64(at, STE_ABORT.words[1]!, STE_ABORT.words[0]!);
      memory.barrier();
      visible();
    }
    for (const n of changes) memory.write64(at + 8 * n, words[2 * n + 1]!, words[2 * n]!);
    memory.barrier();
    memory.write64(at, words[1]!, words[0]!);
    memory.barrier();
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
      memory.write64(at, STE_ABORT.words[1]!, STE_ABORT.words[0]!);
      memory.write64(at + 8, STE_ABORT.words[3]!, STE_ABORT.words[2]!);
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

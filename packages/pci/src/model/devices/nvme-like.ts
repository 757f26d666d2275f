import { get, getAt, setAt } from '@doorbell/bits';
import {
  CQE,
  CQE_SIZE,
  NVME_BLOCK,
  NVME_CAP,
  NVME_CQ_HEAD,
  NVME_CQ_HI,
  NVME_CQ_LO,
  NVME_IDS,
  NVME_QUEUE,
  NVME_QUEUE_STRIDE,
  NVME_QUEUES,
  NVME_SQ_HI,
  NVME_SQ_LO,
  NVME_SQ_TAIL,
  NvmeOpcode,
  NvmeStatus,
  SQE,
  SQE_SIZE,
} from '../../spec/index.js';
import { TWO32, Verdict } from '@doorbell/platform';
import { definePciFunction, type BarHandler, type FunctionBehaviour, type FunctionPort } from '../definition.js';

export interface NvmeLikeOptions {
  /** Queue pairs, 1 to 1024. Default 4. */
  readonly queues?: number;
  /** MSI-X vectors. Default: one per queue pair. */
  readonly vectors?: number;
  /** Blocks of 512 bytes on its medium. Default 128. */
  readonly blocks?: number;
  readonly acs?: number;
  readonly ats?: boolean;
}

/**
 * A multi-queue function: ringing a submission queue's doorbell makes it read commands by DMA, move the data, write completions by
 * DMA and fire the queue's vector.
 */
export const nvmeLike = (options: NvmeLikeOptions = {}) => {
  const { queues = 4, vectors = queues, blocks = 128, ...rest } = options;
  const room = NVME_QUEUES + queues * NVME_QUEUE_STRIDE;
  return definePciFunction({
    ...rest,
    name: 'nvme-like',
    ...NVME_IDS,
    bars: { 0: { size: Math.max(0x4000, 2 ** Math.ceil(Math.log2(room))), width: 64 as const } },
    msix: { vectors },
    create: (port: FunctionPort) => new NvmeLike(port, queues, blocks),
  });
};

/** Words of one queue pair's register block. */
const WORDS = NVME_QUEUE_STRIDE / 4;
const TAIL = NVME_SQ_TAIL.$.at / 4;
const HEAD = NVME_CQ_HEAD.$.at / 4;
const CONTROL = NVME_QUEUE.$.at / 4;
const RESERVED_SQ_HEAD = 7;

/** What the device keeps per pair beside its registers. */
interface Pair {
  sqHead: number;
  cqTail: number;
  phase: number;
}

class NvmeLike implements FunctionBehaviour, BarHandler {
  readonly bars: Readonly<Record<number, BarHandler>> = { 0: this };
  private readonly words: Uint32Array;
  private readonly pairs: Pair[];
  private readonly lanes;
  private readonly medium: Uint8Array;
  private readonly command = new Uint32Array(SQE_SIZE / 4);
  private readonly commandBytes = new Uint8Array(this.command.buffer);
  private readonly entry = new Uint32Array(CQE_SIZE / 4);
  private readonly entryBytes = new Uint8Array(this.entry.buffer);

  constructor(
    private readonly port: FunctionPort,
    private readonly queues: number,
    private readonly blocks: number,
  ) {
    this.words = new Uint32Array(queues * WORDS);
    this.pairs = Array.from({ length: queues }, () => ({ sqHead: 0, cqTail: 0, phase: 1 }));
    this.lanes = this.pairs.map(() => port.clock.lane());
    this.medium = new Uint8Array(blocks * NVME_BLOCK);
  }

  read(offset: number, size: number): number {
    if (size !== 4) return 0;
    if (offset === NVME_CAP.$.at) return ((this.blocks << 16) | this.queues) >>> 0;
    return this.words[(offset - NVME_QUEUES) >>> 2] ?? 0;
  }

  write(offset: number, size: number, value: number): void {
    const word = (offset - NVME_QUEUES) >>> 2;
    if (size !== 4 || offset < NVME_QUEUES || word >= this.words.length || word % WORDS === RESERVED_SQ_HEAD) return;
    const before = this.words[word]!;
    this.words[word] = value;
    const q = Math.floor(word / WORDS);
    if (word % WORDS === CONTROL && get(value, NVME_QUEUE.Enable) && !get(before, NVME_QUEUE.Enable)) this.start(q);
    // New commands, or room for completions.
    if (word % WORDS === TAIL || word % WORDS === HEAD) this.lanes[q]!.run(() => this.work(q));
  }

  reset(): void {
    this.words.fill(0);
    for (const p of this.pairs) Object.assign(p, { sqHead: 0, cqTail: 0, phase: 1 });
  }
  snapshot(): unknown {
    return { words: this.words.slice(), pairs: this.pairs.map((p) => ({ ...p })), medium: this.medium.slice() };
  }
  restore(state: { words: Uint32Array; pairs: Pair[]; medium: Uint8Array }): void {
    this.words.set(state.words);
    this.pairs.forEach((p, i) => Object.assign(p, state.pairs[i]));
    this.medium.set(state.medium);
  }

  private start(q: number): void {
    Object.assign(this.pairs[q]!, { sqHead: 0, cqTail: 0, phase: 1 });
    this.words[q * WORDS + TAIL] = 0;
    this.words[q * WORDS + HEAD] = 0;
  }

  private register(q: number, at: number): number {
    return this.words[q * WORDS + at / 4]!;
  }

  /** Takes commands while there are any and the completion queue has room. */
  private work(q: number): void {
    const pair = this.pairs[q]!;
    const control = this.register(q, NVME_QUEUE.$.at);
    const size = get(control, NVME_QUEUE.Size) + 1;
    if (!get(control, NVME_QUEUE.Enable) || size < 2) return;
    const tail = get(this.register(q, NVME_SQ_TAIL.$.at), NVME_SQ_TAIL.Tail) % size;
    while (
      pair.sqHead !== tail &&
      (pair.cqTail + 1) % size !== get(this.register(q, NVME_CQ_HEAD.$.at), NVME_CQ_HEAD.Head) % size
    ) {
      const at = this.address(q, NVME_SQ_LO.$.at, NVME_SQ_HI.$.at, pair.sqHead * SQE_SIZE);
      if (this.port.dma.read(at.hi, at.lo, this.commandBytes) === Verdict.fault) return;
      pair.sqHead = (pair.sqHead + 1) % size;
      if (!this.complete(q, this.execute())) return;
      pair.cqTail = (pair.cqTail + 1) % size;
      if (pair.cqTail === 0) pair.phase ^= 1;
      if (get(control, NVME_QUEUE.InterruptEnable)) this.port.fire(get(control, NVME_QUEUE.Vector));
    }
  }

  /** Moves the data of the command just read; its status. */
  private execute(): number {
    const c = this.command;
    const opcode = getAt(c, 0, SQE.Opcode);
    if (opcode === NvmeOpcode.flush) return NvmeStatus.success;
    if (opcode !== NvmeOpcode.read && opcode !== NvmeOpcode.write) return NvmeStatus.invalidOpcode;
    const first = getAt(c, 0, SQE.StartingBlock);
    const count = getAt(c, 0, SQE.NumberOfBlocks) + 1;
    if (first + count > this.blocks) return NvmeStatus.lbaOutOfRange;
    const hi = getAt(c, 0, SQE.Prp1Hi);
    const lo = getAt(c, 0, SQE.Prp1Lo);
    const data = this.medium.subarray(first * NVME_BLOCK, (first + count) * NVME_BLOCK);
    const { dma } = this.port;
    const verdict = opcode === NvmeOpcode.write ? this.fetch(hi, lo, data) : dma.write(hi, lo, data);
    return verdict === Verdict.fault ? NvmeStatus.dataTransferError : NvmeStatus.success;
  }

  /** Memory to medium; a fault leaves the medium as it was. */
  private fetch(hi: number, lo: number, into: Uint8Array): Verdict {
    const bytes = new Uint8Array(into.length);
    const verdict = this.port.dma.read(hi, lo, bytes);
    if (verdict !== Verdict.fault) into.set(bytes);
    return verdict;
  }

  private complete(q: number, status: number): boolean {
    const pair = this.pairs[q]!;
    const e = this.entry.fill(0);
    setAt(e, 0, CQE.SqHead, pair.sqHead);
    setAt(e, 0, CQE.QueueId, q);
    setAt(e, 0, CQE.CommandId, getAt(this.command, 0, SQE.CommandId));
    setAt(e, 0, CQE.Phase, pair.phase);
    setAt(e, 0, CQE.StatusCode, status);
    const at = this.address(q, NVME_CQ_LO.$.at, NVME_CQ_HI.$.at, pair.cqTail * CQE_SIZE);
    return this.port.dma.write(at.hi, at.lo, this.entryBytes) !== Verdict.fault;
  }

  private address(q: number, low: number, high: number, offset: number): { hi: number; lo: number } {
    const lo = this.register(q, low) + offset;
    return { hi: (this.register(q, high) + Math.floor(lo / TWO32)) >>> 0, lo: lo >>> 0 };
  }
}

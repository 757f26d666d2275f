import { get, getAddress, getAt } from '@doorbell/bits';
import type { PhysicalMemory, RegisterFile, TableExtent } from '@doorbell/platform';
import {
  CD_SIZE,
  CONFIG,
  EVENT_SIZE,
  EVENTQ_BASE,
  L1CD,
  L1STD,
  STE,
  STE_SIZE,
  STRTAB_BASE,
  STRTAB_BASE_CFG,
} from '../spec/index.js';
import { stage1Context } from './context.js';
import { queueGeometry } from './event-queue.js';
import type { Features } from './features.js';
import { badCd, badSte, cdBits } from './legality.js';
import type { Smmu } from './smmu.js';
import type { Half } from './walk.js';

/** Stream table, CDs, stage-1 tables and the event queue: whatever a unit may read for a stream, in the order of a walk. */
export function* tablesOf(smmu: Smmu, memory: PhysicalMemory): Generator<TableExtent> {
  const r: RegisterFile = smmu.regions[0]!;
  const f = smmu.features;
  const queue = queueGeometry(r.get(EVENTQ_BASE.$.at), r.get(EVENTQ_BASE.$.at + 4), f.eventqBits, EVENT_SIZE);
  if (queue.base !== 0) yield { what: 'event queue', at: queue.base, size: EVENT_SIZE * 2 ** queue.bits };
  const cfg = r.get(STRTAB_BASE_CFG.$.at);
  const bits = Math.min(get(cfg, STRTAB_BASE_CFG.LOG2SIZE), f.sidBits);
  const at = (r.get(STRTAB_BASE.$.at + 4) & 0xfffff) * 2 ** 32 + ((r.get(STRTAB_BASE.$.at) & ~63) >>> 0);
  if (at === 0) return;
  const walk = new TableWalk(memory, f);
  if (get(cfg, STRTAB_BASE_CFG.FMT) !== 1 || !f.twoLevel) {
    const size = STE_SIZE * 2 ** bits;
    return yield* walk.streams(at - (at % size), size / STE_SIZE, 'stream table');
  }
  const split = get(cfg, STRTAB_BASE_CFG.SPLIT);
  const entries = 2 ** Math.max(0, bits - (split === 8 || split === 10 ? split : 6));
  const base = at - (at % Math.max(64, 8 * entries));
  yield { what: 'level-1 stream table', at: base, size: 8 * entries };
  const l1 = new Uint32Array(2);
  for (let i = 0; i < entries; i++) {
    if (!walk.read(base + 8 * i, l1)) continue;
    const span = getAt(l1, 0, L1STD.SPAN);
    if (span === 0 || span > 11) continue;
    const count = 2 ** (span - 1);
    const ptr = getAddress(l1, 0, L1STD.L2PTR);
    yield* walk.streams(ptr - (ptr % (STE_SIZE * count)), count, 'level-2 stream table');
  }
}

class TableWalk {
  private readonly seen = new Set<string>();

  constructor(
    private readonly memory: PhysicalMemory,
    private readonly f: Features,
  ) {}

  read(at: number, into: Uint32Array): boolean {
    if (!this.memory.contains(at, 4 * into.length)) return false;
    this.memory.readWords(at, into);
    return true;
  }

  *streams(at: number, count: number, what: string): Generator<TableExtent> {
    if (this.twice('ste', at) || !this.memory.contains(at)) return;
    yield { what, at, size: STE_SIZE * count };
    const ste = new Uint32Array(STE_SIZE / 4);
    for (let i = 0; i < count; i++) {
      if (!this.read(at + STE_SIZE * i, ste) || badSte(ste, this.f) !== null) continue;
      if (getAt(ste, 0, STE.Config) === CONFIG.S1) yield* this.contexts(ste);
    }
  }

  private *contexts(ste: Uint32Array): Generator<TableExtent> {
    const ptr = getAddress(ste, 0, STE.S1ContextPtr);
    const max = cdBits(ste, this.f);
    const fmt = getAt(ste, 0, STE.S1Fmt);
    if (max === 0 || (fmt !== 1 && fmt !== 2)) {
      const size = CD_SIZE * 2 ** max;
      return yield* this.leaf(ptr - (ptr % size), size / CD_SIZE, ste);
    }
    const split = fmt === 1 ? 6 : 10;
    const entries = 2 ** Math.max(0, max - split);
    const base = ptr - (ptr % Math.max(64, 8 * entries));
    if (this.twice('l1cd', base)) return;
    yield { what: 'level-1 context table', at: base, size: 8 * entries };
    const l1 = new Uint32Array(2);
    for (let i = 0; i < entries; i++)
      if (this.read(base + 8 * i, l1) && getAt(l1, 0, L1CD.V) === 1)
        yield* this.leaf(getAddress(l1, 0, L1CD.L2PTR), 2 ** split, ste);
  }

  private *leaf(at: number, count: number, ste: Uint32Array): Generator<TableExtent> {
    if (this.twice('cd', at)) return;
    yield { what: 'context descriptors', at, size: CD_SIZE * count };
    const cd = new Uint32Array(CD_SIZE / 4);
    for (let i = 0; i < count; i++) {
      if (!this.read(at + CD_SIZE * i, cd) || badCd(cd, ste, this.f) !== null) continue;
      const { lower, upper } = stage1Context(0, -1, ste, cd, this.f);
      for (const half of [lower, upper])
        if (half.enabled) yield* this.below(half, half.base, half.start, 8 * (half.firstMask + 1));
    }
  }

  /** A table and those below it; one that was seen at this level is not entered again, so circles end. */
  private *below(half: Half, at: number, level: number, size: number): Generator<TableExtent> {
    if (this.twice(`${half.g}/${level}`, at) || !this.memory.contains(at, size)) return;
    yield { what: `stage-1 table, level ${level}`, at, size };
    if (level === 3) return;
    const entry = new Uint32Array(2);
    const low = ~(2 ** half.g - 1) >>> 0;
    for (let i = 0; i < size / 8; i++) {
      this.read(at + 8 * i, entry);
      if ((entry[0]! & 3) !== 3) continue;
      yield* this.below(half, (entry[1]! & 0xffff) * 2 ** 32 + ((entry[0]! & low) >>> 0), level + 1, 2 ** half.g);
    }
  }

  private twice(kind: string, at: number): boolean {
    const key = `${kind}:${at}`;
    if (this.seen.has(key)) return true;
    this.seen.add(key);
    return false;
  }
}

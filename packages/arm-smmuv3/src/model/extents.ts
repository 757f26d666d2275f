import { getAddress, getAt } from '@doorbell/bits';
import { Trace, type PhysicalMemory, type TableExtent } from '@doorbell/platform';
import {
  CD,
  CD_SIZE,
  CONFIG,
  EVENT_SIZE,
  L1CD,
  L1STD,
  S1DSS,
  STE,
  STE_SIZE,
  TG0_BITS,
  TG1_BITS,
} from '../spec/index.js';
import type { StreamTable } from './configuration.js';
import type { Features } from './features.js';
import { badCd, badSte, cdBits } from './legality.js';
import { stage2Of, type Stage2 } from './second-stage.js';
import { Walker } from './walk.js';
import { FaultSite } from './fault-site.js';
import { makeHalf, type Half } from './geometry.js';

/** More pieces than any sane tables have: what damaged ones come to before the list ends. */
const MOST = 100_000;

/** Where an address of stage 1's own lies; -1: nowhere. */
type Place = (address: number) => number;
const HERE: Place = (address) => address;

/** Event records that the queue still holds. */
export interface EventRecords {
  readonly base: number;
  readonly bits: number;
  readonly prod: number;
}

/** All memory that a unit's answers depend on, each piece once: stream table, CDs, page tables, event records. Never throws. */
export function* smmuExtents(
  memory: PhysicalMemory,
  t: StreamTable,
  f: Features,
  events: EventRecords,
): Generator<TableExtent> {
  const seen = new Set<number>();
  const read = (at: number, count: number): Uint32Array | null => {
    if (at < 0 || !memory.contains(at, 4 * count) || at % 4 !== 0) return null;
    const words = new Uint32Array(count);
    memory.readWords(at, words);
    return words;
  };
  const walker = new Walker('', memory, new Trace(), new FaultSite(), null);
  const through =
    (s: Stage2): Place =>
    (ipa) =>
      walker.walk(s.half, s.rules, null, Math.floor(ipa / 2 ** 32), ipa | 0) === 0 ? walker.pa : -1;
  const fresh = (at: number) => seen.size < MOST && !seen.has(at) && seen.add(at) !== undefined;

  function* tables(half: Half, what: string, table: number, level: number, place: Place): Generator<TableExtent> {
    const bytes = 8 * (level === half.start ? half.firstMask + 1 : 2 ** (half.g - 3));
    // what is one piece for a guest need not be one below
    const step = place === HERE ? bytes : Math.min(bytes, 4096);
    for (let offset = 0; offset < bytes; offset += step) {
      const at = place(table + offset);
      if (at < 0 || !memory.contains(at, step) || !fresh(at)) continue;
      yield { what: `${what}, level ${level}`, at, size: step };
      if (level === 3) continue;
      for (let i = 0; i < step / 8; i++) {
        const lo = memory.read32(at + 8 * i);
        if ((lo & 3) !== 3) continue;
        const hi = memory.read32(at + 8 * i + 4);
        const next = (hi & 0xffff) * 2 ** 32 + ((lo & ~(2 ** half.g - 1)) >>> 0);
        yield* tables(half, what, next, level + 1, place);
      }
    }
  }

  function* context(address: number, ste: Uint32Array, place: Place): Generator<TableExtent> {
    const at = place(address);
    const cd = read(at, 16);
    if (!cd || cd.every((w) => w === 0) || !fresh(at)) return;
    yield { what: 'CD', at, size: CD_SIZE };
    if (badCd(cd, ste, f)) return;
    const half = (upper: boolean, g: number, txsz: number, ttb: number) =>
      makeHalf({ enabled: true, upper, had: false, txsz, g, ttb });
    const field = (x: Parameters<typeof getAt>[2]) => getAt(cd, 0, x);
    if (field(CD.EPD0) === 0) {
      const h = half(false, TG0_BITS[field(CD.TG0)]!, field(CD.T0SZ), getAddress(cd, 0, CD.TTB0));
      yield* tables(h, 'stage-1 table', h.base, h.start, place);
    }
    if (field(CD.EPD1) === 0) {
      const h = half(true, TG1_BITS[field(CD.TG1)]!, field(CD.T1SZ), getAddress(cd, 0, CD.TTB1));
      yield* tables(h, 'stage-1 table', h.base, h.start, place);
    }
  }

  function* stream(at: number): Generator<TableExtent> {
    const ste = read(at, 16);
    if (!ste || badSte(ste, f)) return;
    const config = getAt(ste, 0, STE.Config);
    if (config < CONFIG.S1) return;
    const stage2 = config & 2 ? stage2Of(ste, f) : null;
    if (stage2) yield* tables(stage2.half, 'stage-2 table', stage2.half.base, stage2.half.start, HERE);
    if (config === CONFIG.S2) return;
    const place = stage2 ? through(stage2) : HERE;
    const max = cdBits(ste, f);
    const pointer = getAddress(ste, 0, STE.S1ContextPtr);
    const fmt = getAt(ste, 0, STE.S1Fmt);
    if (max === 0 || (fmt !== 1 && fmt !== 2)) {
      const base = pointer - (pointer % (CD_SIZE * 2 ** max));
      const only = max === 0 || getAt(ste, 0, STE.S1DSS) === S1DSS.SSID0 ? 1 : 0;
      for (let ssid = 0; ssid < Math.max(only, 2 ** max); ssid++) yield* context(base + CD_SIZE * ssid, ste, place);
      return;
    }
    const split = fmt === 1 ? 6 : 10;
    const count = 2 ** Math.max(0, max - split);
    const base = pointer - (pointer % Math.max(64, 8 * count));
    const table = place(base);
    if (!memory.contains(table, Math.min(8 * count, 4096)) || !fresh(table)) return;
    yield { what: 'level-1 CD table', at: table, size: place === HERE ? 8 * count : Math.min(8 * count, 4096) };
    for (let i = 0; i < count; i++) {
      const l1 = read(place(base + 8 * i), 2);
      if (!l1 || getAt(l1, 0, L1CD.V) === 0) continue;
      const l2 = getAddress(l1, 0, L1CD.L2PTR);
      for (let n = 0; n < 2 ** split; n++) yield* context(l2 + CD_SIZE * n, ste, place);
    }
  }

  function* streams(base: number, count: number, what: string): Generator<TableExtent> {
    if (!memory.contains(base, STE_SIZE * count) || !fresh(base)) return;
    yield { what, at: base, size: STE_SIZE * count };
    for (let i = 0; i < count; i++) yield* stream(base + STE_SIZE * i);
  }

  if (!t.twoLevel || !f.twoLevel) {
    const count = 2 ** t.log2size;
    yield* streams(t.base - (t.base % (STE_SIZE * count)), count, 'stream table');
  } else {
    const count = 2 ** Math.max(0, t.log2size - t.split);
    const base = t.base - (t.base % Math.max(64, 8 * count));
    if (memory.contains(base, 8 * count)) {
      yield { what: 'level-1 stream table', at: base, size: 8 * count };
      for (let i = 0; i < count; i++) {
        const l1 = read(base + 8 * i, 2)!;
        const span = getAt(l1, 0, L1STD.SPAN);
        if (span === 0 || span > Math.min(11, t.split + 1)) continue;
        const size = 2 ** (span - 1);
        const ptr = getAddress(l1, 0, L1STD.L2PTR);
        yield* streams(ptr - (ptr % (STE_SIZE * size)), size, 'level-2 stream table');
      }
    }
  }
  // a queue that has wrapped holds records everywhere
  const size = 2 ** events.bits;
  const held = events.prod & size ? size : events.prod & (size - 1);
  if (held > 0 && memory.contains(events.base, EVENT_SIZE * held))
    yield { what: 'event records', at: events.base, size: EVENT_SIZE * held };
}

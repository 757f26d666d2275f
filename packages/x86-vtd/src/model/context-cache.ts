import { TranslationType } from '../spec/index.js';

/** What the cache knows about a source id. */
export const Cached = { nothing: 0, entry: 1, rootNotPresent: 2, notPresent: 3, notPresentFpd: 4 } as const;

/**
 * Context entries by source id, decoded. One slot per source id, so an entry stays until it is invalidated. What is cached
 * with CAP.CM set and not present has domain id 0 (§6.1).
 */
export class ContextCache {
  readonly state = new Uint8Array(65536);
  readonly did = new Uint16Array(65536);
  readonly type = new Uint8Array(65536);
  readonly levels = new Uint8Array(65536);
  readonly fpd = new Uint8Array(65536);
  /** Second-stage table's address. */
  readonly table = new Float64Array(65536);
  /** Domain id where requests are translated by tables, else -1: all that a hit has to look at. */
  readonly translated = new Int32Array(65536).fill(-1);
  /** The same as a signed word, and levels, for tables below 4 GiB of 3 or 4 levels; else 0 levels. */
  readonly nearTable = new Int32Array(65536);
  readonly nearLevels = new Uint8Array(65536);
  /** First `hi` of an input address that is beyond the entry's width. */
  readonly limit = new Uint32Array(65536);
  /** Slots in use; only for short scans. */
  private readonly used = new Set<number>();

  constructor(private readonly inputBits: number) {}

  fill(sid: number, did: number, type: number, levels: number, fpd: number, table: number): void {
    this.state[sid] = Cached.entry;
    this.did[sid] = did;
    this.type[sid] = type;
    this.levels[sid] = levels;
    this.fpd[sid] = fpd;
    this.table[sid] = table;
    this.translated[sid] = type === TranslationType.passThrough ? -1 : did;
    this.nearTable[sid] = table | 0;
    this.nearLevels[sid] = table < 2 ** 32 && levels < 5 ? levels : 0;
    this.limit[sid] = 2 ** (Math.min(this.inputBits, 12 + 9 * levels) - 32);
    this.used.add(sid);
  }

  fillAbsent(sid: number, state: number): void {
    this.state[sid] = state;
    this.did[sid] = 0;
    this.translated[sid] = -1;
    this.used.add(sid);
  }

  clear(): void {
    for (const sid of this.used) this.drop(sid);
  }

  invalidateDomain(did: number): void {
    for (const sid of this.used) if (this.did[sid] === did) this.drop(sid);
  }

  /** Source ids equal to `sid` but for the bits of `ignore`. The domain id is a hint that hardware may use (§6.5.1.1). */
  invalidateDevice(sid: number, ignore: number): void {
    for (let f = 0; f < 8; f++) if ((f & ~ignore) === 0) this.drop((sid & ~ignore) | f);
  }

  get size(): number {
    return this.used.size;
  }

  snapshot(): unknown {
    return [...this.used].map((sid) => [
      sid,
      this.state[sid],
      this.did[sid],
      this.type[sid],
      this.levels[sid],
      this.fpd[sid],
      this.table[sid],
    ]);
  }

  restore(state: unknown): void {
    this.clear();
    for (const [sid, kind, did, type, levels, fpd, table] of state as [
      number,
      number,
      number,
      number,
      number,
      number,
      number,
    ][]) {
      if (kind === Cached.entry) this.fill(sid, did, type, levels, fpd, table);
      else this.fillAbsent(sid, kind);
    }
  }

  private drop(sid: number): void {
    this.state[sid] = Cached.nothing;
    this.translated[sid] = -1;
    this.used.delete(sid);
  }
}

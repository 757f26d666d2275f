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
  /** Slots in use; only for short scans. */
  private readonly used = new Set<number>();

  fill(sid: number, did: number, type: number, levels: number, fpd: number, table: number): void {
    this.state[sid] = Cached.entry;
    this.did[sid] = did;
    this.type[sid] = type;
    this.levels[sid] = levels;
    this.fpd[sid] = fpd;
    this.table[sid] = table;
    this.used.add(sid);
  }

  fillAbsent(sid: number, state: number): void {
    this.state[sid] = state;
    this.did[sid] = 0;
    this.used.add(sid);
  }

  clear(): void {
    for (const sid of this.used) this.state[sid] = Cached.nothing;
    this.used.clear();
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
      this.fill(sid, did, type, levels, fpd, table);
      this.state[sid] = kind;
    }
  }

  private drop(sid: number): void {
    this.state[sid] = Cached.nothing;
    this.used.delete(sid);
  }
}

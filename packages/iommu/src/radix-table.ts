import { DoorbellError, hex, type MemoryPort, type PageAllocator, type Range } from '@doorbell/platform';
import { RadixEntries } from './radix-entries.js';
import { Table, type RadixFormat } from './radix-format.js';
import { RemovalLog } from './removal-log.js';
import type { DomainTable } from './unit.js';

/** A table made by a `map` that is still under way. */
interface Made {
  readonly parent: Table;
  readonly index: number;
  readonly table: Table;
}

/** No table: every address is out of its span. */
const NOWHERE = new Table(0, 0, 0, -(2 ** 53));

/**
 * A radix tree of page tables in physical memory: what most IOMMUs walk. The format says how entries look; this class does the rest of
 * `DomainTable`: page-size selection, all-or-nothing mapping, undo of an unmap.
 *
 * What comes often is a page beside the last one, and a run of pages: the first goes straight to the table of the last, the second fills or
 * clears a table's entries in one loop.
 */
export class RadixTable implements DomainTable {
  readonly granule: number;
  private readonly root: Table;
  private readonly shares: readonly number[];
  /** The table of level 0 that the last page went through, and the bytes that such a table spans. */
  private lastLeaf = NOWHERE;
  private readonly leafSpan: number;
  private readonly entries: RadixEntries;
  private readonly log = new RemovalLog();
  /** Tables unlinked: those of the last unmap are the ones from `deadBefore` on. */
  private readonly dead: Table[] = [];
  private deadBefore = 0;

  constructor(
    readonly format: RadixFormat,
    private readonly memory: MemoryPort,
    private readonly pages: PageAllocator,
    /** Bytes of the smallest page up; the domain's page sizes. */
    private readonly pageSizes: readonly number[],
    /** log2 of the bytes that the entry of a level spans, by level. */
    private readonly spans = format.leafAt.map((_, level) => 2 ** (format.granuleBits + level * format.indexBits)),
  ) {
    this.granule = 2 ** format.granuleBits;
    this.shares = spans.map((span) => 1 / span);
    this.leafSpan =
      2 ** (format.granuleBits + (format.levels > 1 ? format.indexBits : (format.rootBits ?? format.indexBits)));
    this.entries = new RadixEntries(format, memory);
    this.root = this.allocate(format.levels - 1, 0);
  }

  /** Physical address of the top table. */
  get rootAddress(): number {
    return this.root.address;
  }

  map(iova: number, physical: number, size: number, permissions: number): void {
    if (size === this.granule) {
      const leaf = this.leaf(iova);
      if (leaf !== null) return this.mapPage(leaf, iova, physical, permissions);
    }
    const present = this.mappedIn(iova, iova + size - 1);
    if (present) throw conflict(iova, size, present);
    const made: Made[] = [];
    try {
      // Tables first, unlinked: the tree that the hardware walks is untouched until nothing can fail any more.
      this.plan(this.root, iova, physical, size, made);
    } catch (error) {
      for (const { parent, index, table } of made.reverse()) {
        parent.below[index] = undefined;
        this.release(table);
      }
      throw error;
    }
    this.fill(this.root, iova, physical, size, permissions);
    this.memory.barrier();
    // Lower tables are complete before the entry that makes them reachable is written.
    for (const { parent, index, table } of made.reverse()) {
      parent.used++;
      this.entries.write(parent, index, this.format.tableLo(table.address), this.format.tableHi(table.address));
    }
    this.memory.barrier();
  }

  unmap(iova: number, size: number): number {
    this.log.clear();
    this.deadBefore = this.dead.length;
    const leaf = size === this.granule ? this.leaf(iova) : null;
    if (leaf !== null) {
      const taken = this.entries.takePage(leaf, this.indexOf(leaf, iova), this.log);
      this.memory.barrier();
      return taken ? size : 0;
    }
    const bytes = this.clear(this.root, iova, iova + size - 1);
    // Tables without a page go only together with pages: nothing is flushed after a call that took none.
    if (bytes === 0 && this.log.length > 0) this.undoUnmap();
    this.memory.barrier();
    return bytes;
  }

  undoUnmap(): void {
    const { log } = this;
    let at = 0;
    for (let i = 0; i < log.length; i++) {
      const table = log.tables[i]!;
      const first = log.runs[3 * i]!;
      const count = log.runs[3 * i + 1]!;
      table.used += log.runs[3 * i + 2]!;
      if (table.level > 0) table.below[first] = log.below[i];
      for (let n = 0; n < count; n++, at += 2) this.entries.write(table, first + n, log.words[at]!, log.words[at + 1]!);
    }
    log.clear();
    this.dead.length = this.deadBefore;
    this.memory.barrier();
  }

  reclaim(): void {
    if (this.dead.length === 0) return;
    for (const table of this.dead) this.free(table);
    this.dead.length = this.deadBefore = 0;
    this.log.clear();
  }

  iovaToPhys(iova: number): number {
    let table = this.root;
    for (;;) {
      const span = this.spans[table.level]!;
      const index = this.indexOf(table, iova);
      const below = table.below[index];
      if (below === undefined) {
        if (!this.entries.read(table, index)) return -1;
        return this.format.address(this.entries.lo, this.entries.hi, table.level) + (iova % span);
      }
      table = below;
    }
  }

  mappedIn(first: number, last: number): Range | null {
    return first > last ? null : this.search(this.root, first, last);
  }

  destroy(): void {
    this.reclaim();
    this.free(this.root);
  }

  /** The lowest table on the way to `iova`, or null where there is none yet. */
  private leaf(iova: number): Table | null {
    const last = this.lastLeaf;
    return iova - last.base < this.leafSpan && iova >= last.base ? last : this.descend(iova);
  }

  private descend(iova: number): Table | null {
    let table: Table | undefined = this.root;
    while (table.level > 0) {
      table = table.below[this.indexOf(table, iova)];
      if (table === undefined) return null;
    }
    return (this.lastLeaf = table);
  }

  /** The entry of a table that an address goes through. The shares of 2^-n are exact, and `&` keeps the low bits of what is above 2^32. */
  private indexOf(table: Table, iova: number): number {
    return (iova * this.shares[table.level]!) & (table.entries - 1);
  }

  private mapPage(leaf: Table, iova: number, physical: number, permissions: number): void {
    if (!this.entries.putPage(leaf, this.indexOf(leaf, iova), physical, permissions))
      throw conflict(iova, this.granule, { first: iova, last: iova + this.granule - 1 });
    this.memory.barrier();
  }

  private fitsLeaf(level: number, at: number, physical: number, left: number): boolean {
    const span = this.spans[level]!;
    return (
      this.format.leafAt[level]! &&
      this.pageSizes.includes(span) &&
      at % span === 0 &&
      physical % span === 0 &&
      left >= span
    );
  }

  private plan(table: Table, iova: number, physical: number, size: number, made: Made[]): void {
    if (table.level === 0) return; // every granule fits there
    const span = this.spans[table.level]!;
    const end = iova + size;
    for (let at = iova; at < end; ) {
      const index = this.indexOf(table, at);
      const base = table.base + index * span;
      const n = Math.min(end, base + span) - at;
      let below = table.below[index];
      if (below || !this.fitsLeaf(table.level, at, physical + (at - iova), n)) {
        if (!below) {
          below = this.allocate(table.level - 1, base);
          table.below[index] = below;
          made.push({ parent: table, index, table: below });
        }
        this.plan(below, at, physical + (at - iova), n, made);
      }
      at += n;
    }
  }

  private fill(table: Table, iova: number, physical: number, size: number, permissions: number): void {
    if (table.level === 0)
      return this.entries.fillRun(table, this.indexOf(table, iova), size / this.granule, physical, permissions);
    const span = this.spans[table.level]!;
    const end = iova + size;
    for (let at = iova; at < end; ) {
      const index = this.indexOf(table, at);
      const n = Math.min(end, table.base + (index + 1) * span) - at;
      const below = table.below[index];
      if (below) this.fill(below, at, physical + (at - iova), n, permissions);
      else {
        table.used++;
        this.entries.writePage(table, index, physical + (at - iova), permissions);
      }
      at += n;
    }
  }

  private clear(table: Table, first: number, last: number): number {
    if (table.level === 0) {
      const count = (last + 1 - first) / this.granule;
      return this.entries.clearRun(table, this.indexOf(table, first), count, this.log) * this.granule;
    }
    const span = this.spans[table.level]!;
    let bytes = 0;
    for (let at = first; at <= last; ) {
      const index = this.indexOf(table, at);
      const entry = table.base + index * span;
      const to = Math.min(last, entry + span - 1);
      const whole = at === entry && to === entry + span - 1;
      const below = table.below[index];
      if (below) {
        // As Linux does: a table goes only when all that it spans is unmapped, so that single pages come and go cheaply.
        if (!whole) bytes += this.clear(below, at, to);
        else {
          bytes += this.mappedBytes(below);
          this.entries.read(table, index);
          this.entries.remove(table, index, below, this.log);
          this.dead.push(below);
          this.lastLeaf = NOWHERE;
        }
      } else if (this.entries.read(table, index)) {
        if (!whole) {
          this.undoUnmap();
          throw new DoorbellError(
            'UNALIGNED',
            `${hex(at)} cuts the page ${hex(entry)} of ${hex(span)} bytes`,
            'unmap whole pages, as they were mapped',
            { iova: at, page: entry, size: span },
          );
        }
        this.entries.remove(table, index, undefined, this.log);
        bytes += span;
      }
      at = to + 1;
    }
    return bytes;
  }

  /** Bytes of all pages below a table. */
  private mappedBytes(table: Table): number {
    if (table.level === 0) return table.used * this.granule;
    let bytes = 0;
    for (let i = 0, left = table.used; left > 0; i++) {
      const below = table.below[i];
      if (below === undefined && !this.entries.read(table, i)) continue;
      left--;
      bytes += below ? this.mappedBytes(below) : this.spans[table.level]!;
    }
    return bytes;
  }

  private search(table: Table, first: number, last: number): Range | null {
    if (table.used === 0) return null;
    const span = this.spans[table.level]!;
    if (table.level === 0) {
      const from = this.indexOf(table, first);
      const index = this.entries.firstUsed(table, from, this.indexOf(table, last) - from + 1);
      const page = table.base + index * span;
      return index < 0 ? null : { first: page, last: page + span - 1 };
    }
    for (let at = first; at <= last; ) {
      const index = this.indexOf(table, at);
      const entry = table.base + index * span;
      const below = table.below[index];
      const to = Math.min(last, entry + span - 1);
      const found = below
        ? this.search(below, at, to)
        : this.entries.read(table, index)
          ? { first: entry, last: entry + span - 1 }
          : null;
      if (found) return found;
      at = to + 1;
    }
    return null;
  }

  private allocate(level: number, base: number): Table {
    const { rootBits, indexBits, levels } = this.format;
    const entries = 2 ** (level === levels - 1 ? (rootBits ?? indexBits) : indexBits);
    return new Table(this.pages.allocate(Math.max(4096, entries * 8)), level, entries, base);
  }

  /** Gives back a table and all below it. */
  private free(table: Table): void {
    for (const below of table.below) if (below) this.free(below);
    this.release(table);
  }

  private release(table: Table): void {
    this.pages.free(table.address, Math.max(4096, table.entries * 8));
  }
}

const conflict = (iova: number, size: number, present: Range): DoorbellError =>
  new DoorbellError(
    'IOVA_CONFLICT',
    `${hex(iova)} (${hex(size)} bytes) overlaps the mapping ${hex(present.first)}–${hex(present.last)}`,
    'unmap it first',
    { iova, size, present },
  );

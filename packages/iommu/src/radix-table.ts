import { DoorbellError, READ, WRITE, hex, type MemoryPort, type PageAllocator, type Range } from '@doorbell/platform';
import type { DomainTable } from './unit.js';

/** How one architecture writes a tree of tables. Level 0 holds the smallest pages; entries are two little-endian words. */
export interface RadixFormat {
  /** log2 of the smallest page. */
  readonly granuleBits: number;
  /** log2 of the entries of a table page. */
  readonly indexBits: number;
  readonly levels: number;
  /** log2 of the entries of the root, where it differs. */
  readonly rootBits?: number;
  /** Whether level `n` may hold pages, by level. */
  readonly leafAt: readonly boolean[];
  /** The low and high word of a page's entry. */
  leafLo(physical: number, level: number, permissions: number): number;
  leafHi(physical: number, level: number, permissions: number): number;
  /** The same of an entry that points to a table. */
  tableLo(address: number): number;
  tableHi(address: number): number;
  /** The physical address in a page's entry. */
  address(lo: number, hi: number, level: number): number;
}

/** One table page, as software remembers it: the words themselves stand in memory only. */
class Table {
  /** Entries that are not empty. */
  used = 0;
  /** Tables below, by index; undefined where there is a page or nothing. */
  readonly below: (Table | undefined)[];
  constructor(
    readonly address: number,
    readonly level: number,
    readonly entries: number,
  ) {
    this.below = level > 0 ? new Array<Table | undefined>(entries).fill(undefined) : [];
  }
}

/**
 * A radix tree of page tables in physical memory: what most IOMMUs walk. The format says how entries look; this class does the rest of
 * `DomainTable`: page-size selection, all-or-nothing mapping, undo of an unmap.
 */
export class RadixTable implements DomainTable {
  readonly granule: number;
  private readonly root: Table;
  private readonly shares: readonly number[];
  private readonly words = { lo: 0, hi: 0 };
  /** What the last `unmap` took, as columns that are reused: an unmap allocates nothing. */
  private removed = 0;
  private readonly removedTable: Table[] = [];
  private readonly removedIndex: number[] = [];
  private readonly removedLo: number[] = [];
  private readonly removedHi: number[] = [];
  private readonly removedBelow: (Table | undefined)[] = [];
  private dead: Table[] = [];

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
    this.root = this.allocate(format.levels - 1);
  }

  /** Physical address of the top table. */
  get rootAddress(): number {
    return this.root.address;
  }

  map(iova: number, physical: number, size: number, permissions: number): void {
    if (size === this.granule) {
      const table = this.descend(iova);
      if (table !== null) return this.mapPage(table, iova, physical, permissions);
    }
    const present = this.mappedIn(iova, iova + size - 1);
    if (present) throw conflict(iova, size, present);
    const made: { parent: Table; index: number; table: Table }[] = [];
    try {
      // Tables first, unlinked: the tree that the hardware walks is untouched until nothing can fail any more.
      this.plan(this.root, 0, iova, physical, size, made);
    } catch (error) {
      for (const { parent, index, table } of made.reverse()) {
        parent.below[index] = undefined;
        this.release(table);
      }
      throw error;
    }
    this.fill(this.root, 0, iova, physical, size, permissions);
    this.memory.barrier();
    // Lower tables are complete before the entry that makes them reachable is written.
    for (const { parent, index, table } of made.reverse()) {
      parent.used++;
      this.write(parent, index, this.format.tableLo(table.address), this.format.tableHi(table.address));
    }
    this.memory.barrier();
  }

  unmap(iova: number, size: number): number {
    this.removed = 0;
    const table = size === this.granule ? this.descend(iova) : null;
    const bytes = table ? this.unmapPage(table, iova) : this.clear(this.root, 0, iova, iova + size - 1);
    this.memory.barrier();
    return bytes;
  }

  undoUnmap(): void {
    for (let i = this.removed - 1; i >= 0; i--) {
      const table = this.removedTable[i]!;
      const below = this.removedBelow[i];
      table.used++;
      if (table.level > 0) table.below[this.removedIndex[i]!] = below;
      this.write(table, this.removedIndex[i]!, this.removedLo[i]!, this.removedHi[i]!);
      if (below) this.dead = this.dead.filter((d) => d !== below);
    }
    this.removed = 0;
    this.memory.barrier();
  }

  reclaim(): void {
    if (this.dead.length === 0) return;
    for (const table of this.dead) this.release(table);
    this.dead = [];
    this.removed = 0;
  }

  iovaToPhys(iova: number): number {
    let table = this.root;
    for (;;) {
      const span = this.spans[table.level]!;
      const index = this.indexOf(table, iova);
      const below = table.below[index];
      if (below === undefined) {
        if (!this.read(table, index)) return -1;
        return this.format.address(this.words.lo, this.words.hi, table.level) + (iova % span);
      }
      table = below;
    }
  }

  mappedIn(first: number, last: number): Range | null {
    return first > last ? null : this.search(this.root, 0, first, last);
  }

  destroy(): void {
    this.reclaim();
    const free = (table: Table): void => {
      for (const below of table.below) if (below) free(below);
      this.release(table);
    };
    free(this.root);
  }

  /** The lowest table on the way to `iova`, or null where there is none yet. */
  private descend(iova: number): Table | null {
    let table: Table | undefined = this.root;
    while (table.level > 0) {
      table = table.below[this.indexOf(table, iova)];
      if (table === undefined) return null;
    }
    return table;
  }

  private mapPage(table: Table, iova: number, physical: number, permissions: number): void {
    const index = this.indexOf(table, iova);
    if (this.read(table, index)) throw conflict(iova, this.granule, { first: iova, last: iova + this.granule - 1 });
    table.used++;
    this.write(
      table,
      index,
      this.format.leafLo(physical, 0, permissions),
      this.format.leafHi(physical, 0, permissions),
    );
    this.memory.barrier();
  }

  /** The entry of a table that an address goes through. The shares of 2^-n are exact, and `&` keeps the low bits of what is above 2^32. */
  private indexOf(table: Table, iova: number): number {
    return (iova * this.shares[table.level]!) & (table.entries - 1);
  }

  private unmapPage(table: Table, iova: number): number {
    const index = this.indexOf(table, iova);
    if (!this.read(table, index)) return 0;
    this.remove(table, index, undefined);
    return this.granule;
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

  private plan(
    table: Table,
    base: number,
    iova: number,
    physical: number,
    size: number,
    made: { parent: Table; index: number; table: Table }[],
  ): void {
    if (table.level === 0) return; // every granule fits there
    const span = this.spans[table.level]!;
    const end = iova + size;
    for (let at = iova; at < end; ) {
      const index = Math.floor((at - base) / span);
      const entryEnd = base + (index + 1) * span;
      const n = Math.min(end, entryEnd) - at;
      if (table.below[index] || !this.fitsLeaf(table.level, at, physical + (at - iova), n)) {
        let below = table.below[index];
        if (!below) {
          below = this.allocate(table.level - 1);
          table.below[index] = below;
          made.push({ parent: table, index, table: below });
        }
        this.plan(below, base + index * span, at, physical + (at - iova), n, made);
      }
      at += n;
    }
  }

  private fill(table: Table, base: number, iova: number, physical: number, size: number, permissions: number): void {
    if (table.level === 0) return this.fillPages(table, (iova - base) / this.granule, physical, size, permissions);
    const span = this.spans[table.level]!;
    const end = iova + size;
    for (let at = iova; at < end; ) {
      const index = Math.floor((at - base) / span);
      const n = Math.min(end, base + (index + 1) * span) - at;
      const below = table.below[index];
      const target = physical + (at - iova);
      if (below) this.fill(below, base + index * span, at, target, n, permissions);
      else {
        table.used++;
        this.write(
          table,
          index,
          this.format.leafLo(target, table.level, permissions),
          this.format.leafHi(target, table.level, permissions),
        );
      }
      at += n;
    }
  }

  /** A run of smallest pages: the bulk of every large mapping. */
  private fillPages(table: Table, first: number, physical: number, size: number, permissions: number): void {
    const { format, granule } = this;
    const count = size / granule;
    for (let i = 0; i < count; i++) {
      const at = physical + i * granule;
      this.write(table, first + i, format.leafLo(at, 0, permissions), format.leafHi(at, 0, permissions));
    }
    table.used += count;
  }

  private clearPages(table: Table, first: number, count: number): number {
    let taken = 0;
    for (let i = 0; i < count; i++) {
      if (!this.read(table, first + i)) continue;
      this.remove(table, first + i, undefined);
      taken++;
    }
    return taken * this.granule;
  }

  private clear(table: Table, base: number, first: number, last: number): number {
    if (table.level === 0)
      return this.clearPages(table, (first - base) / this.granule, (last + 1 - first) / this.granule);
    const span = this.spans[table.level]!;
    let bytes = 0;
    for (let at = first; at <= last; ) {
      const index = Math.floor((at - base) / span);
      const entry = base + index * span;
      const to = Math.min(last, entry + span - 1);
      const below = table.below[index];
      if (below) {
        bytes += this.clear(below, entry, at, to);
        // As Linux does: a table goes only when all that it spans is unmapped, so that single pages come and go cheaply.
        if (below.used === 0 && at === entry && to === entry + span - 1) {
          this.read(table, index);
          this.remove(table, index, below);
          this.dead.push(below);
        }
      } else if (this.read(table, index)) {
        if (at !== entry || to !== entry + span - 1) {
          this.undoUnmap();
          throw new DoorbellError(
            'UNALIGNED',
            `${hex(at)} cuts the page ${hex(entry)} of ${hex(span)} bytes`,
            'unmap whole pages, as they were mapped',
            { iova: at, page: entry, size: span },
          );
        }
        this.remove(table, index, undefined);
        bytes += span;
      }
      at = to + 1;
    }
    return bytes;
  }

  /** Takes an entry away whose words are in `words`. */
  private remove(table: Table, index: number, below: Table | undefined): void {
    const i = this.removed++;
    this.removedTable[i] = table;
    this.removedIndex[i] = index;
    this.removedLo[i] = this.words.lo;
    this.removedHi[i] = this.words.hi;
    this.removedBelow[i] = below;
    table.used--;
    if (table.level > 0) table.below[index] = undefined;
    this.write(table, index, 0, 0);
  }

  private search(table: Table, base: number, first: number, last: number): Range | null {
    const span = this.spans[table.level]!;
    for (let at = first; at <= last; ) {
      const index = Math.floor((at - base) / span);
      const entry = base + index * span;
      const below = table.below[index];
      const to = Math.min(last, entry + span - 1);
      const found = below
        ? this.search(below, entry, at, to)
        : this.read(table, index)
          ? { first: entry, last: entry + span - 1 }
          : null;
      if (found) return found;
      at = to + 1;
    }
    return null;
  }

  /** Whether the entry is not empty; its words are in `words` then. */
  private read(table: Table, index: number): boolean {
    if (table.used === 0) return false;
    const at = table.address + index * 8;
    this.words.lo = this.memory.read32(at);
    this.words.hi = this.memory.read32(at + 4);
    return (this.words.lo | this.words.hi) !== 0;
  }

  private write(table: Table, index: number, lo: number, hi: number): void {
    this.memory.write64(table.address + index * 8, hi, lo);
  }

  private allocate(level: number): Table {
    const { rootBits, indexBits, levels } = this.format;
    const entries = 2 ** (level === levels - 1 ? (rootBits ?? indexBits) : indexBits);
    return new Table(this.pages.allocate(Math.max(4096, entries * 8)), level, entries);
  }

  private release(table: Table): void {
    this.pages.free(table.address, Math.max(4096, table.entries * 8));
  }
}

/** READ and WRITE as two low bits: what simple formats need. */
export const readWrite = (permissions: number): number => (permissions & READ ? 1 : 0) | (permissions & WRITE ? 2 : 0);

const conflict = (iova: number, size: number, present: Range): DoorbellError =>
  new DoorbellError(
    'IOVA_CONFLICT',
    `${hex(iova)} (${hex(size)} bytes) overlaps the mapping ${hex(present.first)}–${hex(present.last)}`,
    'unmap it first',
    { iova, size, present },
  );

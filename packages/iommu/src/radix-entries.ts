import { DoorbellError, EXEC, READ, WRITE, hex, type MemoryPort } from '@doorbell/platform';
import type { RadixFormat, Table } from './radix-format.js';
import type { RemovalLog } from './removal-log.js';

/**
 * The entries of table pages: one at a time through the port, runs of them in one loop over the page's words where the port gives those.
 */
export class RadixEntries {
  /** The words of the entry that `read` saw last. */
  lo = 0;
  hi = 0;
  /** What `permissions` add to a page's entry at level 0, where its address is in place. */
  private permissions = -1;
  private rightsLo = 0;
  private rightsHi = 0;
  private readonly inPlace: boolean;
  private readonly granule: number;

  /** Errors: `BAD_RADIX_FORMAT`. */
  constructor(
    private readonly format: RadixFormat,
    private readonly memory: MemoryPort,
  ) {
    this.granule = 2 ** format.granuleBits;
    this.inPlace = format.addressInPlace ?? false;
    if (this.inPlace) this.proveInPlace();
  }

  /** Whether the entry is not empty; its words are in `lo` and `hi` then. */
  read(table: Table, index: number): boolean {
    if (table.used === 0) return false;
    const at = table.address + index * 8;
    this.lo = this.memory.read32(at);
    this.hi = this.memory.read32(at + 4);
    return (this.lo | this.hi) !== 0;
  }

  write(table: Table, index: number, lo: number, hi: number): void {
    this.memory.write64(table.address + index * 8, hi, lo);
  }

  /** A page's entry, at any level. */
  writePage(table: Table, index: number, physical: number, permissions: number): void {
    const { format } = this;
    const { level } = table;
    this.write(table, index, format.leafLo(physical, level, permissions), format.leafHi(physical, level, permissions));
  }

  /** One smallest page. False: there is something. */
  putPage(table: Table, index: number, physical: number, permissions: number): boolean {
    const { direct } = this.memory;
    if (direct === undefined || !this.inPlace) {
      if (this.read(table, index)) return false;
      this.writePage(table, index, physical, permissions);
    } else {
      const at = direct.locateForWrite(table.address + 8 * index, 8);
      const words = direct.located;
      if ((words[at]! | words[at + 1]!) !== 0) return false;
      if (permissions !== this.permissions) this.setRights(permissions);
      words[at] = physical | this.rightsLo;
      words[at + 1] = (physical / 2 ** 32) | this.rightsHi;
    }
    table.used++;
    return true;
  }

  /** Takes one smallest page away. False: there is none. */
  takePage(table: Table, index: number, log: RemovalLog): boolean {
    const { direct } = this.memory;
    if (direct === undefined) {
      if (!this.read(table, index)) return false;
      this.remove(table, index, undefined, log);
      return true;
    }
    const at = direct.locateForWrite(table.address + 8 * index, 8);
    const words = direct.located;
    const lo = words[at]!;
    const hi = words[at + 1]!;
    if ((lo | hi) === 0) return false;
    words[at] = words[at + 1] = 0;
    log.one(table, index, lo, hi);
    table.used--;
    return true;
  }

  /** Takes an entry away that `read` has seen. */
  remove(table: Table, index: number, below: Table | undefined, log: RemovalLog): void {
    log.one(table, index, this.lo, this.hi);
    table.used--;
    if (table.level > 0) {
      log.hang(below);
      table.below[index] = undefined;
    }
    this.write(table, index, 0, 0);
  }

  /** A run of smallest pages: the bulk of every large mapping. */
  fillRun(table: Table, first: number, count: number, physical: number, permissions: number): void {
    table.used += count;
    const { direct } = this.memory;
    const at = direct && this.inPlace ? direct.locateForWrite(table.address + 8 * first, 8 * count) : -1;
    if (at < 0) {
      for (let i = 0; i < count; i++) this.writePage(table, first + i, physical + i * this.granule, permissions);
      return;
    }
    if (permissions !== this.permissions) this.setRights(permissions);
    const { rightsLo, rightsHi } = this;
    const words = direct!.located;
    const step = this.granule | 0;
    let lo = physical | 0;
    let hi = (physical / 2 ** 32) | 0;
    const end = at + 2 * count;
    for (let i = at; i < end; i += 2) {
      words[i] = lo | rightsLo;
      words[i + 1] = hi | rightsHi;
      lo = (lo + step) | 0;
      if (lo === 0) hi++;
    }
  }

  /** The first entry of a run that is not empty, or -1. */
  firstUsed(table: Table, first: number, count: number): number {
    if (table.used === 0) return -1;
    const { direct } = this.memory;
    const at = direct ? direct.locateForWrite(table.address + 8 * first, 8 * count) : -1;
    if (at < 0) {
      for (let i = first; i < first + count; i++) if (this.read(table, i)) return i;
      return -1;
    }
    const words = direct!.located;
    const end = at + 2 * count;
    for (let i = at; i < end; i += 2) if ((words[i]! | words[i + 1]!) !== 0) return first + ((i - at) >> 1);
    return -1;
  }

  /** Empties a run and returns how many entries were not. */
  clearRun(table: Table, first: number, count: number, log: RemovalLog): number {
    if (table.used === 0) return 0;
    const { direct } = this.memory;
    const at = direct ? direct.locateForWrite(table.address + 8 * first, 8 * count) : -1;
    const before = table.used;
    if (at < 0) {
      for (let i = 0; i < count; i++) if (this.read(table, first + i)) this.remove(table, first + i, undefined, log);
      return before - table.used;
    }
    const run = log.length;
    const to = log.run(table, first, count, 0);
    const words = direct!.located;
    const saved = log.words;
    const end = at + 2 * count;
    let taken = 0;
    for (let i = at; i < end; i += 2) if ((words[i]! | words[i + 1]!) !== 0) taken++;
    saved.set(words.subarray(at, end), to);
    words.fill(0, at, end);
    log.used(run, taken);
    table.used -= taken;
    return taken;
  }

  /** One address with all bits that every format has: enough to catch a field that is shifted or split. */
  private proveInPlace(): void {
    const { format } = this;
    const all = 2 ** 48 - this.granule;
    for (const permissions of [READ, WRITE, READ | WRITE | EXEC]) {
      this.setRights(permissions);
      const lo = (all | this.rightsLo) >>> 0;
      const hi = (0xffff | this.rightsHi) >>> 0;
      if (format.leafLo(all, 0, permissions) === lo && format.leafHi(all, 0, permissions) === hi) continue;
      throw new DoorbellError(
        'BAD_RADIX_FORMAT',
        `addressInPlace, but the entry of ${hex(all)} is not its address and the bits of permissions ${permissions}`,
        'leave addressInPlace out',
        { address: all, permissions },
      );
    }
  }

  private setRights(permissions: number): void {
    this.permissions = permissions;
    this.rightsLo = this.format.leafLo(0, 0, permissions) | 0;
    this.rightsHi = this.format.leafHi(0, 0, permissions) | 0;
  }
}

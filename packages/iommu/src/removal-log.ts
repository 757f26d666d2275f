import type { Table } from './radix-format.js';

/** What one `unmap` took, to be put back if the hardware refuses the flush. Columns that grow and are reused: an unmap allocates nothing, and a domain that unmaps nothing has none. */
export class RemovalLog {
  /** Runs of entries, in the order in which they went. */
  length = 0;
  readonly tables: Table[] = [];
  /** By run: the index of its first entry, their number, and how many of them were not empty. */
  runs = new Int32Array(3);
  /** Where a run is one entry of a higher level: the table that hung on it. */
  readonly below: (Table | undefined)[] = [];
  /** The words of all runs, one after the other. */
  words = new Uint32Array(2);
  private at = 0;

  clear(): void {
    this.length = this.at = 0;
  }

  /** One entry that was not empty. */
  one(table: Table, index: number, lo: number, hi: number): void {
    const at = this.run(table, index, 1, 1);
    this.words[at] = lo;
    this.words[at + 1] = hi;
  }

  /** The table that hung on the last entry, if one did. */
  hang(below: Table | undefined): void {
    this.below[this.length - 1] = below;
  }

  /** A run whose words the caller puts into `words` from the returned index on. `used` may be told later. */
  run(table: Table, first: number, count: number, used: number): number {
    const i = this.length++;
    const at = this.at;
    this.at = at + 2 * count;
    if (this.at > this.words.length || 3 * i === this.runs.length) this.grow();
    this.tables[i] = table;
    this.runs[3 * i] = first;
    this.runs[3 * i + 1] = count;
    this.runs[3 * i + 2] = used;
    return at;
  }

  used(run: number, used: number): void {
    this.runs[3 * run + 2] = used;
  }

  private grow(): void {
    const words = new Uint32Array(2 * Math.max(this.at, this.words.length));
    const runs = new Int32Array(2 * this.runs.length);
    words.set(this.words);
    runs.set(this.runs);
    this.words = words;
    this.runs = runs;
  }
}

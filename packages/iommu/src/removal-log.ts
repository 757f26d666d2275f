import type { Table } from './radix-format.js';

/** What one `unmap` took, to be put back if the hardware refuses the flush. Columns that are reused: an unmap allocates nothing. */
export class RemovalLog {
  /** Runs of entries, in the order in which they went. */
  length = 0;
  readonly tables: Table[] = [];
  readonly firsts: number[] = [];
  readonly counts: number[] = [];
  /** How many of the run were not empty. */
  readonly used: number[] = [];
  /** The table that hung on a run of one entry. */
  readonly below: (Table | undefined)[] = [];
  /** The words of all runs, one after the other. */
  words = new Uint32Array(1024);
  private at = 0;

  clear(): void {
    this.length = this.at = 0;
  }

  /** One entry. */
  one(table: Table, index: number, lo: number, hi: number, below: Table | undefined): void {
    const at = this.run(table, index, 1, below);
    this.words[at] = lo;
    this.words[at + 1] = hi;
  }

  /** A run whose words the caller puts into `words` from the returned index on. `used` is 1 until it says how many. */
  run(table: Table, first: number, count: number, below?: Table): number {
    const i = this.length++;
    this.tables[i] = table;
    this.firsts[i] = first;
    this.counts[i] = count;
    this.used[i] = 1;
    this.below[i] = below;
    const at = this.at;
    this.at = at + 2 * count;
    if (this.at > this.words.length) this.grow();
    return at;
  }

  private grow(): void {
    const words = new Uint32Array(2 * this.at);
    words.set(this.words);
    this.words = words;
  }
}

import { READ, WRITE } from '@doorbell/platform';

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
  /**
   * An entry of level 0 is the page's physical address, each bit in its own place, and bits that the permissions alone decide. Runs are then
   * written without a question per page. Default: no, and each page is asked for.
   */
  readonly addressInPlace?: boolean;
  /** The low and high word of a page's entry. */
  leafLo(physical: number, level: number, permissions: number): number;
  leafHi(physical: number, level: number, permissions: number): number;
  /** The same of an entry that points to a table. */
  tableLo(address: number): number;
  tableHi(address: number): number;
  /** The physical address in a page's entry. */
  address(lo: number, hi: number, level: number): number;
}

/** READ and WRITE as two low bits: what simple formats need. */
export const readWrite = (permissions: number): number => (permissions & READ ? 1 : 0) | (permissions & WRITE ? 2 : 0);

const NONE: (Table | undefined)[] = [];

/** One table page, as software remembers it: the words themselves stand in memory only. */
export class Table {
  /** Entries that are not empty. */
  used = 0;
  /** Tables below, by index; undefined where there is a page or nothing. */
  readonly below: (Table | undefined)[];
  constructor(
    readonly address: number,
    readonly level: number,
    readonly entries: number,
    /** The first IOVA that goes through it. */
    readonly base: number,
  ) {
    this.below = level > 0 ? new Array<Table | undefined>(entries).fill(undefined) : NONE;
  }
}

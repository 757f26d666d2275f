import { HardwareError, WRITE, type Range } from '@doorbell/platform';
import type { Doorbell } from '@doorbell/irqchip';
import { windowExhausted, type DoorbellPage, type MsiArithmetic } from './errors.js';
import { MMIO } from './unit.js';

/** How the window reaches the tables of its domain: every unit sees what it does when a call returns. */
export interface WindowTables {
  readonly name: string;
  place(iova: number, physical: number, size: number, permissions: number): void;
  displace(iova: number, size: number): void;
}

interface WindowPage {
  readonly iova: number;
  refs: number;
  mapped: boolean;
}

/** A write-only device page: all that an MSI needs. */
const DOORBELL_RIGHTS = WRITE | MMIO;

/**
 * The part of a domain's IOVA space that holds doorbells. A doorbell page takes one granule and keeps its place while any interrupt
 * needs it: pages are counted, mapped with the first user and unmapped with the last.
 */
export class MsiWindow {
  private readonly pages = new Map<number, WindowPage>();
  /** What `iovaOf` found last: vectors of one doorbell come in runs. */
  private lastPage = -1;
  private lastIova = -1;
  /** Slots in use, by index from the base. */
  private readonly taken = new Set<number>();

  constructor(
    readonly range: Range,
    readonly granule: number,
    private readonly tables: WindowTables,
    /** Bytes from one page to the next. */
    private readonly stride = granule,
  ) {}

  get size(): number {
    return this.range.last - this.range.first + 1;
  }
  get capacity(): number {
    return Math.max(0, Math.floor((this.size - this.granule) / this.stride) + 1);
  }
  get free(): number {
    return this.capacity - this.taken.size;
  }

  /** What is mapped: physical page → IOVA. */
  get mapped(): readonly { readonly page: number; readonly iova: number; readonly refs: number }[] {
    return [...this.pages].map(([page, { iova, refs }]) => ({ page, iova, refs }));
  }

  /** The IOVA of a physical doorbell address, or -1. */
  iovaOf(address: number): number {
    const offset = address & (this.granule - 1); // of any address: granules are at most 2^31
    if (address - offset !== this.lastPage) {
      const page = this.pages.get(address - offset);
      if (page === undefined) return -1;
      this.lastPage = address - offset;
      this.lastIova = page.iova;
    }
    return this.lastIova + offset;
  }

  /**
   * Reserves pages for the doorbells: software only. Where a page is not there yet it gets the lowest free slot.
   * Errors: `MSI_WINDOW_EXHAUSTED`, with nothing reserved.
   */
  reserve(device: string, doorbells: readonly Doorbell[]): readonly number[] {
    const arithmetic = this.arithmetic(doorbells);
    if (arithmetic.needed > arithmetic.free) {
      throw windowExhausted(device, this.tables.name, this.range, arithmetic);
    }
    const pages = pagesOf(doorbells, this.granule);
    for (const physical of pages) {
      const page = this.pages.get(physical);
      if (page) page.refs++;
      else this.pages.set(physical, { iova: this.takeSlot(), refs: 1, mapped: false });
    }
    return pages;
  }

  /** Maps what is reserved. On an error everything that this call mapped is unmapped again; the reservation stays. */
  commit(pages: readonly number[]): void {
    const done: WindowPage[] = [];
    try {
      for (const physical of pages) {
        const page = this.pages.get(physical)!;
        if (page.mapped) continue;
        this.tables.place(page.iova, physical, this.granule, DOORBELL_RIGHTS);
        page.mapped = true;
        done.push(page);
      }
    } catch (error) {
      for (const page of done.reverse()) {
        this.tables.displace(page.iova, this.granule);
        page.mapped = false;
      }
      throw error;
    }
  }

  /**
   * One user less; pages without users are unmapped. Where the hardware refuses that, the page stays mapped without a user, keeps its slot and
   * is tried again with the next release: what is released can never fail.
   */
  release(pages: readonly number[]): void {
    for (const physical of pages) this.pages.get(physical)!.refs--;
    for (const [physical, page] of this.pages) {
      if (page.refs > 0) continue;
      try {
        if (page.mapped) this.tables.displace(page.iova, this.granule);
      } catch (error) {
        if (!(error instanceof HardwareError)) throw error;
        continue;
      }
      this.pages.delete(physical);
      this.lastPage = -1;
      this.taken.delete((page.iova - this.range.first) / this.stride);
    }
  }

  arithmetic(doorbells: readonly Doorbell[]): MsiArithmetic {
    const needed = pagesOf(doorbells, this.granule).filter((p) => !this.pages.has(p)).length;
    return {
      needed,
      free: this.free,
      granule: this.granule,
      stride: this.stride,
      doorbells: withPages(doorbells, this.granule),
      smallest: spanOf(this.taken.size + needed, this.granule, this.stride),
    };
  }

  /** The same window over another range, which has to hold every page in use: they stay where they are. */
  resized(range: Range): MsiWindow | null {
    const next = new MsiWindow(range, this.granule, this.tables, this.stride);
    for (const [physical, page] of this.pages) {
      if (page.iova < range.first || page.iova + this.granule - 1 > range.last) return null;
      const slot = (page.iova - range.first) / this.stride;
      if (!Number.isInteger(slot)) return null;
      next.pages.set(physical, page);
      next.taken.add(slot);
    }
    return next;
  }

  digest(): string {
    const pages = [...this.pages].map(([p, { iova, refs }]) => `${p.toString(16)}>${iova.toString(16)}x${refs}`);
    return `${pages.join(' ')} ${this.free} free`;
  }

  private takeSlot(): number {
    let slot = 0;
    while (this.taken.has(slot)) slot++;
    this.taken.add(slot);
    return this.range.first + slot * this.stride;
  }
}

/** The distinct pages of doorbells, in their order. */
export const pagesOf = (doorbells: readonly Doorbell[], granule: number): number[] => [
  ...new Set(doorbells.map((d) => d.address - (d.address % granule))),
];

export const withPages = (doorbells: readonly Doorbell[], granule: number): DoorbellPage[] =>
  doorbells.map((d) => ({ ...d, page: d.address - (d.address % granule) }));

/** Bytes of a window that holds that many pages. */
export const spanOf = (pages: number, granule: number, stride = granule): number =>
  pages === 0 ? 0 : (pages - 1) * stride + granule;

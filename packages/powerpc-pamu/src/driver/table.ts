import { DoorbellError, hex, rangeOf, type Range } from '@doorbell/platform';
import { MMIO, type DomainTable } from '@doorbell/iommu';
import { SMALLEST } from '../spec/index.js';
import {
  fits,
  geometryError,
  layOut,
  planGeometry,
  slotOf,
  type Extent,
  type Geometry,
  type Layout,
  type Limits,
} from './geometry.js';
import type { PamuTables } from './tables.js';

/** One LIODN that uses a table: its own run of secondary entries. */
interface Placement {
  readonly liodn: number;
  first: number;
}

/**
 * One domain: its mappings, and the geometry that was planned for them. Every LIODN attached has its own entries, since a secondary PAACE
 * names its owner; they are written alike.
 */
export class PamuTable implements DomainTable {
  readonly granule = SMALLEST;
  private extents: readonly Extent[] = [];
  private before: readonly Extent[] = [];
  private layout: Layout;
  private readonly placements: Placement[] = [];

  constructor(
    readonly tables: PamuTables,
    readonly limits: Limits,
  ) {
    this.layout = empty(limits.fixed ?? widest(limits));
  }

  get geometry(): Geometry {
    return this.layout.geometry;
  }
  /** Each doorbell page takes a slot of its own. */
  get doorbellStride(): number {
    return slotOf(this.geometry);
  }

  /** Errors: `IOVA_CONFLICT`, `PAMU_GEOMETRY`, `PAMU_GEOMETRY_LIVE`, `PAMU_SPAACT_EXHAUSTED`; nothing changed then. */
  map(iova: number, physical: number, size: number, permissions: number): void {
    const other = this.mappedIn(iova, iova + size - 1);
    if (other) {
      throw new DoorbellError(
        'IOVA_CONFLICT',
        `${hex(iova)} is in a mapping at ${hex(other.first)} already`,
        'unmap it first',
        { iova: Math.max(iova, other.first), wanted: rangeOf(iova, size), present: other },
      );
    }
    const extents = [...this.extents, { iova, physical, size, permissions }];
    const here = layOut(this.geometry, extents);
    const next = fits(here) ? here : planGeometry(extents, this.limits);
    if (!fits(next)) throw geometryError(next, this.limits.subWindows);
    if (fits(here)) this.write(here);
    else this.change(next);
    this.extents = extents;
  }

  unmap(iova: number, size: number): number {
    const last = iova + size - 1;
    let taken = 0;
    const left = this.extents.flatMap((e) => {
      const end = e.iova + e.size - 1;
      if (e.iova > last || end < iova) return [e];
      taken += Math.min(end, last) - Math.max(e.iova, iova) + 1;
      const head = iova - e.iova;
      const tail = end - last;
      return [
        ...(head > 0 ? [{ ...e, size: head }] : []),
        ...(tail > 0 ? [{ ...e, iova: last + 1, physical: e.physical + (e.size - tail), size: tail }] : []),
      ];
    });
    const next = layOut(this.geometry, left);
    if (!fits(next)) {
      throw new DoorbellError(
        'UNALIGNED',
        `${hex(iova)} to ${hex(last)} is part of a sub-window, and the rest ${next.why}`,
        'unmap whole sub-windows',
        { iova, size, slot: slotOf(this.geometry) },
      );
    }
    this.before = this.extents;
    this.write(next);
    this.extents = left;
    return taken;
  }

  undoUnmap(): void {
    this.extents = this.before;
    const next = layOut(this.geometry, this.extents);
    if (fits(next)) this.write(next);
  }

  /** Entries stay where they are: nothing to give back. */
  reclaim(): void {}

  iovaToPhys(iova: number): number {
    for (const e of this.extents) if (iova >= e.iova && iova < e.iova + e.size) return e.physical + (iova - e.iova);
    return -1;
  }

  mappedIn(first: number, last: number): Range | null {
    let found: Extent | null = null;
    for (const e of this.extents)
      if (e.iova <= last && e.iova + e.size - 1 >= first && (found === null || e.iova < found.iova)) found = e;
    return found && rangeOf(found.iova, found.size);
  }

  destroy(): void {
    this.extents = [];
  }

  // ---- for the unit ----

  /** Secondary entries for a LIODN that is about to join, filled; the primary is written by `enter`. Errors: `PAMU_SPAACT_EXHAUSTED`. */
  prepare(liodn: number): number {
    const first = this.tables.take(this.geometry.count);
    this.fill({ liodn, first });
    return first;
  }
  /** Points the LIODN's primary entry here. */
  enter(liodn: number, first: number): void {
    const { writer } = this.tables;
    writer.primary(this.tables.primaryAt(liodn), this.geometry, first, this.layout.pieces[0]!);
    this.placements.push({ liodn, first });
  }
  /** The LIODN does not use the table any more. */
  leave(liodn: number): void {
    const i = this.placements.findIndex((p) => p.liodn === liodn);
    if (i < 0) return;
    const [placement] = this.placements.splice(i, 1);
    this.tables.give(placement!.first, this.geometry.count);
  }
  /** Undoes `prepare` and `enter`. */
  abandon(liodn: number, first: number): void {
    const i = this.placements.findIndex((p) => p.liodn === liodn && p.first === first);
    if (i >= 0) this.placements.splice(i, 1);
    this.tables.give(first, this.geometry.count);
  }

  // ---- entries ----

  private fill({ liodn, first }: Placement): void {
    const { writer } = this.tables;
    // Free entries are invalid already.
    this.layout.pieces.forEach((piece, n) => {
      if (n > 0 && piece) writer.secondary(this.tables.secondaryAt(first + n - 1), liodn, piece);
    });
  }

  /** Another content of the same geometry: only what changed is written. */
  private write(next: Layout): void {
    const { writer, tables } = { writer: this.tables.writer, tables: this.tables };
    for (const { liodn, first } of this.placements) {
      next.pieces.forEach((piece, n) => {
        if (same(piece, this.layout.pieces[n]!)) return;
        if (n === 0) writer.primary(tables.primaryAt(liodn), this.geometry, first, piece);
        else writer.secondary(tables.secondaryAt(first + n - 1), liodn, piece);
      });
    }
    this.layout = next;
  }

  /**
   * Another geometry. An entry cannot change its window at once, so every LIODN here is blocked for a moment: a memory request under way
   * faults and is recorded, but a lost interrupt would be silent, so not under a mapped doorbell.
   */
  private change(next: Layout): void {
    const { tables } = this;
    if (this.placements.length > 0 && this.extents.some((e) => e.permissions & MMIO)) {
      throw new DoorbellError(
        'PAMU_GEOMETRY_LIVE',
        `the mapping needs sub-windows of ${hex(slotOf(next.geometry))} bytes, and interrupts are live in ones of ${hex(slotOf(this.geometry))}`,
        'map before the interrupts are enabled, or at a sub-window that exists',
        { geometry: this.geometry, needed: next.geometry, slot: slotOf(this.geometry) },
      );
    }
    const fresh: number[] = [];
    try {
      for (let i = 0; i < this.placements.length; i++) fresh.push(tables.take(next.geometry.count));
    } catch (error) {
      for (const first of fresh) tables.give(first, next.geometry.count);
      throw error;
    }
    const old = this.geometry;
    this.layout = next;
    this.placements.forEach((p, i) => {
      tables.writer.invalidate(tables.primaryAt(p.liodn));
      tables.give(p.first, old.count);
      p.first = fresh[i]!;
      this.fill(p);
      tables.writer.primary(tables.primaryAt(p.liodn), next.geometry, p.first, next.pieces[0]!);
    });
  }
}

const same = (a: Extent | null, b: Extent | null): boolean =>
  a === b || (a?.physical === b?.physical && a?.size === b?.size && a?.permissions === b?.permissions);

const empty = (geometry: Geometry): Layout => ({
  geometry,
  pieces: new Array<null>(geometry.count).fill(null),
});

const widest = ({ aperture, subWindows }: Limits): Geometry => ({
  base: 0,
  size: aperture.last + 1,
  count: subWindows,
});

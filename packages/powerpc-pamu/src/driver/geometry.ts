import { DoorbellError, hex, showRange, type Range } from '@doorbell/platform';
import { SMALLEST } from '../spec/index.js';

/** One LIODN's aperture: a naturally aligned power of two, cut into `count` equal slots. */
export interface Geometry {
  readonly base: number;
  readonly size: number;
  /** Sub-windows; 1: the window is one piece. */
  readonly count: number;
}

/** A mapping as the caller gave it, or what is left of one. */
export interface Extent {
  readonly iova: number;
  readonly physical: number;
  readonly size: number;
  readonly permissions: number;
}

/** What geometries a table may choose from. */
export interface Limits {
  readonly aperture: Range;
  /** Sub-windows that every unit of the table has. */
  readonly subWindows: number;
  /** Given: the only one. */
  readonly fixed?: Geometry | undefined;
}

/** A geometry with what each slot maps: the first bytes of the slot, or nothing. */
export interface Layout {
  readonly geometry: Geometry;
  /** By slot. */
  readonly pieces: readonly (Extent | null)[];
}

/** Why mappings do not fit a geometry. */
export interface Misfit {
  readonly geometry: Geometry;
  /** The first piece that does not fit. */
  readonly extent: Extent;
  readonly why: string;
  /** The nearest mapping that this geometry can hold there. */
  readonly nearest: { readonly iova: number; readonly size: number };
}

export const slotOf = (g: Geometry): number => g.size / g.count;

/** Puts mappings into the slots of a geometry: each slot holds one aligned power of two, from its first byte on (A7). */
export function layOut(geometry: Geometry, extents: readonly Extent[]): Layout | Misfit {
  const slot = slotOf(geometry);
  const pieces = new Array<Extent | null>(geometry.count).fill(null);
  for (const extent of joined(extents)) {
    for (let done = 0; done < extent.size; ) {
      const iova = extent.iova + done;
      const size = Math.min(slot, extent.size - done);
      const piece = { ...extent, iova, physical: extent.physical + done, size };
      const n = (iova - geometry.base) / slot;
      const why =
        iova < geometry.base || iova + size > geometry.base + geometry.size
          ? 'lies outside the window'
          : !Number.isInteger(n)
            ? `does not start on a sub-window of ${hex(slot)} bytes`
            : !isPowerOfTwo(size) || size < SMALLEST || (geometry.count === 1 && size !== slot)
              ? `maps ${hex(size)} bytes of a sub-window, which is no power of two`
              : piece.physical % size !== 0
                ? `has a physical address that is not aligned to the ${hex(size)} bytes of its sub-window`
                : null;
      if (why !== null) {
        const nearest = { iova: Math.floor(iova / slot) * slot, size: Math.min(slot, ceilPowerOfTwo(size)) };
        return { geometry, extent: piece, why, nearest };
      }
      pieces[n] = piece;
      done += size;
    }
  }
  return { geometry, pieces };
}

export const fits = (result: Layout | Misfit): result is Layout => 'pieces' in result;

/**
 * The coarsest geometry that holds all mappings: it leaves most room for later ones, the doorbell's among them. Where none does, why the
 * finest one that encloses them all does not.
 */
export function planGeometry(extents: readonly Extent[], limits: Limits): Layout | Misfit {
  if (limits.fixed) return layOut(limits.fixed, extents);
  const first = Math.min(...extents.map((e) => e.iova));
  const last = Math.max(...extents.map((e) => e.iova + e.size - 1));
  let result: Layout | Misfit | undefined;
  for (let size = ceilPowerOfTwo(limits.aperture.last + 1); size >= SMALLEST; size /= 2) {
    const base = Math.floor(first / size) * size;
    if (last >= base + size) break;
    const count = Math.min(limits.subWindows, size / SMALLEST);
    result = layOut({ base, size, count }, extents);
    if (fits(result)) return result;
  }
  return result!;
}

/** `PAMU_GEOMETRY`: no window holds these mappings. */
export function geometryError(misfit: Misfit, subWindows: number): DoorbellError {
  const { geometry, extent, why, nearest } = misfit;
  const window = { first: geometry.base, last: geometry.base + geometry.size - 1 };
  const range = { first: extent.iova, last: extent.iova + extent.size - 1 };
  return new DoorbellError(
    'PAMU_GEOMETRY',
    `${showRange(range)} ${why}: the window ${showRange(window)} has ${geometry.count} sub-windows of ${hex(slotOf(geometry))} bytes`,
    `map ${hex(nearest.size)} bytes at ${hex(nearest.iova)}, or bring the mappings closer together`,
    { wanted: range, physical: extent.physical, why, geometry, slot: slotOf(geometry), nearest, subWindows },
  );
}

/** Neighbours that continue each other, on both sides, as one. */
function joined(extents: readonly Extent[]): Extent[] {
  const out: Extent[] = [];
  for (const e of [...extents].sort((a, b) => a.iova - b.iova)) {
    const l = out[out.length - 1];
    const continues =
      l && l.iova + l.size === e.iova && l.physical + l.size === e.physical && l.permissions === e.permissions;
    if (continues) out[out.length - 1] = { ...l, size: l.size + e.size };
    else out.push(e);
  }
  return out;
}

const isPowerOfTwo = (n: number): boolean => Number.isInteger(Math.log2(n));
const ceilPowerOfTwo = (n: number): number => {
  let size = SMALLEST;
  while (size < n) size *= 2;
  return size;
};

import type { Range } from '@doorbell/platform';

/** Rights and attributes of a mapping, as bits. `READ`, `WRITE` and `EXEC` are the platform's. */
export const MMIO = 16;

/** Why a device must or must not use a range of its IOVA space (names as in the Linux IOMMU API). */
export type RegionKind = 'direct' | 'direct-relaxable' | 'reserved' | 'msi' | 'software-msi';

/** A range of a device's IOVA space that is not free for mappings. */
export interface ReservedRegion extends Range {
  readonly kind: RegionKind;
  /** For people: `RMRR of 0000:00:02.0`. */
  readonly why: string;
}

/** What a unit can do: a property of the unit and its host bridge, not of an architecture. */
export interface UnitCapabilities {
  /** Bytes, ascending powers of two. The first is the granule: also that of a doorbell page. */
  readonly pageSizes: readonly number[];
  /** IOVAs that tables of this unit can translate. */
  readonly aperture: Range;
  /** Physical addresses that a mapping can name: bits. */
  readonly physicalBits: number;
  /** The range whose writes are interrupt requests and are never translated (x86: 0xFEE0_0000 + 1 MiB); null: MSIs are translated as any write. */
  readonly msiWindow: Range | null;
  /** Whether a new mapping becomes visible only after a flush (VT-d caching mode). */
  readonly flushOnMap: boolean;
  /** Whether stage 1 of a guest can be put on top of a table. */
  readonly nested: boolean;
  /** How many mapped slots one table can hold; absent: as many as memory allows (PAMU: sub-windows). */
  readonly slots?: number;
}

/**
 * The tables of one translating domain, in physical memory. Shared by every unit that `accepts` it; it invalidates nothing:
 * that is `IommuUnit.flush`. IOVAs and physical addresses are numbers; every call gets whole granules inside the aperture.
 */
export interface DomainTable {
  /** The bytes of one doorbell page in this table: normally the smallest page size. */
  readonly granule: number;
  /** IOVA bytes from one doorbell page to the next where a page needs more room than it maps (PAMU: a sub-window of its own). Default: `granule`. */
  readonly doorbellStride?: number;
  /**
   * Maps `size` bytes contiguously with the largest pages that fit. All or nothing: `IOVA_CONFLICT` (details.iova) where a leaf is
   * present, `OUT_OF_MEMORY`, or what a limited geometry lacks; then memory is as before.
   */
  map(iova: number, physical: number, size: number, permissions: number): void;
  /**
   * Takes away every leaf in [iova, iova + size) and returns the bytes taken; holes are skipped. Errors: `UNALIGNED` where a larger page
   * sticks out, with nothing changed. Table pages that became empty stay until `reclaim`.
   */
  unmap(iova: number, size: number): number;
  /** Puts back what the last `unmap` took: its flush was refused by the hardware. */
  undoUnmap(): void;
  /** Gives back table pages that no unit can reach any more: every flush since has completed. */
  reclaim(): void;
  /** The physical address, or -1. */
  iovaToPhys(iova: number): number;
  /** The first mapped range that touches [first, last], or null. */
  mappedIn(first: number, last: number): Range | null;
  /** Gives back all pages. No unit may use it any more. */
  destroy(): void;
}

/** What a stream can be attached to. */
export type AttachTarget = DomainTable | 'identity' | 'blocked';

/** A fault as software read it from the unit. `stream` is the unit's own id; addresses are (hi, lo). */
export interface UnitFault {
  readonly unit: string;
  readonly stream: number;
  readonly code: number;
  /** The specification's name. */
  readonly name: string;
  readonly addressHi: number;
  readonly addressLo: number;
  readonly write: boolean;
}

/** What the guest says of its stage 1. */
export interface GuestStage1 {
  /** Where its tables (or context descriptor) lie, in the parent's IOVA space. */
  readonly tables: number;
}

/**
 * The driver of one IOMMU, as the core sees it: what the author of a back-end writes. It starts with every stream blocked.
 *
 * Calls that tell hardware something throw `HardwareError` when it refuses, after putting everything back as it was.
 */
export interface IommuUnit {
  /** The node's name, as `iommuMap` entries call it. */
  readonly name: string;
  readonly capabilities: UnitCapabilities;
  /** Ranges that firmware or the hardware keep for a stream. The fixed MSI window need not be named. */
  reservedRegions(stream: number): readonly ReservedRegion[];
  /** Empty tables in this unit's format. `within` narrows what it has to cover where a domain spans units. */
  createTable(within?: { readonly aperture: Range; readonly pageSizes: readonly number[] }): DomainTable;
  /** Whether a table made by another unit can be used here; otherwise the reason, for people. */
  accepts(table: DomainTable): true | string;
  /** Points one stream at a table, at physical memory, or at nothing. The stream's old translations are invalidated when it returns. */
  attach(stream: number, target: AttachTarget): void;
  /** Whether requests under way see either the old or the new state, never a fault or an abort, while `attach` goes from one to the other. */
  hitless(stream: number, from: AttachTarget, to: AttachTarget): boolean;
  /** Invalidates what this unit caches of [iova, iova + size) of a table. When it returns, no stale translation is used. */
  flush(table: DomainTable, iova: number, size: number): void;
  /** Invalidates everything of a table. */
  flushAll(table: DomainTable): void;
  /** This unit will not see the table again: no stream is attached to it (frees a domain id, an ASID). */
  detachTable(table: DomainTable): void;
  /** Takes the recorded faults out of the unit. */
  drainFaults(): readonly UnitFault[];
  /** A table that a guest's stage 1 puts on top of `parent`. Present where `capabilities.nested`. */
  createNested?(parent: DomainTable, guest: GuestStage1): DomainTable;
  /** Equal strings for equal allocator states (domain ids, ASIDs, table pages). */
  digest?(): string;
}

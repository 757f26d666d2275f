import type { SoftwareHost } from '@doorbell/platform';
import { readWrite, type RadixFormat } from './radix-format.js';
import { RadixTable } from './radix-table.js';
import type { AttachTarget, DomainTable, IommuUnit, ReservedRegion, UnitCapabilities, UnitFault } from './unit.js';

/** Entries of one quadword: a page-aligned physical address with flags below it. */
export interface QuadwordFormat {
  readonly levels: number;
  /** The flags of a page's entry for READ, WRITE and EXEC. Default: bit 0 reads, bit 1 writes. */
  readonly page?: (permissions: number, level: number) => number;
  /** The flags of an entry that points to a table. */
  readonly table: number;
  /** log2 of the smallest page. Default 12. */
  readonly granuleBits?: number;
  /** Levels that may hold pages; 0 is the lowest. Default: level 0 alone. */
  readonly pagesAt?: readonly number[];
}

/** The usual tree: tables of one granule, so that all levels but the granule's bits are indices of equal width. */
export function quadwords(f: QuadwordFormat): RadixFormat {
  const { levels, page = readWrite, table, granuleBits = 12, pagesAt = [0] } = f;
  return {
    granuleBits,
    indexBits: granuleBits - 3,
    levels,
    leafAt: Array.from({ length: levels }, (_, level) => pagesAt.includes(level)),
    addressInPlace: true,
    leafLo: (physical, level, permissions) => (physical | page(permissions, level)) >>> 0,
    leafHi: (physical) => Math.floor(physical / 2 ** 32),
    tableLo: (address) => (address | table) >>> 0,
    tableHi: (address) => Math.floor(address / 2 ** 32),
    address: (lo, hi) => hi * 2 ** 32 + (lo - (lo % 2 ** granuleBits)),
  };
}

/**
 * What drivers of units with page tables have in common: they say how a stream is pointed at a table, how the unit forgets one, and
 * what faults it recorded. Whatever else a unit can do better is overridden: `hitless`, `flush` of a range, `reservedRegions`.
 */
export abstract class RadixUnit implements IommuUnit {
  readonly capabilities: UnitCapabilities;
  /** What each stream was attached to last; those that are not here are blocked. */
  private readonly targets = new Map<number, RadixTable | 'identity' | 'blocked'>();

  /** `capabilities`: where they are not what the format says. */
  constructor(
    readonly name: string,
    protected readonly host: SoftwareHost,
    readonly format: RadixFormat,
    capabilities: Partial<UnitCapabilities> = {},
  ) {
    const { granuleBits, indexBits, levels, rootBits = indexBits, leafAt } = format;
    this.capabilities = {
      pageSizes: leafAt.flatMap((page, level) => (page ? [2 ** (granuleBits + level * indexBits)] : [])),
      aperture: { first: 0, last: 2 ** (granuleBits + (levels - 1) * indexBits + rootBits) - 1 },
      physicalBits: 52,
      msiWindow: null,
      flushOnMap: false,
      nested: false,
      ...capabilities,
    };
  }

  /** Writes what the hardware finds for the stream's next request. It need not tell the hardware to forget the old table. */
  protected abstract point(stream: number, target: RadixTable | 'identity' | 'blocked'): void;
  /** When it returns, the unit uses nothing that it remembered of the table. Errors: `HardwareError`. */
  protected abstract forget(table: RadixTable): void;
  abstract drainFaults(): readonly UnitFault[];

  createTable(within?: { readonly pageSizes: readonly number[] }): RadixTable {
    const { memory, pages } = this.host;
    return new RadixTable(this.format, memory, pages, within?.pageSizes ?? this.capabilities.pageSizes);
  }
  accepts(table: DomainTable): true | string {
    return (table instanceof RadixTable && table.format === this.format) || 'its tables have another format';
  }

  attach(stream: number, target: AttachTarget): void {
    const before = this.targets.get(stream) ?? 'blocked';
    const next = target as RadixTable | 'identity' | 'blocked'; // `accepts` has seen it
    this.set(stream, next);
    try {
      // Whatever was remembered of the old table must not come back with it.
      if (before instanceof RadixTable) this.forget(before);
    } catch (error) {
      this.set(stream, before);
      throw error;
    }
    this.targets.set(stream, next);
  }
  hitless(_stream: number, _from: AttachTarget, _to: AttachTarget): boolean {
    return false;
  }
  flush(table: DomainTable, _iova: number, _size: number): void {
    this.flushAll(table);
  }
  flushAll(table: DomainTable): void {
    this.forget(table as RadixTable);
  }
  detachTable(_table: DomainTable): void {}
  reservedRegions(_stream: number): readonly ReservedRegion[] {
    return [];
  }

  private set(stream: number, target: RadixTable | 'identity' | 'blocked'): void {
    this.point(stream, target);
    this.host.memory.barrier();
  }
}

import type {
  AttachTarget,
  DomainTable,
  IommuUnit,
  ReservedRegion,
  UnitCapabilities,
  UnitFault,
} from '@doorbell/iommu';
import { NumberSpace } from '@doorbell/irqchip';
import { DoorbellError, hex, type Range, type SoftwareHost } from '@doorbell/platform';
import { MSI_BASE, MSI_SIZE } from '@doorbell/x86-apic/spec';
import type { VtdCapabilities } from './capabilities.js';
import {
  ABSENT_CONTEXT,
  ContextTables,
  didOf,
  isPresent,
  passThroughContext,
  translatedContext,
  type ContextWords,
} from './contexts.js';
import type { FaultReader } from './faults.js';
import type { DriverOptions } from './options.js';
import type { Invalidation } from './queue.js';
import { SecondLevelTable } from './second-level.js';

/** Domain id of pass-through entries; 0 belongs to not-present entries in caching mode (VT-d §6.1). */
const IDENTITY_DID = 1;
/** Tables of the core have addresses below 2^53, so 5-level tables would gain nothing but a level. */
const MOST_LEVELS = 4;

/** DMA remapping of one unit, in legacy mode with second-level tables: what the IOMMU core drives. */
export class VtdDma implements IommuUnit {
  readonly capabilities: UnitCapabilities;
  private readonly contexts: ContextTables;
  private readonly dids: NumberSpace;
  private readonly didOfTable = new Map<DomainTable, number>();
  private readonly tableLevels: readonly number[];

  constructor(
    readonly name: string,
    private readonly host: SoftwareHost,
    private readonly unit: VtdCapabilities,
    private readonly invalidation: Invalidation,
    private readonly faults: FaultReader,
    private readonly options: DriverOptions,
  ) {
    this.contexts = new ContextTables(host);
    this.dids = new NumberSpace(`domain ids of ${name}`, IDENTITY_DID + 1, unit.domains - IDENTITY_DID - 1);
    this.tableLevels = unit.levels.filter((level) => level <= MOST_LEVELS);
    const widest = Math.max(...(this.tableLevels.length ? this.tableLevels : unit.levels));
    const inputBits = Math.min(unit.inputBits, 12 + 9 * widest, 52);
    this.capabilities = {
      pageSizes: [4096, ...(unit.m2 ? [2 ** 21] : []), ...(unit.g1 ? [2 ** 30] : [])],
      aperture: { first: 0, last: 2 ** inputBits - 1 },
      physicalBits: options.hostAddressWidth ?? Math.min(unit.inputBits, 52),
      msiWindow: { first: MSI_BASE, last: MSI_BASE + MSI_SIZE - 1 },
      flushOnMap: unit.cachingMode,
      nested: false,
    };
  }

  /** Physical address for RTADDR. */
  get rootTable(): number {
    return this.contexts.root;
  }

  reservedRegions(stream: number): readonly ReservedRegion[] {
    return (this.options.reserved ?? [])
      .filter((r) => r.streams === undefined || r.streams.includes(stream))
      .map((r) => ({
        first: r.first,
        last: r.last,
        kind: r.relaxable ? 'direct-relaxable' : 'direct',
        why: r.why ?? 'RMRR',
      }));
  }

  createTable(within?: { readonly aperture: Range; readonly pageSizes: readonly number[] }): SecondLevelTable {
    const last = within?.aperture.last ?? this.capabilities.aperture.last;
    const levels = this.tableLevels.find((level) => last < 2 ** (12 + 9 * level)) ?? this.tableLevels.at(-1);
    if (levels === undefined) {
      throw new DoorbellError(
        'NOT_MODELLED',
        `${this.name} has 5-level tables only`,
        'use a unit with 3- or 4-level tables',
        { unit: this.name, levels: this.unit.levels },
      );
    }
    const sizes = this.capabilities.pageSizes.filter((size) => within?.pageSizes.includes(size) ?? true);
    return new SecondLevelTable(levels, sizes, this.host.memory, this.host.pages);
  }

  accepts(table: DomainTable): true | string {
    if (!(table instanceof SecondLevelTable)) return 'its tables are not second-level tables of VT-d';
    if (!this.unit.levels.includes(table.levels)) return `SAGAW of ${this.name} has no ${table.levels}-level tables`;
    const size = table.sizes.find((s) => !this.capabilities.pageSizes.includes(s));
    return size === undefined ? true : `${this.name} has no pages of ${hex(size)} bytes`;
  }

  attach(stream: number, target: AttachTarget): void {
    const before = this.contexts.read(stream);
    const { words, fresh } = this.contextFor(target);
    let made = false;
    try {
      made = words !== ABSENT_CONTEXT && this.contexts.ensure(stream);
      this.put(stream, before, words);
    } catch (error) {
      this.undo(stream, before, made);
      if (fresh >= 0) this.forgetTable(target as DomainTable);
      throw error;
    }
  }

  /** Only where nothing changes: an entry that is present is taken away before its two halves are replaced. */
  hitless(_stream: number, from: AttachTarget, to: AttachTarget): boolean {
    return from === to;
  }

  flush(table: DomainTable, iova: number, size: number): void {
    const did = this.didOfTable.get(table);
    if (did === undefined || this.options.mutant === 'forget-unmap-flush') return;
    const am = this.unit.pageSelective ? coveringMask(iova, size) : 64;
    if (am <= this.unit.maxAddressMask) {
      const span = 4096 * 2 ** am;
      this.invalidation.iotlbPages(did, Math.floor(iova / span) * span, am);
    } else this.invalidation.iotlbDomain(did);
    this.invalidation.sync();
  }

  flushAll(table: DomainTable): void {
    const did = this.didOfTable.get(table);
    if (did === undefined) return;
    this.invalidation.iotlbDomain(did);
    this.invalidation.sync();
  }

  detachTable(table: DomainTable): void {
    this.forgetTable(table);
  }

  drainFaults(): readonly UnitFault[] {
    return this.faults.drain();
  }

  digest(): string {
    return this.dids.digest();
  }

  /** The entry for a target. `fresh`: the domain id taken for it just now, or -1. */
  private contextFor(target: AttachTarget): { words: ContextWords; fresh: number } {
    if (target === 'blocked') return { words: ABSENT_CONTEXT, fresh: -1 };
    if (target === 'identity') {
      if (!this.unit.passThrough) {
        throw new DoorbellError(
          'IDENTITY_UNSUPPORTED',
          `${this.name} cannot pass requests through (ECAP.PT = 0)`,
          'map what the device needs one to one in an unmanaged domain',
          { unit: this.name },
        );
      }
      return { words: passThroughContext(IDENTITY_DID, this.unit.levels.at(-1)!), fresh: -1 };
    }
    const accepted = this.accepts(target);
    if (accepted !== true) {
      throw new DoorbellError(
        'INCOMPATIBLE_UNIT',
        `${this.name} cannot use the table: ${accepted}`,
        'create a domain for devices of that unit',
        { unit: this.name, why: accepted },
      );
    }
    const table = target as SecondLevelTable;
    let did = this.didOfTable.get(table);
    const fresh = did === undefined ? this.dids.take(1)[0]! : -1;
    did ??= fresh;
    this.didOfTable.set(table, did);
    return { words: translatedContext(did, table.levels, table.rootAddress), fresh };
  }

  /** Break, invalidate, make. Between the two, requests fault as blocked ones. */
  private put(stream: number, before: ContextWords, words: ContextWords): void {
    if (isPresent(before)) {
      this.contexts.clear(stream);
      this.forget(stream, didOf(before));
    }
    if (!isPresent(words)) return;
    this.contexts.write(stream, words);
    // Caching mode: that nothing was there may be cached, under domain id 0 (§6.1).
    if (this.unit.cachingMode) this.forget(stream, 0, didOf(words));
  }

  /** Context cache first, then what was cached through it (§6.2.2.1). */
  private forget(stream: number, did: number, pagesOf = did): void {
    this.invalidation.contextDevice(did, stream);
    this.invalidation.iotlbDomain(pagesOf);
    this.invalidation.sync();
  }

  /** Puts a stream's entry back after a refusal. Whatever may have been cached meanwhile is dropped; a refusal here changes nothing more. */
  private undo(stream: number, before: ContextWords, made: boolean): void {
    if (this.options.mutant === 'no-compensation') return;
    this.contexts.clear(stream);
    if (made) this.contexts.remove(stream);
    else if (isPresent(before)) this.contexts.write(stream, before);
    try {
      this.invalidation.contextGlobal();
      this.invalidation.iotlbGlobal();
      this.invalidation.sync();
    } catch {
      // The first refusal is what the caller hears.
    }
  }

  private forgetTable(table: DomainTable): void {
    const did = this.didOfTable.get(table);
    if (did === undefined) return;
    this.didOfTable.delete(table);
    this.dids.give([did]);
  }
}

/** Smallest AM whose naturally aligned 2^AM pages hold [iova, iova + size). */
function coveringMask(iova: number, size: number): number {
  let first = Math.floor(iova / 4096);
  let last = Math.floor((iova + size - 1) / 4096);
  let am = 0;
  while (first !== last) {
    first = Math.floor(first / 2);
    last = Math.floor(last / 2);
    am++;
  }
  return am;
}

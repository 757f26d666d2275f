import {
  type DoorbellError,
  overlaps,
  rangeOf,
  splitIova,
  join64,
  type Device,
  type Iova,
  type Range,
} from '@doorbell/platform';
import type { Doorbell } from '@doorbell/irqchip';
import { DmaSpace } from './dma-space.js';
import * as errors from './errors.js';
import type { DomainSetup, DomainType, FlushMode, GuestView, MsiDemand } from './domain-types.js';
import { MsiWindow, pagesOf, spanOf, withPages } from './window.js';
import type { AttachTarget, DomainTable, IommuUnit, ReservedRegion, UnitCapabilities } from './unit.js';

/** Lazy unmaps that wait at most. */
const LAZY_LIMIT = 256;

/**
 * One address space for devices. `map` and `unmap` are whole calls: they happen or throw with nothing changed.
 *
 * Made by `IommuCore.createDomain`; devices join by `IommuCore.attach`.
 */
export class Domain {
  readonly name: string;
  readonly type: DomainType;
  readonly parent: Domain | null;
  readonly capabilities: UnitCapabilities | null;
  readonly flushMode: FlushMode;
  /** Streams attached per unit. Kept by the core. */
  readonly units = new Map<IommuUnit, number>();
  /** Devices attached. Kept by the core. */
  readonly devices = new Set<Device>();
  readonly table: DomainTable | null;
  private readonly guest: GuestView | null;
  private readonly first: number;
  private readonly last: number;
  private readonly granule: number;
  /** Granules are at most 2^31: `&` sees the low bits of any address. */
  private readonly granuleMask: number;
  private readonly physicalLimit: number;
  private readonly flushOnMap: boolean;
  /** Whether callers map and unmap here. */
  private paging: boolean;
  private reserved: readonly ReservedRegion[] = [];
  private ownWindow: MsiWindow | null = null;
  /** The core found the place of the window itself: it goes with its last doorbell. */
  private windowIsPlaced = false;
  private destroyed = false;
  /** Of a `dma` domain. */
  private readonly space: DmaSpace | null;
  /** Unmaps that no flush has followed. */
  private waiting = 0;

  constructor(setup: DomainSetup) {
    this.name = setup.name;
    this.type = setup.type;
    this.parent = setup.parent;
    this.guest = setup.guest;
    this.table = setup.table;
    this.capabilities = setup.capabilities;
    this.flushMode = setup.flush;
    const c = setup.capabilities;
    this.first = c?.aperture.first ?? 0;
    this.last = c?.aperture.last ?? -1;
    this.granule = c?.pageSizes[0] ?? 4096;
    this.granuleMask = this.granule - 1;
    this.physicalLimit = c ? 2 ** c.physicalBits - 1 : 0;
    this.flushOnMap = c?.flushOnMap ?? false;
    this.paging = setup.type !== 'nested' && setup.table !== null;
    this.space = setup.type === 'dma' && c ? new DmaSpace(c.aperture, this.granule, () => this.flush()) : null;
  }

  /** What streams of this domain are attached to. */
  get target(): AttachTarget {
    return this.table ?? (this.type === 'identity' ? 'identity' : 'blocked');
  }
  get pageSizes(): readonly number[] {
    return this.capabilities?.pageSizes ?? [];
  }
  get aperture(): Range {
    return { first: this.first, last: this.last };
  }
  /** The window for MSIs: the parent's for a nested domain. */
  get msiWindow(): MsiWindow | null {
    return this.parent ? this.parent.msiWindow : this.ownWindow;
  }

  /**
   * Maps `size` bytes of physical memory from `physical` on at `iova`, with the largest pages that fit. `permissions`: READ, WRITE, EXEC, MMIO bits.
   * Errors: `UNALIGNED`, `IOVA_OUT_OF_APERTURE`, `PHYSICAL_OUT_OF_RANGE`, `IOVA_CONFLICT`, `IOVA_RESERVED`, `MSI_WINDOW_CONFLICT`,
   * `NOT_A_PAGING_DOMAIN`, `OUT_OF_MEMORY`.
   */
  map(iova: Iova, physical: number, size: number, permissions: number): void {
    const at = toNumber(iova);
    const last = at + size - 1;
    if (!this.isPlace(at, size)) throw this.misplaced('map', at, size);
    if ((physical & this.granuleMask) !== 0 || Math.floor(physical) < physical)
      throw errors.unaligned(this.name, 'physical address', physical, this.granule);
    if (!(physical >= 0 && physical + size - 1 <= this.physicalLimit))
      throw errors.physicalOutOfRange(this.name, physical, size, this.capabilities!.physicalBits);
    this.stayOffWindow('mapping', at, last);
    const reserved = this.reserved;
    for (let i = 0; i < reserved.length; i++) {
      const region = reserved[i]!;
      if (at <= region.last && last >= region.first) throw errors.iovaReserved(this.name, { first: at, last }, region);
    }
    this.place(at, physical, size, permissions);
  }

  /**
   * Unmaps [iova, iova + size) and returns the bytes that were mapped. Strict domains: no unit translates them when it returns. When a
   * unit refuses the invalidation, everything is mapped as before and `HardwareError` is thrown.
   */
  unmap(iova: Iova, size: number): number {
    const at = toNumber(iova);
    if (!this.isPlace(at, size)) throw this.misplaced('unmap', at, size);
    this.stayOffWindow('unmap of', at, at + size - 1);
    return this.take(at, size, this.flushMode);
  }

  /** The physical address behind an IOVA, or null. */
  iovaToPhys(iova: Iova): number | null {
    const at = toNumber(iova);
    if (this.type === 'identity') return at;
    if (this.table === null || this.destroyed || at < this.first || at > this.last) return null;
    const physical = this.table.iovaToPhys(at);
    return physical < 0 ? null : physical;
  }

  /** Ends every stale translation of a lazy domain. */
  flush(): void {
    const table = this.table;
    if (table === null || this.destroyed) return;
    for (const unit of this.units.keys()) unit.flushAll(table);
    this.waiting = 0;
    table.reclaim();
    this.space?.flushed();
  }

  /** For `dma` domains: finds an IOVA up to `limit` (the device's last reachable address), maps and returns it. Errors as `map`, `IOVA_EXHAUSTED`. */
  dmaMap(physical: number, size: number, permissions: number, limit = 0xffff_ffff): number {
    const space = this.dmaSpace('dmaMap');
    const iova = space.allocate(size, Math.min(limit, this.last));
    if (iova < 0) throw errors.iovaExhausted(this.name, size, limit);
    try {
      this.map(iova, physical, size, permissions);
    } catch (error) {
      space.free(iova, size);
      throw error;
    }
    return iova;
  }

  /** Takes back what `dmaMap` gave. Errors as `unmap`, `IOVA_NOT_ALLOCATED`. */
  dmaUnmap(iova: number, size: number): void {
    const space = this.dmaSpace('dmaUnmap');
    if (!space.fits(iova, size) || this.unmap(iova, size) === 0) throw errors.iovaNotAllocated(this.name, iova, size);
    if (this.waiting > 0) space.hold(iova, size);
    else space.free(iova, size);
  }

  /** Everything that mappings have to stay away from, the MSI window included, ascending. */
  reservedRegions(): readonly ReservedRegion[] {
    const regions = [...this.reserved];
    if (this.ownWindow) regions.push({ ...this.ownWindow.range, kind: 'software-msi', why: 'MSI window' });
    return regions.sort((a, b) => a.first - b.first);
  }

  /**
   * Reserves [base, base + size) for doorbells. A second call moves or resizes the window as long as every doorbell page in use stays inside it.
   * Errors: `UNALIGNED`, `IOVA_OUT_OF_APERTURE`, `MSI_WINDOW_CONFLICT`, `MSI_WINDOW_IN_USE`, `MSI_WINDOW_FIXED`.
   */
  reserveMsiWindow(window: { readonly base: Iova; readonly size: number }): MsiWindow {
    const table = this.windowTable('reserveMsiWindow');
    const base = toNumber(window.base);
    if (!this.isPlace(base, window.size, table.granule - 1))
      throw this.misplaced('reserveMsiWindow', base, window.size, table.granule);
    const range = rangeOf(base, window.size);
    const obstacle = this.obstacle(range);
    if (obstacle) throw errors.windowConflict(this.name, { what: 'MSI window', range }, obstacle);
    if (!this.ownWindow) {
      this.ownWindow = new MsiWindow(range, table.granule, this, table.doorbellStride);
    } else {
      const resized = this.ownWindow.resized(range);
      if (!resized) throw errors.windowInUse(this.name, this.ownWindow.mapped, range);
      this.space?.include(this.ownWindow.range);
      this.ownWindow = resized;
    }
    this.windowIsPlaced = false;
    this.space?.exclude(range);
    return this.ownWindow;
  }

  /** Reserves a window of `size` bytes that ends at or below `limit`, for as long as doorbells are in it. Errors: `IOVA_EXHAUSTED`. */
  placeOwnWindow(size: number, limit: number): MsiWindow {
    const window = this.reserveMsiWindow({ base: this.findWindowPlace(size, limit), size });
    this.windowIsPlaced = true;
    return window;
  }

  /** One user of these doorbell pages less. */
  releaseDoorbells(pages: readonly number[]): void {
    if (this.parent) return this.parent.releaseDoorbells(pages);
    this.ownWindow?.release(pages);
    if (this.windowIsPlaced && this.ownWindow?.mapped.length === 0) this.releaseMsiWindow();
  }

  /** Gives the window back. Errors: `MSI_WINDOW_IN_USE` while an interrupt needs it. */
  releaseMsiWindow(): void {
    if (this.ownWindow && this.ownWindow.mapped.length > 0)
      throw errors.windowInUse(this.name, this.ownWindow.mapped, null);
    if (this.ownWindow) this.space?.include(this.ownWindow.range);
    this.ownWindow = null;
    this.windowIsPlaced = false;
  }

  /** A free, naturally aligned place for a window of `size` bytes that ends at or below `limit`. */
  findWindowPlace(size: number, limit: number): number {
    const table = this.windowTable('placeMsiWindow');
    let bytes = Math.max(table.granule, table.doorbellStride ?? 0);
    while (bytes < size) bytes *= 2;
    const top = Math.min(limit, this.last);
    // Linux puts its window at 0x8000000; so do we where it is free.
    for (let at of [0x800_0000, Math.max(bytes, this.first)]) {
      at = Math.ceil(at / bytes) * bytes;
      while (at + bytes - 1 <= top) {
        const obstacle = this.obstacle(rangeOf(at, bytes));
        if (!obstacle) return at;
        at = Math.ceil((obstacle.range.last + 1) / bytes) * bytes;
      }
    }
    throw errors.iovaExhausted(this.name, bytes, top);
  }

  /** Pages that the doorbells need in this domain. */
  demandFor(doorbells: readonly Doorbell[]): MsiDemand {
    if (this.parent) return this.parent.demandFor(doorbells);
    const fixed = this.capabilities?.msiWindow ?? null;
    const granule = this.table?.granule ?? this.granule;
    const translated = this.table !== null && fixed === null;
    const pages = translated ? pagesOf(doorbells, granule).length : 0;
    return {
      pages,
      granule,
      bytes: spanOf(pages, granule, this.table?.doorbellStride),
      doorbells: translated ? withPages(doorbells, granule) : [],
      fixed,
    };
  }

  /** Where a device has to write to reach a doorbell, or -1 where it is not mapped: the window's IOVA, as the guest sees it where nested. */
  doorbellIova(address: number): number {
    const iova = this.msiWindow?.iovaOf(address) ?? -1;
    return iova >= 0 && this.guest ? this.guest.doorbell(iova) : iova;
  }

  /** Checks the regions of devices that join and takes them over. Errors: `IOVA_RESERVED`, `MSI_WINDOW_CONFLICT`. */
  checkRegions(regions: readonly ReservedRegion[]): void {
    if (this.table === null) return;
    for (const region of regions) {
      if (this.ownWindow && overlaps(region, this.ownWindow.range)) {
        throw errors.windowConflict(
          this.name,
          { what: region.kind, range: region },
          { what: 'MSI window', range: this.ownWindow.range },
        );
      }
      const mapped = this.table.mappedIn(Math.max(region.first, this.first), Math.min(region.last, this.last));
      if (mapped && region.first <= this.last && !this.isDirect(region, mapped))
        throw errors.iovaReserved(this.name, mapped, region);
    }
  }

  setRegions(regions: readonly ReservedRegion[]): void {
    this.reserved = regions;
    for (const region of regions) this.space?.exclude(region);
  }

  /** Maps for the core itself, without the checks of `map`: doorbells, direct regions. */
  place(iova: number, physical: number, size: number, permissions: number): void {
    this.table!.map(iova, physical, size, permissions);
    if (this.flushOnMap) this.flushNewMapping(iova, size);
  }

  /** Takes back what `place` mapped: no unit translates it when it returns. */
  displace(iova: number, size: number): void {
    this.take(iova, size, 'strict');
  }

  /** Gives back the tables. Nothing can be mapped or attached any more. */
  destroy(): void {
    this.destroyed = true;
    this.paging = false;
    this.table?.destroy();
  }

  /** Errors: `DOMAIN_DESTROYED`, also of the parent. */
  mustStand(): void {
    if (this.destroyed) throw errors.domainDestroyed(this.name);
    this.parent?.mustStand();
  }

  /** Equal for equal software state. */
  digest(): string {
    return `${this.name}[${[...this.devices].map((d) => d.name).join(',')}|${this.ownWindow?.digest() ?? '-'}|${this.space?.digest() ?? ''}]`;
  }

  private isDirect(region: ReservedRegion, mapped: Range): boolean {
    return region.kind.startsWith('direct') && this.table!.iovaToPhys(mapped.first) === mapped.first;
  }

  private flushNewMapping(at: number, size: number): void {
    const table = this.table!;
    try {
      for (const unit of this.units.keys()) unit.flush(table, at, size);
    } catch (error) {
      table.unmap(at, size);
      for (const unit of this.units.keys()) quietly(() => unit.flush(table, at, size));
      table.reclaim();
      throw error;
    }
  }

  private take(at: number, size: number, mode: FlushMode): number {
    if (this.destroyed) return 0;
    const table = this.table!;
    const taken = table.unmap(at, size);
    if (taken === 0) return 0;
    const lazy = mode === 'lazy';
    if (lazy && this.waiting + 1 < LAZY_LIMIT) {
      this.waiting++;
      return taken;
    }
    try {
      if (lazy) this.flush();
      else for (const unit of this.units.keys()) unit.flush(table, at, size);
    } catch (error) {
      table.undoUnmap();
      throw error;
    }
    if (this.waiting === 0) table.reclaim();
    return taken;
  }

  /** What stands in the way of a window, or null. */
  private obstacle(range: Range): { what: string; range: Range } | null {
    const region = this.reserved.find((r) => overlaps(r, range));
    if (region) return { what: `${region.kind} region (${region.why})`, range: region };
    // Doorbell pages of a window that is being resized are no obstacle.
    let from = range.first;
    while (from <= range.last) {
      const mapped = this.table!.mappedIn(from, range.last);
      if (!mapped) return null;
      const own = this.ownWindow?.range;
      if (!own || mapped.first < own.first || mapped.first > own.last) return { what: 'mapping', range: mapped };
      from = Math.min(mapped.last, own.last) + 1;
    }
    return null;
  }

  private windowTable(call: string): DomainTable {
    this.mustStand();
    if (this.parent) throw errors.windowOfParent(this.name, call, this.parent.name);
    if (this.table === null) throw errors.notPaging(this.name, call, this.type);
    const fixed = this.capabilities!.msiWindow;
    if (fixed) throw errors.windowFixed(this.name, fixed);
    return this.table;
  }

  private dmaSpace(call: string): DmaSpace {
    this.mustStand();
    if (!this.space) throw errors.notPaging(this.name, call, this.type);
    return this.space;
  }

  /** Whether mappings can be there: whole granules of the aperture of a domain that callers map in. */
  private isPlace(at: number, size: number, mask = this.granuleMask): boolean {
    return (
      this.paging &&
      ((at | size) & mask) === 0 &&
      Math.floor(size) === size &&
      size > 0 &&
      at >= this.first &&
      at + size - 1 <= this.last
    );
  }

  private misplaced(call: string, at: number, size: number, granule = this.granule): DoorbellError {
    if (this.destroyed) return errors.domainDestroyed(this.name);
    if (!this.paging) return errors.notPaging(this.name, call, this.type);
    if (at & (granule - 1)) return errors.unaligned(this.name, 'IOVA', at, granule);
    if (!(size > 0) || size % granule !== 0) return errors.unaligned(this.name, 'size', size, granule);
    return errors.outOfAperture(this.name, rangeOf(at, size), this.aperture);
  }

  private stayOffWindow(what: string, first: number, last: number): void {
    const window = this.ownWindow;
    if (window === null || first > window.range.last || last < window.range.first) return;
    throw errors.windowConflict(
      this.name,
      { what, range: { first, last } },
      { what: 'MSI window', range: window.range },
    );
  }
}

/** Numbers are the fast path; a bigint above 2^53 is outside every aperture, which the caller's check then says. */
function toNumber(iova: Iova): number {
  if (typeof iova === 'number' && Number.isSafeInteger(iova) && iova >= 0) return iova;
  const { hi, lo } = splitIova(iova, 'IOVA');
  return join64(hi, lo);
}

function quietly(body: () => void): void {
  try {
    body();
  } catch {
    // The first refusal is what the caller hears.
  }
}

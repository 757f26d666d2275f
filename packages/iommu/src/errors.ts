import { DoorbellError, hex, showRange, type Range } from '@doorbell/platform';
import type { Doorbell } from '@doorbell/irqchip';
import type { ReservedRegion } from './unit.js';

/** A doorbell with the page that has to be mapped for it. */
export interface DoorbellPage extends Doorbell {
  /** Physical address of its page: a multiple of the granule. */
  readonly page: number;
}

const showDoorbells = (doorbells: readonly DoorbellPage[]): string =>
  doorbells.map((d) => `${d.name} at ${hex(d.address)}`).join(', ');

/** `MSI_WINDOW_MISSING`: the domain translates MSIs and has no window. */
export const windowMissing = (device: string, domain: string, demand: MsiArithmetic): DoorbellError =>
  new DoorbellError(
    'MSI_WINDOW_MISSING',
    `${domain} translates the MSIs of ${device} and has no window for them: ${demand.needed} page(s) of ${demand.granule} bytes needed for ${showDoorbells(demand.doorbells)}`,
    'call reserveMsiWindow() or placeMsiWindow() on the domain',
    { device, domain, ...demand },
  );

export interface MsiArithmetic {
  /** Pages that are needed and not mapped yet. */
  readonly needed: number;
  readonly free: number;
  /** Bytes of one page. */
  readonly granule: number;
  /** Bytes from one doorbell page to the next: more than a page where a table has no small ones. */
  readonly stride: number;
  readonly doorbells: readonly DoorbellPage[];
  /** Bytes of the smallest window that works, with what is mapped already. */
  readonly smallest: number;
}

const showPages = ({ granule, stride }: MsiArithmetic): string =>
  `${granule} bytes each${stride > granule ? `, ${hex(stride)} apart` : ''}`;

/** `MSI_WINDOW_EXHAUSTED`, with the arithmetic. */
export const windowExhausted = (
  device: string,
  domain: string,
  window: Range,
  arithmetic: MsiArithmetic,
): DoorbellError =>
  new DoorbellError(
    'MSI_WINDOW_EXHAUSTED',
    `the MSI window ${showRange(window)} of ${domain} is too small for ${device}: needed ${arithmetic.needed} page(s), free ${arithmetic.free}, ${showPages(arithmetic)}; doorbells: ${showDoorbells(arithmetic.doorbells)}`,
    `reserve at least ${hex(arithmetic.smallest)} bytes`,
    { device, domain, window, ...arithmetic },
  );

/** `MSI_WINDOW_CONFLICT`, in both orders: window against mapping or reserved region, mapping against window. */
export const windowConflict = (
  domain: string,
  wanted: { readonly what: string; readonly range: Range },
  present: { readonly what: string; readonly range: Range },
): DoorbellError =>
  new DoorbellError(
    'MSI_WINDOW_CONFLICT',
    `${wanted.what} ${showRange(wanted.range)} of ${domain} overlaps the ${present.what} ${showRange(present.range)}`,
    'choose another range; placeMsiWindow() finds one for the window',
    { domain, wanted: wanted.range, present: present.range, presentIs: present.what },
  );

/** `MSI_WINDOW_UNREACHABLE`: the function cannot write to the window. */
export const windowUnreachable = (device: string, window: Range, address: number, bits: number, what: string) =>
  new DoorbellError(
    'MSI_WINDOW_UNREACHABLE',
    `${device} has ${what} of ${bits} bits and cannot write to ${hex(address)} in the MSI window ${showRange(window)}`,
    `place the window below ${hex(2 ** bits)}`,
    { device, window, address, bits, what },
  );

/** `MSI_CANNOT_MOVE_LIVE`: an interrupt could be lost or fault on the way. */
export const cannotMoveLive = (device: string, why: string): DoorbellError =>
  new DoorbellError(
    'MSI_CANNOT_MOVE_LIVE',
    `${device} has live MSIs and ${why}`,
    'use MSI-X or an MSI capability with per-vector masking, give both domains the same window, or disable its MSIs for the move',
    { device, why },
  );

/** `MSI_DOMAIN_BLOCKED`: a translating unit blocks the device, so its messages cannot arrive. */
export const domainBlocked = (device: string, unit: string): DoorbellError =>
  new DoorbellError(
    'MSI_DOMAIN_BLOCKED',
    `${unit} blocks every request of ${device}, so no MSI of it can arrive`,
    'attach it to a domain first',
    { device, unit },
  );

export const unaligned = (domain: string, what: string, value: number, granule: number): DoorbellError =>
  new DoorbellError(
    'UNALIGNED',
    `${what} ${hex(value)} in ${domain} is not a multiple of ${granule}`,
    'align it to the smallest page size',
    { domain, what, value, granule },
  );

export const outOfAperture = (domain: string, wanted: Range, aperture: Range): DoorbellError =>
  new DoorbellError(
    'IOVA_OUT_OF_APERTURE',
    `${showRange(wanted)} is not inside the aperture ${showRange(aperture)} of ${domain}`,
    'use an IOVA of the aperture',
    { domain, wanted, aperture },
  );

export const physicalOutOfRange = (domain: string, physical: number, size: number, bits: number): DoorbellError =>
  new DoorbellError(
    'PHYSICAL_OUT_OF_RANGE',
    `${domain} cannot map physical ${hex(physical)} (${size} bytes): its unit has ${bits} address bits`,
    'map lower memory',
    { domain, physical, size, bits },
  );

/** `IOVA_RESERVED`: a device of the domain cannot use that range for DMA. */
export const iovaReserved = (domain: string, wanted: Range, region: ReservedRegion): DoorbellError =>
  new DoorbellError(
    'IOVA_RESERVED',
    `${showRange(wanted)} of ${domain} overlaps ${region.kind} ${showRange(region)} (${region.why})`,
    'map elsewhere; reservedRegions() lists what is taken',
    { domain, wanted, region },
  );

export const notPaging = (domain: string, call: string, type: string): DoorbellError =>
  new DoorbellError(
    'NOT_A_PAGING_DOMAIN',
    `${call}() on ${domain}, which is ${type} and has no tables`,
    'use an unmanaged or dma domain',
    { domain, call, type },
  );

export const incompatibleUnit = (domain: string, unit: string, why: string): DoorbellError =>
  new DoorbellError(
    'INCOMPATIBLE_UNIT',
    `${domain} cannot be used by ${unit}: ${why}`,
    'create a domain for devices of that unit',
    { domain, unit, why },
  );

export const groupBusy = (device: string, group: readonly string[], owner: string): DoorbellError =>
  new DoorbellError(
    'GROUP_BUSY',
    `the group of ${device} (${group.join(', ')}) belongs to ${owner}`,
    'detach it there first, or use move()',
    { device, group, owner },
  );

export const noIommu = (device: string): DoorbellError =>
  new DoorbellError('NO_IOMMU', `no IOMMU translates for ${device}`, 'name a unit in the iommuMap of its host bridge', {
    device,
  });

export const domainBusy = (domain: string, devices: readonly string[]): DoorbellError =>
  new DoorbellError('DOMAIN_BUSY', `${domain} still has ${devices.join(', ')}`, 'detach them first', {
    domain,
    devices,
  });

export const domainDestroyed = (domain: string): DoorbellError =>
  new DoorbellError('DOMAIN_DESTROYED', `${domain} was destroyed`, 'create another domain', { domain });

export const iovaExhausted = (domain: string, size: number, limit: number): DoorbellError =>
  new DoorbellError(
    'IOVA_EXHAUSTED',
    `${domain} has no ${hex(size)} free bytes of IOVA space up to ${hex(limit)}`,
    'unmap something or raise the limit',
    { domain, size, limit },
  );

export const iovaNotAllocated = (domain: string, iova: number, size: number): DoorbellError =>
  new DoorbellError(
    'IOVA_NOT_ALLOCATED',
    `${domain} cannot have given out ${hex(size)} bytes at ${hex(iova)}`,
    'give dmaUnmap what dmaMap returned, and its size',
    { domain, iova, size },
  );

/** `MSI_WINDOW_IN_USE`: `range` is what the window was to become; null: nothing. */
export const windowInUse = (domain: string, mapped: readonly unknown[], range: Range | null): DoorbellError =>
  new DoorbellError(
    'MSI_WINDOW_IN_USE',
    range
      ? `the MSI window of ${domain} has doorbells outside ${showRange(range)}`
      : `the MSI window of ${domain} still holds ${mapped.length} doorbell page(s)`,
    range ? 'keep every doorbell page in use inside the new window' : 'disable the MSIs that use it',
    { domain, mapped, range },
  );

export const windowOfParent = (domain: string, call: string, parent: string): DoorbellError =>
  new DoorbellError(
    'MSI_WINDOW_OF_PARENT',
    `${call}() on the nested ${domain}: its window belongs to ${parent}`,
    'call it on the parent',
    { domain, parent },
  );

/** `MSI_WINDOW_FIXED`: the units take interrupts in a range of their own. */
export const windowFixed = (domain: string, fixed: Range): DoorbellError =>
  new DoorbellError(
    'MSI_WINDOW_FIXED',
    `${domain} needs no MSI window: its units take interrupts at ${showRange(fixed)} and translate none`,
    'leave it out; msiDemand().fixed tells',
    { domain, fixed },
  );

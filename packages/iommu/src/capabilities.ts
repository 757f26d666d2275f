import type { Range } from '@doorbell/platform';
import { incompatibleUnit } from './errors.js';
import type { IommuUnit, UnitCapabilities } from './unit.js';

/** What every one of the units can do. Errors: `INCOMPATIBLE_UNIT` where nothing is left. */
export function intersect(domain: string, units: readonly IommuUnit[]): UnitCapabilities {
  let common = units[0]!.capabilities;
  for (const unit of units.slice(1)) {
    const own = unit.capabilities;
    const pageSizes = common.pageSizes.filter((s) => own.pageSizes.includes(s));
    const aperture: Range = {
      first: Math.max(common.aperture.first, own.aperture.first),
      last: Math.min(common.aperture.last, own.aperture.last),
    };
    if (pageSizes.length === 0) throw incompatibleUnit(domain, unit.name, 'no page size in common');
    if (aperture.first > aperture.last) throw incompatibleUnit(domain, unit.name, 'the apertures do not overlap');
    if ((common.msiWindow === null) !== (own.msiWindow === null))
      throw incompatibleUnit(domain, unit.name, 'one has a fixed MSI window and the other translates MSIs');
    common = {
      pageSizes,
      aperture,
      physicalBits: Math.min(common.physicalBits, own.physicalBits),
      msiWindow: common.msiWindow ?? own.msiWindow,
      flushOnMap: common.flushOnMap || own.flushOnMap,
      nested: common.nested && own.nested,
      ...slots(common, own),
    };
  }
  return common;
}

function slots(a: UnitCapabilities, b: UnitCapabilities): { slots?: number } {
  const least = Math.min(a.slots ?? Infinity, b.slots ?? Infinity);
  return least === Infinity ? {} : { slots: least };
}

/** Why a unit cannot serve a domain of these capabilities, or null. */
export function lacks(unit: IommuUnit, wanted: UnitCapabilities): string | null {
  const own = unit.capabilities;
  if (!wanted.pageSizes.every((s) => own.pageSizes.includes(s)))
    return `its page sizes are ${own.pageSizes.join(', ')}`;
  if (own.aperture.first > wanted.aperture.first || own.aperture.last < wanted.aperture.last)
    return 'its aperture is smaller';
  if (own.physicalBits < wanted.physicalBits) return `it has ${own.physicalBits} physical address bits`;
  if ((own.msiWindow === null) !== (wanted.msiWindow === null))
    return own.msiWindow === null ? 'it translates MSIs' : 'its MSI window is fixed';
  if (own.flushOnMap && !wanted.flushOnMap) return 'it needs a flush after each map';
  return null;
}

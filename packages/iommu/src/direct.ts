import { READ, WRITE } from '@doorbell/platform';
import type { Domain } from './domain.js';
import type { ReservedRegion } from './unit.js';

/**
 * What firmware uses behind a device's back has to be there before the device joins: its direct regions are mapped one to one in a
 * `dma` domain, then `join` runs. Where it fails, what this call mapped is taken back.
 */
export function withDirect(domain: Domain, regions: readonly ReservedRegion[], join: () => void): void {
  const direct = domain.type === 'dma' ? regions.filter((r) => r.kind.startsWith('direct')) : [];
  const undo: (() => void)[] = [];
  try {
    for (const region of direct) mapGaps(domain, region, undo);
    join();
  } catch (error) {
    for (const takeBack of undo.reverse()) takeBack();
    throw error;
  }
}

/** Maps what is not mapped yet of a region: another device of the domain may have brought the rest. */
function mapGaps(domain: Domain, region: ReservedRegion, undo: (() => void)[]): void {
  const table = domain.table!;
  const granule = domain.pageSizes[0]!;
  const end = Math.ceil((region.last + 1) / granule) * granule;
  for (let at = Math.floor(region.first / granule) * granule; at < end; ) {
    const mapped = table.mappedIn(at, end - 1);
    const first = at;
    const size = Math.max(mapped?.first ?? end, at) - at;
    if (size > 0) {
      domain.place(first, first, size, READ | WRITE);
      undo.push(() => domain.displace(first, size));
    }
    at = (mapped?.last ?? end) + 1;
  }
}

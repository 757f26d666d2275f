import { hex, overlaps64 } from '../bytes.js';
import type { Findings } from '../findings/index.js';
import { openTable, type AcpiHeader } from './header.js';

/** Configuration space of some buses of a segment. `base` is the address of bus 0, even if `startBus` is higher. */
export interface EcamRegion {
  readonly offset: number;
  readonly base: bigint;
  readonly segment: number;
  readonly startBus: number;
  readonly endBus: number;
}
export interface McfgTable {
  readonly header: AcpiHeader;
  readonly regions: readonly EcamRegion[];
}

const span = (r: EcamRegion) => ({
  first: r.base + (BigInt(r.startBus) << 20n),
  last: r.base + (BigInt(r.endBus + 1) << 20n) - 1n,
});

/** Reads an MCFG (PCI firmware specification 4.1.2). Errors: `FirmwareError` if it is none; all else is a finding. */
export function readMcfg(file: string, data: Uint8Array, findings: Findings): McfgTable {
  const { header, bytes, found } = openTable(file, data, 'MCFG', findings);
  const regions: EcamRegion[] = [];
  if (header.length < 44)
    found('MCFG_BAD_LENGTH', 4, `the table has ${header.length} bytes, its fixed part alone is 44`);
  for (let at = 44; at < bytes.length; at += 16) {
    if (!bytes.has(at, 16)) {
      found('MCFG_BAD_LENGTH', at, `${bytes.length - at} bytes are left, an entry has 16`);
      break;
    }
    const r = {
      offset: at,
      base: bytes.u64(at),
      segment: bytes.u16(at + 8),
      startBus: bytes.u8(at + 10),
      endBus: bytes.u8(at + 11),
    };
    const what = `segment ${r.segment} buses ${r.startBus}–${r.endBus} at ${hex(r.base)}`;
    if (r.startBus > r.endBus) found('MCFG_BUS_RANGE', at + 10, what);
    else if (r.base === 0n || (r.base & 0xfffffn) !== 0n) found('MCFG_BASE', at, what);
    else if (regions.some((o) => o.startBus <= o.endBus && overlaps64(span(o), span(r))))
      found('MCFG_OVERLAP', at, what);
    regions.push(r);
  }
  return { header, regions };
}

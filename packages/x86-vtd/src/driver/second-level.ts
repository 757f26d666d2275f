import { RadixTable, type RadixFormat } from '@doorbell/iommu';
import { READ, WRITE, type MemoryPort, type PageAllocator } from '@doorbell/platform';
import { SLPTE } from '@doorbell/x86-paging/spec';

const hi = (address: number): number => (address < 2 ** 32 ? 0 : Math.floor(address / 2 ** 32));
const lo = (address: number): number => address >>> 0;

/** Second-level paging entries (VT-d §9.8) for the tree that RadixTable keeps. */
export const secondLevelFormat = (levels: number, m2: boolean, g1: boolean): RadixFormat => ({
  granuleBits: 12,
  indexBits: 9,
  levels,
  leafAt: [true, m2, g1, false, false].slice(0, levels),
  addressInPlace: true,
  leafLo: (physical, level, permissions) =>
    (lo(physical) |
      (permissions & READ ? SLPTE.R.mask : 0) |
      (permissions & WRITE ? SLPTE.W.mask : 0) |
      (level > 0 ? SLPTE.PS.mask : 0)) >>>
    0,
  leafHi: (physical) => hi(physical),
  // Rights are the AND over the levels: tables allow both.
  tableLo: (address) => (lo(address) | SLPTE.R.mask | SLPTE.W.mask) >>> 0,
  tableHi: (address) => hi(address),
  address: (low, high) => (high & 0x000f_ffff) * 2 ** 32 + ((low & 0xffff_f000) >>> 0),
});

/** Second-level tables of one domain. Any unit whose SAGAW and page sizes cover them can walk them. */
export class SecondLevelTable extends RadixTable {
  constructor(
    readonly levels: number,
    readonly sizes: readonly number[],
    memory: MemoryPort,
    pages: PageAllocator,
  ) {
    super(secondLevelFormat(levels, sizes.includes(2 ** 21), sizes.includes(2 ** 30)), memory, pages, sizes);
  }
}

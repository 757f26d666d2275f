import { RadixTable, MMIO, type RadixFormat } from '@doorbell/iommu';
import { EXEC, WRITE, type MemoryPort, type PageAllocator } from '@doorbell/platform';
import { firstBlockLevel, LEAF, levelShift, startLevel, TABLE, TYPE } from '../spec/index.js';

/** Memory attributes by AttrIndx, as Linux numbers them: 0 non-cacheable, 1 write-back, 2 device-nGnRE (MAIR bytes). */
export const MAIR = { lo: 0x0004_ff44, hi: 0 } as const;
const ATTR = { NORMAL: 1, DEVICE: 2 } as const;
const SH = { OUTER: 2, INNER: 3 } as const;

/** VMSAv8-64 stage 1 as a radix format. `g`: log2 of the granule; `inputBits`: of the addresses translated. */
function stage1Format(g: number, inputBits: number): RadixFormat {
  const levels = 4 - startLevel(g, inputBits);
  const common = LEAF.AF.mask | LEAF.nG.mask | LEAF.AP1.mask;
  return {
    granuleBits: g,
    indexBits: g - 3,
    levels,
    rootBits: inputBits - levelShift(g, 4 - levels),
    // level n of the format is level 3 − n of the architecture
    leafAt: Array.from({ length: levels }, (_, n) => n === 0 || 3 - n >= firstBlockLevel(g)),
    addressInPlace: true,
    leafLo(physical, level, permissions) {
      const type = level === 0 ? TYPE.PAGE : TYPE.BLOCK;
      const device = (permissions & MMIO) !== 0;
      const attributes = device
        ? (ATTR.DEVICE << LEAF.AttrIndx.lsb) | (SH.OUTER << LEAF.SH.lsb)
        : (ATTR.NORMAL << LEAF.AttrIndx.lsb) | (SH.INNER << LEAF.SH.lsb);
      const readOnly = (permissions & WRITE) === 0 ? LEAF.AP2.mask : 0;
      return ((physical >>> 0) | type | attributes | common | readOnly) >>> 0;
    },
    leafHi(physical, _level, permissions) {
      const never = (permissions & EXEC) === 0 || (permissions & MMIO) !== 0 ? LEAF.PXN.mask | LEAF.UXN.mask : 0;
      return (Math.floor(physical / 2 ** 32) | never) >>> 0;
    },
    tableLo: (address) => ((address >>> 0) | TYPE.TABLE) >>> 0,
    tableHi: (address) => Math.floor(address / 2 ** 32),
    address: (lo, hi) => (hi & TABLE.NEXT.mask1) * 2 ** 32 + ((lo & TABLE.NEXT.mask) >>> 0),
  };
}

/** Addresses that tables of a granule translate here: 48 bits, with 16 KiB 47, which saves a level of two entries. */
export const inputBitsOf = (g: number): number => (g === 14 ? 47 : 48);

/** Sizes of pages and blocks, ascending. */
export function pageSizesOf(g: number): number[] {
  const sizes = [];
  for (let level = 3; level >= firstBlockLevel(g); level--) sizes.push(2 ** levelShift(g, level));
  return sizes;
}

/** Stage-1 tables: one TTB0 half. Any SMMUv3 that has the granule and reaches the addresses can use them. */
export class Stage1Table extends RadixTable {
  readonly inputBits: number;

  constructor(
    readonly granuleBits: number,
    /** Output address bits that the leaves may need. */
    readonly outputBits: number,
    pageSizes: readonly number[],
    memory: MemoryPort,
    pages: PageAllocator,
  ) {
    super(stage1Format(granuleBits, inputBitsOf(granuleBits)), memory, pages, pageSizes);
    this.inputBits = inputBitsOf(granuleBits);
  }
}

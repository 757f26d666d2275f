import { MMIO, RadixTable, readWrite, type RadixFormat } from '@doorbell/iommu';
import { EXEC, type MemoryPort, type PageAllocator } from '@doorbell/platform';
import {
  ADDRESS_BITS,
  firstBlockLevel,
  LEAF2,
  levelShift,
  stage2StartFits,
  startLevelOfSl0,
  TABLE,
  TYPE,
} from '../spec/index.js';
import { pageSizesOf } from './table.js';

const MEMATTR = { DEVICE_nGnRE: 1, WRITE_BACK: 15 } as const;
const SH = { OUTER: 2, INNER: 3 } as const;

/** VMSAv8-64 stage 2 as a radix format; the first level may be up to 16 tables side by side. */
function stage2Format(g: number, inputBits: number, start: number): RadixFormat {
  const levels = 4 - start;
  return {
    granuleBits: g,
    indexBits: g - 3,
    levels,
    rootBits: inputBits - levelShift(g, start),
    // level n of the format is level 3 − n of the architecture
    leafAt: Array.from({ length: levels }, (_, n) => n === 0 || 3 - n >= firstBlockLevel(g)),
    addressInPlace: true,
    leafLo(physical, level, permissions) {
      const type = level === 0 ? TYPE.PAGE : TYPE.BLOCK;
      const attributes =
        (permissions & MMIO) !== 0
          ? (MEMATTR.DEVICE_nGnRE << LEAF2.MemAttr.lsb) | (SH.OUTER << LEAF2.SH.lsb)
          : (MEMATTR.WRITE_BACK << LEAF2.MemAttr.lsb) | (SH.INNER << LEAF2.SH.lsb);
      return ((physical >>> 0) | type | attributes | (readWrite(permissions) << LEAF2.S2AP.lsb) | LEAF2.AF.mask) >>> 0;
    },
    leafHi(physical, _level, permissions) {
      const never = (permissions & EXEC) === 0 || (permissions & MMIO) !== 0 ? 2 << LEAF2.XN.lsb : 0;
      return (Math.floor(physical / 2 ** 32) | never) >>> 0;
    },
    tableLo: (address) => ((address >>> 0) | TYPE.TABLE) >>> 0,
    tableHi: (address) => Math.floor(address / 2 ** 32),
    address: (lo, hi) => (hi & TABLE.NEXT.mask1) * 2 ** 32 + ((lo & TABLE.NEXT.mask) >>> 0),
  };
}

/** S2SL0 of the walk with the fewest levels that reaches so many bits. */
function shortest(g: number, inputBits: number): { readonly sl0: number; readonly start: number } {
  for (let sl0 = 0; sl0 < 3; sl0++) {
    const start = startLevelOfSl0(g, sl0);
    if (stage2StartFits(g, start, inputBits)) return { sl0, start };
  }
  throw new RangeError(`no stage 2 of ${inputBits} bits with a granule of 2^${g} bytes`);
}

/** Sizes of pages and of the blocks that such a walk has, ascending. */
export const stage2PageSizes = (g: number, outputField: number): number[] => {
  const { start } = shortest(g, ADDRESS_BITS[outputField]!);
  return pageSizesOf(g).filter((size) => size <= 2 ** levelShift(g, start));
};

/** Stage-2 tables: what a virtual machine's physical addresses are. Any SMMUv3 with the granule and the output size can use them. */
export class Stage2Table extends RadixTable {
  readonly sl0: number;
  readonly inputBits: number;

  constructor(
    readonly granuleBits: number,
    /** STE.S2PS. IPAs have as many bits (§3.4: IAS = OAS with AArch64 tables only). */
    readonly outputField: number,
    pageSizes: readonly number[],
    memory: MemoryPort,
    pages: PageAllocator,
  ) {
    const inputBits = ADDRESS_BITS[outputField]!;
    const { sl0, start } = shortest(granuleBits, inputBits);
    super(stage2Format(granuleBits, inputBits, start), memory, pages, pageSizes);
    this.sl0 = sl0;
    this.inputBits = inputBits;
  }
}

import { bit, bits, layout, wide } from '@doorbell/bits';

/** VMSAv8-64 translation tables, stage 1 (DDI 0487 D8; as the SMMU walks them). `g` is log2 of the granule: 12, 14 or 16. */

/** Table descriptor, levels 0–2. Bits 1:0 = 11. */
export const TABLE = layout('TABLE', 'DDI0487 D8.3', 0, 64, {
  TYPE: bits(1, 0, { is: { 0: 'invalid', 1: 'block', 3: 'table' } }),
  NEXT: wide(47, 12),
  PXNTable: bit(59),
  UXNTable: bit(60),
  APTable: bits(62, 61),
  NSTable: bit(63),
});

/** Block (bits 1:0 = 01, levels 1 and 2) or page (11, level 3). */
export const LEAF = layout('LEAF', 'DDI0487 D8.3', 0, 64, {
  TYPE: bits(1, 0, { is: { 0: 'invalid', 1: 'block', 3: 'page' } }),
  AttrIndx: bits(4, 2),
  NS: bit(5),
  AP1: bit(6, { doc: 'unprivileged access too' }),
  AP2: bit(7, { doc: 'read-only' }),
  SH: bits(9, 8),
  AF: bit(10),
  nG: bit(11),
  OA: wide(47, 12),
  GP: bit(50),
  DBM: bit(51),
  CONTIGUOUS: bit(52),
  PXN: bit(53),
  UXN: bit(54),
  SW: bits(58, 55),
  PBHA: bits(62, 59),
});

/** The same of stage 2. S2AP: read, write; XN[1] is execute-never (XN[0] counts with IDR3.XNX only). */
export const LEAF2 = layout('LEAF2', 'DDI0487 D8.3', 0, 64, {
  TYPE: bits(1, 0, { is: { 0: 'invalid', 1: 'block', 3: 'page' } }),
  MemAttr: bits(5, 2, { is: { 1: 'device-nGnRE', 5: 'non-cacheable', 15: 'write-back' } }),
  S2AP: bits(7, 6, { is: { 0: 'none', 1: 'R', 2: 'W', 3: 'RW' } }),
  SH: bits(9, 8),
  AF: bit(10),
  OA: wide(47, 12),
  DBM: bit(51),
  CONTIGUOUS: bit(52),
  XN: bits(54, 53),
  SW: bits(58, 55),
  PBHA: bits(62, 59),
});

export const TYPE = { BLOCK: 1, TABLE: 3, PAGE: 3 } as const;

/** Bits of address that one level resolves. */
export const stride = (g: number): number => g - 3;
/** Lowest address bit that a level resolves: what a leaf there maps is 2^shift bytes. */
export const levelShift = (g: number, level: number): number => g + (3 - level) * (g - 3);
/** First level of a stage-1 walk. */
export const startLevel = (g: number, inputBits: number): number => 4 - Math.ceil((inputBits - g) / (g - 3));
/** Highest level (lowest number) at which a block may stand with 48-bit addresses: 1 GiB, 32 MiB, 512 MiB. */
export const firstBlockLevel = (g: number): number => (g === 12 ? 1 : 2);
/** First level of a stage-2 walk by STE.S2SL0 (IHI 0070 §5.2), -1 where the value has no meaning without STT, DS. */
export const startLevelOfSl0 = (g: number, sl0: number): number =>
  sl0 === 3 ? (g === 12 ? 3 : -1) : (g === 12 ? 2 : 3) - sl0;
/** Tables that may stand side by side at the first level of stage 2. */
const CONCATENATED_BITS = 4;
/** Whether a stage 2 of so many input bits may start at a level: at least one entry of its own, at most 16 tables side by side. */
export const stage2StartFits = (g: number, level: number, inputBits: number): boolean =>
  inputBits > levelShift(g, level) && inputBits <= levelShift(g, level) + stride(g) + CONCATENATED_BITS;

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

export const TYPE = { BLOCK: 1, TABLE: 3, PAGE: 3 } as const;

/** Bits of address that one level resolves. */
export const stride = (g: number): number => g - 3;
/** Lowest address bit that a level resolves: what a leaf there maps is 2^shift bytes. */
export const levelShift = (g: number, level: number): number => g + (3 - level) * (g - 3);
/** First level of a stage-1 walk. */
export const startLevel = (g: number, inputBits: number): number => 4 - Math.ceil((inputBits - g) / (g - 3));
/** Highest level (lowest number) at which a block may stand with 48-bit addresses: 1 GiB, 32 MiB, 512 MiB. */
export const firstBlockLevel = (g: number): number => (g === 12 ? 1 : 2);

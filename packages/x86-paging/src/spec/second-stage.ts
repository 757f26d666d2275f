import { bit, bits, layout, wide } from '@doorbell/bits';

/**
 * Second-stage paging entry, any level (VT-d §9.8). 8 bytes, 512 to a table.
 * Not present exactly when R and W are both 0; PS makes levels 2 and 3 a leaf.
 */
export const SLPTE = layout('SLPTE', 'VT-d §9.8', 0, 64, {
  R: bit(0),
  W: bit(1),
  X: bit(2, { doc: 'execute, only with SLEE' }),
  EMT: bits(5, 3),
  IPAT: bit(6),
  PS: bit(7, { doc: 'leaf at level 2 or 3; reserved at levels 4 and 5' }),
  A: bit(8),
  D: bit(9),
  SNP: bit(11, { doc: 'snoop, leaves only; reserved without ECAP.SC' }),
  ADDR: wide(51, 12),
  TM: bit(62, { doc: 'transient mapping, leaves only; reserved without ECAP.DT' }),
});

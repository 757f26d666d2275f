import { bit, layout, wide } from '@doorbell/bits';

/** First-stage paging entry, any level: the x86-64 format (VT-d §9.7, SDM vol. 3 §4.5). */
export const FLPTE = layout('FLPTE', 'VT-d §9.7', 0, 64, {
  P: bit(0),
  RW: bit(1),
  US: bit(2),
  PWT: bit(3),
  PCD: bit(4),
  A: bit(5),
  D: bit(6),
  PS: bit(7, { doc: 'leaf at levels 2 and 3; PAT at level 1' }),
  G: bit(8),
  EA: bit(10, { doc: 'extended accessed, with EAFE' }),
  ADDR: wide(51, 12),
  XD: bit(63),
});

import { bit, bits, layout, wide } from '@doorbell/bits';

/** Legacy root entry (VT-d §9.1): 256 in one page, indexed by bus. */
export const ROOT_ENTRY = layout('ROOT_ENTRY', 'VT-d §9.1', 0, 128, {
  P: bit(0),
  CTP: wide(63, 12, { doc: 'context table' }),
});

/** Translation types of a context entry. */
export const TranslationType = { untranslated: 0, deviceTlb: 1, passThrough: 2 } as const;

/** Legacy context entry (VT-d §9.3): 256 in one page, indexed by devfn. */
export const CONTEXT_ENTRY = layout('CONTEXT_ENTRY', 'VT-d §9.3', 0, 128, {
  P: bit(0),
  FPD: bit(1),
  TT: bits(3, 2, { is: { 0: 'untranslated', 1: 'device-TLB', 2: 'pass-through' } }),
  SLPTPTR: wide(63, 12),
  AW: bits(66, 64, { is: { 1: '39-bit', 2: '48-bit', 3: '57-bit' } }),
  AVAIL: bits(70, 67),
  DID: bits(87, 72),
});

/** Levels that a walk has for a context entry's AW: 3, 4, 5. */
export const levelsOf = (aw: number): number => aw + 2;

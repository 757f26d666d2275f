import { bit, bits, layout, type LayoutInfo } from '@doorbell/bits';

/** Every register of the MPIC is a big-endian 32-bit word. */
const BE = { endian: 'big' } as const;
/** The interrupt controller's own section: addresses, fields and reset values (fact sheet B1, B2). */
const REF = 'MPIC B1';

/** Bytes of the whole controller, MSI banks and per-CPU pages included (B1). */
export const MPIC_SIZE = 0x4_0000;

/** The same register at another offset: sources, CPUs and banks repeat one table. */
export const at = (register: { readonly $: LayoutInfo }, offset: number): { readonly $: LayoutInfo } => ({
  $: { ...register.$, at: offset },
});

// ---- global registers ----
export const BRR1 = layout(
  'BRR1',
  REF,
  0x0000,
  32,
  {
    VERSION: bits(15, 0, { access: 'ro', doc: '0x0200, 0x0402, 0x0403 …' }),
    ID: bits(31, 16, { access: 'ro' }),
  },
  BE,
);
export const FRR = layout(
  'FRR',
  REF,
  0x1000,
  32,
  {
    NIRQ: bits(26, 16, { access: 'ro', doc: 'sources minus one' }),
    NCPU: bits(12, 8, { access: 'ro', doc: 'CPUs minus one' }),
    VID: bits(7, 0, { access: 'ro', doc: 'version id' }),
  },
  BE,
);
export const GCR = layout(
  'GCR',
  REF,
  0x1020,
  32,
  {
    RST: bit(31, { doc: 'resets the controller and clears itself' }),
    M: bits(30, 29, { is: { 0: 'pass-through', 1: 'mixed', 3: 'external-proxy' } }),
  },
  BE,
);
export const VIR = layout('VIR', REF, 0x1080, 32, { VENDOR: bits(31, 0, { access: 'ro' }) }, BE);
export const PIR = layout('PIR', REF, 0x1090, 32, { P: bits(31, 0) }, BE);
export const SVR = layout('SVR', REF, 0x10e0, 32, { VECTOR: bits(15, 0, { reset: 0xffff }) }, BE);
export const TFRR = layout('TFRR', REF, 0x10f0, 32, { FREQ: bits(31, 0) }, BE);

// ---- timers: storage only, nothing counts (see 'not modelled') ----
export const GTCCR = layout(
  'GTCCR',
  REF,
  0x1100,
  32,
  { TOG: bit(31, { access: 'ro' }), COUNT: bits(30, 0, { access: 'ro' }) },
  BE,
);
export const GTBCR = layout(
  'GTBCR',
  REF,
  0x1110,
  32,
  { CI: bit(31, { reset: 1, doc: 'count inhibit' }), BASE_CNT: bits(30, 0) },
  BE,
);
/** Offsets of the two timer groups; timer n of a group lies 0x40·n further. */
export const TIMER_GROUPS = [0x1100, 0x2100] as const;

// ---- sources ----
/** An interrupt source's vector and priority. External sources choose edge or level. */
export const IVPR = layout(
  'IVPR',
  REF,
  0x1_0000,
  32,
  {
    MSK: bit(31, { reset: 1, doc: 'masked' }),
    A: bit(30, { access: 'ro', doc: 'activity' }),
    P: bit(23, { doc: 'polarity' }),
    S: bit(22, { is: { 1: 'level' }, doc: 'sense: 0 edge, 1 level' }),
    PRIORITY: bits(19, 16, { doc: '0 = never delivered' }),
    VECTOR: bits(15, 0),
  },
  BE,
);
/** The same without a sense bit, for internal sources (16 and up): they are level. */
export const IVPR_INTERNAL = layout(
  'IVPR',
  REF,
  0x1_0000,
  32,
  {
    MSK: bit(31, { reset: 1, doc: 'masked' }),
    A: bit(30, { access: 'ro', doc: 'activity' }),
    P: bit(23, { reset: 1, doc: 'polarity' }),
    PRIORITY: bits(19, 16, { doc: '0 = never delivered' }),
    VECTOR: bits(15, 0),
  },
  BE,
);
/** Destinations from version 4.0: one bit per CPU. */
export const IDR = layout(
  'IDR',
  REF,
  0x1_0010,
  32,
  { P: bits(31, 0, { reset: 1, doc: 'bit n: deliver to CPU n' }) },
  BE,
);
/** Destinations before version 4.0. */
export const IDR_V2 = layout(
  'IDR',
  REF,
  0x1_0010,
  32,
  {
    EP: bit(31, { doc: 'external pin' }),
    CI: bits(30, 23, { doc: 'bit 30 - n: critical to CPU n' }),
    P: bits(7, 0, { reset: 1, doc: 'bit n: deliver to CPU n' }),
  },
  BE,
);
export const ILR = layout(
  'ILR',
  REF,
  0x1_0018,
  32,
  {
    INTTGT: bits(7, 0, { is: { 0: 'int', 1: 'critical', 2: 'machine-check' } }),
  },
  BE,
);

/** Offset of source n's IVPR; IDR and ILR lie 0x10 and 0x18 further. */
export const sourceAt = (n: number): number => 0x1_0000 + 0x20 * n;
export const IDR_OFFSET = 0x10;
export const ILR_OFFSET = 0x18;
/** External pins come first; from here on sources are internal and level (B1). */
export const FIRST_INTERNAL = 16;
/** Register blocks that exist up to version 4.2 and on 4.3: the MSI banks hold the last ones (B2). */
export const sourceCount = (version: number): number => (version >= 0x0403 ? 0x120 : 0xf8);

// ---- per CPU ----
/** Offset of CPU c's private page; the first 0x1000 bytes of the controller alias the accessing CPU's. */
export const cpuAt = (c: number): number => 0x2_0000 + 0x1000 * c;
export const CTPR = layout('CTPR', REF, 0x80, 32, { TASKP: bits(3, 0, { reset: 15 }) }, BE);
export const WHOAMI = layout('WHOAMI', REF, 0x90, 32, { ID: bits(4, 0, { access: 'ro' }) }, BE);
export const IACK = layout('IACK', REF, 0xa0, 32, { VECTOR: bits(15, 0, { access: 'ro' }) }, BE);
export const EOI = layout('EOI', REF, 0xb0, 32, { EOI_CODE: bits(3, 0, { access: 'wo', doc: 'write 0' }) }, BE);

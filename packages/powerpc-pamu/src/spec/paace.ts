import { bit, bits, layout } from '@doorbell/bits';

const BE = { endian: 'big' } as const;
const REF = 'PAMU A5';

export const PAACE_SIZE = 64;
/** Words of an entry that mean something; the rest is not implemented. */
export const PAACE_WORDS = 8;
/** Where an entry's V, AP and window bits are: written last when an entry is made valid. */
export const ADDRESS_WORD = 1;

/** Words 2 to 7 are the same in both kinds. */
const common = {
  DID: bits(95, 88, { doc: 'destination id' }),
  PID: bits(87, 80, { doc: 'partition id' }),
  SNPID: bits(79, 72, { doc: 'snoop id' }),
  CR: bit(71, { doc: 'coherency required' }),
  CID: bits(119, 112, { doc: 'cache stash id' }),
  ATM: bits(99, 98, { is: { 0: 'none', 1: 'window', 2: 'page', 3: 'window + page' } }),
  OTM: bits(97, 96, { is: { 0: 'none', 1: 'immediate', 2: 'indexed' } }),
  TWBAH: bits(159, 128, { doc: 'translated window base, bits 63:32' }),
  TWBAL: bits(191, 172, { doc: 'bits 31:12' }),
  SWSE: bits(171, 166, { doc: 'mapped size of the sub-window' }),
  /** OTM 1: IOEA and MOEA. */
  OPERATION_A: bits(255, 240),
  /** OTM 1: IOEB and MOEB; OTM 2: OMI. */
  OMI: bits(239, 224),
} as const;

const access = {
  AP: bits(36, 35, { is: { 0: 'denied', 1: 'query', 2: 'update', 3: 'all' } }),
  DD: bit(34, { doc: '0: to host' }),
  PT: bit(33, { doc: '0: primary, 1: secondary' }),
  V: bit(32),
} as const;

/** One per LIODN: its window, and sub-window 0. */
export const PPAACE = layout(
  'PPAACE',
  REF,
  0,
  512,
  {
    WBAH: bits(31, 0, { doc: 'window base, bits 63:32' }),
    WBAL: bits(63, 44, { doc: 'bits 31:12' }),
    WSE: bits(43, 38, { doc: 'window size' }),
    MW: bit(37, { doc: 'sub-windows in use' }),
    ...access,
    ...common,
    WCE: bits(103, 100, { doc: 'sub-window count' }),
    FSPI: bits(223, 192, { doc: 'first secondary PAACE' }),
  },
  BE,
);

/** Sub-windows 1 and up. */
export const SPAACE = layout(
  'SPAACE',
  REF,
  0,
  512,
  { LIODN: bits(63, 48, { doc: 'who owns the sub-window' }), ...access, ...common },
  BE,
);

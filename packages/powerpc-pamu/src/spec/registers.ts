import { bit, bits, layout } from '@doorbell/bits';

/** Every PAMU register and table word is big-endian (fact sheet, conventions). */
const BE = { endian: 'big' } as const;
const REF = 'PAMU A2';

/** Bytes of one PAMU; several of them follow each other from CCSR + 0x2_0000 (A1). */
export const PAMU_SIZE = 0x1000;

const word = (name: string, at: number, doc: string) =>
  layout(name, REF, at, 32, { ADDRESS: bits(31, 0, { doc }) }, BE);

export const PPBAH = word('PPBAH', 0x000, 'primary PAACT base, bits 63:32');
export const PPBAL = word('PPBAL', 0x004, 'bits 31:0');
export const PPLAH = word('PPLAH', 0x008, 'primary PAACT limit: the first byte past the table');
export const PPLAL = word('PPLAL', 0x00c, 'bits 31:0');
export const SPBAH = word('SPBAH', 0x010, 'secondary PAACT base');
export const SPBAL = word('SPBAL', 0x014, 'bits 31:0');
export const SPLAH = word('SPLAH', 0x018, 'secondary PAACT limit');
export const SPLAL = word('SPLAL', 0x01c, 'bits 31:0');
export const OBAH = word('OBAH', 0x020, 'operation mapping table base');
export const OBAL = word('OBAL', 0x024, 'bits 31:0');
export const OLAH = word('OLAH', 0x028, 'operation mapping table limit');
export const OLAL = word('OLAL', 0x02c, 'bits 31:0');

export const POES1 = layout(
  'POES1',
  REF,
  0x040,
  32,
  { POED: bit(0, { access: 'w1c', doc: 'operation error captured' }) },
  BE,
);
export const POEAH = word('POEAH', 0x048, 'operation error address');
export const POEAL = word('POEAL', 0x04c, 'bits 31:0');
export const AVS1 = layout(
  'AVS1',
  'PAMU A8',
  0x050,
  32,
  {
    LIODN: bits(31, 16, { access: 'ro', doc: 'who violated' }),
    PDV: bit(14, { access: 'w1c' }),
    GCV: bit(13, { access: 'w1c', doc: 'gate closed' }),
    LAV: bits(12, 10, { access: 'w1c', doc: 'LIODN violation code' }),
    WAV: bits(9, 7, { access: 'w1c', doc: 'window violation code' }),
    APV: bits(6, 3, { access: 'w1c', doc: 'access permission violation code' }),
    OTV: bits(2, 1, { access: 'w1c', doc: 'operation translation violation code' }),
    AV: bit(0, { access: 'w1c', doc: 'access violation' }),
  },
  BE,
);
/** Its layout is not public. Unverified: bit 0 tells an update (a write) from a query, for want of any other place. */
export const AVS2 = layout('AVS2', 'PAMU A2, unverified', 0x054, 32, { UPDATE: bit(0, { access: 'ro' }) }, BE);
export const AVAH = layout('AVAH', REF, 0x058, 32, { ADDRESS: bits(31, 0, { access: 'ro' }) }, BE);
export const AVAL = layout('AVAL', REF, 0x05c, 32, { ADDRESS: bits(31, 0, { access: 'ro' }) }, BE);

export const PR1 = layout('PR1', REF, 0xbf8, 32, { VERSION: bits(15, 0, { access: 'ro' }) }, BE);
export const PC2 = layout('PC2', 'PAMU A3', 0xc04, 32, { MLIODN: bits(31, 16, { access: 'ro' }) }, BE);
export const PC3 = layout('PC3', 'PAMU A3', 0xc08, 32, { MWCE: bits(24, 21, { access: 'ro' }) }, BE);
export const PC = layout(
  'PC',
  'PAMU A3',
  0xc10,
  32,
  {
    PGC: bit(31, { doc: 'gate closed: blocks everything' }),
    PE: bit(30, { doc: 'PAMU enable' }),
    OCE: bit(12, { doc: 'OMT cache enable' }),
    SPCC: bit(4, { doc: 'secondary PAACE cache enable' }),
    PPCC: bit(0, { doc: 'primary PAACE cache enable' }),
  },
  BE,
);
export const PICS = layout(
  'PICS',
  'PAMU A3',
  0xc1c,
  32,
  {
    AVICS: bit(3, { access: 'w1c', doc: 'access violation pending' }),
    AVIE: bit(2, { doc: 'access violation interrupt enable' }),
    POEICS: bit(1, { access: 'w1c', doc: 'operation error pending' }),
    POEIE: bit(0, { doc: 'operation error interrupt enable' }),
  },
  BE,
);

export const REGISTERS = [
  ...[PPBAH, PPBAL, PPLAH, PPLAL, SPBAH, SPBAL, SPLAH, SPLAL, OBAH, OBAL, OLAH, OLAL],
  ...[POES1, POEAH, POEAL, AVS1, AVS2, AVAH, AVAL, PR1, PC2, PC3, PC, PICS],
] as const;

/** In the global utilities: bit 31 - n set lets traffic bypass PAMU n (A3). Reset: all bypassed on a normal boot. */
export const PAMUBYPENR = layout(
  'PAMUBYPENR',
  'guts, A3',
  0x604,
  32,
  { BYPASS: bits(31, 0, { reset: 0xffff_ffff }) },
  BE,
);
export const GUTS_SIZE = 0x1000;
export const bypassMask = (pamu: number): number => 0x8000_0000 >>> pamu;

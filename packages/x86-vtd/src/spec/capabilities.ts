import { bit, bits, layout, wide } from '@doorbell/bits';

const ro = { access: 'ro' } as const;

/** VT-d §11.4.2. */
export const CAP = layout('CAP', 'VT-d §11.4.2', 0x08, 64, {
  ESRTPS: bit(63, ro),
  ESIRTPS: bit(62, ro),
  ECMDS: bit(61, ro),
  FS5LP: bit(60, ro),
  PI: bit(59, ro),
  FS1GP: bit(56, ro),
  DRD: bit(55, ro),
  DWD: bit(54, ro),
  MAMV: bits(53, 48, ro),
  NFR: bits(47, 40, { ...ro, doc: 'fault recording registers − 1' }),
  PSI: bit(39, ro),
  SSLPS_1G: bit(35, ro),
  SSLPS_2M: bit(34, ro),
  FRO: wide(33, 24, { ...ro, doc: 'in units of 16 bytes' }),
  ZLR: bit(22, ro),
  MGAW: bits(21, 16, { ...ro, doc: 'width − 1' }),
  SAGAW: bits(12, 8, { ...ro, doc: 'bit 1: 39, bit 2: 48, bit 3: 57 bits' }),
  CM: bit(7, ro),
  PHMR: bit(6, ro),
  PLMR: bit(5, ro),
  RWBF: bit(4, ro),
  AFL: bit(3, ro),
  ND: bits(2, 0, { ...ro, doc: '2^(4+2·ND) domains' }),
});

/** VT-d §11.4.3. */
export const ECAP = layout('ECAP', 'VT-d §11.4.3', 0x10, 64, {
  SMTS: bit(43, ro),
  PASID: bit(40, ro),
  PSS: bits(39, 35, ro),
  PRS: bit(29, ro),
  NEST: bit(26, ro),
  MTS: bit(25, ro),
  MHMV: bits(23, 20, ro),
  IRO: bits(17, 8, { ...ro, doc: 'in units of 16 bytes' }),
  SC: bit(7, ro),
  PT: bit(6, ro),
  EIM: bit(4, ro),
  IR: bit(3, ro),
  DT: bit(2, ro),
  QI: bit(1, ro),
  C: bit(0, ro),
});

/** Byte offset of FRCD0 from CAP's two words. */
export const froOf = (capHi: number, capLo: number): number => (((capHi & 3) << 8) | (capLo >>> 24)) * 16;
/** Byte offset of IVA from ECAP's low word. */
export const iroOf = (ecapLo: number): number => ((ecapLo >>> 8) & 0x3ff) * 16;

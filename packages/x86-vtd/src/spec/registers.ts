import { bit, bits, layout, wide, type AnyField } from '@doorbell/bits';

const r32 = <F extends Record<string, AnyField>>(name: string, at: number, table: F) =>
  layout(name, 'VT-d ch. 11', at, 32, table);
const r64 = <F extends Record<string, AnyField>>(name: string, at: number, table: F) =>
  layout(name, 'VT-d ch. 11', at, 64, table);
const ro = { access: 'ro' } as const;
const wo = { access: 'wo' } as const;
const w1c = { access: 'w1c' } as const;

export const VER = r32('VER', 0x00, { MAX: bits(7, 4, ro), MIN: bits(3, 0, ro) });

/** Global command. One control changes per write; TE, EAFL, QIE, IRE and CFI are written back as they are. */
export const GCMD = r32('GCMD', 0x18, {
  TE: bit(31, wo),
  SRTP: bit(30, wo),
  SFL: bit(29, wo),
  EAFL: bit(28, wo),
  WBF: bit(27, wo),
  QIE: bit(26, wo),
  IRE: bit(25, wo),
  SIRTP: bit(24, wo),
  CFI: bit(23, wo),
});
export const GSTS = r32('GSTS', 0x1c, {
  TES: bit(31, ro),
  RTPS: bit(30, ro),
  FLS: bit(29, ro),
  AFLS: bit(28, ro),
  WBFS: bit(27, ro),
  QIES: bit(26, ro),
  IRES: bit(25, ro),
  IRTPS: bit(24, ro),
  CFIS: bit(23, ro),
});
/** GSTS bits that software writes back into GCMD: everything but the one-shot commands. */
export const GCMD_LEVELS = 0x9680_0000;

export const RTADDR = r64('RTADDR', 0x20, {
  RTA: wide(63, 12),
  TTM: bits(11, 10, { is: { 0: 'legacy', 1: 'scalable', 3: 'abort-DMA' } }),
});
/** Context command: the write that sets ICC starts it. SID and FM read back 0. */
export const CCMD = r64('CCMD', 0x28, {
  ICC: bit(63),
  CIRG: bits(62, 61, { is: { 1: 'global', 2: 'domain', 3: 'device' } }),
  CAIG: bits(60, 59, ro),
  FM: bits(33, 32, wo),
  SID: bits(31, 16, wo),
  DID: bits(15, 0),
});

export const FSTS = r32('FSTS', 0x34, {
  FRI: bits(15, 8, ro),
  ITE: bit(6, w1c),
  ICE: bit(5, w1c),
  IQE: bit(4, w1c),
  APF: bit(3, w1c),
  AFO: bit(2, w1c),
  PPF: bit(1, ro),
  PFO: bit(0, w1c),
});
const control = (name: string, at: number) => r32(name, at, { IM: bit(31, { reset: 1 }), IP: bit(30, ro) });
const data = (name: string, at: number) => r32(name, at, { DATA: bits(15, 0) });
const address = (name: string, at: number) => r32(name, at, { ADDRESS: bits(31, 2) });
const upper = (name: string, at: number, writable = true) => r32(name, at, { UPPER: bits(31, 0, writable ? {} : ro) });
export const FECTL = control('FECTL', 0x38);
export const FEDATA = data('FEDATA', 0x3c);
export const FEADDR = address('FEADDR', 0x40);
export const FEUADDR = upper('FEUADDR', 0x44);
export const PMEN = r32('PMEN', 0x64, { EPM: bit(31), PRS: bit(0, ro) });
/** Protected ranges: granularity is the implementation's; here 2 MiB. */
export const PLMBASE = r32('PLMBASE', 0x68, { BASE: bits(31, 21) });
export const PLMLIMIT = r32('PLMLIMIT', 0x6c, { LIMIT: bits(31, 21) });
export const PHMBASE = r64('PHMBASE', 0x70, { BASE: wide(63, 21) });
export const PHMLIMIT = r64('PHMLIMIT', 0x78, { LIMIT: wide(63, 21) });

export const IQH = r64('IQH', 0x80, { QH: bits(18, 4, ro) });
export const IQT = r64('IQT', 0x88, { QT: bits(18, 4) });
export const IQA = r64('IQA', 0x90, { IQA: wide(63, 12), DW: bit(11), QS: bits(2, 0) });
export const ICS = r32('ICS', 0x9c, { IWC: bit(0, w1c) });
export const IECTL = control('IECTL', 0xa0);
export const IEDATA = data('IEDATA', 0xa4);
export const IEADDR = address('IEADDR', 0xa8);
export const IEUADDR = upper('IEUADDR', 0xac);
export const IQERCD = r64('IQERCD', 0xb0, { ICESID: bits(63, 48, ro), ITESID: bits(47, 32, ro), IQEI: bits(3, 0, ro) });
export const IRTA = r64('IRTA', 0xb8, { IRTA: wide(63, 12), EIME: bit(11), S: bits(3, 0) });

/** At the offset that ECAP.IRO gives. Write-only. */
export const iva = (iro: number) => r64('IVA', iro, { ADDR: wide(63, 12, wo), IH: bit(6, wo), AM: bits(5, 0, wo) });
/** At ECAP.IRO + 8: the write that sets IVT starts it. */
export const IOTLB_AT_0 = {
  IVT: bit(63),
  IIRG: bits(61, 60, { is: { 1: 'global', 2: 'domain', 3: 'page' } }),
  IAIG: bits(58, 57, ro),
  DR: bit(49),
  DW: bit(48),
  DID: bits(47, 32),
};
export const iotlb = (iro: number) => r64('IOTLB', iro + 8, IOTLB_AT_0);

/** Fault recording register n, at the offset that CAP.FRO gives. */
export const FRCD_FIELDS = {
  F: bit(127, w1c),
  T1: bit(126, { ...ro, is: { 0: 'write', 1: 'read' } }),
  AT: bits(125, 124, ro),
  PV: bits(123, 104, ro),
  FR: bits(103, 96, ro),
  PP: bit(95, ro),
  EXE: bit(94, ro),
  PRIV: bit(93, ro),
  T2: bit(92, ro),
  SID: bits(79, 64, ro),
  FI: wide(63, 12, ro),
};
export const FRCD = layout('FRCD', 'VT-d §11.4.14', 0, 128, FRCD_FIELDS);
export const frcd = (fro: number, n: number) => layout(`FRCD${n}`, 'VT-d §11.4.14', fro + 16 * n, 128, FRCD_FIELDS);

/** Every register that has a fixed offset, but for those below: CAP and ECAP say whether they are there. */
export const FIXED_REGISTERS = [
  VER,
  GCMD,
  GSTS,
  RTADDR,
  CCMD,
  FSTS,
  FECTL,
  FEDATA,
  FEADDR,
  IQH,
  IQT,
  IQA,
  ICS,
  IECTL,
  IEDATA,
  IEADDR,
  IQERCD,
  IRTA,
];
export const PROTECTED_MEMORY_REGISTERS = [PMEN, PLMBASE, PLMLIMIT, PHMBASE, PHMLIMIT];
/** §11.4.9.7, §11.4.11.4: reserved without ECAP.EIM. */
export const upperAddressRegisters = (extendedInterruptMode: boolean) =>
  extendedInterruptMode ? [FEUADDR, IEUADDR] : [upper('FEUADDR', 0x44, false), upper('IEUADDR', 0xac, false)];

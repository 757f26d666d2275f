import { bit, bits, layout, long, wide } from '@doorbell/bits';

/** Stream table and context descriptors (IHI 0070 H.a §5). Bits count from bit 0 of the structure: DWn bit b is 64n + b. */

/** Level-1 stream table descriptor: 8 bytes. */
export const L1STD = layout('L1STD', 'IHI0070 §5.1', 0, 64, { SPAN: bits(4, 0), L2PTR: wide(51, 6) });

/** STE.Config (§5.2). 0xx aborts silently. */
export const CONFIG = { ABORT: 0, BYPASS: 4, S1: 5, S2: 6, NESTED: 7 } as const;
/** STE.S1DSS: a transaction without SSID while S1CDMax > 0. */
export const S1DSS = { TERMINATE: 0, BYPASS: 1, SSID0: 2 } as const;

export const STE_SIZE = 64;
export const STE = layout('STE', 'IHI0070 §5.2', 0, 512, {
  V: bit(0),
  Config: bits(3, 1, { is: { 0: 'ABORT', 4: 'BYPASS', 5: 'S1', 6: 'S2', 7: 'NESTED' } }),
  S1Fmt: bits(5, 4),
  S1ContextPtr: wide(55, 6),
  S1CDMax: bits(63, 59),
  S1DSS: bits(64 + 1, 64),
  S1CIR: bits(64 + 3, 64 + 2),
  S1COR: bits(64 + 5, 64 + 4),
  S1CSH: bits(64 + 7, 64 + 6),
  S2HWU: bits(64 + 11, 64 + 8),
  DRE: bit(64 + 12),
  CONT: bits(64 + 16, 64 + 13),
  DCP: bit(64 + 17),
  PPAR: bit(64 + 18),
  MEV: bit(64 + 19),
  SW: bits(64 + 23, 64 + 20),
  S1PIE: bit(64 + 24),
  S2FWB: bit(64 + 25),
  S1MPAM: bit(64 + 26),
  S1STALLD: bit(64 + 27),
  EATS: bits(64 + 29, 64 + 28),
  STRW: bits(64 + 31, 64 + 30, { is: { 0: 'NS-EL1', 2: 'NS-EL2' } }),
  MemAttr: bits(64 + 35, 64 + 32),
  MTCFG: bit(64 + 36),
  ALLOCCFG: bits(64 + 40, 64 + 37),
  SHCFG: bits(64 + 45, 64 + 44),
  NSCFG: bits(64 + 47, 64 + 46),
  PRIVCFG: bits(64 + 49, 64 + 48),
  INSTCFG: bits(64 + 51, 64 + 50),
  S2VMID: bits(128 + 15, 128),
  S2T0SZ: bits(128 + 37, 128 + 32),
  S2SL0: bits(128 + 39, 128 + 38),
  S2IR0: bits(128 + 41, 128 + 40),
  S2OR0: bits(128 + 43, 128 + 42),
  S2SH0: bits(128 + 45, 128 + 44),
  S2TG: bits(128 + 47, 128 + 46),
  S2PS: bits(128 + 50, 128 + 48),
  S2AA64: bit(128 + 51),
  S2ENDI: bit(128 + 52),
  S2AFFD: bit(128 + 53),
  S2PTW: bit(128 + 54),
  S2HD: bit(128 + 55),
  S2HA: bit(128 + 56),
  S2S: bit(128 + 57),
  S2R: bit(128 + 58),
  S2TTB: wide(192 + 51, 192 + 4),
});

/** Level-1 context descriptor: 8 bytes. */
export const L1CD = layout('L1CD', 'IHI0070 §5.3', 0, 64, { V: bit(0), L2PTR: wide(51, 12) });

/** CD.TG0 and STE.S2TG share one encoding, CD.TG1 has another: log2 of the granule, 0 where reserved. */
export const TG0_BITS: readonly number[] = [12, 16, 14, 0];
export const TG1_BITS: readonly number[] = [0, 14, 12, 16];

export const CD_SIZE = 64;
export const CD = layout('CD', 'IHI0070 §5.4', 0, 512, {
  T0SZ: bits(5, 0),
  TG0: bits(7, 6, { is: { 0: '4K', 1: '64K', 2: '16K' } }),
  IR0: bits(9, 8),
  OR0: bits(11, 10),
  SH0: bits(13, 12),
  EPD0: bit(14),
  ENDI: bit(15),
  T1SZ: bits(21, 16),
  TG1: bits(23, 22, { is: { 1: '16K', 2: '4K', 3: '64K' } }),
  IR1: bits(25, 24),
  OR1: bits(27, 26),
  SH1: bits(29, 28),
  EPD1: bit(30),
  V: bit(31),
  IPS: bits(34, 32),
  AFFD: bit(35),
  WXN: bit(36),
  UWXN: bit(37),
  TBI0: bit(38),
  TBI1: bit(39),
  PAN: bit(40),
  AA64: bit(41),
  HD: bit(42),
  HA: bit(43),
  S: bit(44),
  R: bit(45),
  A: bit(46),
  ASET: bit(47),
  ASID: bits(63, 48),
  NSCFG0: bit(64),
  HAD0: bit(64 + 1),
  E0PD0: bit(64 + 2),
  HAFT: bit(64 + 3),
  TTB0: wide(64 + 51, 64 + 4),
  NSCFG1: bit(128),
  HAD1: bit(128 + 1),
  E0PD1: bit(128 + 2),
  AIE: bit(128 + 3),
  TTB1: wide(128 + 51, 128 + 4),
  DS: bit(128 + 58),
  MAIR: long(192 + 63, 192),
  AMAIR: long(256 + 63, 256),
  PARTID: bits(320 + 47, 320 + 32),
  PMG: bits(320 + 55, 320 + 48),
});

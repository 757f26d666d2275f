import { bit, bits, layout, wide } from '@doorbell/bits';

/** Event records (IHI 0070 H.a §7.3): 32 bytes. */

export const EVENT_SIZE = 32;

export const EVENT_ID = {
  F_UUT: 0x01,
  C_BAD_STREAMID: 0x02,
  F_STE_FETCH: 0x03,
  C_BAD_STE: 0x04,
  F_BAD_ATS_TREQ: 0x05,
  F_STREAM_DISABLED: 0x06,
  F_TRANSL_FORBIDDEN: 0x07,
  C_BAD_SUBSTREAMID: 0x08,
  F_CD_FETCH: 0x09,
  C_BAD_CD: 0x0a,
  F_WALK_EABT: 0x0b,
  F_TRANSLATION: 0x10,
  F_ADDR_SIZE: 0x11,
  F_ACCESS: 0x12,
  F_PERMISSION: 0x13,
  F_TLB_CONFLICT: 0x20,
  F_CFG_CONFLICT: 0x21,
  E_PAGE_REQUEST: 0x24,
  F_VMS_FETCH: 0x25,
} as const;

export const EVENT_NAMES: readonly string[] = Object.entries(EVENT_ID).reduce<string[]>(
  (names, [name, id]) => ((names[id] = name), names),
  [],
);

/** EVENT.CLASS: what the faulting access was for. */
export const CLASS = { CD: 0, TT: 1, IN: 2 } as const;

export const EVENT = layout('EVENT', 'IHI0070 §7.3', 0, 256, {
  ID: bits(7, 0, { is: Object.fromEntries(Object.entries(EVENT_ID).map(([name, id]) => [id, name])) }),
  SSV: bit(11),
  SSID: bits(31, 12),
  SID: bits(63, 32),
  STAG: bits(79, 64),
  STALL: bit(95),
  PnU: bit(97),
  InD: bit(98),
  RnW: bit(99),
  NSIPA: bit(102),
  S2: bit(103),
  CLASS: bits(105, 104, { is: { 0: 'CD', 1: 'TT', 2: 'IN' } }),
  TTRnW: bit(108),
  ADDR_LO: bits(159, 128),
  ADDR_HI: bits(191, 160),
  FETCH: wide(192 + 51, 192 + 3),
});

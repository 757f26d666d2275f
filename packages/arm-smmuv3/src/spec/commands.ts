import { bit, bits, layout, wide } from '@doorbell/bits';

/** Commands (IHI 0070 H.a §4): 16 bytes, opcode in bits 7:0. */

export const COMMAND_SIZE = 16;

export const OP = {
  PREFETCH_CONFIG: 0x01,
  PREFETCH_ADDR: 0x02,
  CFGI_STE: 0x03,
  CFGI_STE_RANGE: 0x04,
  CFGI_CD: 0x05,
  CFGI_CD_ALL: 0x06,
  CFGI_VMS_PIDM: 0x07,
  TLBI_NH_ALL: 0x10,
  TLBI_NH_ASID: 0x11,
  TLBI_NH_VA: 0x12,
  TLBI_NH_VAA: 0x13,
  TLBI_EL3_ALL: 0x18,
  TLBI_EL3_VA: 0x1a,
  TLBI_EL2_ALL: 0x20,
  TLBI_EL2_ASID: 0x21,
  TLBI_EL2_VA: 0x22,
  TLBI_EL2_VAA: 0x23,
  TLBI_S12_VMALL: 0x28,
  TLBI_S2_IPA: 0x2a,
  TLBI_NSNH_ALL: 0x30,
  ATC_INV: 0x40,
  PRI_RESP: 0x41,
  RESUME: 0x44,
  STALL_TERM: 0x45,
  SYNC: 0x46,
} as const;

/** Opcode to name, for people. */
export const OP_NAMES: readonly (string | undefined)[] = Object.entries(OP).reduce<(string | undefined)[]>(
  (names, [name, op]) => ((names[op] = name), names),
  [],
);

const OPCODE = bits(7, 0);

export const CMD_CFGI = layout('CMD_CFGI', 'IHI0070 §4.3', 0, 128, {
  OPCODE,
  SSEC: bit(10),
  SSID: bits(31, 12),
  SID: bits(63, 32),
  LEAF: bit(64),
});
export const CMD_CFGI_STE_RANGE = layout('CMD_CFGI_STE_RANGE', 'IHI0070 §4.3.2', 0, 128, {
  OPCODE,
  SSEC: bit(10),
  SID: bits(63, 32),
  RANGE: bits(68, 64, { doc: 'aligned block of 2^(RANGE+1) StreamIDs; 31: all' }),
});

/** CMD_TLBI.TG: log2 of the granule; a third encoding beside CD.TG0 and CD.TG1. 0: no range, any granule. */
export const TLBI_TG_BITS: readonly number[] = [0, 12, 14, 16];
export const CMD_TLBI = layout('CMD_TLBI', 'IHI0070 §4.4', 0, 128, {
  OPCODE,
  NUM: bits(16, 12),
  SCALE: bits(24, 20),
  VMID: bits(47, 32),
  ASID: bits(63, 48),
  LEAF: bit(64),
  TTL128: bit(64 + 7),
  TTL: bits(64 + 9, 64 + 8),
  TG: bits(64 + 11, 64 + 10, { is: { 0: 'any', 1: '4K', 2: '16K', 3: '64K' } }),
  VA: wide(64 + 63, 64 + 12),
});

/** CMD_SYNC.CS: how completion is signalled. */
export const CS = { NONE: 0, IRQ: 1, SEV: 2 } as const;
export const CMD_SYNC = layout('CMD_SYNC', 'IHI0070 §4.7.3', 0, 128, {
  OPCODE,
  CS: bits(13, 12, { is: { 0: 'NONE', 1: 'IRQ', 2: 'SEV' } }),
  MSH: bits(23, 22),
  MSIATTR: bits(27, 24),
  MSIDATA: bits(63, 32),
  MSIADDR: wide(64 + 51, 64 + 2),
});

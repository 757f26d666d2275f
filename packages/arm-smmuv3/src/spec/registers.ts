import { bit, bits, layout, wide } from '@doorbell/bits';

/** SMMUv3 registers (IHI 0070 H.a §6.3). Offsets from the block's base; two 64 KiB pages. */

const ro = { access: 'ro' } as const;

export const SMMU_SIZE = 0x20000;

export const IDR0 = layout('IDR0', 'IHI0070 §6.3.1', 0x00, 32, {
  S2P: bit(0, ro),
  S1P: bit(1, ro),
  TTF: bits(3, 2, { ...ro, is: { 1: 'AArch32', 2: 'AArch64', 3: 'both' } }),
  COHACC: bit(4, ro),
  BTM: bit(5, ro),
  HTTU: bits(7, 6, ro),
  DORMHINT: bit(8, ro),
  HYP: bit(9, ro),
  ATS: bit(10, ro),
  NS1ATS: bit(11, ro),
  ASID16: bit(12, ro),
  MSI: bit(13, ro),
  SEV: bit(14, ro),
  ATOS: bit(15, ro),
  PRI: bit(16, ro),
  VMW: bit(17, ro),
  VMID16: bit(18, ro),
  CD2L: bit(19, ro),
  VATOS: bit(20, ro),
  TTENDIAN: bits(22, 21, { ...ro, is: { 0: 'mixed', 2: 'little', 3: 'big' } }),
  ATSRECERR: bit(23, ro),
  STALL_MODEL: bits(25, 24, { ...ro, is: { 0: 'both', 1: 'terminate', 2: 'stall' } }),
  TERM_MODEL: bit(26, ro),
  ST_LEVEL: bits(28, 27, { ...ro, is: { 0: 'linear', 1: 'two-level' } }),
  RME_IMPL: bit(30, ro),
});

export const IDR1 = layout('IDR1', 'IHI0070 §6.3.2', 0x04, 32, {
  SIDSIZE: bits(5, 0, ro),
  SSIDSIZE: bits(10, 6, ro),
  PRIQS: bits(15, 11, ro),
  EVENTQS: bits(20, 16, ro),
  CMDQS: bits(25, 21, ro),
  ATTR_PERMS_OVR: bit(26, ro),
  ATTR_TYPES_OVR: bit(27, ro),
  REL: bit(28, ro),
  QUEUES_PRESET: bit(29, ro),
  TABLES_PRESET: bit(30, ro),
  ECMDQ: bit(31, ro),
});

export const IDR2 = layout('IDR2', 'IHI0070 §6.3.3', 0x08, 32, { BA_VATOS: bits(9, 0, ro) });

export const IDR3 = layout('IDR3', 'IHI0070 §6.3.4', 0x0c, 32, {
  HAD: bit(2, ro),
  PBHA: bit(3, ro),
  XNX: bit(4, ro),
  PPS: bit(5, ro),
  MPAM: bit(7, ro),
  FWB: bit(8, ro),
  STT: bit(9, ro),
  RIL: bit(10, ro),
  BBML: bits(12, 11, ro),
  E0PD: bit(13, ro),
  PTWNNC: bit(14, ro),
  DPT: bit(15, ro),
});

export const IDR4 = layout('IDR4', 'IHI0070 §6.3.5', 0x10, 32, { IMPDEF: bits(31, 0, ro) });

/** Output address sizes by IDR5.OAS, CD.IPS and STE.S2PS. */
export const ADDRESS_BITS: readonly number[] = [32, 36, 40, 42, 44, 48, 52, 56];

export const IDR5 = layout('IDR5', 'IHI0070 §6.3.6', 0x14, 32, {
  OAS: bits(2, 0, { ...ro, is: { 0: '32', 1: '36', 2: '40', 3: '42', 4: '44', 5: '48', 6: '52', 7: '56' } }),
  GRAN4K: bit(4, ro),
  GRAN16K: bit(5, ro),
  GRAN64K: bit(6, ro),
  DS: bit(7, ro),
  D128: bit(8, ro),
  VAX: bits(11, 10, ro),
  STALL_MAX: bits(31, 16, ro),
});

export const IIDR = layout('IIDR', 'IHI0070 §6.3.7', 0x18, 32, { VALUE: bits(31, 0, ro) });
export const AIDR = layout('AIDR', 'IHI0070 §6.3.8', 0x1c, 32, { MINOR: bits(3, 0, ro), MAJOR: bits(7, 4, ro) });

const cr0 = {
  SMMUEN: bit(0),
  PRIQEN: bit(1),
  EVENTQEN: bit(2),
  CMDQEN: bit(3),
  ATSCHK: bit(4),
  VMW: bits(8, 6),
};
export const CR0 = layout('CR0', 'IHI0070 §6.3.9', 0x20, 32, cr0);
/** Mirrors CR0 when the change has taken effect; reserved bits are not mirrored. */
export const CR0ACK = layout('CR0ACK', 'IHI0070 §6.3.10', 0x24, 32, { ACK: bits(8, 0, ro) });

export const CR1 = layout('CR1', 'IHI0070 §6.3.11', 0x28, 32, {
  QUEUE_IC: bits(1, 0),
  QUEUE_OC: bits(3, 2),
  QUEUE_SH: bits(5, 4),
  TABLE_IC: bits(7, 6),
  TABLE_OC: bits(9, 8),
  TABLE_SH: bits(11, 10),
});
export const CR2 = layout('CR2', 'IHI0070 §6.3.12', 0x2c, 32, { E2H: bit(0), RECINVSID: bit(1), PTM: bit(2) });
export const STATUSR = layout('STATUSR', 'IHI0070 §6.3.13', 0x40, 32, { DORMANT: bit(0, ro) });

/** What becomes of traffic while SMMUEN = 0. */
export const GBPA = layout('GBPA', 'IHI0070 §6.3.14', 0x44, 32, {
  MEMATTR: bits(3, 0),
  MTCFG: bit(4),
  ALLOCCFG: bits(11, 8),
  SHCFG: bits(13, 12, { reset: 1 }),
  PRIVCFG: bits(17, 16),
  INSTCFG: bits(19, 18),
  ABORT: bit(20),
  UPDATE: bit(31),
});
export const AGBPA = layout('AGBPA', 'IHI0070 §6.3.15', 0x48, 32, { IMPDEF: bits(31, 0, ro) });

const irq = { GERROR: bit(0), PRIQ: bit(1), EVENTQ: bit(2) };
export const IRQ_CTRL = layout('IRQ_CTRL', 'IHI0070 §6.3.16', 0x50, 32, irq);
export const IRQ_CTRLACK = layout('IRQ_CTRLACK', 'IHI0070 §6.3.17', 0x54, 32, { ACK: bits(2, 0, ro) });

const errors = <A extends object>(access: A) => ({
  CMDQ_ERR: bit(0, access),
  EVENTQ_ABT_ERR: bit(2, access),
  PRIQ_ABT_ERR: bit(3, access),
  MSI_CMDQ_ABT_ERR: bit(4, access),
  MSI_EVENTQ_ABT_ERR: bit(5, access),
  MSI_PRIQ_ABT_ERR: bit(6, access),
  MSI_GERROR_ABT_ERR: bit(7, access),
  SFM_ERR: bit(8, access),
  CMDQP_ERR: bit(9, access),
  DPT_ERR: bit(10, access),
});
/** Error n is active while GERROR[n] ≠ GERRORN[n]. */
export const GERROR = layout('GERROR', 'IHI0070 §6.3.18', 0x60, 32, errors(ro));
export const GERRORN = layout('GERRORN', 'IHI0070 §6.3.19', 0x64, 32, errors({}));

const msiAddress = { ADDR: wide(51, 2) };
const msiData = { DATA: bits(31, 0) };
const msiAttributes = { MEMATTR: bits(3, 0), SH: bits(5, 4) };
export const GERROR_IRQ_CFG0 = layout('GERROR_IRQ_CFG0', 'IHI0070 §6.3.20', 0x68, 64, msiAddress);
export const GERROR_IRQ_CFG1 = layout('GERROR_IRQ_CFG1', 'IHI0070 §6.3.21', 0x70, 32, msiData);
export const GERROR_IRQ_CFG2 = layout('GERROR_IRQ_CFG2', 'IHI0070 §6.3.22', 0x74, 32, msiAttributes);

export const STRTAB_BASE = layout('STRTAB_BASE', 'IHI0070 §6.3.23', 0x80, 64, { ADDR: wide(51, 6), RA: bit(62) });
export const STRTAB_BASE_CFG = layout('STRTAB_BASE_CFG', 'IHI0070 §6.3.24', 0x88, 32, {
  LOG2SIZE: bits(5, 0),
  SPLIT: bits(10, 6),
  FMT: bits(17, 16, { is: { 0: 'linear', 1: 'two-level' } }),
});

const queueBase = { LOG2SIZE: bits(4, 0), ADDR: wide(51, 5), RA: bit(62) };
export const CMDQ_BASE = layout('CMDQ_BASE', 'IHI0070 §6.3.26', 0x90, 64, queueBase);
export const CMDQ_PROD = layout('CMDQ_PROD', 'IHI0070 §6.3.27', 0x98, 32, { WR: bits(19, 0) });
export const CMDQ_CONS = layout('CMDQ_CONS', 'IHI0070 §6.3.28', 0x9c, 32, {
  RD: bits(19, 0),
  ERR: bits(30, 24, { is: { 0: 'CERROR_NONE', 1: 'CERROR_ILL', 2: 'CERROR_ABT', 3: 'CERROR_ATC_INV_SYNC' } }),
});
export const EVENTQ_BASE = layout('EVENTQ_BASE', 'IHI0070 §6.3.29', 0xa0, 64, queueBase);
/** Page 1. */
export const EVENTQ_PROD = layout('EVENTQ_PROD', 'IHI0070 §6.3.30', 0x100a8, 32, { WR: bits(19, 0), OVFLG: bit(31) });
export const EVENTQ_CONS = layout('EVENTQ_CONS', 'IHI0070 §6.3.31', 0x100ac, 32, {
  RD: bits(19, 0),
  OVACKFLG: bit(31),
});
export const EVENTQ_IRQ_CFG0 = layout('EVENTQ_IRQ_CFG0', 'IHI0070 §6.3.32', 0xb0, 64, msiAddress);
export const EVENTQ_IRQ_CFG1 = layout('EVENTQ_IRQ_CFG1', 'IHI0070 §6.3.33', 0xb8, 32, msiData);
export const EVENTQ_IRQ_CFG2 = layout('EVENTQ_IRQ_CFG2', 'IHI0070 §6.3.34', 0xbc, 32, msiAttributes);

/** [offset, value] of PIDR4–7, PIDR0–3 and CIDR0–3: Arm's, as QEMU 7.2 shows them. */
export const IDENTIFICATION: readonly (readonly [number, number])[] = [
  0x04, 0, 0, 0, 0x84, 0xb4, 0xf0, 0x10, 0x0d, 0xf0, 0x05, 0xb1,
].map((value, i) => [0xfd0 + 4 * i, value] as const);

/** CMDQ_CONS.ERR (§7.1). */
export const CERROR = { NONE: 0, ILL: 1, ABT: 2, ATC_INV_SYNC: 3 } as const;

export const REGISTERS = [
  IDR0,
  IDR1,
  IDR2,
  IDR3,
  IDR4,
  IDR5,
  IIDR,
  AIDR,
  CR0,
  CR0ACK,
  CR1,
  CR2,
  STATUSR,
  GBPA,
  AGBPA,
  IRQ_CTRL,
  IRQ_CTRLACK,
  GERROR,
  GERRORN,
  GERROR_IRQ_CFG0,
  GERROR_IRQ_CFG1,
  GERROR_IRQ_CFG2,
  STRTAB_BASE,
  STRTAB_BASE_CFG,
  CMDQ_BASE,
  CMDQ_PROD,
  CMDQ_CONS,
  EVENTQ_BASE,
  EVENTQ_PROD,
  EVENTQ_CONS,
  EVENTQ_IRQ_CFG0,
  EVENTQ_IRQ_CFG1,
  EVENTQ_IRQ_CFG2,
] as const;

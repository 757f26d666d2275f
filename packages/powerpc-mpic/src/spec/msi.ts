import { bit, bits, get, layout, set } from '@doorbell/bits';

const BE = { endian: 'big' } as const;
const REF = 'MPIC B2';

/** Pending bits of one shared MSI register. **Reading clears all of them** and lowers the source. */
export const MSIR = layout('MSIR', REF, 0x00, 32, { SH: bits(31, 0, { access: 'ro' }) }, BE);
export const MSISR = layout(
  'MSISR',
  REF,
  0x120,
  32,
  { S: bits(15, 0, { access: 'ro', doc: 'bit n: MSIRn is not zero' }) },
  BE,
);
/** The doorbell: which MSIR, and which of its bits. */
export const MSIIR = layout(
  'MSIIR',
  REF,
  0x140,
  32,
  {
    SRS: bits(31, 29, { access: 'wo', doc: 'MSIR select' }),
    IBS: bits(28, 24, { access: 'wo', doc: 'bit select' }),
  },
  BE,
);
/** The doorbell of version 4.3, for sixteen MSIRs. Positions derived from the byte lanes, no manual text was available (B2). */
export const MSIIR1 = layout(
  'MSIIR1',
  REF,
  0x148,
  32,
  {
    IBS_LOW: bits(31, 28, { access: 'wo', doc: 'bit select 3:0' }),
    SRS: bits(27, 24, { access: 'wo', doc: 'MSIR select' }),
    IBS_HIGH: bit(16, { access: 'wo', doc: 'bit select 4' }),
  },
  BE,
);

/** The first MSI bank's offset, their stride, and the pages that alias only a doorbell register (B1). */
export const BANK_BASE = 0x1600;
export const BANK_STRIDE = 0x200;
export const ALIAS_BASE = 0x4000;
export const ALIAS_STRIDE = 0x1000;
/** MSIRs lie 0x10 apart in a bank. */
export const MSIR_STRIDE = 0x10;

/** From this version on a bank has sixteen MSIRs, there is a fourth bank, and MSIIR1. */
export const MSIIR1_VERSION = 0x0403;
export const banksOf = (version: number): number => (version >= MSIIR1_VERSION ? 4 : 3);
export const msirsOf = (version: number): number => (version >= MSIIR1_VERSION ? 16 : 8);
/** Aliases came after MPC8572 (version 2.0): its trees have none (B5). */
export const aliasesOf = (version: number): number => (version >= 0x0300 ? banksOf(version) : 0);

/** The MPIC source of an MSIR: 0xE0 + 8·bank + n; the upper eight MSIRs of 4.3 from 0x100 (B2). */
export const msiSource = (bank: number, msir: number): number =>
  msir < 8 ? 0xe0 + 8 * bank + msir : 0x100 + 8 * bank + (msir - 8);

/** An MSI as the bank numbers it. */
export interface MsiNumber {
  readonly msir: number;
  readonly bit: number;
}

/** hwirq ↔ MSIR and bit. MSIIR walks the bits first, MSIIR1 the MSIRs (B2). */
export const msiNumber = (hwirq: number, version: number): MsiNumber =>
  version >= MSIIR1_VERSION ? { msir: hwirq & 15, bit: hwirq >>> 4 } : { msir: hwirq >>> 5, bit: hwirq & 31 };
export const hwirqOf = (n: MsiNumber, version: number): number =>
  version >= MSIIR1_VERSION ? n.msir | (n.bit << 4) : (n.msir << 5) | n.bit;
export const msiCount = (version: number): number => 32 * msirsOf(version);

/** What software writes to MSIIR, as a register value. */
export const msiirWord = ({ msir, bit }: MsiNumber): number => set(set(0, MSIIR.SRS, msir), MSIIR.IBS, bit);
export const msiir1Word = ({ msir, bit }: MsiNumber): number =>
  set(set(set(0, MSIIR1.SRS, msir), MSIIR1.IBS_LOW, bit), MSIIR1.IBS_HIGH, bit >>> 4);
export const fromMsiir1 = (word: number): MsiNumber => ({
  msir: get(word, MSIIR1.SRS),
  bit: get(word, MSIIR1.IBS_LOW) | (get(word, MSIIR1.IBS_HIGH) << 4),
});

/** The message data of an MSI: PCI is little-endian, MSIIR big-endian, so data byte 0 lands in register bits 31:24 (B2). */
export const msiData = (hwirq: number): number => hwirq;

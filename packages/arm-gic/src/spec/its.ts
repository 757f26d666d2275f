import { bit, bits, layout, wide } from '@doorbell/bits';

/** GICv3 ITS (IHI 0069 ch. 12; positions as Linux, QEMU and the Odyssey register files agree on them). */

const ro = { access: 'ro' } as const;

export const ITS_SIZE = 0x20000;
/** Offset of the doorbell from the ITS's base: the second 64 KiB frame, +0x40. */
export const GITS_TRANSLATER_AT = 0x10040;

export const GITS_CTLR = layout('GITS_CTLR', 'IHI0069 §12.19.4', 0x0000, 32, {
  Enabled: bit(0),
  ImDe: bit(1, ro),
  ITS_Number: bits(7, 4, ro),
  Quiescent: bit(31, { access: 'ro', reset: 1 }),
});
export const GITS_IIDR = layout('GITS_IIDR', 'IHI0069 §12.19.7', 0x0004, 32, {
  Implementer: bits(11, 0, ro),
  Revision: bits(15, 12, ro),
  Variant: bits(19, 16, ro),
  ProductID: bits(31, 24, ro),
});
export const GITS_TYPER = layout('GITS_TYPER', 'IHI0069 §12.19.10', 0x0008, 64, {
  Physical: bit(0, ro),
  Virtual: bit(1, ro),
  CCT: bit(2, ro),
  ITT_entry_size: bits(7, 4, ro),
  ID_bits: bits(12, 8, ro),
  Devbits: bits(17, 13, ro),
  SEIS: bit(18, ro),
  PTA: bit(19, ro),
  HCC: bits(31, 24, ro),
  CIDbits: bits(35, 32, ro),
  CIL: bit(36, ro),
});
export const GITS_CBASER = layout('GITS_CBASER', 'IHI0069 §12.19.2', 0x0080, 64, {
  Size: bits(7, 0),
  Shareability: bits(11, 10),
  PA: wide(51, 12),
  OuterCache: bits(55, 53),
  InnerCache: bits(61, 59),
  Valid: bit(63),
});
export const GITS_CWRITER = layout('GITS_CWRITER', 'IHI0069 §12.19.5', 0x0088, 64, {
  Retry: bit(0),
  Offset: bits(19, 5),
});
export const GITS_CREADR = layout('GITS_CREADR', 'IHI0069 §12.19.3', 0x0090, 64, {
  Stalled: bit(0, ro),
  Offset: bits(19, 5, ro),
});

export const BASER_TYPE = { NONE: 0, DEVICES: 1, VPES: 2, COLLECTIONS: 4 } as const;
/** GITS_BASERn.Page_Size to bytes. */
export const BASER_PAGE: readonly number[] = [0x1000, 0x4000, 0x10000, 0x10000];
export const baser = (n: number) =>
  layout(`GITS_BASER${n}`, 'IHI0069 §12.19.1', 0x0100 + 8 * n, 64, {
    Size: bits(7, 0),
    Page_Size: bits(9, 8),
    Shareability: bits(11, 10),
    PA: wide(47, 12),
    Entry_Size: bits(52, 48, ro),
    OuterCache: bits(55, 53),
    Type: bits(58, 56, { ...ro, is: { 1: 'Devices', 2: 'vPEs', 4: 'Collections' } }),
    InnerCache: bits(61, 59),
    Indirect: bit(62),
    Valid: bit(63),
  });
export const GITS_BASER = Array.from({ length: 8 }, (_, n) => baser(n));
export const GITS_PIDR2 = layout('GITS_PIDR2', 'IHI0069 §12.19.8', 0xffe8, 32, {
  DES: bits(3, 0, ro),
  ArchRev: bits(7, 4, ro),
});
export const GITS_TRANSLATER = layout('GITS_TRANSLATER', 'IHI0069 §12.19.9', GITS_TRANSLATER_AT, 32, {
  EventID: bits(31, 0, { access: 'wo' }),
});
export const ITS_REGISTERS = [
  GITS_CTLR,
  GITS_IIDR,
  GITS_TYPER,
  GITS_CBASER,
  GITS_CWRITER,
  GITS_CREADR,
  ...GITS_BASER,
  GITS_PIDR2,
  GITS_TRANSLATER,
];

/** Commands: 32 bytes, opcode in DW0[7:0] (IHI 0069 §5.3). */
export const ITS_COMMAND_SIZE = 32;
export const ITS_OP = {
  MOVI: 0x01,
  INT: 0x03,
  CLEAR: 0x04,
  SYNC: 0x05,
  MAPD: 0x08,
  MAPC: 0x09,
  MAPTI: 0x0a,
  MAPI: 0x0b,
  INV: 0x0c,
  INVALL: 0x0d,
  MOVALL: 0x0e,
  DISCARD: 0x0f,
} as const;
export const ITS_OP_NAMES: readonly (string | undefined)[] = Object.entries(ITS_OP).reduce<(string | undefined)[]>(
  (names, [name, op]) => ((names[op] = name), names),
  [],
);
/** The fields that commands share; each command uses some. */
export const ITS_COMMAND = layout('ITS_COMMAND', 'IHI0069 §5.3', 0, 256, {
  OPCODE: bits(7, 0),
  DeviceID: bits(63, 32),
  EventID: bits(95, 64, { doc: 'MAPD: Size in 4:0' }),
  pINTID: bits(127, 96),
  ICID: bits(128 + 15, 128),
  RDbase: wide(128 + 51, 128 + 16),
  V: bit(191),
  RDbase2: wide(192 + 51, 192 + 16),
});
/** MAPD reads DW1[4:0] and DW2[51:8] differently. */
export const MAPD = layout('MAPD', 'IHI0069 §5.3.11', 0, 256, {
  OPCODE: bits(7, 0),
  DeviceID: bits(63, 32),
  Size: bits(68, 64),
  ITT: wide(128 + 51, 128 + 8),
  V: bit(191),
});

/** Level-1 entry of an indirect table: the one architected private-table format. */
export const L1E = layout('ITS level-1 entry', 'IHI0069 §5.2', 0, 64, { PA: wide(51, 12), Valid: bit(63) });

/**
 * The other private formats are the implementation's own. These are QEMU 7.2's, so that tables of a machine running there can be read.
 */
export const DTE = layout('DTE', 'QEMU 7.2 private', 0, 64, { V: bit(0), Size: bits(5, 1), ITT: wide(49, 6) });
export const CTE = layout('CTE', 'QEMU 7.2 private', 0, 64, { V: bit(0), RDbase: bits(16, 1) });
export const ITE_SIZE = 12;
export const ITE = layout('ITE', 'QEMU 7.2 private', 0, 96, {
  V: bit(0),
  Physical: bit(1),
  INTID: bits(25, 2),
  ICID: bits(47, 32),
  vPEID: bits(63, 48),
  Doorbell: bits(87, 64),
});

/** First LPI. */
export const FIRST_LPI = 8192;
/** One byte per LPI. */
export const LPI_ENABLE = 1;
export const LPI_PRIORITY = 0xfc;

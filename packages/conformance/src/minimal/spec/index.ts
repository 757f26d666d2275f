import { bit, bits, layout } from '@doorbell/bits';

/** Registers of the smallest IOMMU that is one: a stream table, a three-level page table, one command, one fault record. */
export const STREAMS = layout('STREAMS', 'minimal', 0x00, 32, { PAGE: bits(31, 0) });
export const COMMAND = layout('COMMAND', 'minimal', 0x04, 32, { ROOT: bits(31, 0) });
export const STATUS = layout('STATUS', 'minimal', 0x08, 32, {
  BUSY: bit(0, { access: 'ro' }),
  REFUSED: bit(1, { access: 'w1c' }),
  FAULT: bit(2, { access: 'w1c' }),
});
export const FAULT = layout('FAULT', 'minimal', 0x0c, 128, {
  STREAM: bits(15, 0, { access: 'ro' }),
  CODE: bits(19, 16, { access: 'ro', is: { 1: 'BLOCKED', 2: 'NOT_MAPPED', 3: 'NO_PERMISSION' } }),
  WRITE: bit(31, { access: 'ro' }),
  LO: bits(63, 32, { access: 'ro' }),
  HI: bits(95, 64, { access: 'ro' }),
});
export const REGISTERS = [STREAMS, COMMAND, STATUS, FAULT];
export const FAULTS = ['', 'BLOCKED', 'NOT_MAPPED', 'NO_PERMISSION'];

/** Stream table entry and page table entry: low word flags, address of a 4 KiB page in bits 51:12. */
export const BYPASS = 2;
export const READABLE = 1;
export const WRITABLE = 2;
/** The entry points to a table (in a stream: to the root). */
export const TABLE = 4;

/** The smallest interrupt controller with a doorbell: one page per CPU; a number written to its register becomes pending there. */
export const NUMBERS = 4096;
export const DOORBELL = 0x40;

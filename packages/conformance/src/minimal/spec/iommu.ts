import { bit, bits, layout } from '@doorbell/bits';

/** Registers of the smallest IOMMU that is one: a stream table, a three-level page table, one command, one fault record. */
export const STREAMS = layout('STREAMS', 'minimal', 0x00, 32, { PAGE: bits(31, 0) });
/** Forget what the tables under this root page gave; BUSY until it is done, REFUSED if it is not. */
export const COMMAND = layout('COMMAND', 'minimal', 0x04, 32, { ROOT: bits(31, 0) });
export const STATUS = layout('STATUS', 'minimal', 0x08, 32, {
  BUSY: bit(0, { access: 'ro' }),
  REFUSED: bit(1, { access: 'w1c' }),
  FAULT: bit(2, { access: 'w1c' }),
});
/** Holds the first fault until STATUS.FAULT is cleared. */
export const FAULT = layout('FAULT', 'minimal', 0x0c, 96, {
  STREAM: bits(15, 0, { access: 'ro' }),
  CODE: bits(19, 16, { access: 'ro', is: { 1: 'BLOCKED', 2: 'NOT_MAPPED', 3: 'NO_PERMISSION' } }),
  WRITE: bit(31, { access: 'ro' }),
  LO: bits(63, 32, { access: 'ro' }),
  HI: bits(95, 64, { access: 'ro' }),
});
export const FAULTS = ['', 'BLOCKED', 'NOT_MAPPED', 'NO_PERMISSION'];

/** Entries of the stream table and of page tables are quadwords: the address of a 4 KiB page in bits 51:12, flags below. */
export const READABLE = 1;
export const WRITABLE = 2;
/** In a stream's entry: everything passes as it is. */
export const BYPASS = 2;
/** The entry points to a table; in a stream's entry, to the root. */
export const TABLE = 4;

import { bit, bits, layout } from '@doorbell/bits';

/** The smallest interrupt controller with a doorbell: a page per CPU, where a number is written to interrupt it, and a page of control registers. */
export const DOORBELL = layout('DOORBELL', 'minimal', 0x40, 32, { NUMBER: bits(31, 0, { access: 'wo' }) });
export const NUMBERS = 4096;

/** Lets a number through to the CPUs, or holds it back. BUSY until it is done, REFUSED if it is not. */
export const COMMAND = layout('COMMAND', 'minimal', 0x00, 32, {
  NUMBER: bits(15, 0),
  /** What waits is forgotten. */
  CLEAR: bit(30),
  ENABLE: bit(31),
});
export const STATUS = layout('STATUS', 'minimal', 0x04, 32, {
  BUSY: bit(0, { access: 'ro' }),
  REFUSED: bit(1, { access: 'w1c' }),
});

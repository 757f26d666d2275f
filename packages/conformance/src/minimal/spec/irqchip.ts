/** The smallest interrupt controller with a doorbell: one page per CPU; a number written to its register becomes pending there. */
export const NUMBERS = 4096;
export const DOORBELL = 0x40;

/** Where wired interrupts of other blocks end, on the hardware side: the token's name. */
export const MPIC_LINES = 'hardware:mpic-lines';

/** The interrupt inputs of an MPIC. */
export interface MpicLines {
  line(source: number, up: boolean): void;
}

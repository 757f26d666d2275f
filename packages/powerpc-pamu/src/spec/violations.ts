import { set } from '@doorbell/bits';
import { AVS1 } from './registers.js';

const code = (word: number): number => (word | AVS1.AV.mask) >>> 0;

/**
 * Why a request is refused, as AVS1 has it (without the LIODN). Only LAV = 1 is known (A8); the other numbers are unverified and ours: they
 * tell causes of one kind apart.
 */
export const VIOLATION = {
  liodnOutside: { name: 'LAV', word: code(set(0, AVS1.LAV, 1)), why: 'the LIODN is past the end of the PPAACT' },
  liodnInvalid: { name: 'LAV', word: code(set(0, AVS1.LAV, 2)), why: 'its primary PAACE is not valid' },
  gateClosed: { name: 'GCV', word: code(set(0, AVS1.GCV, 1)), why: 'the gate is closed' },
  window: { name: 'WAV', word: code(set(0, AVS1.WAV, 1)), why: 'outside the window' },
  subWindowInvalid: { name: 'WAV', word: code(set(0, AVS1.WAV, 2)), why: 'the sub-window is not valid' },
  subWindowTail: { name: 'WAV', word: code(set(0, AVS1.WAV, 3)), why: 'past the mapped size of the sub-window' },
  subWindowForeign: { name: 'WAV', word: code(set(0, AVS1.WAV, 4)), why: 'the sub-window belongs to another LIODN' },
  subWindowOutside: {
    name: 'WAV',
    word: code(set(0, AVS1.WAV, 5)),
    why: 'the secondary PAACE is past the end of the SPAACT',
  },
  pageMode: { name: 'WAV', word: code(set(0, AVS1.WAV, 6)), why: 'translation by pages is not modelled' },
  access: { name: 'APV', word: code(set(0, AVS1.APV, 1)), why: 'AP does not permit it' },
  operation: { name: 'OTV', word: code(set(0, AVS1.OTV, 1)), why: 'no valid operation is mapped' },
} as const;
export type Violation = (typeof VIOLATION)[keyof typeof VIOLATION];

/** The violation that an AVS1 word names; `AV` where it is none that we know. */
export function violationOf(avs1: number): Violation | null {
  const low = avs1 & 0x7fff;
  return Object.values(VIOLATION).find((v) => v.word === low) ?? null;
}

import { showRange, type Range } from './address.js';
import { DoorbellError } from './errors.js';

/** `REGION_OVERLAP`: two ranges of the address map meet; both are named. */
export const regionOverlap = (a: string, ra: Range, b: string, rb: Range): DoorbellError =>
  new DoorbellError('REGION_OVERLAP', `${a} (${showRange(ra)}) overlaps ${b} (${showRange(rb)})`, 'move one of them', {
    a,
    b,
    ranges: [ra, rb],
  });

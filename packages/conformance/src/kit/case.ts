import type { Lab, Supports } from './subject.js';

/** One thing that every back-end shows. Throws where it does not. */
export interface Case {
  readonly name: string;
  /** True where `supports` leaves it out. */
  readonly unless?: (supports: Supports) => boolean;
  readonly run: (lab: Lab) => void;
}

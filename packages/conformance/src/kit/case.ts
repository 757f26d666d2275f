import type { Lab, Supports } from './subject.js';

/** One thing that everything of a kind shows to a kit: `L` is where it is tried, `S` what may be left out. Throws where it does not. */
export interface KitCase<L, S> {
  readonly name: string;
  /** True where `supports` leaves it out. */
  readonly unless?: (supports: S) => boolean;
  readonly run: (lab: L) => void;
}

/** One thing that every back-end shows. */
export type Case = KitCase<Lab, Supports>;

/** One case, ready to run: throws where the subject does not conform. */
export interface ConformanceCase {
  readonly name: string;
  readonly run: () => void;
}

/** The same cases, left out as a whole where `supports` says so. */
export const where = <L, S>(has: (supports: S) => boolean, cases: readonly KitCase<L, S>[]): readonly KitCase<L, S>[] =>
  cases.map((c) => ({ ...c, unless: (s) => !has(s) || (c.unless?.(s) ?? false) }));

/** Those that `supports` does not leave out, each in a lab of its own. */
export const ready = <L, S>(cases: readonly KitCase<L, S>[], supports: S, lab: () => L): readonly ConformanceCase[] =>
  cases.filter((c) => !c.unless?.(supports)).map((c) => ({ name: c.name, run: () => c.run(lab()) }));

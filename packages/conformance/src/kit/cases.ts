import { immediate, type CompletionPolicy } from '@doorbell/platform';
import { atomicityCases } from './atomicity.js';
import { attachmentCases } from './attachment.js';
import type { Case } from './case.js';
import { hostileCases } from './hostile.js';
import { mappingCases } from './mapping.js';
import { moveCases } from './moves.js';
import { msiCases } from './msi.js';
import { oracleCases } from './oracle.js';
import { Lab, type SubjectFactory, type Supports } from './subject.js';
import { windowCases } from './window.js';

/** One case, ready to run: throws where the back-end does not conform. */
export interface ConformanceCase {
  readonly name: string;
  readonly run: () => void;
}

const ALL: readonly Case[] = [
  ...mappingCases,
  ...attachmentCases,
  ...msiCases,
  ...windowCases.map((c) => ({ ...c, unless: (s: Supports) => !s.softwareWindow || (c.unless?.(s) ?? false) })),
  ...moveCases,
  ...atomicityCases,
  ...hostileCases,
  ...oracleCases,
];

/**
 * What every IOMMU back-end with its interrupt controller must show, on fresh platforms from `factory` whose hardware completes by `completion`.
 * `supports` leaves out what the back-end does not have; print `excluded(supports)` beside the results.
 */
export function conformanceCases(
  factory: SubjectFactory,
  supports: Supports,
  completion: CompletionPolicy = immediate(),
): readonly ConformanceCase[] {
  const lab = (): Lab => new Lab(factory({ completion }), supports, lab);
  return ALL.filter((c) => !c.unless?.(supports)).map((c) => ({ name: c.name, run: () => c.run(lab()) }));
}

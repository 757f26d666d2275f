import { immediate, type CompletionPolicy } from '@doorbell/platform';
import { atomicityCases } from './atomicity.js';
import { attachmentCases } from './attachment.js';
import { ready, where, type Case, type ConformanceCase } from './case.js';
import { hostileCases } from './hostile.js';
import { mappingCases } from './mapping.js';
import { moveCases } from './moves.js';
import { msiCases } from './msi.js';
import { oracleCases } from './oracle.js';
import { stateCases } from './state.js';
import { Lab, type SubjectFactory, type Supports } from './subject.js';
import { windowCases } from './window.js';

const ALL: readonly Case[] = [
  ...mappingCases,
  ...attachmentCases,
  ...msiCases,
  ...where((s) => s.softwareWindow, windowCases),
  ...moveCases,
  ...atomicityCases,
  ...stateCases,
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
  return ready(ALL, supports, lab);
}

import { immediate, type CompletionPolicy } from '@doorbell/platform';
import { ready, where, type ConformanceCase } from '../case.js';
import { affinityCases } from './affinity.js';
import { blockCases } from './blocks.js';
import { deliveryCases } from './delivery.js';
import { hostileCases } from './hostile.js';
import { maskCases } from './masks.js';
import { oracleCases } from './oracle.js';
import { refusalCases } from './refusals.js';
import { stateCases } from './state.js';
import { IrqchipLab, type IrqchipCase, type IrqchipFactory, type IrqchipSupports } from './subject.js';

const ALL: readonly IrqchipCase[] = [
  ...deliveryCases,
  ...blockCases,
  ...where((s) => s.affinity, affinityCases),
  ...where((s) => s.masks, maskCases),
  ...where((s) => s.refusals, refusalCases),
  ...stateCases,
  ...hostileCases,
  ...oracleCases,
];

/**
 * What every interrupt controller must show without an IOMMU, on fresh platforms from `factory` whose hardware completes by `completion`.
 * `supports` leaves out what the controller does not have; print `excluded(supports)` beside the results.
 */
export function irqchipConformanceCases(
  factory: IrqchipFactory,
  supports: IrqchipSupports,
  completion: CompletionPolicy = immediate(),
): readonly ConformanceCase[] {
  const lab = (): IrqchipLab => new IrqchipLab(factory({ completion }), supports, lab);
  return ready(ALL, supports, lab);
}

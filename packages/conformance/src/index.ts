export type { ConformanceCase } from './kit/case.js';
export { conformanceCases } from './kit/cases.js';
export { ConformanceFailure } from './kit/assert.js';
export { irqchipConformanceCases } from './kit/irqchip/cases.js';
export type { IrqchipFactory, IrqchipSubject, IrqchipSupports } from './kit/irqchip/subject.js';
export { KitFunction } from './kit/kit-function.js';
export { kitFunctions, pciConformanceCases, type PciFactory } from './kit/pci.js';
export { caughtBy, firstFailure, getter, method, type Mutant } from './kit/mutant.js';
export { Random } from './kit/random.js';
export { excluded, type Subject, type SubjectFactory, type Supports } from './kit/subject.js';
export * from './minimal/plugin.js';
export {
  minimalIrqchipSubject,
  minimalIrqchipSupports,
  minimalPciPlatform,
  minimalSubject,
  minimalSupports,
  plainDevice,
} from './minimal/subject.js';

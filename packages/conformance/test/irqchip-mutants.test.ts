import { describe, expect, it } from 'vitest';
import {
  caughtBy,
  firstFailure,
  irqchipConformanceCases,
  minimalIrqchipSubject,
  minimalIrqchipSupports,
} from '../src/index.js';
import { irqchipMutants } from './irqchip-mutants.js';

const cases = irqchipConformanceCases(minimalIrqchipSubject, minimalIrqchipSupports);

describe('the irqchip kit catches mistakes that are planted in the minimal controller or in the core', () => {
  it('and nothing where there is none', () => expect(firstFailure(cases)).toBeNull());
  const caught: string[] = [];
  for (const mutant of irqchipMutants) {
    it(mutant.name, () => {
      const by = caughtBy(mutant, cases);
      expect(by, `no case notices "${mutant.name}"`).not.toBeNull();
      caught.push(`${mutant.name} ← ${by}`);
    });
  }
  it('says so', () => {
    console.log(`${caught.length} of ${irqchipMutants.length} irqchip mutants caught\n  ${caught.join('\n  ')}`);
    expect(caught).toHaveLength(irqchipMutants.length);
  });
});

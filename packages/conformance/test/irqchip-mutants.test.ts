import { describe, expect, it } from 'vitest';
import { irqchipConformanceCases, minimalIrqchipSubject, minimalIrqchipSupports, type Mutant } from '../src/index.js';
import { irqchipMutants } from './irqchip-mutants.js';

/** The first case of the kit that a mutant breaks, or null. */
function catcher({ plant }: Mutant): string | null {
  const takeOut = plant();
  try {
    for (const { name, run } of irqchipConformanceCases(minimalIrqchipSubject, minimalIrqchipSupports)) {
      try {
        run();
      } catch {
        return name;
      }
    }
    return null;
  } finally {
    takeOut();
  }
}

describe('the irqchip kit catches mistakes that are planted in the minimal controller or in the core', () => {
  it('and nothing where there is none', () =>
    expect(catcher({ name: 'none', plant: () => () => undefined })).toBeNull());
  const caught: string[] = [];
  for (const mutant of irqchipMutants) {
    it(mutant.name, () => {
      const by = catcher(mutant);
      expect(by, `no case notices "${mutant.name}"`).not.toBeNull();
      caught.push(`${mutant.name} ← ${by}`);
    });
  }
  it('says so', () => {
    console.log(`${caught.length} of ${irqchipMutants.length} irqchip mutants caught\n  ${caught.join('\n  ')}`);
    expect(caught).toHaveLength(irqchipMutants.length);
  });
});

import { describe, expect, it } from 'vitest';
import { immediate } from '@doorbell/platform';
import {
  conformanceCases,
  minimalPciPlatform,
  minimalSubject,
  minimalSupports,
  pciConformanceCases,
  type Mutant,
} from '../src/index.js';
import { coreMutants } from './mutants.js';

/** The first case of the kit that a mutant breaks, or null. */
function catcher({ plant }: Mutant): string | null {
  const takeOut = plant();
  try {
    const cases = [
      ...conformanceCases(minimalSubject, minimalSupports),
      ...pciConformanceCases(minimalPciPlatform, immediate()),
    ];
    for (const { name, run } of cases) {
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

describe('the kit catches mistakes that are planted in a back-end or in the core', () => {
  const caught: string[] = [];
  for (const mutant of coreMutants) {
    it(mutant.name, () => {
      const by = catcher(mutant);
      expect(by, `no case notices "${mutant.name}"`).not.toBeNull();
      caught.push(`${mutant.name} ← ${by}`);
    });
  }
  it('says so', () => {
    console.log(`${caught.length} of ${coreMutants.length} mutants caught\n  ${caught.join('\n  ')}`);
    expect(caught).toHaveLength(coreMutants.length);
  });
});

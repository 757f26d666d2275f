import { describe, expect, it } from 'vitest';
import { immediate } from '@doorbell/platform';
import {
  caughtBy,
  conformanceCases,
  minimalPciPlatform,
  minimalSubject,
  minimalSupports,
  pciConformanceCases,
} from '../src/index.js';
import { coreMutants } from './mutants.js';

const cases = [
  ...conformanceCases(minimalSubject, minimalSupports),
  ...pciConformanceCases(minimalPciPlatform, immediate()),
];

describe('the kit catches mistakes that are planted in a back-end or in the core', () => {
  const caught: string[] = [];
  for (const mutant of coreMutants) {
    it(mutant.name, () => {
      const by = caughtBy(mutant, cases);
      expect(by, `no case notices "${mutant.name}"`).not.toBeNull();
      caught.push(`${mutant.name} ← ${by}`);
    });
  }
  it('says so', () => {
    console.log(`${caught.length} of ${coreMutants.length} mutants caught\n  ${caught.join('\n  ')}`);
    expect(caught).toHaveLength(coreMutants.length);
  });
});

import { after, immediate, seeded } from '@doorbell/platform';
import { describe, it } from 'vitest';
import {
  conformanceCases,
  excluded,
  minimalPciPlatform,
  minimalSubject,
  minimalSupports,
  pciConformanceCases,
} from '../src/index.js';

const long = process.env['DOORBELL_LONG'] === '1';
const policies = [immediate(), after(3), ...(long ? Array.from({ length: 20 }, (_, i) => seeded(i + 1)) : [seeded(1)])];

console.log(`minimal back-end: left out of the kit: ${excluded(minimalSupports).join(', ') || 'nothing'}`);
describe.each(policies)('the minimal back-end, $name', (policy) => {
  for (const { name, run } of conformanceCases(minimalSubject, minimalSupports, policy)) it(name, run);
  for (const { name, run } of pciConformanceCases(minimalPciPlatform, policy)) it(name, run);
});

import { conformanceCases, excluded } from '@doorbell/conformance';
import { after, immediate, seeded } from '@doorbell/platform';
import { describe, it } from 'vitest';
import { COARSE, LOW, subject, supports } from './subject.js';

const long = process.env['DOORBELL_LONG'] === '1';
const policies = [immediate(), after(3), ...(long ? Array.from({ length: 20 }, (_, i) => seeded(i + 1)) : [seeded(1)])];

console.log(`PAMU + MPIC: left out of the kit: ${excluded(supports).join(', ')}`);
describe.each([
  ['256 sub-windows of 1 MiB', subject(LOW)],
  ['256 sub-windows of 1 MiB, caches that nobody keeps coherent', subject(LOW, { coherent: false })],
  ['16 sub-windows of 16 MiB', subject(COARSE)],
])('PAMU and MPIC, %s', (_name, factory) => {
  describe.each(policies)('$name', (policy) => {
    for (const { name, run } of conformanceCases(factory, supports, policy)) it(name, run);
  });
});

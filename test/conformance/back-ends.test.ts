import { conformanceCases, excluded } from '@doorbell/conformance';
import { after, immediate, seeded } from '@doorbell/platform';
import { describe, it } from 'vitest';
import { arm, x86 } from './subjects.js';

const long = process.env['DOORBELL_LONG'] === '1';
const policies = [
  immediate(),
  ...(long ? [after(3), ...Array.from({ length: 20 }, (_, i) => seeded(i + 1))] : [seeded(1)]),
];

for (const { name, supports, factory } of [x86(), arm()]) {
  console.log(`${name}: left out of the kit: ${excluded(supports).join(', ') || 'nothing'}`);
  describe.each(policies)(`${name}, $name`, (policy) => {
    for (const c of conformanceCases(factory, supports, policy)) it(c.name, c.run);
  });
}

import { after, immediate, seeded } from '@doorbell/platform';
import { describe, it } from 'vitest';
import { excluded, irqchipConformanceCases, minimalIrqchipSubject, minimalIrqchipSupports } from '../src/index.js';

const long = process.env['DOORBELL_LONG'] === '1';
const policies = [immediate(), after(3), ...(long ? Array.from({ length: 20 }, (_, i) => seeded(i + 1)) : [seeded(1)])];

console.log(`minimal irqchip: left out of the kit: ${excluded(minimalIrqchipSupports).join(', ') || 'nothing'}`);
describe.each(policies)('the minimal irqchip, $name', (policy) => {
  for (const { name, run } of irqchipConformanceCases(minimalIrqchipSubject, minimalIrqchipSupports, policy))
    it(name, run);
});

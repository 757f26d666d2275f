import { q35, q35Memory, qoriq, qoriqMemory, virt, virtMemory } from '@doorbell/boards';
import { conformanceCases, excluded, kitFunctions, pciConformanceCases, type PciFactory } from '@doorbell/conformance';
import { after, immediate, Platform, seeded } from '@doorbell/platform';
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

const boards: readonly [string, PciFactory][] = [
  [
    'q35',
    (completion) => new Platform({ memory: q35Memory(), completion }).use(q35({ functions: kitFunctions() })).compose(),
  ],
  [
    'virt',
    (completion) =>
      new Platform({ memory: virtMemory(), completion }).use(virt({ functions: kitFunctions() })).compose(),
  ],
  [
    'virt with a v2m frame',
    (completion) =>
      new Platform({ memory: virtMemory(), completion })
        .use(virt({ msi: 'gicv2m', functions: kitFunctions() }))
        .compose(),
  ],
  [
    'qoriq',
    (completion) =>
      new Platform({ memory: qoriqMemory(), completion })
        .use(qoriq({ functions: [kitFunctions()], liodns: 'function' }))
        .compose(),
  ],
];
for (const [name, factory] of boards) {
  describe.each(policies)(`PCI on ${name}, $name`, (policy) => {
    for (const c of pciConformanceCases(factory, policy)) it(c.name, c.run);
  });
}

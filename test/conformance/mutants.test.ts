import { Its } from '@doorbell/arm-gic';
import { SmmuDriver } from '@doorbell/arm-smmuv3';
import { caughtBy, conformanceCases, firstFailure, method, type Mutant } from '@doorbell/conformance';
import { VTD_MUTANTS } from '@doorbell/x86-vtd';
import { expect, it } from 'vitest';
import { arm, x86, type BackEnd } from './subjects.js';

const casesOf = ({ factory, supports }: BackEnd) => conformanceCases(factory, supports);

it.each(VTD_MUTANTS)('VT-d: the kit catches %s', (mutant) => {
  const by = firstFailure(casesOf(x86({ mutant })));
  console.log(`VT-d mutant ${mutant} ← ${by}`);
  expect(by).not.toBeNull();
});

type Call = (...args: unknown[]) => unknown;
const ARM_MUTANTS: readonly Mutant[] = [
  { name: 'no TLBI after unmap', plant: method(SmmuDriver, 'flush', () => undefined) },
  {
    name: 'TLBI of one page too few',
    plant: method(SmmuDriver, 'flush', (original: Call, table: unknown, iova: number, size: number) =>
      original(table, iova, size > 4096 ? size - 4096 : size),
    ),
  },
  {
    name: 'DeviceID ignored',
    plant: method(Its, 'message', (original: Call, _device: number, event: number) => original(0x08, event)),
  },
  {
    name: 'faults lose their stream',
    plant: method(SmmuDriver, 'drainFaults', (original: Call) =>
      (original() as { stream: number }[]).map((f) => ({ ...f, stream: 0 })),
    ),
  },
];

it.each(ARM_MUTANTS)('SMMUv3 + ITS: the kit catches $name', (mutant) => {
  const by = caughtBy(mutant, casesOf(arm()));
  console.log(`Arm mutant ${mutant.name} ← ${by}`);
  expect(by).not.toBeNull();
});

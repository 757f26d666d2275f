import { caughtBy, conformanceCases, type SubjectFactory } from '@doorbell/conformance';
import { Mpic, MsiBank } from '@doorbell/powerpc-mpic';
import { expect, it } from 'vitest';
import { Pamu, PamuTable, PamuUnit } from '../src/index.js';
import { PaaceWriter } from '../src/driver/paace-writer.js';
import { LOW, subject, supports } from './subject.js';

type Call = (...args: unknown[]) => unknown;
type Body = (original: Call, ...args: unknown[]) => unknown;

/** Replaces one method; the result takes it back. */
function method(cls: { prototype: unknown }, name: string, body: Body): () => () => void {
  return () => {
    const prototype = cls.prototype as Record<string, Call>;
    const original = prototype[name]!;
    prototype[name] = function (this: unknown, ...args: unknown[]) {
      return body(original.bind(this), ...args);
    };
    return () => void (prototype[name] = original);
  };
}

const coherent = subject(LOW);
const incoherent = subject(LOW, { coherent: false });

/** The classic mistakes (fact sheet B5) and some of ours. */
const MUTANTS: readonly { name: string; factory: SubjectFactory; plant: () => () => void }[] = [
  {
    name: 'FSPI off by one',
    factory: coherent,
    plant: method(PaaceWriter, 'primary', (original, at, geometry, fspi, piece) =>
      original(at, geometry, (fspi as number) + 1, piece),
    ),
  },
  {
    name: 'LIODN of a secondary entry forgotten',
    factory: coherent,
    plant: method(PaaceWriter, 'secondary', (original, at, _liodn, piece) => original(at, 0, piece)),
  },
  {
    name: 'permissions always all',
    factory: coherent,
    plant: method(PamuTable, 'map', (original, iova, physical, size) => original(iova, physical, size, 3)),
  },
  { name: 'bases not written again', factory: incoherent, plant: method(PamuUnit, 'forget', () => undefined) },
  {
    name: 'faults lose their LIODN',
    factory: coherent,
    plant: method(PamuUnit, 'drainFaults', (original) =>
      (original() as { stream: number }[]).map((f) => ({ ...f, stream: 0 })),
    ),
  },
  { name: 'faults are not taken', factory: coherent, plant: method(PamuUnit, 'drainFaults', () => []) },
  {
    name: 'a refused change stays',
    factory: coherent,
    plant: method(PaaceWriter, 'put', () => undefined),
  },
  { name: 'undo of an unmap forgotten', factory: coherent, plant: method(PamuTable, 'undoUnmap', () => undefined) },
  {
    name: 'mapped size of a sub-window ignored',
    factory: coherent,
    plant: method(Pamu, 'mapped', () => 2 ** 40),
  },
  {
    name: 'MSI data byte-swapped',
    factory: coherent,
    plant: method(MsiBank, 'compose', (original, ...args) => {
      const m = original(...args) as { data: number };
      return { ...m, data: (m.data & 0xff) << 24 };
    }),
  },
  {
    name: 'MSIR bit lost',
    factory: coherent,
    plant: method(Mpic, 'message', (original, bank, msir, _bit, doorbell) => original(bank, msir, 0, doorbell)),
  },
  { name: 'IDR ignored', factory: coherent, plant: method(Mpic, 'destinations', () => 1) },
];

it.each(MUTANTS)('the kit catches: $name', ({ name, factory, plant }) => {
  const by = caughtBy({ plant }, conformanceCases(factory, supports));
  console.log(`PAMU mutant ${name} ← ${by ?? 'nobody'}`);
  expect(by, `no case notices "${name}"`).not.toBeNull();
});

import { check, equal } from '../assert.js';
import type { IrqchipCase } from './subject.js';

/** Holding single vectors back at the controller. */
export const maskCases: readonly IrqchipCase[] = [
  {
    name: 'a masked vector waits and arrives once when it is unmasked; others go on',
    run: (lab) => {
      const fn = lab.enable(lab.a, 3);
      fn.block.mask(1);
      equal(lab.fire(fn, 1, 1, 0), lab.expected(fn, 0), 'while it is masked');
      fn.block.unmask(1);
      equal(lab.taken(), lab.expected(fn, 1), 'when it is unmasked');
      equal(lab.fire(fn, 1), lab.expected(fn, 1), 'fired again');
    },
  },
  {
    name: 'masking and unmasking raise nothing by themselves, and twice is once',
    run: (lab) => {
      const fn = lab.enable(lab.a, 2);
      fn.block.mask(0);
      fn.block.mask(0);
      fn.block.unmask(0);
      fn.block.unmask(0);
      equal(lab.taken(), '', 'arrived');
      equal(lab.fire(fn, 0), lab.expected(fn, 0), 'fired');
    },
  },
  {
    name: 'what waits behind a mask goes with the block: who has the number next starts clean',
    run: (lab) => {
      const cpus = [lab.here];
      const first = lab.enable(lab.a, 2, { cpus });
      first.block.mask(0);
      first.fire(0);
      lab.platform.settle();
      first.block.free();
      const next = lab.enable(lab.b, 2, { cpus });
      equal(lab.taken(), '', 'arrived');
      equal(lab.fire(next, 0, 1), lab.expected(next, 0, 1), 'fired: the mask went too');
    },
  },
  {
    name: 'a masked vector moves with what waits',
    unless: (s) => !s.affinity,
    run: (lab) => {
      const fn = lab.enable(lab.a, 2, { cpus: [lab.here] });
      fn.block.mask(1);
      fn.fire(1);
      fn.block.setAffinity(1, lab.there);
      equal(lab.taken(), '', 'while it is masked');
      fn.block.unmask(1);
      const seen = lab.take();
      check(seen.length === 1 && seen[0]!.block === fn.block && seen[0]!.index === 1, `${seen.length} arrived`);
      equal(lab.fire(fn, 1), lab.expected(fn, 1), 'fired again');
    },
  },
];

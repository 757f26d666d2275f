import { CPU_INTERFACE } from '@doorbell/irqchip';
import type { Platform } from '@doorbell/platform';
import { equal } from '../assert.js';
import { canonical } from '../fingerprint.js';
import type { IrqchipCase } from './subject.js';

/** The state of the hardware, as it can be saved and put back. */
export const stateCases: readonly IrqchipCase[] = [
  {
    name: 'what is pending is in a snapshot, and comes back with it',
    run: (lab) => {
      const fn = lab.enable(lab.a, 4);
      lab.fire(fn, 0, 1, 2, 3);
      for (const i of [0, 2]) fn.fire(i);
      if (lab.supports.masks) {
        fn.block.mask(3);
        fn.fire(3);
      }
      const list = (platform: Platform) =>
        JSON.stringify(lab.subject.cpus.map((cpu) => platform.get(CPU_INTERFACE).pending(cpu)));
      const state = lab.platform.snapshot();
      const [pending, models] = [list(lab.platform), canonical(state.models)];
      equal(canonical(structuredClone(state.models)), models, 'the state after a structured clone');
      const fork = lab.platform.fork();
      const arrived = lab.expected(fn, 0, 2);
      equal(lab.taken(), arrived, 'arrived');
      equal(list(fork), pending, 'pending in the fork, after it was taken here');
      lab.platform.restore(state);
      equal(list(lab.platform), pending, 'pending after the restore');
      equal(canonical(lab.platform.snapshot().models), models, 'the state after the restore');
      equal(lab.taken(), arrived, 'arrived after the restore');
      equal(lab.fire(fn, 0, 1), lab.expected(fn, 0, 1), 'and it goes on');
      if (!lab.supports.masks) return;
      fn.block.unmask(3);
      equal(lab.taken(), lab.expected(fn, 3), 'what waited behind a mask');
    },
  },
  {
    name: 'a snapshot that lies in the past takes away what has come since',
    run: (lab) => {
      const fn = lab.enable(lab.a, 2);
      const state = lab.platform.snapshot();
      fn.fire(0);
      lab.platform.restore(state);
      equal(lab.taken(), '', 'arrived');
      equal(lab.fire(fn, 0, 1), lab.expected(fn, 0, 1), 'fired');
    },
  },
];

import { HardwareError } from '@doorbell/platform';
import { check, equal } from '../assert.js';
import type { KitFunction } from '../kit-function.js';
import { send } from '../probe.js';
import type { IrqchipCase, IrqchipLab } from './subject.js';

interface Scene {
  /** What has to survive. */
  readonly live: readonly KitFunction[];
  readonly act: () => void;
  /** What else has to hold when it was refused. */
  readonly refused?: () => void;
  /** What has to hold when it got through. */
  readonly done: () => void;
}

/** What devices and allocators show: messages, where each vector arrives, digests. */
function observe(lab: IrqchipLab, live: readonly KitFunction[]): string {
  const seen = [lab.interrupts.digest()];
  for (const fn of live)
    for (let i = 0; i < fn.block.count; i++) seen.push(JSON.stringify(fn.block.message(i)), lab.fire(fn, i));
  return seen.join(' ');
}

/** Refuses command 0, 1, 2, … of an action, each on a fresh lab, until the action gets through. `least`: commands that it must take. */
function underRefusal(lab: IrqchipLab, least: number, set: (lab: IrqchipLab) => Scene): void {
  for (let k = 0; ; k++) {
    const here = lab.fresh();
    const { live, act, refused: when, done } = set(here);
    const before = observe(here, live);
    here.subject.refuse(k);
    let refused = false;
    try {
      act();
    } catch (error) {
      if (!(error instanceof HardwareError)) throw error;
      refused = true;
    }
    here.subject.refuse(-1);
    if (refused) {
      equal(observe(here, live), before, `after a refusal at command ${k}`);
      when?.();
      act(); // and the way is free again
    }
    done();
    equal(here.taken(), '', 'left pending');
    if (!refused) return check(k >= least, `${k} commands were refused`);
    check(k < 200, 'the action never gets through');
  }
}

/** A call that the hardware refuses in the middle leaves everything equal, and works when it is made again. */
export const refusalCases: readonly IrqchipCase[] = [
  {
    name: 'refusal at every command: allocate',
    run: (lab) =>
      underRefusal(lab, 1, (here) => {
        const bystander = here.enable(here.b, 2);
        // Allocators give the same again, so a twin tells what the refused vectors would have been.
        const twin = here.fresh();
        twin.enable(twin.b, 2);
        const { messages } = twin.enable(twin.a, 3);
        let fn: KitFunction | null = null;
        return {
          live: [bystander],
          act: () => (fn = here.enable(here.a, 3)),
          refused: () => {
            for (const message of messages) send(here, here.a, message);
            equal(here.taken(), '', 'arrived of vectors that were refused');
          },
          done: () => equal(here.fire(fn!, 0, 1, 2), here.expected(fn!, 0, 1, 2), 'enabled'),
        };
      }),
  },
  {
    name: 'refusal at every command: affinity',
    unless: (s) => !s.affinity,
    run: (lab) =>
      underRefusal(lab, 0, (here) => {
        const cpus = [here.here];
        const live = [here.enable(here.a, 2, { cpus }), here.enable(here.b, 2, { cpus })];
        return {
          live,
          act: () => void live[0]!.block.setAffinity(1, here.there),
          done: () => equal(here.fire(live[0]!, 1), `${here.a.name}[1]@${here.there}`, 'moved'),
        };
      }),
  },
  {
    name: 'refusal at every command: mask',
    unless: (s) => !s.masks,
    run: (lab) =>
      underRefusal(lab, 1, (here) => {
        const live = [here.enable(here.a, 2), here.enable(here.b, 1)];
        return {
          live,
          act: () => live[0]!.block.mask(1),
          done: () => equal(here.fire(live[0]!, 1), '', 'masked'),
        };
      }),
  },
  {
    name: 'refusal at every command: unmask',
    unless: (s) => !s.masks,
    run: (lab) =>
      underRefusal(lab, 1, (here) => {
        const live = [here.enable(here.a, 2), here.enable(here.b, 1)];
        live[0]!.block.mask(1);
        live[0]!.fire(1);
        return {
          live,
          act: () => live[0]!.block.unmask(1),
          done: () => equal(here.taken(), here.expected(live[0]!, 1), 'unmasked'),
        };
      }),
  },
  {
    name: 'refusal at every command: free (the device sends no more; others do not notice, and it can be freed again)',
    run: (lab) =>
      underRefusal(lab, 1, (here) => {
        const live = [here.enable(here.b, 2)];
        const empty = here.interrupts.digest();
        const fn = here.enable(here.a, 3);
        return {
          live,
          act: () => fn.block.free(),
          done: () => {
            equal(here.interrupts.digest(), empty, 'allocators');
            equal(here.interrupts.blocksOf(here.a).length, 0, 'blocks of the device');
            const next = here.enable(here.a, 3);
            equal(here.fire(next, 0, 1, 2), here.expected(next, 0, 1, 2), 'the next block');
          },
        };
      }),
  },
];

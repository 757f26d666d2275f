import { check, equal, throwsCode } from '../assert.js';
import { betweenSteps } from '../between.js';
import { fingerprint } from '../fingerprint.js';
import type { KitFunction } from '../kit-function.js';
import type { IrqchipCase, IrqchipLab } from './subject.js';

const STEPS = 200;

/** Moves a vector, and holds what the answer says against what became of the messages and of everybody's CPUs. */
function move(lab: IrqchipLab, fn: KitFunction, index: number, to: number, all: readonly KitFunction[] = [fn]): void {
  const before = all.map((f) => [...f.block.cpus]);
  const message = JSON.stringify(fn.block.message(index));
  const { messageChanged, alongWith } = fn.block.setAffinity(index, to);
  equal(messageChanged, JSON.stringify(fn.block.message(index)) !== message, 'messageChanged');
  equal(fn.block.cpus[index], to, 'CPU of the vector');
  let others = 0;
  for (const [n, f] of all.entries())
    f.block.cpus.forEach((cpu, i) => (others += cpu !== before[n]![i] && !(f === fn && i === index) ? 1 : 0));
  check(alongWith.length >= others, `${others} others changed their CPU, ${alongWith.length} are named`);
  if (lab.supports.movesAlone && !fn.block.request.contiguous) equal(alongWith.length, 0, 'vectors that moved along');
  for (const f of all)
    for (let i = 0; i < f.block.count; i++)
      equal(lab.fire(f, i), lab.expected(f, i), `vector ${i} of ${f.device.name}`);
}

/** Moving vectors between CPUs. */
export const affinityCases: readonly IrqchipCase[] = [
  {
    name: 'a vector moves to another CPU and arrives there; the answer says whether the message changed and who came along',
    run: (lab) => {
      const cpus = [lab.here];
      const all = [lab.enable(lab.a, 3, { cpus }), lab.enable(lab.b, 2, { cpus })];
      for (const [fn, index, to] of [
        [0, 1, lab.there],
        [0, 1, lab.there],
        [1, 0, lab.there],
        [0, 1, lab.here],
        [0, 2, lab.there],
      ] as const)
        move(lab, all[fn]!, index, to, all);
    },
  },
  {
    name: 'consecutive vectors stay consecutive when one moves',
    run: (lab) => {
      const fn = lab.enable(lab.a, 4, { cpus: [lab.here], contiguous: true });
      move(lab, fn, 1, lab.there);
      const first = fn.block.message(0);
      for (let i = 1; i < 4; i++)
        equal(JSON.stringify(fn.block.message(i)), JSON.stringify({ ...first, data: first.data + i }), `message ${i}`);
      move(lab, fn, 3, lab.here);
    },
  },
  {
    name: 'a CPU that is not there: NO_SUCH_CPU, and nothing changed',
    run: (lab) => {
      const fn = lab.enable(lab.a, 2);
      const before = fingerprint(lab);
      throwsCode('NO_SUCH_CPU', 'moving', () => fn.block.setAffinity(0, 999));
      equal(fingerprint(lab), before, 'state');
      equal(lab.fire(fn, 0), lab.expected(fn, 0), 'where it was');
    },
  },
  {
    name: 'moved as often as one likes, a vector takes no more than its own when it is freed',
    run: (lab) => {
      const start = lab.interrupts.digest();
      const fn = lab.enable(lab.a, 2, { cpus: [lab.here] });
      for (let n = 0; n < 500; n++) fn.block.setAffinity(n % 2, n % 3 ? lab.there : lab.here);
      equal(lab.fire(fn, 0, 1), lab.expected(fn, 0, 1), 'after 500 moves');
      fn.block.free();
      equal(lab.interrupts.digest(), start, 'allocators');
    },
  },
  ...[true, false].map((canMask): IrqchipCase => {
    const how = canMask ? 'that can be held back' : 'that cannot be held back';
    return {
      name: `an interrupt of a function ${how}, fired between any two steps of a move, is delivered or coalesced`,
      run: (lab) => {
        // Fires once, at step n, and asks at the end: for every n. Step 0 is before the move.
        for (let n = 0; n < STEPS; n++) {
          const here = lab.fresh();
          const fn = here.enable(here.a, 2, { cpus: [here.here], canMask });
          let step = 0;
          const fire = () => {
            if (step++ === n) fn.fire(0);
          };
          fire();
          betweenSteps(here.platform, fire, () => fn.block.setAffinity(0, here.there), fn);
          fire();
          if (step <= n) return;
          const seen = here.take();
          const mine = seen.length === 1 && seen[0]!.block === fn.block && seen[0]!.index === 0;
          check(mine, `fired at step ${n} of ${step}: ${seen.length ? 'arrived as another' : 'lost'}`);
          equal(here.fire(fn, 0, 1), here.expected(fn, 0, 1), 'afterwards');
        }
      },
    };
  }),
];

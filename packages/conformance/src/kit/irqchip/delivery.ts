import { check, equal, throwsCode } from '../assert.js';
import { fingerprint } from '../fingerprint.js';
import { send } from '../probe.js';
import type { IrqchipCase } from './subject.js';

/** What is allocated arrives; what is composed agrees with what was announced. */
export const deliveryCases: readonly IrqchipCase[] = [
  {
    name: 'every vector arrives at its own CPU, as itself, once',
    run: (lab) => {
      const fn = lab.enable(lab.a, 4);
      for (let i = 0; i < 4; i++) equal(lab.fire(fn, i), lab.expected(fn, i), `vector ${i}`);
      equal(lab.taken(), '', 'what is left pending');
      equal(lab.fire(fn, 3, 0, 2, 1), lab.expected(fn, 0, 1, 2, 3), 'all at once');
    },
  },
  {
    name: 'fired again before it is taken, an interrupt is one; fired again after, another',
    run: (lab) => {
      const fn = lab.enable(lab.a, 2);
      equal(lab.fire(fn, 1, 1, 1), lab.expected(fn, 1), 'fired three times');
      equal(lab.fire(fn, 1), lab.expected(fn, 1), 'fired after it was taken');
    },
  },
  {
    name: 'blocks of one device and of two do not meet',
    run: (lab) => {
      const cpus = [lab.here];
      const [one, two, three] = [lab.enable(lab.a, 2, { cpus }), lab.enable(lab.a, 3, { cpus }), lab.enable(lab.b, 2)];
      for (const fn of [one, two, three]) {
        for (let i = 0; i < fn.block.count; i++) {
          fn.fire(i);
          const [seen, ...more] = lab.take();
          check(seen?.block === fn.block && seen.index === i && more.length === 0, `vector ${i} came as another`);
        }
      }
      one.block.free();
      equal(lab.fire(two, 2), lab.expected(two, 2), 'after the other block of the device went');
    },
  },
  {
    name: 'messages go to doorbells that were announced for the CPU, and to no others',
    run: (lab) => {
      const { root } = lab.interrupts.domainFor(lab.a);
      const announced = (cpu: number) => root.doorbells(lab.a, [cpu]).map((d) => d.address);
      const all = root.doorbells(lab.a, lab.subject.cpus).map((d) => d.address);
      for (const cpu of lab.subject.cpus) {
        const fn = lab.enable(lab.a, 2, { cpus: [cpu] });
        const agree = (at: number, when: string) => {
          const { addressHi, addressLo } = fn.block.message(0);
          const address = addressHi * 2 ** 32 + addressLo;
          check(announced(at).includes(address), `${when}: 0x${address.toString(16)} is no doorbell of CPU ${at}`);
          check(all.includes(address), `${when}: 0x${address.toString(16)} is not among all doorbells`);
        };
        agree(cpu, 'allocated');
        if (lab.supports.affinity)
          for (const to of lab.subject.cpus) {
            fn.block.setAffinity(0, to);
            agree(to, `moved to CPU ${to}`);
          }
        fn.block.free();
      }
      for (const d of root.doorbells(lab.a, lab.subject.cpus)) check(d.name.length > 0, 'a doorbell without a name');
    },
  },
  {
    name: 'compose is pure: asked again it says the same, and nothing changes',
    run: (lab) => {
      const { block } = lab.enable(lab.a, 3);
      const messages = () => JSON.stringify([0, 1, 2].map((i) => block.message(i)));
      const before = fingerprint(lab);
      const first = messages();
      equal(messages(), first, 'the messages');
      equal(fingerprint(lab), before, 'state');
    },
  },
  {
    name: 'a message of one device, sent by another, arrives or not as senderCheck says',
    run: (lab) => {
      const cpus = [lab.here];
      const mine = lab.enable(lab.a, 2, { cpus });
      const other = lab.enable(lab.b, 1, { cpus });
      const { scope, witness } = lab.interrupts.senderCheck(lab.a);
      for (const [i, message] of mine.messages.entries()) {
        send(lab, lab.b, message);
        const forged = lab.taken().includes(lab.expected(mine, i));
        equal(forged, scope === 'page' || scope === 'none', `vector ${i} raised by the other device (${witness})`);
      }
      equal(lab.fire(mine, 1), lab.expected(mine, 1), 'from its own device');
      equal(lab.fire(other, 0), lab.expected(other, 0), 'the other device');
    },
  },
  {
    name: 'two controllers do not see each other’s devices',
    unless: (s) => !s.twoControllers,
    run: (lab) => {
      const cpus = [lab.here];
      const [first, second] = [lab.a, lab.c].map((d) => lab.interrupts.domainFor(d).root);
      check(first !== second, 'both devices have the same controller');
      const bells = (i: 0 | 2) => {
        const device = lab.subject.devices[i];
        return lab.interrupts.domainFor(device).root.doorbells(device, lab.subject.cpus);
      };
      for (const one of bells(0))
        for (const two of bells(2)) check(one.address !== two.address, `${one.name} is ${two.name}`);
      const a = lab.enable(lab.a, 2, { cpus });
      const c = lab.enable(lab.c, 2, { cpus });
      equal(lab.fire(a, 1), lab.expected(a, 1), 'of the first');
      equal(lab.fire(c, 1), lab.expected(c, 1), 'of the second');
      a.block.free();
      equal(lab.fire(c, 0), lab.expected(c, 0), 'of the second, after the first was freed');
      // The first runs out; the second does not notice.
      const error = throwsCode('IRQ_EXHAUSTED', 'a million', () => lab.enable(lab.a, 1_000_000, { cpus }));
      check(typeof error.details['available'] === 'number', 'no `available`');
      equal(lab.fire(c, 1), lab.expected(c, 1), 'of the second, after the first ran out');
    },
  },
];

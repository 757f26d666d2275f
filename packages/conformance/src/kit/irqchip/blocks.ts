import { check, equal, throwsCode } from '../assert.js';
import { fingerprint } from '../fingerprint.js';
import { send } from '../probe.js';
import type { IrqchipCase } from './subject.js';

/** More than any controller has. */
const MANY = 100_000;
/** Controllers up to this size are filled to the last vector. */
const FILLED = 10_000;

/** Allocation, alignment, running out, giving back. */
export const blockCases: readonly IrqchipCase[] = [
  {
    name: 'consecutive vectors share one address and have consecutive data, aligned, whatever was there before',
    run: (lab) => {
      for (const count of [1, 2, 3, 4, 8, 16, 32]) {
        const here = lab.fresh();
        const cpus = [here.here];
        here.enable(here.b, 1, { cpus });
        const fn = here.enable(here.a, count, { cpus, contiguous: true });
        const first = fn.block.message(0);
        equal(
          first.data % 2 ** Math.ceil(Math.log2(count)),
          0,
          `data of the first of ${count}, modulo its power of two`,
        );
        for (let i = 0; i < count; i++) {
          equal(
            JSON.stringify(fn.block.message(i)),
            JSON.stringify({ ...first, data: first.data + i }),
            `message ${i}`,
          );
          send(here, here.a, { ...first, data: first.data + i });
          equal(here.taken(), here.expected(fn, i), `data + ${i} of ${count}`);
        }
        fn.block.free();
        here.enable(here.a, count, { cpus, contiguous: true });
      }
    },
  },
  {
    name: 'what a function of three consecutive vectors may send besides belongs to nobody else',
    run: (lab) => {
      const cpus = [lab.here];
      const fn = lab.enable(lab.a, 3, { cpus, contiguous: true });
      for (let i = 0; i < 8; i++) lab.enable(lab.b, 1, { cpus });
      const first = fn.block.message(0);
      // The capability says 1, 2, 4, …: a function of three has the two low bits to itself (PCI 3.0 §6.8.1.3).
      send(lab, lab.a, { ...first, data: first.data + 3 });
      check(!lab.taken().includes(lab.b.name), 'data + 3 of one device is a vector of another');
    },
  },
  {
    name: 'running out changes nothing and says how many there are: so many there are',
    run: (lab) => {
      const cpus = [lab.here];
      const live = lab.enable(lab.b, 1, { cpus });
      const before = fingerprint(lab);
      const digest = lab.interrupts.digest();
      const error = throwsCode('IRQ_EXHAUSTED', 'more vectors than there are', () => lab.enable(lab.a, MANY, { cpus }));
      const available = error.details['available'] as number;
      check(Number.isInteger(available) && available > 0, `available is ${String(available)}`);
      throwsCode('IRQ_EXHAUSTED', 'more consecutive ones', () => lab.enable(lab.a, MANY, { cpus, contiguous: true }));
      throwsCode('IRQ_EXHAUSTED', 'on every CPU', () => lab.enable(lab.a, MANY));
      throwsCode('BAD_VECTOR', 'no vectors', () => lab.enable(lab.a, 0));
      throwsCode('NO_SUCH_CPU', 'a CPU that is not there', () => lab.enable(lab.a, 1, { cpus: [999] }));
      equal(fingerprint(lab), before, 'state after the refusals');
      equal(lab.fire(live, 0), lab.expected(live, 0), 'what was there before');
      if (available > FILLED) return;
      const all = lab.enable(lab.a, available, { cpus });
      const none = throwsCode('IRQ_EXHAUSTED', 'one more', () => lab.enable(lab.b, 1, { cpus }));
      equal(none.details['available'], 0, 'available when all are taken');
      equal(lab.fire(all, available - 1), lab.expected(all, available - 1), 'the last of all');
      equal(lab.fire(live, 0), lab.expected(live, 0), 'what was there before all were taken');
      all.block.free();
      equal(lab.interrupts.digest(), digest, 'allocators');
    },
  },
  {
    name: 'what is freed is free again, in any order, as often as one likes',
    run: (lab) => {
      const start = lab.interrupts.digest();
      for (let n = 0; n < 3; n++) {
        const blocks = [1, 4, 3, 2].map((count, i) =>
          lab.enable(i % 2 ? lab.a : lab.b, count, { contiguous: count === 4, cpus: [lab.here] }),
        );
        for (const i of [2, 0, 3]) blocks[i]!.block.free();
        equal(lab.fire(blocks[1]!, 3), lab.expected(blocks[1]!, 3), 'the one that stays');
        blocks[1]!.block.free();
        equal(lab.interrupts.digest(), start, 'allocators');
      }
    },
  },
  {
    name: 'a freed vector’s message reaches nobody; freeing twice is once',
    run: (lab) => {
      const cpus = [lab.here];
      const gone = lab.enable(lab.a, 2, { cpus });
      const stays = lab.enable(lab.b, 1, { cpus });
      gone.block.free();
      const digest = lab.interrupts.digest();
      gone.block.free();
      equal(lab.interrupts.digest(), digest, 'allocators after the second time');
      gone.fire(1);
      const seen = lab.take();
      equal(seen.filter((x) => x.block !== null).length, 0, 'arrived as somebody’s');
      // A controller that cannot turn single numbers off lets it arrive as nobody's.
      check(!lab.supports.masks || seen.length === 0, 'it arrived at a CPU');
      equal(lab.interrupts.blocksOf(lab.a).length, 0, 'blocks of the device');
      throwsCode('BAD_VECTOR', 'moving a freed vector', () => gone.block.setAffinity(0, lab.here));
      throwsCode('BAD_VECTOR', 'masking a freed vector', () => gone.block.mask(0));
      throwsCode('BAD_VECTOR', 'a vector that is not there', () => stays.block.mask(1));
      equal(lab.fire(stays, 0), lab.expected(stays, 0), 'the other device');
      stays.block.free();
      gone.fire(0);
      equal(lab.take().filter((x) => x.block !== null).length, 0, 'arrived as somebody’s');
      const next = lab.enable(lab.b, 2, { cpus });
      equal(lab.taken(), '', 'what strayed to numbers that were free, as theirs who have them now');
      equal(lab.fire(next, 0, 1), lab.expected(next, 0, 1), 'who has the numbers now');
    },
  },
];

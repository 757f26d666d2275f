import fc from 'fast-check';
import { expect, it } from 'vitest';
import { IovaTree } from '../src/iova-tree.js';
import { Flags } from './flags.js';

const step = fc.record({
  kind: fc.constantFrom('take', 'take', 'take', 'limited', 'give', 'give', 'set'),
  order: fc.oneof(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 0, max: 13 })),
  at: fc.nat(4000),
  count: fc.oneof(fc.nat(70), fc.nat(5000)),
});

it.each([
  ['1,000 granules: one level', 1, 999],
  ['3,000 granules from an odd one: two levels', 77, 3001],
  ['40,000 granules: three levels', 30_001, 40_000],
])('gives the highest place that fits, as a search through flags does: %s', (_, first, last) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const tree = new IovaTree(first, last);
      const flags = new Flags(first, last);
      const show = () =>
        tree
          .ranges()
          .map((r) => `${r.first}-${r.last}`)
          .join(' ');
      const live: { start: number; order: number }[] = [];
      for (const { kind, order, at, count } of steps) {
        const place = last - at;
        if (kind === 'take' || kind === 'limited') {
          const limit = kind === 'limited' ? place : last;
          const before = show();
          const start = tree.take(order, limit + 1);
          expect(start).toBe(flags.allocate(2 ** order, limit));
          if (start < 0) expect(show()).toBe(before);
          else live.push({ start, order });
        } else if (kind === 'give' && live.length > 0) {
          const { start, order: held } = live.splice(at % live.length, 1)[0]!;
          tree.give(held, start);
          flags.set(start, start + 2 ** held - 1, true);
        } else if (kind === 'set') {
          // A range that is taken or free in part becomes one or the other as a whole; blocks that it cuts are forgotten.
          const free = count % 2 === 0;
          tree.set(place, place + count, free);
          flags.set(place, place + count, free);
          const whole = live.filter((b) => b.start > place + count || b.start + 2 ** b.order - 1 < place);
          live.splice(0, live.length, ...whole);
        }
        expect(show()).toBe(flags.show());
      }
    }),
    { numRuns: 60 },
  );
});

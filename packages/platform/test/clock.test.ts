import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { after, Clock, immediate, seeded, type CompletionPolicy } from '../src/index.js';
import { thrown } from './helpers.js';

const policies: CompletionPolicy[] = [immediate(), after(3), seeded(1), seeded(0xdead_beef)];

describe('completion policies', () => {
  it('immediate: before the access that started it returns', () => {
    const clock = new Clock();
    let done = false;
    clock.lane().run(() => (done = true));
    expect([done, clock.now, clock.idle]).toEqual([true, 0, true]);
  });

  it('after(n): n ticks later, not one sooner', () => {
    const clock = new Clock(after(3));
    let at = -1;
    clock.lane().run(() => (at = clock.now));
    clock.tick();
    clock.tick();
    expect(at).toBe(-1);
    clock.tick();
    expect([at, clock.idle]).toEqual([3, true]);
  });

  it.each([-1, 0.5, NaN])('after(%d) is refused', (n) => {
    expect(thrown(() => after(n)).code).toBe('BAD_DELAY');
  });

  it('seeded: the same seed gives the same run, another seed another', () => {
    const run = (seed: number) => {
      const clock = new Clock(seeded(seed));
      const log: string[] = [];
      for (const lane of ['a', 'b', 'c'])
        for (let i = 0, l = clock.lane(); i < 8; i++) l.run(() => void log.push(`${lane}${i}@${clock.now}`));
      clock.settle();
      return log.join(' ');
    };
    expect(run(7)).toBe(run(7));
    expect(new Set([1, 2, 3, 4, 5].map(run)).size).toBe(5);
  });

  it.each(policies.map((p) => [p.name, p] as const))(
    '%s: a lane keeps its order, lanes may overtake (property)',
    (_, policy) => {
      fc.assert(
        fc.property(fc.array(fc.record({ lane: fc.nat(2), ticks: fc.nat(3) }), { maxLength: 40 }), (steps) => {
          const clock = new Clock(policy);
          const lanes = [clock.lane(), clock.lane(), clock.lane()];
          const done: number[][] = [[], [], []];
          steps.forEach(({ lane, ticks }, i) => {
            lanes[lane]!.run(() => void done[lane]!.push(i));
            for (let t = 0; t < ticks; t++) clock.tick();
          });
          clock.settle();
          expect(done).toEqual([0, 1, 2].map((l) => steps.flatMap((s, i) => (s.lane === l ? [i] : []))));
        }),
      );
    },
  );

  it('lanes overtake each other under a seed', () => {
    const clock = new Clock(seeded(3));
    const log: number[] = [];
    for (let i = 0; i < 20; i++) clock.lane().run(() => void log.push(i));
    clock.settle();
    expect(log).not.toEqual([...log].sort((a, b) => a - b));
    expect([...log].sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });

  it('work may ask for more work on its own lane', () => {
    const clock = new Clock(after(1));
    const lane = clock.lane();
    const log: string[] = [];
    lane.run(() => {
      log.push(`first@${clock.now}`);
      lane.run(() => void log.push(`third@${clock.now}`));
    });
    lane.run(() => void log.push(`second@${clock.now}`));
    clock.settle();
    expect(log).toEqual(['first@1', 'second@1', 'third@2']);
  });
});

describe('polling', () => {
  it('moves time, and ends in HARDWARE_TIMEOUT with the condition’s name', () => {
    const clock = new Clock(after(5));
    let done = false;
    clock.lane().run(() => (done = true));
    clock.waitUntil('the queue to drain', () => done);
    expect(clock.now).toBe(5);
    const error = thrown(() => clock.waitUntil('the stars to fall', () => false, 10));
    expect([error.code, error.name, error.message]).toEqual([
      'HARDWARE_TIMEOUT',
      'HardwareTimeout',
      'the stars to fall did not happen within 10 polls (look at the unit: is it enabled, stalled or in error?)',
    ]);
  });

  it('settle() gives up on work that asks for work without end', () => {
    const clock = new Clock(after(1));
    const lane = clock.lane();
    const again = () => lane.run(again);
    again();
    expect(thrown(() => clock.settle(50)).code).toBe('HARDWARE_TIMEOUT');
  });
});

it('a restored clock goes on with the delays that the saved one would have had', () => {
  const run = (clock: Clock) => {
    const log: string[] = [];
    for (let i = 0; i < 12; i++) clock.lane().run(() => void log.push(`${i}@${clock.now}`));
    clock.settle();
    return log;
  };
  const clock = new Clock(seeded(9));
  run(clock);
  const state = structuredClone(clock.snapshot());
  const expected = run(clock);
  const fresh = new Clock(seeded(9));
  fresh.restore(state);
  expect(run(fresh)).toEqual(expected);
});

it('restoring drops what is under way, and lanes go on', () => {
  const clock = new Clock(after(4));
  const lane = clock.lane();
  const state = clock.snapshot();
  const log: string[] = [];
  lane.run(() => void log.push('lost'));
  clock.restore(state);
  lane.run(() => void log.push('kept'));
  clock.settle();
  expect([log, clock.now]).toEqual([['kept'], 4]);
});

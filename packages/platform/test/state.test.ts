import { describe, expect, it } from 'vitest';
import { definePlugin, Platform, seeded, Software, token } from '../src/index.js';
import type { Machine, Service } from '../src/index.js';
import { plugin, small, thrown } from './helpers.js';

/** Adds what is written to it, when its queue gets there. */
const adder = definePlugin('x,adder', {
  compatible: ['x,adder'],
  model: {
    create: ({ node, host }) => {
      let sum = 0;
      const lane = host.clock.lane();
      return {
        regions: [
          {
            name: node.name,
            ...node.reg![0]!,
            read: () => sum,
            write: (_o: number, _s: number, v: number) => lane.run(() => void (sum += v)),
          },
        ],
        snapshot: () => ({ sum }),
        restore: (s: unknown) => void (sum = (s as { sum: number }).sum),
      };
    },
  },
  driver: {
    create: (c) => {
      const registers = c.resolve(Software.registers);
      let calls = 0;
      return {
        add(v: number) {
          calls++;
          const before = registers.read32(0);
          registers.write32(0, v);
          c.host.waitUntil('the sum', () => registers.read32(0) === before + v);
          c.host.memory.write32(0x100, calls);
        },
        get calls() {
          return calls;
        },
        snapshot: () => calls,
        restore: (s: unknown) => void (calls = s as number),
      };
    },
  },
});
type Adder = { add(v: number): void; readonly calls: number };
const Log = token<string[]>('test:log');
const logging: Service<{ lines: string[] }> = {
  token: Log as never,
  create: () => ({
    lines: [] as string[],
    snapshot() {
      return this.lines;
    },
    restore(s: unknown) {
      this.lines = s as string[];
    },
  }),
};
const make = (seed = 5) =>
  small({ completion: seeded(seed) })
    .use(adder)
    .node(
      { name: 'add0', compatible: 'x,adder', reg: [{ base: 0x100_0000, size: 16 }] },
      { name: 'add1', compatible: 'x,adder', reg: [{ base: 0x100_1000, size: 16 }] },
    )
    .compose();
const drive = (p: Platform, name = 'add0') => p.driver(name) as unknown as Adder;
/** All that software can see, and when. */
const view = (p: Platform) => ({
  sums: [p.cpu.read32(0x100_0000), p.cpu.read32(0x100_1000)],
  calls: [drive(p).calls, drive(p, 'add1').calls],
  memory: p.memoryModel.digest(),
  now: p.clock.now,
  lines: p.service(logging).lines,
});
const busy = (p: Platform) => {
  drive(p).add(3);
  drive(p, 'add1').add(40);
  p.service(logging).lines.push('busy');
  p.pages.allocate(4096);
};

describe('snapshot and restore', () => {
  it('puts memory, models, drivers, services, pages and time back', () => {
    const p = make();
    busy(p);
    const before = view(p);
    const lines = [...before.lines];
    const state = structuredClone(p.snapshot());
    expect(state.leftOut).toEqual([]);
    const nextPage = p.pages.allocate(4096);
    busy(p);
    const after = view(p);
    const afterLines = [...after.lines];
    p.restore(state);
    expect(view(p)).toEqual({ ...before, lines });
    expect(p.pages.allocate(4096)).toBe(nextPage);
    busy(p);
    expect(view(p)).toEqual({ ...after, lines: afterLines }); // the same delays, too
  });

  it('lets work under way complete first', () => {
    const p = make();
    p.cpu.write32(0x100_0000, 9);
    expect(p.snapshot().models).toEqual({ add0: { sum: 9 }, add1: { sum: 0 } });
  });

  it('restores a service that nobody has asked for yet', () => {
    const p = make();
    busy(p);
    const q = make();
    q.restore(structuredClone(p.snapshot()));
    expect(q.snapshot().softwareServices).toEqual({ 'test:log': ['busy'] });
    expect(q.service(logging).lines).toEqual(['busy']);
  });

  it('names what keeps no state', () => {
    const p = small()
      .use(plugin('x,dumb', { model: { create: () => ({}) }, driver: { create: () => ({}) } }))
      .node({ name: 'd', compatible: 'x,dumb' })
      .compose();
    p.service({ token: token('test:x'), create: () => 5 });
    expect(p.snapshot().leftOut).toEqual(['d (model)', 'd (driver)', 'test:x (software service)']);
  });

  it('refuses another platform’s state, and one of another version', () => {
    const error = thrown(() => small().compose().restore(make().snapshot()));
    expect([error.code, error.message]).toEqual([
      'STATE_MISMATCH',
      'the state is not one of small: no node add0, add1 (restore it into a platform of the same plugins and nodes)',
    ]);
    const p = make();
    expect(thrown(() => p.restore({ ...p.snapshot(), version: 2 as never })).message).toContain('version 2');
  });

  it('refuses where the hardware is not ours', () => {
    const machine: Machine = small();
    const p = new Platform({ machine }).compose();
    for (const call of [() => p.snapshot(), () => p.fork()]) expect(thrown(call).code).toBe('FOREIGN_HARDWARE');
  });
});

describe('fork', () => {
  it('is independent, in the same state, and goes the same way', () => {
    const p = make();
    busy(p);
    const q = p.fork();
    expect(view(q)).toEqual(view(p));
    const frozen = { ...view(p), lines: [...view(p).lines] };
    q.memory.write32(0x4000, 1);
    busy(q);
    expect(view(p)).toEqual(frozen);
    q.dispose();
    busy(p);
    const again = make();
    busy(again);
    busy(again);
    expect(view(p)).toEqual(view(again));
  });

  it('drivers of a fork drive the fork, and its models tell its trace', () => {
    const p = make();
    const q = p.fork();
    drive(q).add(7);
    expect([p.cpu.read32(0x100_0000), q.cpu.read32(0x100_0000)]).toEqual([0, 7]);
    p.trace.listen(() => undefined);
    expect(q.trace.on).toBe(false);
  });
});

it('points drivers at a machine: no model is made, and registers are the machine’s', () => {
  const hardware = make();
  const software = new Platform({ name: 'software', machine: hardware })
    .use(adder)
    .node({ name: 'add0', compatible: 'x,adder', reg: [{ base: 0x100_0000, size: 16 }] })
    .compose();
  drive(software).add(5);
  expect(software.model('add0')).toBeUndefined();
  expect([hardware.cpu.read32(0x100_0000), hardware.memory.read32(0x100)]).toEqual([5, 1]);
});

import 'reflect-metadata';
import { container } from 'tsyringe';
import { describe, expect, it } from 'vitest';
import { API_VERSION, definePlugin, DoorbellError, Hardware, Platform, Software, token } from '../src/index.js';
import type { BlockContext, Device, HardwareHost, Plugin, PlatformHooks, Service } from '../src/index.js';
import { plugin, problemsOf, small, thrown } from './helpers.js';

const A = token<{ a: number }>('test:a');
const B = token<object>('test:b');
const nothing = { create: () => ({}) };
const device: Device = {
  name: '0000:00:01.0',
  kind: 'pci',
  segment: 0,
  requester: 8,
  aliases: [8],
  dmaBits: 64,
  isolation: { group: 0, isolated: true, witness: [] },
};

describe('composition errors', () => {
  it('names two overlapping nodes with their ranges', () => {
    const p = small()
      .use(plugin('x,unit', { model: nothing }))
      .node(
        { name: 'dmar0', compatible: 'x,unit', reg: [{ base: 0xfed9_0000, size: 0x1000 }] },
        { name: 'ioapic0', compatible: 'x,unit', reg: [{ base: 0xfed9_0800, size: 0x20 }] },
      );
    expect(problemsOf(p)).toEqual([
      ['REGION_OVERLAP', 'ioapic0 (0xfed90800–0xfed9081f) overlaps dmar0 (0xfed90000–0xfed90fff) (move one of them)'],
    ]);
  });

  it('names a node that lies in RAM, and one beyond 52 bits', () => {
    const p = small()
      .use(plugin('x,unit', {}))
      .node(
        { name: 'low', compatible: 'x,unit', reg: [{ base: 0xf_f000, size: 0x1000 }] },
        { name: 'far', compatible: 'x,unit', reg: [{ base: 2 ** 52 - 8, size: 16 }] },
      );
    expect(problemsOf(p).map(([code, m]) => `${code}: ${m}`)).toEqual([
      'REGION_OVERLAP: low (0xff000–0xfffff) overlaps RAM (0x0–0xfffff) (move one of them)',
      'BAD_ADDRESS: far has no valid range at 0xffffffffffff8 (16 bytes) (addresses have at most 52 bits)',
    ]);
  });

  it('refuses overlaps that only the models know of, and names them', () => {
    const region = (name: string, base: number) => ({ name, base, size: 16, read: () => 0, write: () => undefined });
    const p = small().use(
      plugin(
        'x,one',
        { model: { create: () => ({ regions: [region('window', 0x20_0000)] }) } },
        { name: 'one', compatible: 'x,one' },
      ),
      plugin(
        'x,two',
        { model: { create: () => ({ regions: [region('doorbell', 0x20_0008)] }) } },
        { name: 'two', compatible: 'x,two' },
      ),
    );
    expect(problemsOf(p)).toEqual([
      ['REGION_OVERLAP', 'doorbell (0x200008–0x200017) overlaps window (0x200000–0x20000f) (move one of them)'],
    ]);
  });

  it('says which plugin is used twice, and which is written for another API', () => {
    const twice = plugin('x,unit', {});
    const old: Plugin = { name: 'old', apiVersion: API_VERSION - 1, apply: () => undefined };
    expect(problemsOf(small().use(twice, twice, old)).map(([, m]) => m)).toEqual([
      'plugin x,unit is used twice (use it once; add a second unit as a node)',
      'plugin old is written for API 0, this is 1 (use a matching version of the plugin)',
    ]);
  });

  it('says which node nobody models', () => {
    const p = small().node({ name: 'gic0', compatible: 'arm,gic-v3', reg: [{ base: 0x800_0000, size: 0x1_0000 }] });
    expect(problemsOf(p)).toEqual([
      ['NO_BACKEND', 'no plugin models gic0 (arm,gic-v3, 0x8000000–0x800ffff) (use a plugin for it)'],
    ]);
  });

  it('says who lacks a token, who provides one twice, and who goes round in a circle', () => {
    const needs = (t: symbol) => ({ ...nothing, needs: [t] });
    const p = small().use(
      plugin('x,lacks', { driver: needs(token('test:absent')) }, { name: 'lacks', compatible: 'x,lacks' }),
      plugin(
        'x,gives',
        { model: { ...nothing, provides: [A] } },
        { name: 'gives0', compatible: 'x,gives' },
        { name: 'gives1', compatible: 'x,gives' },
      ),
      plugin('x,egg', { driver: { ...needs(B), provides: [A] } }, { name: 'egg', compatible: 'x,egg' }),
      plugin('x,hen', { driver: { ...needs(A), provides: [B] } }, { name: 'hen', compatible: 'x,hen' }),
    );
    expect(problemsOf(p)).toEqual([
      ['DUPLICATE_TOKEN', 'gives0 and gives1 both provide test:a (model) (keep one of them)'],
      ['MISSING_TOKEN', 'lacks (driver) needs test:absent, which no block provides (use a plugin that provides it)'],
      ['DEPENDENCY_CYCLE', 'drivers need each other: egg → hen → egg (break the circle)'],
    ]);
  });

  it('reports everything at once, in one sentence each', () => {
    const p = small()
      .use(
        plugin('x,unit', { check: (n) => [new DoorbellError('BAD_OPTION', `${n.name} has no colour`, 'paint it')] }),
        plugin('x,unit', {}),
        {
          name: 'broken',
          apiVersion: 1,
          apply: () => {
            throw new Error('no config');
          },
        },
      )
      .node(
        { name: 'u', compatible: 'x,unit', reg: [{ base: 0x100_0000, size: 16 }] },
        { name: 'u', compatible: 'x,other', reg: [{ base: 0x100_0008, size: 16 }] },
        {
          name: 'pci0',
          compatible: 'x,unit',
          iommuMap: [
            { inputBase: 0, count: 8, outputBase: 0, to: 'smmu9' },
            { inputBase: 8, count: 8, outputBase: 0, to: 'smmu9' },
          ],
          msiMap: [{ inputBase: 0, count: 8, outputBase: 0, to: 'its9' }],
        },
      );
    const error = thrown(() => p.compose());
    expect(error.code).toBe('COMPOSITION_FAILED');
    expect(error.details.codes).toEqual([
      'PLUGIN_TWICE',
      'PLUGIN_FAILED',
      'NODE_TWICE',
      'REGION_OVERLAP',
      'BAD_OPTION',
      'NO_BACKEND',
      'BAD_OPTION',
      'BAD_MAP_TARGET',
      'BAD_MAP_TARGET',
    ]);
    expect(error.message).toContain('plugin broken failed in apply: no config');
    expect(error.message).toContain('iommuMap of pci0 names smmu9, which is no translation unit here');
    expect(error.message).toContain('msiMap of pci0 names its9, which is no node here');
  });

  it('collects the failures of all models, not what follows from them, and leaves nothing standing', () => {
    const ended: string[] = [];
    const p = small()
      .use(
        plugin('x,good', { model: { create: (c) => ({ dispose: () => void ended.push(c.node.name) }) } }),
        plugin('x,bad', {
          model: {
            provides: [A],
            create: (c) => {
              throw new TypeError(`${c.node.name} is out of order`);
            },
          },
        }),
        plugin('x,typed', {
          model: {
            create: () => {
              throw new DoorbellError('BAD_OPTION', 'vendor is unknown', 'name one');
            },
          },
        }),
        plugin('x,after', { model: { ...nothing, needs: [A] } }),
        plugin('x,driven', {
          driver: {
            create: () => {
              throw new Error('never reached');
            },
          },
        }),
      )
      .node(...['good', 'bad', 'typed', 'after', 'driven'].map((name) => ({ name, compatible: `x,${name}` })));
    expect(problemsOf(p)).toEqual([
      ['PLUGIN_FAILED', 'the model of bad (plugin x,bad) failed in create: bad is out of order (mend the plugin)'],
      ['BAD_OPTION', 'vendor is unknown (name one)'],
    ]);
    expect(ended).toEqual(['good']);
    expect(thrown(() => p.describe()).code).toBe('NOT_COMPOSED');
    expect(thrown(() => p.compose()).message).toBe(
      'compose() on small, which failed to compose (add plugins and nodes before compose(), and compose once)',
    );
  });

  it('collects an iommuMap to a block whose model translates nothing', () => {
    const p = small()
      .use(plugin('x,uart', { model: nothing }), plugin('x,host', {}))
      .node(
        { name: 'uart0', compatible: 'x,uart' },
        { name: 'pci0', compatible: 'x,host', iommuMap: [{ inputBase: 0, count: 1, outputBase: 0, to: 'uart0' }] },
        { name: 'pci1', compatible: 'x,host', iommuMap: [{ inputBase: 0, count: 1, outputBase: 0, to: 'pci0' }] },
      );
    // pci0 has no model at all, which is known before anything is built; uart0's model has to be looked at.
    expect(problemsOf(p).map(([, m]) => m)).toEqual([
      'iommuMap of pci1 names pci0, which is no translation unit here (name a node of the platform that takes these ids)',
    ]);
    const q = small()
      .use(plugin('x,uart', { model: nothing }), plugin('x,host', {}))
      .node(
        { name: 'uart0', compatible: 'x,uart' },
        { name: 'pci0', compatible: 'x,host', iommuMap: [{ inputBase: 0, count: 1, outputBase: 0, to: 'uart0' }] },
      );
    expect(problemsOf(q).map(([code]) => code)).toEqual(['BAD_MAP_TARGET']);
  });
});

describe('an exception in a tap names the plugin', () => {
  const calls: Record<keyof PlatformHooks, (h: PlatformHooks) => unknown> = {
    block: (h) => h.block.call({ name: 'n', compatible: 'c' }),
    composed: (h) => h.composed.call(),
    deviceAdded: (h) => h.deviceAdded.call(device),
    deviceRemoved: (h) => h.deviceRemoved.call(device),
    attach: (h) => h.attach.call(device, 'dma'),
    delivered: (h) => h.delivered.call({ controller: 'apic' }),
    refused: (h) => h.refused.call({ by: 'dmar0', code: 1, name: 'x', recorded: true }),
    fault: (h) => h.fault.call({ unit: 'u', code: 1, name: 'x', requester: 0, address: { hi: 0, lo: 0 } }),
  };
  it.each(Object.keys(calls) as (keyof PlatformHooks)[])('%s', (name) => {
    const { hooks } = small();
    const cause = new TypeError('x is not a function');
    (hooks[name] as { tap(n: string, f: () => never): void }).tap('clumsy', () => {
      throw cause;
    });
    const error = thrown(() => calls[name](hooks));
    expect(error.message).toBe(`plugin clumsy failed in hook ${name}: x is not a function (mend the plugin)`);
    expect([error.code, error.details.plugin, error.cause]).toEqual(['PLUGIN_FAILED', 'clumsy', cause]);
  });

  it('covers every hook there is', () => {
    expect(Object.keys(small().hooks).sort()).toEqual(Object.keys(calls).sort());
  });

  it('blames the innermost, and keeps the code of a typed error', () => {
    const { hooks } = small();
    hooks.deviceAdded.tap('inner', () => {
      throw new DoorbellError('GROUP_BUSY', 'group 3 is busy', 'detach it');
    });
    hooks.composed.tap('outer', () => hooks.deviceAdded.call(device));
    const error = thrown(() => hooks.composed.call());
    expect(error.details).toMatchObject({ plugin: 'inner', causeCode: 'GROUP_BUSY' });
  });

  it('is a composition error where composing calls the hook', () => {
    const tapping: Plugin = {
      name: 'late',
      apiVersion: 1,
      apply: ({ hooks }) =>
        hooks.composed.tap('late', () => {
          throw new Error('no bus');
        }),
    };
    const p = small().use(tapping);
    expect(problemsOf(p)).toEqual([['PLUGIN_FAILED', 'plugin late failed in hook composed: no bus (mend the plugin)']]);
    expect(thrown(() => p.describe()).code).toBe('NOT_COMPOSED');
  });

  it('leaves an unused hook unused: events are not even built', () => {
    const { hooks } = small();
    expect(hooks.delivered.isUsed()).toBe(false);
    hooks.delivered.tap('watcher', () => undefined);
    expect(hooks.delivered.isUsed()).toBe(true);
    expect(hooks.refused.isUsed()).toBe(false);
    hooks.refused.intercept({ call: () => undefined });
    expect(hooks.refused.isUsed()).toBe(true);
  });

  it('reports a failing check and a failing look at a node with the rest', () => {
    const p = small()
      .use(
        plugin('x,unit', {
          check: () => {
            throw new Error('schema');
          },
        }),
        {
          name: 'nosy',
          apiVersion: 1,
          apply: ({ hooks }) =>
            hooks.block.tap('nosy', (n) => {
              if (n.name === 'v') throw new Error('cannot read it');
              return undefined;
            }),
        },
      )
      .node({ name: 'u', compatible: 'x,unit' }, { name: 'v', compatible: 'x,v' });
    expect(problemsOf(p).map(([, m]) => m)).toEqual([
      'the plugin of u failed in check: schema (mend the plugin)',
      'plugin nosy failed in hook block: cannot read it (mend the plugin)',
    ]);
  });
});

describe('the border', () => {
  const ModelToken = token<object>('x:table');
  const wall = (driver: (c: BlockContext<never>) => unknown, needs: symbol[] = []) =>
    definePlugin('x,unit', {
      compatible: ['x,unit'],
      model: { provides: [ModelToken], create: (c) => (c.provide(ModelToken, {}), {}) },
      driver: { needs, create: (c) => (driver(c as unknown as BlockContext<never>), {}) },
    });
  const across = (t: string) =>
    `the driver of u asks for ${t}, which belongs to the hardware side (model and driver share nothing but registers and memory)`;

  it.each([
    ['what its model provides', ModelToken, 'x:table'],
    ['the physical memory itself', Hardware.memory, 'hardware:memory'],
    ['the clock', Hardware.clock, 'hardware:clock'],
  ])('a driver that asks for %s is told', (_, t: symbol, name) => {
    const p = small()
      .use(wall((c) => c.resolve(t)))
      .node({ name: 'u', compatible: 'x,unit' });
    expect(problemsOf(p)).toEqual([['ACROSS_THE_BORDER', across(name)]]);
    const q = small()
      .use(wall(() => undefined, [t]))
      .node({ name: 'u', compatible: 'x,unit' });
    expect(problemsOf(q)).toEqual([['ACROSS_THE_BORDER', across(name)]]);
  });

  it('optional() does not see over it either', () => {
    let seen: unknown = 'not asked';
    small()
      .use(wall((c) => (seen = c.optional(ModelToken))))
      .node({ name: 'u', compatible: 'x,unit' })
      .compose();
    expect(seen).toBeUndefined();
  });

  it('a model that asks for the driver’s registers is told, too', () => {
    const p = small().use(
      plugin(
        'x,unit',
        { model: { create: (c) => c.resolve(Software.pages) as never } },
        { name: 'u', compatible: 'x,unit' },
      ),
    );
    expect(problemsOf(p).map(([, m]) => m)).toEqual([
      'the model of u asks for software:pages, which belongs to the software side (model and driver share nothing but registers and memory)',
    ]);
  });

  it('refuses tokens that are provided without being declared, and says who asked for one that nobody has', () => {
    const p = small().use(
      plugin(
        'x,mute',
        { driver: { create: (c) => (c.provide(A, { a: 1 }), {}) } },
        { name: 'm', compatible: 'x,mute' },
      ),
      plugin('x,deaf', { driver: { create: (c) => c.resolve(B) } }, { name: 'd', compatible: 'x,deaf' }),
    );
    expect(problemsOf(p).map(([, m]) => m)).toEqual([
      'the driver of m provides test:a without declaring it (list it in `provides`)',
      'the driver of d asks for test:b, which nobody provides (list it in `needs`, and use a plugin that provides it)',
    ]);
  });
});

describe('a composed platform', () => {
  /** A counter register per unit: each driver must reach its own model's. */
  const unit = definePlugin('x,unit', {
    compatible: ['x,unit'],
    model: {
      create: ({ node }) => {
        let held = 0;
        return {
          regions: [
            {
              name: node.name,
              ...node.reg![0]!,
              read: () => held,
              write: (_o: number, _s: number, v: number) => void (held = v),
            },
          ],
          snapshot: () => held,
          restore: (v: unknown) => void (held = v as number),
        };
      },
    },
    driver: { create: (c) => ({ registers: c.resolve(Software.registers) }) },
  });
  const two = () =>
    small()
      .use(unit)
      .node(
        { name: 'u0', compatible: 'x,unit', reg: [{ base: 0x100_0000, size: 16 }] },
        { name: 'u1', compatible: 'x,unit', reg: [{ base: 0x100_1000, size: 16 }], endian: 'big' },
      );
  type Held = { registers: { read32(o: number): number; write32(o: number, v: number): void } };

  it('has two units of one kind, each driver with its own unit’s registers in the unit’s byte order', () => {
    const p = two().compose();
    const [d0, d1] = ['u0', 'u1'].map((n) => (p.driver(n) as Held).registers);
    d0!.write32(0, 1);
    d1!.write32(0, 0x1122_3344);
    expect([d0!.read32(0), d1!.read32(0)]).toEqual([1, 0x1122_3344]);
    // The region declares no order: the CPU's bytes are what the model got.
    expect(p.cpu.read32(0x100_1000)).toBe(0x4433_2211);
  });

  it('makes providers before those who need or want them, whatever the order of nodes', () => {
    const made: string[] = [];
    const make = (c: { node: { name: string } }) => (made.push(c.node.name), {});
    small()
      .use(
        plugin('x,last', { driver: { needs: [A], create: make } }, { name: 'last', compatible: 'x,last' }),
        plugin('x,mid', { driver: { wants: [B], provides: [A], create: make } }, { name: 'mid', compatible: 'x,mid' }),
        plugin('x,first', { driver: { provides: [B], create: make } }, { name: 'first', compatible: 'x,first' }),
      )
      .compose();
    expect(made).toEqual(['first', 'mid', 'last']);
  });

  it('gives tokens of either side to the user, and says which is missing', () => {
    const p = small()
      .use(
        plugin(
          'x,a',
          { model: { provides: [A], create: (c) => (c.provide(A, { a: 5 }), {}) } },
          { name: 'a', compatible: 'x,a' },
        ),
      )
      .compose();
    expect(p.get(A)).toEqual({ a: 5 });
    expect(p.find(B)).toBeUndefined();
    expect(thrown(() => p.get(B)).message).toContain('no block of small provides');
  });

  it('refuses to be changed once composed', () => {
    const p = two().compose();
    for (const call of [() => p.use(unit), () => p.node({ name: 'x', compatible: 'y' }), () => p.compose()])
      expect(thrown(call).code).toBe('ALREADY_COMPOSED');
  });

  it('refuses driver pages that are not RAM', () => {
    expect(thrown(() => small({ pages: { base: 0xf_0000, size: 0x2_0000 } })).code).toBe('OUTSIDE_MEMORY');
  });

  it('describes itself as text, JSON and Mermaid', () => {
    const p = two()
      .use(
        plugin('x,host', { driver: { wants: [A], create: () => ({}) } }),
        plugin('x,a', { driver: { provides: [A], create: () => ({}) } }),
      )
      .node(
        { name: 'pci-0', compatible: 'x,host', msiMap: [{ inputBase: 0, count: 8, outputBase: 0, to: 'u1' }] },
        { name: 'end', compatible: 'x,a' },
      )
      .compose();
    const { text, json, mermaid } = p.describe();
    expect(text).toBe(
      [
        'small',
        '├─ RAM 0x0–0xfffff',
        '├─ u0 (x,unit) 0x1000000–0x100000f [model + driver]',
        '├─ u1 (x,unit) 0x1001000–0x100100f [model + driver]',
        '├─ pci-0 (x,host) [driver]',
        '└─ end (x,a) [driver]',
      ].join('\n'),
    );
    expect(JSON.parse(JSON.stringify(json))).toEqual(json);
    expect(json.nodes[2]).toEqual({
      name: 'pci-0',
      compatible: 'x,host',
      ranges: [],
      needs: ['test:a'],
      provides: [],
      halves: ['driver'],
    });
    expect(mermaid.split('\n')).toEqual([
      'graph LR',
      '  n0["u0<br/>x,unit"]',
      '  n1["u1<br/>x,unit"]',
      '  n2["pci-0<br/>x,host"]',
      '  n3["end<br/>x,a"]',
      '  n2 -->|test:a| n3',
      '  n2 -.->|msiMap| n1',
    ]);
  });

  it('disposes drivers before models, last first, once; its registers leave the bus', () => {
    const ended: string[] = [];
    const half = (kind: string) => ({
      create: (c: { node: { name: string } }) => ({ dispose: () => void ended.push(`${kind} ${c.node.name}`) }),
    });
    const p = two()
      .use(plugin('x,both', { model: half('model'), driver: half('driver') }))
      .node({ name: 'a', compatible: 'x,both' }, { name: 'b', compatible: 'x,both' })
      .compose();
    p.dispose();
    p.dispose();
    expect(ended).toEqual(['driver b', 'driver a', 'model b', 'model a']);
    expect(thrown(() => p.cpu.read32(0x100_0000)).code).toBe('NO_SUCH_ADDRESS');
    expect(thrown(() => p.snapshot()).code).toBe('NOT_COMPOSED');
    expect(thrown(() => p.compose()).code).toBe('ALREADY_COMPOSED');
  });

  it('disposes the rest where one block fails to end', () => {
    const ended: string[] = [];
    const p = small()
      .use(
        plugin('x,b', {
          model: {
            create: (c) => ({
              dispose: () => {
                ended.push(c.node.name);
                if (c.node.name === 'b1') throw new Error('stuck');
              },
            }),
          },
        }),
      )
      .node(...['b0', 'b1', 'b2'].map((name) => ({ name, compatible: 'x,b' })))
      .compose();
    expect(thrown(() => p.dispose()).message).toContain('stuck');
    expect(ended).toEqual(['b2', 'b1', 'b0']);
  });

  it('shares nothing with another platform of the same plugins, nor with the global container', () => {
    const [p, q] = [two().compose(), two().compose()];
    (p.driver('u0') as Held).registers.write32(0, 7);
    p.memory.write32(0x100, 8);
    p.hooks.delivered.tap('only p', () => undefined);
    p.trace.listen(() => undefined);
    p.diagnostics.illegal('u0', 'x');
    expect(q.cpu.read32(0x100_0000)).toBe(0);
    expect(q.memory.read32(0x100)).toBe(0);
    expect([q.hooks.delivered.isUsed(), q.trace.on, q.diagnostics.entries().length]).toEqual([false, false, 0]);
    p.dispose();
    expect(q.cpu.read32(0x100_0000)).toBe(0);
    for (const t of [...Object.values(Hardware), ...Object.values(Software)])
      expect(container.isRegistered(t)).toBe(false);
  });
});

describe('services', () => {
  const Count = token<{ n: number }>('test:count');
  const counting: Service<{ n: number }> = { token: Count, create: () => ({ n: 0 }) };

  it('are made once per side, when first asked for', () => {
    const p = small().compose();
    p.service(counting).n++;
    expect(p.service(counting).n).toBe(1);
    const hw: Service<{ n: number }, HardwareHost> = { token: Count, create: () => ({ n: 40 }) };
    expect(p.hardwareService(hw).n).toBe(40);
    expect(small().compose().service(counting).n).toBe(0);
  });

  it('that need each other are found out', () => {
    const egg: Service<object> = { token: A, create: (h) => h.service(hen) };
    const hen: Service<object> = { token: B, create: (h) => h.service(egg) };
    expect(thrown(() => small().compose().service(egg)).message).toBe(
      'services need each other: test:a → test:b → test:a (ask for one of them later)',
    );
  });

  it('end with their platform', () => {
    const ended: string[] = [];
    const p = small().compose();
    p.service({ token: Count, create: () => ({ n: 0, dispose: () => void ended.push('count') }) });
    p.dispose();
    expect(ended).toEqual(['count']);
  });
});

it('creating a platform of 1 TiB allocates no memory', () => {
  const p = new Platform({ memory: [{ base: 0, size: 2 ** 40 }] }).compose();
  expect(p.memoryModel.allocated).toBe(0);
  p.memory.write32(2 ** 40 - 4, 1);
  expect(p.memoryModel.allocated).toBe(2 ** 19);
});

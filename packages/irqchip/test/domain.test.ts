import {
  DoorbellError,
  HardwareError,
  createHooks,
  type Device,
  type PlatformNode,
  type SoftwareHost,
} from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import {
  InterruptCore,
  NumberSpace,
  unitFor,
  type ChainLevel,
  type Message,
  type MsiBlock,
  type MsiRequest,
  type Prepared,
  type RootLevel,
} from '../src/index.js';

const device = (requester: number, segment = 0): Device => ({
  name: `d${segment}:${requester}`,
  kind: 'pci',
  segment,
  requester,
  aliases: [requester],
  dmaBits: 64,
  isolation: { group: requester, isolated: true, witness: [] },
});

type Log = string[];

/** A root with 8 numbers that writes down what it is told. */
function root(name: string, log: Log): RootLevel<number> {
  const numbers = new NumberSpace(name, 32, 8);
  const self: RootLevel<number> = {
    name,
    cpus: [0, 1],
    prepare: ({ count, contiguous }: MsiRequest): Prepared<number> => {
      log.push(`${name} prepare`);
      const taken = contiguous
        ? Array.from({ length: count }, (_, i) => i).map((i, _n, a) =>
            i === 0 ? numbers.takeBlock(a.length, a.length) : 0,
          )
        : numbers.take(count);
      return {
        targets: taken,
        commit: () => void log.push(`${name} commit`),
        release: () => (log.push(`${name} release`), numbers.give(taken)),
        cancel: () => (log.push(`${name} cancel`), numbers.give(taken)),
      };
    },
    compose: (message, block: MsiBlock, index): Message => ({
      addressHi: 0,
      addressLo: 0x1000,
      data: message.data + block.share<Prepared<number>>(self).targets[index]!,
    }),
    doorbells: () => [{ address: 0x1000, name, exposes: [] }],
    owner: () => undefined,
    senderCheck: () => ({ scope: 'none', witness: `${name} asks nobody` }),
    digest: () => numbers.digest(),
  };
  return self;
}

/** A level that adds to the address, and fails where it is told to. */
function below(name: string, log: Log, add: number, fail?: 'prepare' | 'commit'): ChainLevel {
  return {
    name,
    applies: () => true,
    prepare: () => {
      log.push(`${name} prepare`);
      if (fail === 'prepare') throw new DoorbellError('NO_ROOM', 'full', '');
      return {
        targets: [],
        commit: () => {
          log.push(`${name} commit`);
          if (fail === 'commit') throw new HardwareError('REFUSED', 'no', '');
        },
        release: () => void log.push(`${name} release`),
        cancel: () => void log.push(`${name} cancel`),
      };
    },
    compose: (m) => ({ ...m, addressLo: m.addressLo + add }),
  };
}

/** The core over bare nodes: it needs no more of a platform. */
function machine(nodes: Partial<PlatformNode>[], log: Log = []) {
  const described = nodes.map((n, i) => ({ name: `n${i}`, compatible: 'any', ...n }));
  const core = new InterruptCore({ hooks: createHooks(), nodes: described } as unknown as SoftwareHost);
  return { core, log };
}
const all = (to: string) => [{ inputBase: 0, count: 65536, outputBase: 0, to }];

describe('a device’s interrupt chain', () => {
  it('runs root, remapper, translator; backwards to free', () => {
    const { core, log } = machine([{ iommuMap: all('unit'), msiMap: all('root') }, { name: 'unit' }, { name: 'root' }]);
    core.addTranslator('unit', below('translator', log, 0x200));
    core.addRemapper('unit', below('remapper', log, 0x10));
    core.addRoot('root', root('root', log));
    const block = core.domainFor(device(1)).allocate({ count: 2 });
    expect(block.message(1)).toEqual({ addressHi: 0, addressLo: 0x1210, data: 33 });
    block.free();
    expect(log).toEqual([
      ...['root prepare', 'remapper prepare', 'translator prepare'],
      ...['root commit', 'remapper commit', 'translator commit'],
      ...['translator release', 'remapper release', 'root release'],
    ]);
  });

  it.each(['prepare', 'commit'] as const)('a level that fails in %s leaves nothing behind', (when) => {
    const { core, log } = machine([{ iommuMap: all('unit') }, { name: 'unit' }]);
    core.addRoot('root', root('root', log));
    core.addTranslator('unit', below('translator', log, 0, when));
    const before = core.digest();
    expect(() => core.domainFor(device(1)).allocate({ count: 2 })).toThrow(when === 'commit' ? 'no' : 'full');
    expect(core.digest()).toBe(before);
    expect(log.slice(-2)).toEqual(
      when === 'commit' ? ['translator cancel', 'root release'] : ['translator prepare', 'root cancel'],
    );
    expect(core.blocksOf(device(1))).toEqual([]);
  });

  it('a refused free leaves the block, and goes on where it was when it is called again', () => {
    const { core, log } = machine([{ iommuMap: all('unit') }, { name: 'unit' }]);
    const chip = root('root', log);
    let refuses = true;
    const prepare = chip.prepare.bind(chip);
    chip.prepare = (...args) => {
      const share = prepare(...args);
      const release = share.release.bind(share);
      share.release = () => {
        if (refuses) throw new HardwareError('REFUSED', 'no', '');
        release();
      };
      return share;
    };
    core.addRoot('root', chip);
    core.addTranslator('unit', below('translator', log, 0));
    const before = core.digest();
    const nic = device(1);
    const block = core.domainFor(nic).allocate({ count: 2 });
    expect(() => block.free()).toThrow(HardwareError);
    expect(core.blocksOf(nic)).toEqual([block]);
    refuses = false;
    block.free();
    block.free();
    expect(core.digest()).toBe(before);
    expect(core.blocksOf(nic)).toEqual([]);
    expect(log.slice(-2)).toEqual(['translator release', 'root release']);
  });

  it('a move to a CPU that the root does not have is refused for every level', () => {
    const { core, log } = machine([{}]);
    core.addRoot('root', root('root', log));
    const block = core.domainFor(device(1)).allocate({ count: 1 });
    expect(() => block.setAffinity(0, 2)).toThrow(expect.objectContaining({ code: 'NO_SUCH_CPU' }));
  });

  it('the CPUs of a block are those that the root gave it', () => {
    const { core, log } = machine([{}]);
    const chip = root('root', log);
    const prepare = chip.prepare.bind(chip);
    chip.prepare = (...args) => ({ ...prepare(...args), cpus: [1, 1] });
    core.addRoot('root', chip);
    expect(core.domainFor(device(1)).allocate({ count: 2, contiguous: true, cpus: [1, 0] }).cpus).toEqual([1, 1]);
    const other = machine([{}]);
    other.core.addRoot('root', root('root', log));
    expect(other.core.domainFor(device(1)).allocate({ count: 2, cpus: [1, 0] }).cpus).toEqual([1, 0]);
  });

  it('a level that returns no message is named when the vector is enabled', () => {
    const { core, log } = machine([{ iommuMap: all('unit') }, { name: 'unit' }]);
    core.addRoot('root', root('root', log));
    core.addTranslator('unit', { ...below('forgetful', log, 0), compose: (() => undefined) as never });
    expect(() => core.domainFor(device(1)).allocate({ count: 1 })).toThrow(/forgetful returned no message/);
  });

  it('two units and two controllers do not see each other’s devices', () => {
    const log: Log = [];
    const { core } = machine(
      [
        { segment: 0, iommuMap: all('u0'), msiMap: all('r0') },
        { segment: 1, iommuMap: all('u1'), msiMap: all('r1') },
        ...['u0', 'u1', 'r0', 'r1'].map((name) => ({ name })),
      ],
      log,
    );
    for (const i of [0, 1]) {
      core.addRoot(`r${i}`, root(`r${i}`, log));
      core.addTranslator(`u${i}`, below(`u${i}`, log, 0x100 * (i + 1)));
    }
    const one = core.domainFor(device(1, 0));
    const two = core.domainFor(device(1, 1));
    expect(one.levels.map((l) => l.name)).toEqual(['r0', 'u0']);
    expect(two.levels.map((l) => l.name)).toEqual(['r1', 'u1']);
    expect(two.allocate({ count: 1 }).message(0).addressLo).toBe(0x1200);
  });

  it('no controller, or one without a driver: NO_MSI_CONTROLLER', () => {
    const { core } = machine([{ msiMap: all('ghost') }]);
    expect(() => core.domainFor(device(1))).toThrow(expect.objectContaining({ code: 'NO_MSI_CONTROLLER' }));
  });

  it('a 32-bit message address does not reach a doorbell above 4 GiB: MSI_ADDRESS_UNREACHABLE', () => {
    const { core, log } = machine([{ iommuMap: all('unit') }]);
    core.addRoot('root', root('root', log));
    const before = core.digest();
    const high: ChainLevel = { ...below('high', log, 0), compose: (m) => ({ ...m, addressHi: 1 }) };
    core.addTranslator('unit', high);
    const allocate = () => core.domainFor(device(1)).allocate({ count: 1, addressBits: 32 });
    expect(allocate).toThrow(expect.objectContaining({ code: 'MSI_ADDRESS_UNREACHABLE' }));
    expect(core.digest().startsWith(before)).toBe(true);
  });
});

describe('unitFor', () => {
  it('takes the effective id, the device’s segment, and the later of two entries', () => {
    const nodes: PlatformNode[] = [
      {
        name: 'pci0',
        compatible: 'x',
        iommuMap: [
          { inputBase: 0, count: 256, outputBase: 0x1000, to: 'a' },
          { inputBase: 0x10, count: 1, outputBase: 5, to: 'b' },
        ],
      },
    ];
    expect(unitFor(nodes, device(0x11), 'iommuMap')).toEqual({ to: 'a', id: 0x1011 });
    expect(unitFor(nodes, device(0x10), 'iommuMap')).toEqual({ to: 'b', id: 5 });
    expect(unitFor(nodes, { ...device(0x11), aliases: [0x11, 0x10] }, 'iommuMap')).toEqual({ to: 'b', id: 5 });
    expect(unitFor(nodes, device(0x10, 1), 'iommuMap')).toBeNull();
  });
});

describe('NumberSpace', () => {
  it('gives lowest first, aligned blocks on request, and says what is left', () => {
    const space = new NumberSpace('vectors', 0x30, 16);
    expect(space.take(3)).toEqual([0x30, 0x31, 0x32]);
    expect(space.takeBlock(4, 4)).toBe(0x34);
    expect(space.take(2)).toEqual([0x33, 0x38]);
    expect(() => space.take(99)).toThrow(expect.objectContaining({ code: 'IRQ_EXHAUSTED' }));
    expect(space.available).toBe(7);
    const before = space.digest();
    space.give(space.take(5));
    expect(space.digest()).toBe(before);
  });
});

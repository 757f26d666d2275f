import { CPU_INTERFACE, INTERRUPTS, type MsiBlock } from '@doorbell/irqchip';
import { after, immediate, Platform, seeded, type Device } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { mpic, type MpicPluginOptions } from '../src/index.js';
import { msiInterrupt } from '../src/spec/index.js';

const device = (requester = 0x20): Device => ({
  name: `function ${requester.toString(16)}`,
  kind: 'pci',
  segment: 0,
  requester,
  aliases: [requester],
  dmaBits: 64,
  isolation: { group: requester, isolated: true, witness: [] },
});

const board = (options: MpicPluginOptions = {}, completion = immediate()) =>
  new Platform({ memory: [{ base: 0, size: 2 ** 24 }], completion }).use(mpic({ banks: 1, ...options })).compose();

const fire = (platform: Platform, block: MsiBlock, index: number, requester = 0x20): void => {
  const m = block.message(index);
  platform.fabric().write32(requester, m.addressHi, m.addressLo, m.data);
};

describe.each([immediate(), after(3), seeded(1)])('MSIs of an MPIC, $name', (policy) => {
  it('arrive as themselves; vectors of two CPUs are kept in two MSIRs', () => {
    const platform = board({}, policy);
    const cpu = platform.get(CPU_INTERFACE);
    const core = platform.service(INTERRUPTS);
    const block = core.domainFor(device()).allocate({ count: 4, cpus: [0, 1] });
    expect([0, 1, 2, 3].map((i) => block.message(i).data)).toEqual([0, 32, 1, 33]);
    expect(block.message(0)).toEqual({ addressHi: 0, addressLo: 0xfe04_4140, data: 0 });
    for (let i = 0; i < 4; i++) fire(platform, block, i);
    expect(cpu.pending(0)).toEqual([msiInterrupt(224, 0), msiInterrupt(224, 1)]);
    const taken = [cpu.acknowledge(0), cpu.acknowledge(0), cpu.acknowledge(0)];
    expect(taken).toEqual([msiInterrupt(224, 0), msiInterrupt(224, 1), null]);
    expect(core.owner(0, taken[1]!)).toEqual({ block, index: 2 });
    fire(platform, block, 2);
    expect(cpu.acknowledge(0)).toBeNull(); // the source is in service
    cpu.end(0, taken[0]!);
    expect(cpu.acknowledge(0)).toBeNull();
    cpu.end(0, taken[1]!);
    expect(cpu.acknowledge(0)).toBe(msiInterrupt(224, 1));
    expect(cpu.acknowledge(1)).toBe(msiInterrupt(225, 0));
  });
});

describe('an MSI bank', () => {
  it('moves all of an MSIR with one vector, and names whose they are', () => {
    const platform = board();
    const core = platform.service(INTERRUPTS);
    const a = core.domainFor(device()).allocate({ count: 2, cpus: [0] });
    const b = core.domainFor(device(0x28)).allocate({ count: 1, cpus: [0] });
    const other = core.domainFor(device(0x28)).allocate({ count: 1, cpus: [1] });
    expect(a.setAffinity(1, 1)).toEqual({
      messageChanged: false,
      alongWith: ['vector 0 of function 20', 'vector 0 of function 28'],
    });
    expect([...a.cpus, ...b.cpus, ...other.cpus]).toEqual([1, 1, 1, 1]);
    fire(platform, b, 0);
    expect(platform.get(CPU_INTERFACE).acknowledge(1)).toBe(msiInterrupt(224, 2));
    expect(() => a.setAffinity(0, 7)).toThrow(expect.objectContaining({ code: 'NO_SUCH_CPU' }));
  });

  it('gives multi-message MSI aligned data, and says how much is left', () => {
    const core = board({ banks: [{ bank: 1, ranges: [[64, 32]] }] }).service(INTERRUPTS);
    const one = core.domainFor(device()).allocate({ count: 1 });
    const run = core.domainFor(device()).allocate({ count: 5, contiguous: true });
    expect(one.message(0)).toEqual({ addressHi: 0, addressLo: 0xfe04_5140, data: 64 });
    expect(run.message(0).data).toBe(72);
    // 72 to 79 are kept for the function of five: it may send any of them.
    expect(() => core.domainFor(device(0x28)).allocate({ count: 24, cpus: [0] })).toThrow(
      expect.objectContaining({ code: 'IRQ_EXHAUSTED', details: expect.objectContaining({ available: 23 }) as object }),
    );
    expect(() => core.domainFor(device(0x28)).allocate({ count: 1, cpus: [1] })).toThrow(
      expect.objectContaining({ code: 'IRQ_EXHAUSTED' }),
    );
    const before = core.digest();
    core
      .domainFor(device(0x28))
      .allocate({ count: 23, cpus: [0] })
      .free();
    expect(core.digest()).toBe(before);
  });

  it('names what else a mapping of its doorbell exposes, and that nobody checks who writes', () => {
    const exposes = (options: MpicPluginOptions): readonly string[] => {
      const { root } = board(options).service(INTERRUPTS).domainFor(device());
      return root.doorbells(device(), [0])[0]!.exposes;
    };
    expect(exposes({})).toEqual([]);
    expect(exposes({ version: 0x200 }).join()).toMatch(/GCR.*MSIRs of every bank/);
    const check = board().service(INTERRUPTS).senderCheck(device());
    expect(check.scope).toBe('page');
    expect(check.witness).toContain('msi0');
  });

  it('leaves nothing pending for the next owner', () => {
    const platform = board();
    const core = platform.service(INTERRUPTS);
    const block = core.domainFor(device()).allocate({ count: 1 });
    fire(platform, block, 0);
    block.free();
    core.domainFor(device(0x28)).allocate({ count: 1 });
    expect(platform.get(CPU_INTERFACE).acknowledge(0)).toBeNull();
  });

  it('refuses ranges that are not whole MSIRs', () => {
    expect(() => board({ banks: [{ bank: 0, ranges: [[1, 32]] }] })).toThrow(/not whole MSIRs/);
  });

  it('refuses to be a bank that the controller does not have', () => {
    expect(() => board({ banks: [{ bank: 3 }] })).toThrow(/none of the 3 banks/);
    expect(board({ version: 0x403, banks: [{ bank: 3 }] }).allNodes.at(-1)!.compatible).toBe('fsl,mpic-msi-v4.3');
  });

  it('of version 4.3 has 512 numbers that walk the MSIRs first', () => {
    const platform = board({ version: 0x403 });
    const core = platform.service(INTERRUPTS);
    const block = core.domainFor(device()).allocate({ count: 3, cpus: [0, 1] });
    expect(block.message(1)).toEqual({ addressHi: 0, addressLo: 0xfe04_4148, data: 1 });
    fire(platform, block, 1);
    expect(platform.get(CPU_INTERFACE).acknowledge(1)).toBe(msiInterrupt(225, 0));
  });
});

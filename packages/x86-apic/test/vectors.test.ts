import { describe, expect, it } from 'vitest';
import { device, machine } from './machine.js';

const nic = device(0x20);

describe('vectors of the local APICs', () => {
  it('compose messages in compatibility format: destination in 19:12, physical, fixed, edge', () => {
    const { core } = machine({ cpus: [0, 7] });
    const block = core.domainFor(nic).allocate({ count: 2, cpus: [0, 1] });
    // SDM vol. 3 §11.11: FEE, destination, RH = DM = 0; data is the vector alone.
    expect([block.message(0), block.message(1)]).toEqual([
      { addressHi: 0, addressLo: 0xfee0_0000, data: 0x31 },
      { addressHi: 0, addressLo: 0xfee0_7000, data: 0x31 },
    ]);
  });

  it('arrive in the IRR of the CPU that the message names, and are owned by their block', () => {
    const { core, cpu, fabric } = machine({ cpus: 3 });
    const block = core.domainFor(nic).allocate({ count: 3, cpus: [0, 1, 2] });
    for (const index of [0, 1, 2]) {
      const { addressHi, addressLo, data } = block.message(index);
      fabric.write32(nic.requester, addressHi, addressLo, data);
    }
    for (const index of [0, 1, 2]) {
      expect(cpu.pending(index)).toEqual([0x31]);
      expect(core.owner(index, 0x31)).toEqual({ block, index });
      expect(cpu.acknowledge(index)).toBe(0x31);
      cpu.end(index, 0x31);
      expect(cpu.acknowledge(index)).toBeNull();
    }
  });

  it('end at 206 per CPU, with the arithmetic and nothing changed', () => {
    const { core } = machine({ cpus: 2 });
    const free = core.digest();
    const all = core.domainFor(nic).allocate({ count: 412, cpus: [0, 1] });
    const full = core.digest();
    expect(() => core.domainFor(nic).allocate({ count: 2 })).toThrow(
      expect.objectContaining({
        code: 'IRQ_EXHAUSTED',
        details: expect.objectContaining({ needed: 2, available: 0 }) as unknown,
      }),
    );
    expect(core.digest()).toBe(full);
    all.free();
    expect(core.digest()).toBe(free);
    expect(() => core.domainFor(nic).allocate({ count: 207 })).toThrow(
      expect.objectContaining({ code: 'IRQ_EXHAUSTED' }),
    );
    expect(core.digest()).toBe(free);
  });

  it('of a multi-message block are one aligned run on one CPU, whatever the function may send', () => {
    const { core } = machine({ cpus: 2 });
    const free = core.digest();
    const block = core.domainFor(nic).allocate({ count: 5, contiguous: true, cpus: [0, 1] });
    const messages = [0, 1, 2, 3, 4].map((i) => block.message(i));
    expect(messages[0]!.data % 8).toBe(0);
    expect(messages.map((m) => m.data - messages[0]!.data)).toEqual([0, 1, 2, 3, 4]);
    expect(new Set(messages.map((m) => m.addressLo))).toEqual(new Set([0xfee0_0000]));
    // The function was given three bits of data: vectors 5 to 7 of the run stay free of others.
    const others = core.domainFor(device(0x28)).allocate({ count: 198 });
    const used = Array.from({ length: 198 }, (_, i) => others.message(i).data);
    expect(used.filter((v) => v >= messages[0]!.data && v < messages[0]!.data + 8)).toEqual([]);
    others.free();
    block.free();
    expect(core.digest()).toBe(free);
  });

  it('move to another CPU by a new message; a multi-message block moves whole and says so', () => {
    const { core } = machine({ cpus: 2 });
    const single = core.domainFor(nic).allocate({ count: 2 });
    const rewritten: number[] = [];
    single.owner = {
      canMask: true,
      maskAll: () => rewritten.push(0),
      rewrite: () => rewritten.push(1),
      unmaskAll: () => rewritten.push(2),
    };
    expect(single.setAffinity(1, 1)).toEqual({ messageChanged: true, alongWith: [] });
    expect(rewritten).toEqual([0, 1, 2]);
    expect([single.message(0).addressLo, single.message(1).addressLo]).toEqual([0xfee0_0000, 0xfee0_1000]);
    expect(single.cpus).toEqual([0, 1]);
    const run = core.domainFor(device(0x28)).allocate({ count: 4, contiguous: true });
    expect(run.setAffinity(2, 1).alongWith).toHaveLength(3);
    expect(run.cpus).toEqual([1, 1, 1, 1]);
    expect(core.owner(1, run.message(3).data)).toEqual({ block: run, index: 3 });
    expect(core.owner(0, 0x38)).toBeUndefined();
  });

  it('gives everything back when a move is called off', () => {
    const { core } = machine({ cpus: 2 });
    for (const contiguous of [false, true]) {
      const block = core.domainFor(nic).allocate({ count: 4, contiguous });
      const before = [core.digest(), block.message(2)];
      for (const commit of [false, true]) {
        const move = block.domain.root.prepareAffinity!(block, 2, 1);
        if (commit) move.commit();
        move.cancel();
        expect([core.digest(), block.message(2)]).toEqual(before);
        expect(core.owner(0, block.message(2).data)).toEqual({ block, index: 2 });
      }
      block.free();
    }
  });

  it('reach APIC ids of 8 bits without a remapping unit', () => {
    const { core } = machine({ cpus: [0, { id: 0x1234, x2apic: true }] });
    expect(() => core.domainFor(nic).allocate({ count: 1, cpus: [1] })).toThrow(
      expect.objectContaining({ code: 'DESTINATION_UNREACHABLE' }),
    );
    expect(() => core.domainFor(nic).allocate({ count: 1, cpus: [5] })).toThrow(
      expect.objectContaining({ code: 'NO_SUCH_CPU' }),
    );
  });

  it('say that nobody checks who sends them', () => {
    const { core, cpu, fabric } = machine();
    const block = core.domainFor(nic).allocate({ count: 1 });
    expect(core.senderCheck(nic)).toMatchObject({ scope: 'none' });
    fabric.write32(0x99, 0, block.message(0).addressLo, block.message(0).data);
    expect(cpu.pending(0)).toEqual([0x31]);
  });
});

describe('options', () => {
  it.each([
    [{ cpus: 0 }, 'no number of CPUs'],
    [{ cpus: [] }, 'neither'],
    [{ cpus: [1, 1] }, 'twice'],
    [{ cpus: [300] }, 'needs x2apic'],
    [{ cpus: [-1] }, 'no APIC id'],
  ])('%j is refused', (options, why) => {
    expect(() => machine(options)).toThrow(why);
  });
});

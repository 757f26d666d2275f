import { INTERRUPTS, type MsiBlock } from '@doorbell/irqchip';
import { IOMMU } from '@doorbell/iommu';
import { HardwareError, Platform, READ, WRITE, type Device } from '@doorbell/platform';
import { lapicState, qemuAvailable, startQ35, type QemuMachine } from '@doorbell/qemu';
import { apic } from '@doorbell/x86-apic';
import { vtd, type VtdDriver } from '@doorbell/x86-vtd';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EduPort } from './edu.js';

const qemu = qemuAvailable('x86_64');
if (!qemu.available) console.warn(`skipped: x86 drivers on QEMU: ${qemu.reason}`);

const KINDS = [
  ['48 bits', 'intel-iommu,intremap=on,aw-bits=48', 2 ** 48],
  ['39 bits', 'intel-iommu,intremap=on,aw-bits=39', 2 ** 39],
  ['caching mode', 'intel-iommu,intremap=on,aw-bits=48,caching-mode=on', 2 ** 48],
] as const;

/** The edu at 00:05.0, as the cores see it. */
const nic: Device = {
  name: '0000:00:05.0',
  kind: 'pci',
  segment: 0,
  requester: 0x28,
  aliases: [0x28],
  dmaBits: 64,
  isolation: { group: 0, isolated: true, witness: [] },
};

/** The drivers that run on our models, unchanged, on QEMU's devices. */
describe.skipIf(!qemu.available).each(KINDS)('x86 drivers on QEMU, %s', (_name, iommuDevice, apertureEnd) => {
  let machine: QemuMachine;
  let edu: EduPort;
  let platform: Platform;

  beforeAll(() => {
    machine = startQ35({ cpus: 2, iommu: iommuDevice, devices: ['edu,addr=5.0,dma_mask=0xffffffffffffffff'] });
    edu = new EduPort(machine.cpu, 5);
    const host = {
      name: 'pci0',
      compatible: 'test',
      iommuMap: [{ inputBase: 0, count: 65536, outputBase: 0, to: 'dmar0' }],
    };
    platform = new Platform({ machine })
      .use(apic({ cpus: 2 }), vtd.q35(), {
        name: 'host',
        apiVersion: 1,
        apply: ({ hooks }) =>
          hooks.block.tap('host', (n) => (n.compatible === 'test' ? { compatible: ['test'] } : undefined)),
      })
      .node(host)
      .compose();
  });
  afterAll(() => {
    machine.close();
  });

  const dma = (direction: 'read' | 'write', at: number) => edu.dma(direction, at);
  const fire = (block: MsiBlock) => edu.fire(block.message(0).addressLo, block.message(0).data);
  const driver = () => platform.driver('dmar0') as VtdDriver;

  it('reads what the unit is from its registers', () => {
    const { capabilities } = driver().dma;
    expect(capabilities.aperture.last).toBe(apertureEnd - 1);
    expect(capabilities.pageSizes).toEqual([4096, 2 ** 21, 2 ** 30]);
    expect(capabilities.flushOnMap).toBe(iommuDevice.includes('caching-mode=on'));
  });

  it('maps, translates, unmaps; faults are drained and interrupt through the unit’s own MSI', () => {
    const iommu = platform.service(IOMMU);
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [nic] });
    iommu.attach(nic, domain);
    const top = apertureEnd - 0x1000;
    domain.map(0x4000_0000, 0x20_0000, 0x2000, READ | WRITE);
    domain.map(top, 0x20_4000, 0x1000, READ | WRITE);
    domain.map(0x8000_0000, 0x40_0000, 0x20_0000, READ | WRITE); // one large page
    machine.memory.write32(0x20_0000, 0xcafe_f00d);
    dma('read', 0x4000_0000);
    for (const [iova, pa] of [
      [0x4000_1000, 0x20_1000],
      [top + 0x10, 0x20_4010],
      [0x8012_3000, 0x52_3000],
    ] as const) {
      dma('write', iova);
      expect(machine.memory.read32(pa)).toBe(0xcafe_f00d);
    }
    domain.unmap(0x4000_1000, 0x1000);
    machine.memory.write32(0x20_1000, 0);
    dma('write', 0x4000_1000);
    expect(machine.memory.read32(0x20_1000)).toBe(0);
    expect(iommu.faults()).toMatchObject([{ stream: 0x28, code: 5, addressLo: 0x4000_1000, write: true, device: nic }]);
    expect(iommu.faults()).toEqual([]);
    const core = platform.service(INTERRUPTS);
    expect(lapicState(machine, 0).requested.map((v) => core.owner(0, v)?.block.device.name)).toEqual(['dmar0']);

    const identity = iommu.createDomain({ type: 'identity' });
    iommu.move(nic, identity);
    dma('write', 0x20_1000);
    expect(machine.memory.read32(0x20_1000)).toBe(0xcafe_f00d);
    iommu.move(nic, domain);
    domain.map(0x4000_1000, 0x20_3000, 0x1000, READ | WRITE);
    dma('write', 0x4000_1000);
    expect(machine.memory.read32(0x20_3000)).toBe(0xcafe_f00d);
    iommu.detach(nic);
    machine.memory.write32(0x20_3000, 0);
    dma('write', 0x4000_1000);
    expect(machine.memory.read32(0x20_3000)).toBe(0);
    expect(iommu.faults()).toMatchObject([{ code: 2 }]);
  });

  it('delivers a remapped MSI, moves it without touching the device, and takes it away', () => {
    const core = platform.service(INTERRUPTS);
    const block = core.domainFor(nic).allocate({ count: 1, cpus: [1] });
    const message = block.message(0);
    fire(block);
    const [vector] = lapicState(machine, 1).requested;
    expect(core.owner(1, vector!)).toEqual({ block, index: 0 });
    expect(block.setAffinity(0, 0)).toEqual({ messageChanged: false, alongWith: [] });
    expect(block.message(0)).toEqual(message);
    fire(block);
    const mine = lapicState(machine, 0).requested.filter((v) => core.owner(0, v)?.block === block);
    expect(mine).toHaveLength(1);
    block.free();
    edu.again();
    expect(lapicState(machine, 1).requested).toEqual([vector]);
  });

  it('puts an unmap back when its invalidation is refused, and the queue goes on', () => {
    const iommu = platform.service(IOMMU);
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [nic] });
    iommu.attach(nic, domain);
    domain.map(0x1000, 0x20_5000, 0x1000, READ | WRITE);
    const arrives = () => {
      machine.memory.write32(0x20_5000, 0);
      dma('write', 0x1000);
      return machine.memory.read32(0x20_5000) === 0xcafe_f00d;
    };
    expect(arrives()).toBe(true);
    // A descriptor of an unknown type in front of the next batch.
    const queue = driver()['invalidation'] as unknown as { start(type: number): void; push(): void };
    queue.start(0xf);
    queue.push();
    expect(() => domain.unmap(0x1000, 0x1000)).toThrow(HardwareError);
    expect(arrives()).toBe(true);
    domain.unmap(0x1000, 0x1000);
    expect(arrives()).toBe(false);
    iommu.detach(nic);
  });
});

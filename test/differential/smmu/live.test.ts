import { INTERRUPTS } from '@doorbell/irqchip';
import { IOMMU } from '@doorbell/iommu';
import { gicv3, its } from '@doorbell/arm-gic';
import { smmuv3 } from '@doorbell/arm-smmuv3';
import { plainDevice } from '@doorbell/conformance';
import { definePlugin, Platform, READ, WRITE } from '@doorbell/platform';
import { acknowledged, qemuAvailable, startVirt, VIRT, type QemuMachine } from '@doorbell/qemu';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Edu } from '../../support/edu.js';

const qemu = qemuAvailable('aarch64');
if (!qemu.available) console.warn(`skipped: Arm drivers on QEMU: ${qemu.reason}`);

const all = (to: string) => [{ inputBase: 0, count: 65536, outputBase: 0, to }];
/** A host bridge without PCI: requester ids to the SMMU and the ITS as they are. */
const hostBridge = definePlugin('test-host', { compatible: ['test,host-bridge'] }, [
  { name: 'pci0', compatible: 'test,host-bridge', iommuMap: all('smmu0'), msiMap: all('its0') },
]);

/** The drivers that run on our models, unchanged, on QEMU's devices. */
describe.skipIf(!qemu.available)('Arm drivers on QEMU', () => {
  let machine: QemuMachine;
  let edu: Edu;
  let platform: Platform;
  const nic = plainDevice(4 << 3);

  beforeAll(() => {
    machine = startVirt({ devices: ['edu,dma_mask=0xffffffffffffffff,addr=4'] });
    edu = new Edu(machine.cpu, VIRT.ecam + (4 << 15), VIRT.bars);
    platform = new Platform({ machine }).use(gicv3({ cpus: 2 }), its(), smmuv3.virt(), hostBridge).compose();
  });
  afterAll(() => {
    machine.close();
  });

  it('translates DMA, delivers an MSI through the window, moves it, records faults', () => {
    const iommu = platform.service(IOMMU);
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [nic] });
    iommu.attach(nic, domain);
    domain.map(0x10_0000, VIRT.ram + 0x20_0000, 0x1000, READ | WRITE);
    const run = (direction: 'read' | 'write', at: number) => {
      edu.start(direction, at);
      machine.waitUntil('edu', () => !edu.busy);
    };
    machine.memory.write32(VIRT.ram + 0x20_0000, 0xcafef00d);
    run('read', 0x10_0000);
    run('write', 0x10_0800);
    expect(machine.memory.read32(VIRT.ram + 0x20_0800)).toBe(0xcafef00d);

    domain.reserveMsiWindow({ base: 0x800_0000, size: 0x10_0000 });
    const block = platform.service(INTERRUPTS).domainFor(nic).allocate({ count: 1 });
    const m = block.message(0);
    expect(m).toEqual({ addressHi: 0, addressLo: 0x800_0040, data: 0 });
    edu.enableMsi(m.addressLo, m.data);
    edu.raise();
    machine.waitUntil('the LPI on CPU 0', () => acknowledged(machine, 0).count === 1);
    expect(acknowledged(machine, 0).intids).toEqual([8192]);
    expect(block.setAffinity(0, 1).messageChanged).toBe(false);
    machine.cpu.write32(edu.bar + 0x64, 1);
    edu.raise();
    machine.waitUntil('the LPI on CPU 1', () => acknowledged(machine, 1).count === 1);
    expect(acknowledged(machine, 0).count).toBe(1);

    domain.unmap(0x10_0000, 0x1000);
    iommu.faults();
    run('write', 0x10_0000);
    expect(iommu.faults().map((f) => [f.name, f.stream, f.addressLo, f.write])).toEqual([
      ['F_TRANSLATION', 0x20, 0x10_0000, true],
    ]);
    block.free();
    expect(machine.cpu.read32(VIRT.its + 0x90)).toBe(machine.cpu.read32(VIRT.its + 0x88));
  });
});

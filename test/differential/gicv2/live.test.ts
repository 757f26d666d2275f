import { gicv2, gicv2m } from '@doorbell/arm-gic';
import { plainDevice } from '@doorbell/conformance';
import { INTERRUPTS, type MsiBlock } from '@doorbell/irqchip';
import { Platform } from '@doorbell/platform';
import { qemuAvailable, startVirt, VIRT, type QemuMachine } from '@doorbell/qemu';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Edu } from '../../support/edu.js';

const qemu = qemuAvailable('aarch64');
if (!qemu.available) console.warn(`skipped: the GICv2 driver on QEMU: ${qemu.reason}`);

const GICD = 0x0800_0000;
const GICC = 0x0801_0000;
const IAR = GICC + 0xc;
const EOIR = GICC + 0x10;
const SPURIOUS = 1023;

/** The drivers that run on our models, unchanged, on QEMU's GICv2 and its frame. With more than one CPU QEMU aborts: an access from outside has none. */
describe.skipIf(!qemu.available)('the GICv2 driver on QEMU', () => {
  let machine: QemuMachine;
  let edu: Edu;
  let platform: Platform;
  let block: MsiBlock;

  beforeAll(() => {
    machine = startVirt({ msi: 'gicv2m', smmu: false, cpus: 1, devices: ['edu,addr=4'] });
    edu = new Edu(machine.cpu, VIRT.ecam + (4 << 15), VIRT.bars);
    platform = new Platform({ machine }).use(gicv2(), gicv2m()).compose();
    block = platform
      .service(INTERRUPTS)
      .domainFor(plainDevice(4 << 3))
      .allocate({ count: 1 });
  });
  afterAll(() => {
    machine.close();
  });

  const raise = (): void => {
    machine.cpu.write32(edu.bar + 0x64, 1); // acknowledged at the function, so that the next is an edge
    edu.raise();
  };

  it('delivers the MSI of a function to CPU 0', () => {
    const m = block.message(0);
    expect(m).toEqual({ addressHi: 0, addressLo: VIRT.gicv2m + 0x40, data: 80 });
    edu.enableMsi(m.addressLo, m.data);
    raise();
    expect(machine.cpu.read32(IAR)).toBe(80);
    machine.cpu.write32(EOIR, 80);
    expect(machine.cpu.read32(IAR)).toBe(SPURIOUS);
  });

  it('masks and frees it', () => {
    block.mask(0);
    raise();
    expect(machine.cpu.read32(IAR)).toBe(SPURIOUS);
    block.unmask(0);
    expect(machine.cpu.read32(IAR)).toBe(80);
    machine.cpu.write32(EOIR, 80);
    block.free();
    raise();
    expect(machine.cpu.read32(IAR)).toBe(SPURIOUS);
  });

  it('reads as the model does, register by register', () => {
    const model = new Platform({ memory: [{ base: 0x4000_0000, size: 2 ** 28 }] }).use(gicv2(), gicv2m()).compose();
    const live = machine.cpu;
    const of = (cpu: { read32(at: number): number }) =>
      [0x0, 0x4, 0x80, 0x84, 0x104, 0x108, 0x180 + 8, 0x820, 0x850, 0xc08, 0xc14].map((at) => cpu.read32(GICD + at));
    model.bus.write32(GICD + 0x850, 0x0000_0101);
    live.write32(GICD + 0x850, 0x0000_0101);
    model.bus.write32(GICD + 0xc14, 2);
    live.write32(GICD + 0xc14, 2);
    expect(of(model.bus)).toEqual(of(live));
  });
});

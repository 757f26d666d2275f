import { INTERRUPTS, CPU_INTERFACE } from '@doorbell/irqchip';
import { IOMMU } from '@doorbell/iommu';
import { Platform, READ, WRITE, Verdict, type Device } from '@doorbell/platform';
import { expect, it } from 'vitest';
import { minimalIommu, minimalIrqchip } from '../src/index.js';
import { definePlugin } from '@doorbell/platform';

const device = (requester: number, group: number): Device => ({
  name: `d${requester}`,
  kind: 'pci',
  segment: 0,
  requester,
  aliases: [requester],
  dmaBits: 64,
  isolation: { group, isolated: true, witness: [] },
});

it('maps, translates, delivers', () => {
  const p = new Platform({ memory: [{ base: 0, size: 2 ** 28 }] })
    .use(minimalIommu(), minimalIrqchip(), definePlugin('h', { compatible: ['h'] }))
    .node(
      { name: 'iommu0', compatible: 'minimal,iommu', reg: [{ base: 0xf000_0000, size: 0x1000 }] },
      { name: 'bell0', compatible: 'minimal,irqchip', reg: [{ base: 0xf010_0000, size: 0x2000 }] },
      { name: 'pci0', compatible: 'h', iommuMap: [{ inputBase: 0, count: 65536, outputBase: 0, to: 'iommu0' }] },
    )
    .compose();
  const iommu = p.service(IOMMU);
  const a = device(0x20, 1);
  const domain = iommu.createDomain({ type: 'unmanaged', devices: [a] });
  iommu.attach(a, domain);
  domain.map(0x4000_0000, 0x10_0000, 0x3000, READ | WRITE);
  expect(p.fabric().write32(0x20, 0, 0x4000_1004, 7)).toBe(Verdict.translated);
  expect(p.memory.read32(0x10_1004)).toBe(7);
  const irq = p.service(INTERRUPTS);
  expect(() => irq.domainFor(a).allocate({ count: 2 })).toThrow(/MSI_WINDOW_MISSING|no window/);
  domain.reserveMsiWindow({ base: 0x800_0000, size: 0x1000 });
  expect(() => irq.domainFor(a).allocate({ count: 2 })).toThrow(/needed 2 page\(s\), free 1/);
  domain.reserveMsiWindow({ base: 0x800_0000, size: 0x2000 });
  const block = irq.domainFor(a).allocate({ count: 2, cpus: [0, 1] });
  const m = block.message(1);
  expect(m).toEqual({ addressHi: 0, addressLo: 0x800_1000, data: 1 });
  expect(p.fabric().write32(0x20, 0, m.addressLo, m.data)).toBe(Verdict.translated);
  expect(p.get(CPU_INTERFACE).pending(1)).toEqual([1]);
  expect(domain.unmap(0x4000_0000, 0x3000)).toBe(0x3000);
  expect(p.fabric().write32(0x20, 0, 0x4000_1004, 7)).toBe(Verdict.fault);
  expect(iommu.faults()[0]).toMatchObject({ stream: 0x20, name: 'NOT_MAPPED', addressLo: 0x4000_1004 });
});

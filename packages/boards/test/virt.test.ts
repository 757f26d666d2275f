import { INTERRUPTS, CPU_INTERFACE } from '@doorbell/irqchip';
import { IOMMU } from '@doorbell/iommu';
import { at, edu, PCI } from '@doorbell/pci';
import { Platform, READ, WRITE } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { virt, virtMemory, type VirtOptions } from '../src/virt.js';

describe.each<[string, VirtOptions, number]>([
  ['SMMU, ITS', {}, 0x800_0040],
  ['SMMU, v2m', { msi: 'gicv2m' }, 0x800_0040],
  ['no SMMU, ITS', { smmu: false }, 0x809_0040],
  ['no SMMU, v2m', { smmu: false, msi: 'gicv2m' }, 0x802_0040],
])('virt: %s', (_name, options, address) => {
  it('has edu at 00:04.0, whose MSI arrives', () => {
    const platform = new Platform({ memory: virtMemory() })
      .use(virt({ ...options, functions: [at('04.0', edu())] }))
      .compose();
    const fn = [...platform.service(PCI).functions].find((f) => f.requester === 0x20)!;
    if (options.smmu !== false) {
      const iommu = platform.service(IOMMU);
      const domain = iommu.createDomain({ type: 'unmanaged', devices: [fn] });
      iommu.attach(fn, domain);
      domain.map(0, 0x4000_0000, 0x1000, READ | WRITE);
      domain.reserveMsiWindow({ base: 0x800_0000, size: 0x10_0000 });
    }
    const block = platform
      .service(INTERRUPTS)
      .domainFor(fn)
      .allocate({ count: 1, cpus: [1] });
    const m = block.message(0);
    expect(m.addressLo).toBe(address);
    platform.fabric().write32(0x20, m.addressHi, m.addressLo, m.data);
    expect(platform.get(CPU_INTERFACE).acknowledge(1)).toBe(options.msi === 'gicv2m' ? 80 : 8192);
  });
});

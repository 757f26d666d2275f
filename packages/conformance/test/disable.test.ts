import { IOMMU } from '@doorbell/iommu';
import { PCI } from '@doorbell/pci';
import { immediate } from '@doorbell/platform';
import { expect, it } from 'vitest';
import { minimalPciPlatform } from '../src/index.js';
import type { MinimalIrqchip } from '../src/minimal/model/irqchip.js';

it('a function whose vectors the controller refuses to forget can be disabled again, then enabled', () => {
  const platform = minimalPciPlatform(immediate());
  const pci = platform.service(PCI);
  const iommu = platform.service(IOMMU);
  const fn = pci.get('00:01.0');
  const domain = iommu.createDomain({ type: 'unmanaged', devices: [fn] });
  domain.reserveMsiWindow({ base: 0x800_0000, size: 0x4000 });
  iommu.attach(fn, domain);
  const vectors = pci.enableMsixRange(fn, 4, 4);
  (platform.model('bell0') as MinimalIrqchip).refuseCommand(1);
  expect(() => pci.disable(fn)).toThrow(expect.objectContaining({ code: 'COMMAND_REFUSED' }) as Error);
  expect(vectors.live).toBe(false);
  expect(() => pci.enableMsixRange(fn, 4, 4)).toThrow(
    expect.objectContaining({ code: 'MSI_ALREADY_ENABLED' }) as Error,
  );
  pci.disable(fn);
  expect(pci.vectorsOf(fn)).toBeUndefined();
  expect(pci.enableMsixRange(fn, 4, 4).count).toBe(4);
});

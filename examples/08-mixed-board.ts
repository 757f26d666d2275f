// A board that mixes parts: an SMMUv3 in front of a GICv2m frame for some functions and an ITS for others. The client is the same.
import { gicv2m, gicv3, its } from '@doorbell/arm-gic';
import { smmuv3 } from '@doorbell/arm-smmuv3';
import { IOMMU } from '@doorbell/iommu';
import { at, PCI, pciHost, TEST_FIRE, testFunction } from '@doorbell/pci';
import { hex, Platform } from '@doorbell/platform';

const platform = new Platform({ name: 'mixed', memory: [{ base: 0x4000_0000, size: 2 ** 28 }] })
  .use(gicv3({ cpus: 2 }), its(), gicv2m({ base: 0x0b00_0000, baseSpi: 96, spis: 32 }), smmuv3())
  .use(
    pciHost(
      {
        ecam: { base: 0x40_1000_0000 },
        windows: [{ base: 0x1000_0000, size: 0x1000_0000 }],
        iommuMap: [{ inputBase: 0, count: 65536, outputBase: 0, to: 'smmu0' }],
        msiMap: [
          { inputBase: 0, count: 65536, outputBase: 0, to: 'its0' },
          { inputBase: 0x28, count: 8, outputBase: 0, to: 'v2m0' }, // 00:05.x
        ],
      },
      [at('04.0', testFunction({ msix: 2 })), at('05.0', testFunction({ msi: 2 }))],
    ),
  )
  .compose();
platform.hooks.delivered.tap('example', (d) =>
  console.log(`  ${d.controller}: INTID ${String(d['intid'])} at CPU ${String(d['cpu'])}`),
);

const [pci, iommu] = [platform.service(PCI), platform.service(IOMMU)];
for (const bdf of ['00:04.0', '00:05.0']) {
  const fn = pci.get(bdf);
  const domain = iommu.createDomain({ type: 'unmanaged', devices: [fn] });
  iommu.attach(fn, domain);
  const window = iommu.placeMsiWindow(domain, [fn]);
  const vectors = pci.allocateVectors(fn, { min: 2, max: 2 });
  const { addressLo, data } = vectors.message(1);
  console.log(
    `${fn.name}: ${vectors.kind}, window ${hex(window.range.first)}, vector 1 = ${hex(addressLo)} := ${hex(data)}`,
  );
  fn.bar(0).write32(TEST_FIRE.$.at, 1);
  console.log(`  ${iommu.msiIsolation(fn).witness.join('; ')}`);
}

// A platform of your own in 20 lines: parts from plugins, addresses from you, an interrupt that arrives.
import { IOMMU } from '@doorbell/iommu';
import { at, PCI, pciHost, TEST_FIRE, testFunction } from '@doorbell/pci';
import { Platform } from '@doorbell/platform';
import { apic } from '@doorbell/x86-apic';
import { vtd } from '@doorbell/x86-vtd';

const behind = (to: string) => [{ inputBase: 0, count: 65536, outputBase: 0, to }];
const platform = new Platform({ name: 'mine', memory: [{ base: 0, size: 2 ** 28 }] })
  .use(apic({ cpus: 4 }), vtd({ base: 0xfed0_0000, awBits: 39 }))
  .use(
    pciHost(
      {
        ecam: { base: 0xc000_0000, buses: 16 },
        windows: [{ base: 0xd000_0000, size: 0x800_0000 }],
        iommuMap: behind('dmar0'),
        msiMap: behind('apic'),
      },
      [at('03.0', testFunction({ msix: 8 }))],
    ),
  )
  .compose();
platform.hooks.delivered.tap('example', (d) => console.log('arrived:', JSON.stringify(d)));

const fn = platform.service(PCI).get('00:03.0');
const iommu = platform.service(IOMMU);
iommu.attach(fn, iommu.createDomain({ type: 'unmanaged', devices: [fn] }));
const vectors = platform.service(PCI).enableMsixRange(fn, 1, 8, { cpus: [0, 1, 2, 3] });
console.log(`${vectors.count} vectors; vector 5 is programmed with`, JSON.stringify(vectors.message(5)));
fn.bar(0).write32(TEST_FIRE.$.at, 5);

console.log(platform.describe().text);

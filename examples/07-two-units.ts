// Two SMMUs and two ITSs on one platform: who stands behind which is a matter of two maps on the host bridge.
import { gicv3, its } from '@doorbell/arm-gic';
import { smmuv3 } from '@doorbell/arm-smmuv3';
import { IOMMU } from '@doorbell/iommu';
import { at, PCI, pciHost, TEST_FIRE, testFunction } from '@doorbell/pci';
import { hex, Platform, READ, WRITE, type IdMapEntry } from '@doorbell/platform';

const map = (inputBase: number, count: number, outputBase: number, to: string): IdMapEntry => ({
  inputBase,
  count,
  outputBase,
  to,
});
const platform = new Platform({ memory: [{ base: 0x4000_0000, size: 2 ** 28 }] })
  .use(gicv3({ cpus: 2 }), its({ base: 0x0808_0000 }), smmuv3({ base: 0x0905_0000 }))
  .node(
    { name: 'its1', compatible: 'arm,gic-v3-its', reg: [{ base: 0x0a00_0000, size: 0x20000 }] },
    { name: 'smmu1', compatible: 'arm,smmu-v3', reg: [{ base: 0x0a10_0000, size: 0x20000 }] },
  )
  .use(
    pciHost(
      {
        ecam: { base: 0x40_1000_0000 },
        windows: [{ base: 0x1000_0000, size: 0x1000_0000 }],
        // 00:10.0 and up: the second pair, under other numbers. Later entries win.
        iommuMap: [map(0, 65536, 0, 'smmu0'), map(0x80, 0x80, 0x1000, 'smmu1')],
        msiMap: [map(0, 65536, 0, 'its0'), map(0x80, 0x80, 0x2000, 'its1')],
      },
      [at('04.0', testFunction({ msix: 1 })), at('10.0', testFunction({ msix: 1 }))],
    ),
  )
  .compose();

const [pci, iommu] = [platform.service(PCI), platform.service(IOMMU)];
const both = [pci.get('00:04.0'), pci.get('00:10.0')];
platform.hooks.delivered.tap('example', (d) =>
  console.log(
    `  arrived at ${String(d['doorbell'])} from DeviceID ${hex(Number(d['deviceId']))} as INTID ${String(d['intid'])}`,
  ),
);

// One domain for both: it has what the two units have in common, and both see the same tables.
const domain = iommu.createDomain({ type: 'unmanaged', devices: both, name: 'shared' });
for (const fn of both) iommu.attach(fn, domain);
domain.map(0x10_0000, 0x4800_0000, 0x1000, READ | WRITE);
console.log(`units of the domain: ${[...domain.units.keys()].map((u) => u.name).join(', ')}`);
console.log(`doorbell pages: ${iommu.msiDemand(both, domain).pages}`);
iommu.placeMsiWindow(domain, both);
for (const fn of both) {
  const { addressLo } = pci.enableMsixRange(fn, 1, 1).message(0);
  console.log(
    `${fn.name}: stream ${iommu.streamsOf(fn).map(hex).join()} of ${iommu.unitOf(fn)!.name}, programmed with ${hex(addressLo)}`,
  );
  fn.bar(0).write32(TEST_FIRE.$.at, 0);
}

// How large a window has to be, where it can lie, and what happens when it is too small: known before anything is enabled.
import { gicv3, its } from '@doorbell/arm-gic';
import { smmuv3 } from '@doorbell/arm-smmuv3';
import { IOMMU } from '@doorbell/iommu';
import { at, PCI, pciHost, testFunction } from '@doorbell/pci';
import { DoorbellError, hex, Platform, READ, WRITE, type IdMapEntry, type PlatformNode } from '@doorbell/platform';

const second: PlatformNode = {
  name: 'its1',
  compatible: 'arm,gic-v3-its',
  reg: [{ base: 0x0a00_0000, size: 0x20000 }],
};
const ids = (inputBase: number, count: number, to: string): IdMapEntry => ({
  inputBase,
  count,
  outputBase: inputBase,
  to,
});
const platform = new Platform({ memory: [{ base: 0x4000_0000, size: 2 ** 28 }] })
  .use(gicv3({ cpus: 2 }), its(), smmuv3())
  .use(
    pciHost(
      {
        ecam: { base: 0x40_1000_0000 },
        windows: [{ base: 0x1000_0000, size: 0x1000_0000 }],
        iommuMap: [ids(0, 65536, 'smmu0')],
        msiMap: [ids(0, 65536, 'its0'), ids(0x28, 1, 'its1')], // 00:05.0 sends its MSIs to another ITS
      },
      [at('04.0', testFunction({ msix: 4 })), at('05.0', testFunction({ msix: 4 }))],
    ),
  )
  .node(second)
  .compose();

const [pci, iommu] = [platform.service(PCI), platform.service(IOMMU)];
const both = [pci.get('00:04.0'), pci.get('00:05.0')];
const domain = iommu.createDomain({ type: 'unmanaged', devices: both, name: 'guest' });
for (const fn of both) iommu.attach(fn, domain);
domain.map(0x800_0000, 0x4010_0000, 0x2000, READ | WRITE); // a buffer, where Linux would put the window

const { pages, granule, bytes, doorbells } = iommu.msiDemand(both, domain);
console.log(`needed: ${pages} pages of ${granule} bytes = ${hex(bytes)} for`);
for (const d of doorbells) console.log(`  ${d.name} at ${hex(d.address)}, page ${hex(d.page)}`);

const attempt = (what: string, body: () => unknown): void => {
  try {
    body();
    console.log(`${what}: fine`);
  } catch (error) {
    if (!(error instanceof DoorbellError)) throw error;
    console.log(`${what}: ${error.code}\n  ${error.message}`);
  }
};
attempt('no window at all', () => pci.enableMsixRange(both[0]!, 4, 4));
attempt('a window on the buffer', () => domain.reserveMsiWindow({ base: 0x800_0000, size: 0x1000 }));
attempt('a window of one page', () => domain.reserveMsiWindow({ base: 0x900_0000, size: 0x1000 }));
attempt('00:04.0 takes that page', () => pci.enableMsixRange(both[0]!, 4, 4));
attempt('00:05.0 needs another', () => pci.enableMsixRange(both[1]!, 4, 4));
attempt('the window grows under live interrupts', () => domain.reserveMsiWindow({ base: 0x900_0000, size: 0x2000 }));
attempt('00:05.0 again', () => pci.enableMsixRange(both[1]!, 4, 4));
attempt('the buffer’s owner maps more', () => domain.map(0x900_0000, 0x4020_0000, 0x1000, READ));
for (const fn of both) console.log(`${fn.name} is programmed with ${hex(pci.vectorsOf(fn)!.message(0).addressLo)}`);

const other = iommu.createDomain({ type: 'unmanaged', devices: both, name: 'elsewhere' });
other.map(0x800_0000, 0x4010_0000, 0x2000, READ | WRITE);
const placed = iommu.placeMsiWindow(other, both);
console.log(`placeMsiWindow() finds ${hex(placed.range.first)}, ${hex(placed.size)} bytes, beside the buffer`);

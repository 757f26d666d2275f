// A device moves to another domain while its interrupts go on. What can be proved is proved first; an MSI on the way is never lost.
import { virt, virtMemory } from '@doorbell/boards';
import { IOMMU } from '@doorbell/iommu';
import { at, PCI, TEST_FIRE, testFunction } from '@doorbell/pci';
import { DoorbellError, hex, Platform } from '@doorbell/platform';

const platform = new Platform({ memory: virtMemory() })
  .use(virt({ functions: [at('04.0', testFunction({ msix: 2 })), at('05.0', testFunction({ msi: 1 }))] }))
  .compose();
const [pci, iommu] = [platform.service(PCI), platform.service(IOMMU)];
let arrived = 0;
platform.hooks.delivered.tap('example', () => void arrived++);

const domainWith = (name: string, base: number | null, ...bdfs: string[]) => {
  const domain = iommu.createDomain({ type: 'unmanaged', devices: bdfs.map((b) => pci.get(b)), name });
  if (base !== null) domain.reserveMsiWindow({ base, size: 0x1000 });
  return domain;
};
const fn = pci.get('00:04.0');
const home = domainWith('home', 0x800_0000, '00:04.0');
iommu.attach(fn, home);
const vectors = pci.enableMsixRange(fn, 2, 2);
const show = (when: string): void => {
  arrived = 0;
  fn.bar(0).write32(TEST_FIRE.$.at, 0);
  fn.bar(0).write32(TEST_FIRE.$.at, 1);
  console.log(
    `${when}: in ${iommu.domainOf(fn).name}, programmed with ${hex(vectors.message(0).addressLo)}, ${arrived} of 2 arrived`,
  );
};
const move = (device: typeof fn, to: ReturnType<typeof domainWith>): void => {
  try {
    iommu.move(device, to);
  } catch (error) {
    if (!(error instanceof DoorbellError)) throw error;
    console.log(`refused: ${error.code}: ${error.message}`);
  }
};

show('at first');
move(fn, domainWith('same window', 0x800_0000, '00:04.0'));
show('window at the same place');
move(fn, domainWith('other window', 0xa00_0000, '00:04.0'));
show('window elsewhere (masked, rewritten, unmasked)');
move(fn, domainWith('bare', null, '00:04.0'));
show('still');

// Plain MSI has one address and nothing to hold it back with: between address and data it could go astray.
const plain = pci.get('00:05.0');
iommu.attach(plain, domainWith('plain home', 0x800_0000, '00:05.0'));
pci.enableMsiRange(plain, 1, 1);
move(plain, domainWith('plain elsewhere', 0xa00_0000, '00:05.0'));
move(plain, domainWith('plain, same window', 0x800_0000, '00:05.0'));
console.log(`${plain.name} is in ${iommu.domainOf(plain).name}`);

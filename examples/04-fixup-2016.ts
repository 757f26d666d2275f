// The same client twice. 2016: the passthrough driver maps the doorbell itself and rewrites the message that somebody else composed.
// Transparent: the domain has a window, and the message comes out right.
import { virt, virtMemory } from '@doorbell/boards';
import { IOMMU } from '@doorbell/iommu';
import { at, PCI, TEST_FIRE, testFunction } from '@doorbell/pci';
import { hex, Platform, WRITE, type Delivery } from '@doorbell/platform';

const functions = [at('04.0', testFunction({ msix: 2 }))];
let arrived: Delivery | null = null;

function build() {
  const platform = new Platform({ memory: virtMemory() }).use(virt({ functions })).compose();
  platform.hooks.delivered.tap('example', (d) => void (arrived = d));
  const [pci, iommu] = [platform.service(PCI), platform.service(IOMMU)];
  const fn = pci.get('00:04.0');
  const domain = iommu.createDomain({ type: 'unmanaged', devices: [fn] });
  iommu.attach(fn, domain);
  return { pci, iommu, fn, domain };
}

/** MSI-X table: 16 bytes per entry, address first. Where it lies is for the driver to find out. */
const TABLE_BAR = 4;

function fixUp(): void {
  const { pci, iommu, fn, domain } = build();
  // 1. The core must not know: a window at the wrong place stands for "message composed with the physical address".
  iommu.placeMsiWindow(domain, [fn]);
  const vectors = pci.enableMsixRange(fn, 2, 2);
  // 2. The client has to know which irqchip there is, where its doorbell lies, and that it takes a whole page.
  const doorbell = 0x0809_0040;
  const page = doorbell - (doorbell % 0x1000);
  // 3. It takes an IOVA that it hopes nobody else uses, and maps the page by hand, as device memory.
  const iova = 0x9_9000;
  domain.map(iova, page, 0x1000, WRITE);
  // 4. And it patches the function's table behind the PCI core's back: once per vector, and again after every affinity change, reset or resume.
  for (let i = 0; i < vectors.count; i++) {
    fn.bar(TABLE_BAR).write32(16 * i, iova + (doorbell % 0x1000));
    fn.bar(TABLE_BAR).write32(16 * i + 4, 0);
  }
  fn.bar(0).write32(TEST_FIRE.$.at, 1);
  console.log(`2016 fix-up: 7 statements about MSI addresses; the function holds ${hex(vectors.message(1).addressLo)}`);
  console.log(`  arrived: ${JSON.stringify(arrived)}`);
  // 5. What it cannot do: the domain does not know what that page is for, so the client can unmap it, and the next interrupt is lost.
  arrived = null;
  domain.unmap(iova, 0x1000);
  fn.bar(0).write32(TEST_FIRE.$.at, 1);
  console.log(`  after an unmap by mistake: ${arrived === null ? 'lost, and nobody was told' : 'arrived'}`);
}

function transparent(): void {
  const { pci, iommu, fn, domain } = build();
  const window = iommu.placeMsiWindow(domain, [fn]);
  const vectors = pci.enableMsixRange(fn, 2, 2);
  fn.bar(0).write32(TEST_FIRE.$.at, 1);
  console.log(`transparent: 1 statement, the window; the function holds ${hex(vectors.message(1).addressLo)}`);
  console.log(`  arrived: ${JSON.stringify(arrived)}`);
  try {
    domain.unmap(window.range.first, 0x1000);
  } catch (error) {
    console.log(`  after an unmap by mistake: ${(error as Error).message}`);
  }
}

fixUp();
transparent();

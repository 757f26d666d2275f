// A PCI function of your own: a random number generator that fills a buffer by DMA and says so by MSI-X. Driver included.
import { virt, virtMemory } from '@doorbell/boards';
import { IOMMU } from '@doorbell/iommu';
import { at, definePciFunction, PCI } from '@doorbell/pci';
import { Platform, WRITE } from '@doorbell/platform';

const ADDRESS = 0x00; // u64: where to write
const COUNT = 0x08; // u32: bytes, starts the work
const DONE = 0; // vector

const dice = definePciFunction({
  name: 'dice',
  vendor: 0x1b36,
  device: 0x0d1c,
  classCode: 0xff0000,
  bars: { 0: { size: 4096 } },
  msix: { vectors: 1 },
  create(port) {
    const lane = port.clock.lane(); // work takes (virtual) time, and completes in order
    let [hi, lo, seed] = [0, 0, 1];
    const roll = (count: number): void => {
      const bytes = new Uint8Array(count);
      for (let i = 0; i < count; i++)
        bytes[i] = 1 + (((seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) >>> 16) % 6);
      port.dma.write(hi, lo, bytes); // a real request: the IOMMU sees it
      port.fire(DONE);
    };
    return {
      bars: {
        0: {
          read: (offset) => (offset === ADDRESS ? lo : offset === ADDRESS + 4 ? hi : 0),
          write: (offset, _size, value) => {
            if (offset === ADDRESS) lo = value;
            else if (offset === ADDRESS + 4) hi = value;
            else if (offset === COUNT) lane.run(() => roll(Math.min(value, 4096)));
          },
        },
      },
      // State that belongs to snapshots.
      snapshot: () => [hi, lo, seed],
      restore: (s) => void ([hi, lo, seed] = s as [number, number, number]),
    };
  },
});

const platform = new Platform({ memory: virtMemory() }).use(virt({ functions: [at('04.0', dice)] })).compose();
let interrupts = 0;
platform.hooks.delivered.tap('example', () => void interrupts++);

// The driver: it sees a PCI function, a domain and RAM, nothing of the above.
const [pci, iommu] = [platform.service(PCI), platform.service(IOMMU)];
const fn = pci.get('00:04.0');
const domain = iommu.createDomain({ type: 'dma', devices: [fn] });
iommu.attach(fn, domain);
iommu.placeMsiWindow(domain, [fn]);
pci.enableMsixRange(fn, 1, 1);
const buffer = 0x4010_0000;
const iova = domain.dmaMap(buffer, 4096, WRITE);

const bar = fn.bar(0);
bar.write64(ADDRESS, Math.floor(iova / 2 ** 32), iova >>> 0);
bar.write32(COUNT, 16);
platform.waitUntil('the dice', () => interrupts > 0);
const rolled = new Uint8Array(16);
platform.memory.readBytes(buffer, rolled);
console.log(`rolled ${rolled.join(' ')}; ${interrupts} interrupt`);

domain.dmaUnmap(iova, 4096);
bar.write32(COUNT, 16);
platform.settle();
const [fault] = iommu.faults();
console.log(`after dmaUnmap: ${fault!.name} for ${fault!.device!.name}`);

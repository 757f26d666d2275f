// A device that is no PCI function: registers on the bus, stream ids of its own at the SMMU, MSIs through the ITS.
import { virt, virtMemory } from '@doorbell/boards';
import { IOMMU } from '@doorbell/iommu';
import { INTERRUPTS } from '@doorbell/irqchip';
import {
  definePlugin,
  hex,
  Platform,
  READ,
  Software,
  token,
  WRITE,
  type Device,
  type RegisterPort,
} from '@doorbell/platform';

/** Its requests travel on a segment of their own, where 0 is its only id. */
const SEGMENT = 7;
const FROM = 0x00; // u32: source IOVA
const TO = 0x04; // u32: target IOVA
const COPY = 0x08; // u32: bytes, starts
const BELL = 0x0c; // u32 × 2: message address and data
const DRIVER = token<CopyDriver>('example:copy-engine');

class CopyDriver {
  constructor(
    readonly device: Device,
    readonly registers: RegisterPort,
  ) {}
}

const copyEngine = definePlugin(
  'copy-engine',
  {
    compatible: ['example,copy-engine'],
    model: {
      create: ({ node, host }) => {
        const fabric = host.fabric(SEGMENT);
        const words = new Uint32Array(5);
        const copy = (size: number): void => {
          const bytes = new Uint8Array(size);
          fabric.read(0, 0, words[FROM / 4]!, bytes);
          fabric.write(0, 0, words[TO / 4]!, bytes);
          fabric.write32(0, 0, words[BELL / 4]!, words[BELL / 4 + 1]!); // the MSI is one more write
        };
        const lane = host.clock.lane();
        return {
          regions: [
            {
              name: node.name,
              ...node.reg![0]!,
              read: (offset: number) => words[offset >>> 2] ?? 0,
              write: (offset: number, _size: number, value: number) => {
                if (offset === COPY) lane.run(() => copy(value));
                else words[offset >>> 2] = value;
              },
            },
          ],
        };
      },
    },
    driver: {
      provides: [DRIVER],
      create: (ctx) => {
        // The core packages know it by this; its streams come from the node's maps.
        const device: Device = {
          name: ctx.node.name,
          kind: 'platform',
          segment: SEGMENT,
          requester: 0,
          aliases: [0],
          dmaBits: 32,
          isolation: { group: 1000, isolated: true, witness: ['alone on its port'] },
        };
        ctx.host.hooks.composed.tap('copy-engine', () => ctx.host.hooks.deviceAdded.call(device));
        const driver = new CopyDriver(device, ctx.resolve(Software.registers));
        ctx.provide(DRIVER, driver);
        return driver;
      },
    },
  },
  [
    {
      name: 'copy0',
      compatible: 'example,copy-engine',
      reg: [{ base: 0x0c00_0000, size: 0x1000 }],
      segment: SEGMENT,
      iommuMap: [{ inputBase: 0, count: 1, outputBase: 0x1234, to: 'smmu0' }],
      msiMap: [{ inputBase: 0, count: 1, outputBase: 0x4321, to: 'its0' }],
    },
  ],
);

const platform = new Platform({ memory: virtMemory() }).use(virt(), copyEngine).compose();
platform.hooks.delivered.tap('example', (d) => console.log(`arrived: ${JSON.stringify(d)}`));
const iommu = platform.service(IOMMU);
const { device, registers } = platform.get(DRIVER);

const domain = iommu.createDomain({ type: 'unmanaged', devices: [device] });
iommu.attach(device, domain);
iommu.placeMsiWindow(domain, [device]);
console.log(`${device.name}: stream ${iommu.streamsOf(device).map(hex).join()} of ${iommu.unitOf(device)!.name}`);

// What the PCI core does for functions, its own driver does here: allocate, and program the message.
const { addressLo, data } = platform.service(INTERRUPTS).domainFor(device).allocate({ count: 1 }).message(0);
registers.write32(BELL, addressLo);
registers.write32(BELL + 4, data);
console.log(`programmed with ${hex(addressLo)} := ${hex(data)}`);

domain.map(0x10_0000, 0x4010_0000, 0x1000, READ);
domain.map(0x20_0000, 0x4020_0000, 0x1000, WRITE);
platform.memory.write32(0x4010_0000, 0xcafe);
registers.write32(FROM, 0x10_0000);
registers.write32(TO, 0x20_0000);
registers.write32(COPY, 4);
platform.settle();
console.log(`copied: ${hex(platform.memory.read32(0x4020_0000))}`);

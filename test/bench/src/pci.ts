import { definePlugin, Platform, type Model } from '@doorbell/platform';
import { INTERRUPTS, type MsiBlock, type Prepared, type RootLevel } from '@doorbell/irqchip';
import { at, PCI, pciHost, PCI_HARDWARE, rootPort, testFunction } from '@doorbell/pci';
import type { Suite } from './harness.js';

/** The least that takes messages: a register that counts, and numbers without end. */
const DOORBELL = 0xfee0_0000;
let delivered = 0;
const region = {
  name: 'doorbell',
  base: DOORBELL,
  size: 4096,
  read: () => 0,
  write: (_: number, __: number, value: number) => void (delivered += value & 1),
};
const root: RootLevel<number> = {
  name: 'root',
  cpus: [0],
  doorbells: () => [{ address: DOORBELL, name: 'doorbell', exposes: [] }],
  prepare: ({ count }): Prepared<number> => ({
    targets: Array.from({ length: count }, (_, i) => i),
    commit: () => undefined,
    release: () => undefined,
    cancel: () => undefined,
  }),
  compose: (_, block: MsiBlock, index) => ({
    addressHi: 0,
    addressLo: DOORBELL,
    data: block.share<Prepared<number>>(root).targets[index]!,
  }),
  owner: () => undefined,
  senderCheck: () => ({ scope: 'none', witness: 'nobody looks' }),
};

const platform = new Platform({ memory: [{ base: 0, size: 2 ** 26 }] })
  .use(
    definePlugin(
      'root',
      {
        compatible: ['bench,root'],
        model: { create: (): Model => ({ regions: [region] }) },
        driver: { create: (context) => (context.service(INTERRUPTS).addRoot('root', root), {}) },
      },
      [{ name: 'root', compatible: 'bench,root', reg: [{ base: DOORBELL, size: 4096 }] }],
    ),
    pciHost({ ecam: { base: 0xb000_0000 }, windows: [{ base: 0xe000_0000, size: 0x1000_0000 }] }, [
      at('01.0', rootPort([at('00.0', testFunction({ msix: 2048 }))], { acs: true })),
    ]),
  )
  .compose();
const pci = platform.service(PCI);
const device = pci.get('01:00.0');
const hardware = platform.hardwareService(PCI_HARDWARE).host(0)!.find(device.requester)!;
let vectors = pci.enableMsixRange(device, 2048, 2048);

export const pciSuites: Suite[] = [
  {
    name: 'pci: MSI write',
    workload:
      'the next of 2,048 MSI-X vectors of a function below a root port; one operation is an event until the doorbell register has its message; no translation unit',
    baseline: {
      name: 'a device write to the doorbell register',
      run: (n) => {
        for (let i = 0; i < n; i++) platform.bus.deviceWrite32(DOORBELL, i & 2047, 0x100);
        return delivered;
      },
    },
    rows: [
      {
        name: 'function.fire(vector)',
        run: (n) => {
          for (let i = 0; i < n; i++) hardware.fire(i & 2047);
          return delivered;
        },
      },
    ],
    budget: { ns: 100 },
  },
  {
    name: 'pci: enable and disable MSI-X',
    workload: '2,048 vectors allocated, composed, programmed, read back, and turned off; one operation is one vector',
    baseline: {
      name: 'four writes to the table through the bus',
      per: 2048,
      run: (n) => {
        const table = device.bar(4).address;
        for (let i = 0; i < n; i++)
          for (let w = 0; w < 4 * 2048; w++)
            platform.bus.write32(table + 4 * w, w % 4 === 3 ? 1 : w % 4 === 0 ? DOORBELL : 0);
        return platform.bus.read32(table);
      },
    },
    rows: [
      {
        name: 'enableMsixRange(2048, 2048), free()',
        per: 2048,
        run: (n) => {
          let sum = 0;
          for (let i = 0; i < n; i++) {
            vectors.free();
            vectors = pci.enableMsixRange(device, 2048, 2048);
            sum += vectors.count;
          }
          return sum;
        },
      },
    ],
  },
];

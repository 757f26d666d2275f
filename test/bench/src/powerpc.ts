import { IOMMU } from '@doorbell/iommu';
import { CPU_INTERFACE, INTERRUPTS } from '@doorbell/irqchip';
import { definePlugin, newOutcome, newRequest, Platform, READ, WRITE, type Device } from '@doorbell/platform';
import { mpic } from '@doorbell/powerpc-mpic';
import { pamu, type Pamu } from '@doorbell/powerpc-pamu';
import type { Suite } from './harness.js';

const MIB = 2 ** 20;
const SLOT = MIB;
const platform = new Platform({ memory: [{ base: 0, size: 512 * MIB }] })
  .use(
    mpic({ banks: 1 }),
    pamu({ geometry: { base: 0, size: 256 * SLOT, count: 256 } }),
    definePlugin('bench-host', { compatible: ['bench,host'] }, [
      {
        name: 'pci0',
        compatible: 'bench,host',
        iommuMap: [{ inputBase: 0, count: 65536, outputBase: 193, to: 'pamu0', shared: true }],
      },
    ]),
  )
  .compose();
const device: Device = {
  name: 'bench',
  kind: 'pci',
  segment: 0,
  requester: 0x20,
  aliases: [0x20],
  dmaBits: 64,
  isolation: { group: 1, isolated: true, witness: [] },
};
const iommu = platform.service(IOMMU);
const domain = iommu.createDomain({ type: 'unmanaged', devices: [device] });
iommu.attach(device, domain);
domain.reserveMsiWindow({ base: 128 * SLOT, size: 4096 });
for (let i = 0; i < 64; i++) domain.map(i * SLOT, (64 - i) * SLOT, SLOT, READ | WRITE);
const message = platform.service(INTERRUPTS).domainFor(device).allocate({ count: 1 }).message(0);
const cpu = platform.get(CPU_INTERFACE);
const fabric = platform.fabric();
const unit = platform.model('pamu0') as Pamu;
const request = { ...newRequest(), requester: 0x20, stream: 193, access: WRITE };
const out = newOutcome();

const table = new Float64Array(64).map((_, i) => i * 4096);
const bare = (n: number): number => {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += table[i & 63]! + 4;
  return sum;
};

export const powerpcSuites: Suite[] = [
  {
    name: 'PAMU: translate',
    workload:
      'translate() of a write, 64 sub-windows of 1 MiB in turn: primary and secondary PAACE are read from memory each time',
    baseline: { name: 'a bare Float64Array', run: bare },
    rows: [
      {
        name: 'translate',
        run: (n) => {
          let sum = 0;
          for (let i = 0; i < n; i++) {
            request.lo = (i & 63) * SLOT;
            unit.translate(request, out);
            sum += out.pa;
          }
          return sum;
        },
      },
    ],
  },
  {
    name: 'PAMU + MPIC: MSI',
    workload:
      'a function writes its message; PAMU, MSIIR, MSIR, source pending; the CPU acknowledges, reads MSIR, ends',
    baseline: { name: 'a bare Float64Array', run: bare },
    rows: [
      {
        name: 'write to end',
        run: (n) => {
          let sum = 0;
          for (let i = 0; i < n; i++) {
            fabric.write32(0x20, message.addressHi, message.addressLo, message.data);
            const number = cpu.acknowledge(0) ?? 0;
            cpu.end(0, number);
            sum += number;
          }
          return sum;
        },
      },
      {
        name: 'write to MSIR',
        run: (n) => {
          for (let i = 0; i < n; i++) fabric.write32(0x20, message.addressHi, message.addressLo, message.data);
          return n;
        },
      },
    ],
  },
];

import { gicv3, its } from '@doorbell/arm-gic';
import { smmuv3, type Smmu } from '@doorbell/arm-smmuv3';
import { IOMMU } from '@doorbell/iommu';
import { CPU_INTERFACE, INTERRUPTS } from '@doorbell/irqchip';
import { definePlugin, newOutcome, newRequest, Platform, READ, WRITE, type Device } from '@doorbell/platform';
import type { Suite } from './harness.js';

const MIB = 2 ** 20;
const RAM = 0x4000_0000;
const all = (to: string) => [{ inputBase: 0, count: 65536, outputBase: 0, to }];
const platform = new Platform({ memory: [{ base: RAM, size: 512 * MIB }] })
  .use(
    gicv3(),
    its(),
    smmuv3.virt(),
    definePlugin('bench-host', { compatible: ['bench,host'] }, [
      { name: 'pci0', compatible: 'bench,host', iommuMap: all('smmu0'), msiMap: all('its0') },
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
domain.reserveMsiWindow({ base: 0x800_0000, size: MIB });
const PAGES = 8192;
const BASE = 0x1_0000_0000;
// one page at a time, physically backwards: pages stay pages
for (let i = 0; i < PAGES; i++) domain.map(BASE + i * 4096, RAM + (PAGES - 1 - i) * 4096, 4096, READ | WRITE);
const message = platform.service(INTERRUPTS).domainFor(device).allocate({ count: 1 }).message(0);
const cpu = platform.get(CPU_INTERFACE);
const fabric = platform.fabric();
const smmu = platform.model('smmu0') as Smmu;
const request = { ...newRequest(), requester: 0x20, stream: 0x20, hi: 1, access: WRITE };
const out = newOutcome();

const translate = (n: number, mask: number): number => {
  let sum = 0;
  for (let i = 0; i < n; i++) {
    request.lo = (i & mask) << 12;
    smmu.translate(request, out);
    sum += out.pa;
  }
  return sum;
};
const table = new Float64Array(64).map((_, i) => RAM + i * 4096);
const bare = (n: number): number => {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += table[i & 63]! + 4;
  return sum;
};

const lazy = iommu.createDomain({ type: 'unmanaged', devices: [device], flush: 'lazy' });
const mapAndUnmap = (target: typeof domain, base: number, pages: number, slots: number) => (n: number) => {
  for (let i = 0; i < n; i++) {
    const iova = base + 4096 * (i & (slots - 1));
    target.map(iova, RAM + 0x5000, pages * 4096, READ | WRITE);
    target.unmap(iova, pages * 4096);
  }
  return n;
};

/** The same 8,192 pages through a guest's stage 1: its tables identity-mapped in stage 2 with pages, as is what they lead to. */
const nesting = new Platform({ memory: [{ base: RAM, size: 512 * MIB }] })
  .use(
    gicv3(),
    its(),
    smmuv3.virt({ stages: 'both', stage: 2 }),
    definePlugin('bench-host', { compatible: ['bench,host'] }, [
      { name: 'pci0', compatible: 'bench,host', iommuMap: all('smmu0'), msiMap: all('its0') },
    ]),
  )
  .compose();
const nestedUnit = nesting.model('smmu0') as Smmu;
{
  const { memory } = nesting;
  const core = nesting.service(IOMMU);
  const parent = core.createDomain({ type: 'unmanaged', devices: [device] });
  core.attach(device, parent);
  // one page at a time, and nothing one to one: pages stay pages
  for (let i = 0; i < 2 * PAGES; i++)
    parent.map(0x8000_0000 + i * 4096, RAM + (2 * PAGES - 1 - i) * 4096, 4096, READ | WRITE);
  const write = (ipa: number, hi: number, lo: number) =>
    memory.write64(RAM + (2 * PAGES - 1) * 4096 - (ipa - 0x8000_0000 - (ipa % 4096)) + (ipa % 4096), hi, lo >>> 0);
  const cd = 0x8000_0000;
  const tables = cd + 0x1000;
  write(cd, 0x0001_6205, 0xc000_0010); // T0SZ 16, EPD1, V; IPS 5, AA64, R, A, ASID 1
  write(cd + 8, 0, tables);
  write(tables, 0, (tables + 0x1000) | 3);
  write(tables + 0x1000 + 8 * 4, 0, (tables + 0x2000) | 3); // 0x1_0000_0000
  for (let i = 0; i < PAGES / 512; i++) write(tables + 0x2000 + 8 * i, 0, (tables + 0x3000 + 4096 * i) | 3);
  for (let i = 0; i < PAGES; i++) write(tables + 0x3000 + 8 * i, 0, (0x8000_0000 + (PAGES + i) * 4096) | 0xc43);
  const guest = core.createDomain({ type: 'nested', parent, guest: { tables: cd } });
  core.move(device, guest);
}
const nestedTranslate = (n: number, mask: number): number => {
  let sum = 0;
  for (let i = 0; i < n; i++) {
    request.lo = (i & mask) << 12;
    nestedUnit.translate(request, out);
    sum += out.pa;
  }
  return sum;
};

export const armSuites: Suite[] = [
  {
    name: 'SMMUv3: TLB hit',
    workload: 'translate() of a write, 64 pages of 4 KiB in turn, one stream',
    baseline: { name: 'a bare Float64Array', run: bare },
    rows: [{ name: 'translate', run: (n) => translate(n, 63) }],
    budget: { ns: 6 },
  },
  {
    name: 'SMMUv3: walk of 4 levels',
    workload:
      'translate() of a write, 8,192 pages of 4 KiB in turn, so that each evicts the one 4,096 before it: each misses the TLB, is walked and cached',
    baseline: { name: 'a bare Float64Array', run: bare },
    rows: [{ name: 'translate', run: (n) => translate(n, PAGES - 1) }],
    budget: { ns: 25 },
  },
  {
    name: 'SMMUv3: walk of both stages',
    workload:
      'a guest with 4 levels on a stage 2 of 4, pages of 4 KiB; as above, 8,192 in turn: each is walked, stage 2 of the tables from the TLB',
    baseline: { name: 'a bare Float64Array', run: bare },
    rows: [
      { name: 'hit', run: (n) => nestedTranslate(n, 63) },
      { name: 'walk', run: (n) => nestedTranslate(n, PAGES - 1) },
    ],
    budget: { ns: 120 },
  },
  {
    name: 'SMMUv3: map and unmap a page',
    workload: 'one page of 4 KiB into a table that is there, through Domain; lazy: flushed 256 at a time',
    baseline: { name: 'a bare Float64Array', run: bare },
    rows: [{ name: 'lazy', run: mapAndUnmap(lazy, 0x1000_0000, 1, 64) }],
    budget: { ns: 60 },
  },
  {
    name: 'SMMUv3: map and unmap a page, strict',
    workload: 'the same with a stream attached: TLBI and SYNC queued, executed by the model, polled for',
    baseline: { name: 'a bare Float64Array', run: bare },
    rows: [{ name: 'strict', run: mapAndUnmap(domain, 0x1000_0000, 1, 64) }],
  },
  {
    name: 'SMMUv3: map 512 pages',
    workload: '2 MiB of 4 KiB pages in one call (the physical address fits no block), and unmapped in one; per page',
    baseline: { name: 'a bare Float64Array', run: bare },
    rows: [{ name: 'map + unmap', per: 512, run: mapAndUnmap(lazy, 0x2000_0000, 512, 1) }],
    budget: { ns: 6 },
  },
  {
    name: 'SMMUv3 + ITS: MSI',
    workload: 'a function writes its message; SMMU (TLB hit), DTE, ITE, CTE, LPI pending; the CPU acknowledges',
    baseline: { name: 'a bare Float64Array', run: bare },
    rows: [
      {
        name: 'write to acknowledge',
        run: (n) => {
          let sum = 0;
          for (let i = 0; i < n; i++) {
            fabric.write32(0x20, message.addressHi, message.addressLo, message.data);
            sum += cpu.acknowledge(0) ?? 0;
          }
          return sum;
        },
      },
      {
        name: 'write to pending (coalesced)',
        run: (n) => {
          for (let i = 0; i < n; i++) fabric.write32(0x20, message.addressHi, message.addressLo, message.data);
          return cpu.acknowledge(0) ?? 0;
        },
      },
    ],
    budget: { ns: 100 },
  },
];

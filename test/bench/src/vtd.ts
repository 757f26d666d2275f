import { READ, WRITE, newOutcome, newRequest, Platform, type Device, type Plugin } from '@doorbell/platform';
import { CPU_INTERFACE, INTERRUPTS } from '@doorbell/irqchip';
import { IOMMU } from '@doorbell/iommu';
import { apic } from '@doorbell/x86-apic';
import { vtd, type VtdUnit } from '@doorbell/x86-vtd';
import type { Suite } from './harness.js';

const REQUESTER = 0x20;
const PAGES = 8192;
const IOVA = 0x4000_0000;
const RW = READ | WRITE;

const host: Plugin = {
  name: 'bench-host',
  apiVersion: 1,
  apply: (platform) => {
    platform.hooks.block.tap('bench-host', (node) =>
      node.compatible === 'bench' ? { compatible: ['bench'] } : undefined,
    );
    platform.addNode({
      name: 'pci0',
      compatible: 'bench',
      iommuMap: [{ inputBase: 0, count: 65536, outputBase: 0, to: 'dmar0' }],
    });
  },
};
const platform = new Platform({ memory: [{ base: 0, size: 2 ** 28 }] })
  .use(apic({ cpus: 4 }), vtd.q35(), host)
  .compose();
const unit = platform.model('dmar0') as VtdUnit;
const function_ = (requester: number): Device => ({
  name: `bench:${requester.toString(16)}`,
  kind: 'pci',
  segment: 0,
  requester,
  aliases: [requester],
  dmaBits: 64,
  isolation: { group: requester, isolated: true, witness: [] },
});
const nic = function_(REQUESTER);
const iommu = platform.service(IOMMU);
const domain = iommu.createDomain({ type: 'unmanaged', devices: [nic] });
iommu.attach(nic, domain);
// One page at a time, so that no larger one is chosen: 16 tables of level 1.
for (let i = 0; i < PAGES; i++) domain.map(IOVA + 4096 * i, 0x10_0000 + 4096 * ((i * 37) & 8191), 4096, RW);

const request = newRequest();
const out = newOutcome();
request.stream = request.requester = REQUESTER;

/** 64 pages in turn. Each row has a loop of its own text: one that is shared by rows is compiled for neither. */
const hit = (n: number): number => {
  let sum = 0;
  for (let i = 0; i < n; i++) {
    request.lo = IOVA + ((i & 63) << 12) + (i & 0xff8);
    unit.translate(request, out);
    sum += out.pa;
  }
  return sum;
};

/** All pages in turn. */
const miss = (n: number): number => {
  let sum = 0;
  for (let i = 0; i < n; i++) {
    request.lo = IOVA + ((i & (PAGES - 1)) << 12) + (i & 0xff8);
    unit.translate(request, out);
    sum += out.pa;
  }
  return sum;
};

/** The same by hand: one compare in a direct-mapped table. */
const tags = new Uint32Array(4096);
const frames = new Float64Array(4096);
for (let i = 0; i < 64; i++) {
  const page = (IOVA >>> 12) + i;
  tags[page & 4095] = page;
  frames[page & 4095] = 0x10_0000 + 4096 * ((i * 37) & 8191);
}
const lookup = (n: number): number => {
  let sum = 0;
  for (let i = 0; i < n; i++) {
    const lo = IOVA + ((i & 63) << 12) + (i & 0xff8);
    const page = lo >>> 12;
    if (tags[page & 4095] === page) sum += frames[page & 4095]! + (lo & 0xfff);
  }
  return sum;
};

/** Four dependent loads by hand, over the tables that the driver wrote. */
const { memoryModel } = platform;
const words = new Uint32Array(2 ** 26);
for (const { address, words: chunk } of memoryModel.chunks()) words.set(chunk, address / 4);
const top = (domain.table as unknown as { rootAddress: number }).rootAddress;
const walk = (n: number): number => {
  let sum = 0;
  for (let i = 0; i < n; i++) {
    const lo = IOVA + ((i & (PAGES - 1)) << 12);
    let at = words[top >>> 2]! & 0xffff_f000;
    at = words[(at >>> 2) + 2 * (lo >>> 30)]! & 0xffff_f000;
    at = words[(at >>> 2) + 2 * ((lo >>> 21) & 511)]! & 0xffff_f000;
    sum += (words[(at >>> 2) + 2 * ((lo >>> 12) & 511)]! & 0xffff_f000) + (i & 0xff8);
  }
  return sum;
};

const lazy = iommu.createDomain({ type: 'unmanaged', devices: [nic], flush: 'lazy' });
const strict = iommu.createDomain({ type: 'unmanaged', devices: [nic] });
const busy = function_(0x28);
iommu.attach(busy, strict);
lazy.map(0x1000, 0x1000, 0x1000, RW);
strict.map(0x1000, 0x1000, 0x1000, RW);

const msi = platform
  .service(INTERRUPTS)
  .domainFor(nic)
  .allocate({ count: 4, cpus: [0, 1, 2, 3] });
const messages = [0, 1, 2, 3].map((i) => msi.message(i));
const fabric = platform.fabric();
const cpu = platform.get(CPU_INTERFACE);

export const vtdSuites: readonly Suite[] = [
  {
    name: 'VT-d: IOTLB hit',
    workload: '64 pages of 4 KiB of one device, in turn; context and translation cached; through VtdUnit.translate',
    baseline: { name: 'by hand: one compare, one load', run: lookup },
    rows: [{ name: 'translate', run: hit }],
    budget: { ns: 6 },
  },
  {
    name: 'VT-d: walk of four levels',
    workload: `${PAGES} pages of 4 KiB in turn, so that each evicts the one 4096 before it: every translation misses the IOTLB, walks and fills it`,
    baseline: { name: 'by hand: four dependent loads', run: walk },
    rows: [{ name: 'translate', run: miss }],
    budget: { ns: 25 },
  },
  {
    name: 'VT-d: map and unmap a page',
    workload:
      'one page of 4 KiB into a table that is there, through Domain; lazy: invalidations put off, 256 at a time',
    baseline: {
      name: 'by hand: two 64-bit stores',
      run: (n) => {
        for (let i = 0; i < n; i++) {
          memoryModel.write64(0x8000 + 8 * (i & 255), 0, 0x5003);
          memoryModel.write64(0x8000 + 8 * (i & 255), 0, 0);
        }
        return n;
      },
    },
    rows: [
      {
        name: 'lazy',
        run: (n) => {
          for (let i = 0; i < n; i++) {
            const iova = 0x10_0000 + 4096 * (i & 63);
            lazy.map(iova, 0x5000, 0x1000, RW);
            lazy.unmap(iova, 0x1000);
          }
          return n;
        },
      },
    ],
    budget: { ns: 60 },
  },
  {
    name: 'VT-d: map and unmap a page, strict',
    workload:
      'the same with a device attached: each unmap queues an invalidation and a wait, the model executes both, the driver polls',
    rows: [
      {
        name: 'strict',
        run: (n) => {
          for (let i = 0; i < n; i++) {
            const iova = 0x10_0000 + 4096 * (i & 63);
            strict.map(iova, 0x5000, 0x1000, RW);
            strict.unmap(iova, 0x1000);
          }
          return n;
        },
      },
    ],
  },
  {
    name: 'VT-d: map 512 pages',
    workload:
      '2 MiB of 4 KiB pages in one call (the physical address fits no large page), and unmapped in one; per page',
    rows: [
      {
        name: 'map + unmap',
        per: 512,
        run: (n) => {
          for (let i = 0; i < n; i++) {
            lazy.map(0x20_0000, 0x5000, 0x20_0000, RW);
            lazy.unmap(0x20_0000, 0x20_0000);
          }
          return n;
        },
      },
    ],
    budget: { ns: 6 },
  },
  {
    name: 'VT-d: MSI from a device to a vector',
    workload:
      'a DWORD write of the function through the fabric: IRTE from the entry cache, source id checked, IRR of one of four CPUs set',
    rows: [
      {
        name: 'write to IRR',
        run: (n) => {
          for (let i = 0; i < n; i++) {
            const m = messages[i & 3]!;
            fabric.write32(REQUESTER, m.addressHi, m.addressLo, m.data);
          }
          return cpu.pending(0).length;
        },
      },
    ],
    budget: { ns: 100 },
  },
];

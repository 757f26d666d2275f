import { minimalIommu, minimalIrqchip } from '@doorbell/conformance';
import { IOMMU, IovaAllocator } from '@doorbell/iommu';
import { at, PCI, pciHost, PCI_HARDWARE, testFunction } from '@doorbell/pci';
import { Platform, READ, WRITE, Verdict, newOutcome, newRequest } from '@doorbell/platform';
import type { Suite } from './harness.js';

const RW = READ | WRITE;
const DATA = 0x1000_0000;
const all = (to: string) => [{ inputBase: 0, count: 65536, outputBase: 0, to }];

const platform = new Platform({ memory: [{ base: 0, size: 2 ** 30 }] })
  .use(
    minimalIommu(),
    minimalIrqchip(),
    pciHost(
      {
        ecam: { base: 0xb000_0000 },
        windows: [{ base: 0xe000_0000, size: 0x100_0000 }],
        iommuMap: all('iommu0'),
        msiMap: all('bell0'),
      },
      [at('01.0', testFunction({ msix: 2048 }))],
    ),
  )
  .node(
    { name: 'iommu0', compatible: 'minimal,iommu', reg: [{ base: 0xf000_0000, size: 0x1000 }] },
    { name: 'bell0', compatible: 'minimal,irqchip', reg: [{ base: 0xf010_0000, size: 0x3000 }] },
  )
  .compose();
const iommu = platform.service(IOMMU);
const pci = platform.service(PCI);
const fn = pci.get('00:01.0');
const lazy = iommu.createDomain({ type: 'unmanaged', devices: [fn], flush: 'lazy' });
const strict = iommu.createDomain({ type: 'unmanaged', devices: [fn] });
iommu.attach(fn, strict);
strict.reserveMsiWindow({ base: 0x800_0000, size: 0x2000 });
for (const domain of [lazy, strict]) domain.map(0x4000_0000, DATA, 0x20_0000, RW);
for (const iova of [0x6800_0000, 0x6830_0000]) lazy.map(iova, DATA, 4096, RW);
const vectors = pci.enableMsixRange(fn, 2048, 2048);
const hardware = platform.hardwareService(PCI_HARDWARE).host(0)!.find(fn.requester)!;

const request = newRequest();
const outcome = newOutcome();
request.requester = fn.requester;
const { fabric } = { fabric: platform.fabric() };

const live = new IovaAllocator({ first: 0, last: 2 ** 39 - 1 }, 4096);
const held = new Float64Array(65536).map(() => live.allocate(4096, 2 ** 39 - 1));
const holes = new Int32Array(4096);
let seed = 1;
const random = (n: number): number => {
  seed = Math.imul(seed, 1664525) + 1013904223;
  return ((seed >>> 8) & 0xffff) % n;
};

/* Each row has a loop of its own text: one that rows share is compiled for none of them (4.5 ns a turn without work). */

export const iommuSuites: Suite[] = [
  {
    name: 'iommu: map and unmap',
    workload: 'one page of 4 KiB beside others, tables warm, through Domain; minimal back-end; lazy: one flush in 256',
    rows: [
      {
        name: 'map + unmap, flush deferred',
        run: (n) => {
          let sum = 0;
          for (let i = 0; i < n; i++) {
            const iova = 0x5000_0000 + (i & 255) * 4096;
            lazy.map(iova, DATA, 4096, RW);
            sum += lazy.unmap(iova, 4096);
          }
          return sum;
        },
      },
    ],
    budget: { ns: 60 },
  },
  {
    name: 'iommu: map and unmap, strict',
    workload: 'the same with a device attached: each unmap is a command, the model does it, the driver polls',
    rows: [
      {
        name: 'map + unmap',
        run: (n) => {
          let sum = 0;
          for (let i = 0; i < n; i++) {
            const iova = 0x5000_0000 + (i & 255) * 4096;
            strict.map(iova, DATA, 4096, RW);
            sum += strict.unmap(iova, 4096);
          }
          return sum;
        },
      },
    ],
  },
  {
    name: 'iommu: map 512 pages in one call',
    workload:
      '2 MiB of 4 KiB pages, mapped and unmapped; per page; flush deferred; minimal back-end; the table of level 0 comes and goes, or stays because it holds another page',
    rows: [
      {
        name: 'map + unmap',
        per: 512,
        run: (n) => {
          let sum = 0;
          for (let turn = 0; turn < n; turn++) {
            lazy.map(0x6000_0000, DATA, 0x20_0000, RW);
            sum += lazy.unmap(0x6000_0000, 0x20_0000);
          }
          return sum;
        },
      },
      {
        name: 'map + unmap, half of two tables that stay',
        per: 512,
        run: (n) => {
          let sum = 0;
          for (let turn = 0; turn < n; turn++) {
            lazy.map(0x6810_0000, DATA, 0x20_0000, RW);
            sum += lazy.unmap(0x6810_0000, 0x20_0000);
          }
          return sum;
        },
      },
    ],
    budget: { ns: 6 },
  },
  {
    name: 'iommu: IOVA allocator',
    workload: 'one page freed and one allocated, 65,536 live, random order',
    rows: [
      {
        name: 'free + allocate',
        run: (n) => {
          let sum = 0;
          for (let turn = 0; turn < n; turn++) {
            const i = random(65536);
            live.free(held[i]!, 4096);
            sum += held[i] = live.allocate(4096, 2 ** 39 - 1);
          }
          return sum;
        },
      },
    ],
    budget: { ns: 40 },
  },
  {
    name: 'iommu: IOVA allocator, in bursts',
    workload:
      '65,536 pages live; 4,096 random ones freed, then as many allocated: more than the magazines hold, so the tree works; per page',
    rows: [
      {
        name: 'free 4,096 + allocate 4,096',
        per: holes.length,
        run: (n) => {
          let sum = 0;
          for (let turn = 0; turn < n; turn++) {
            for (let k = 0; k < holes.length; k++) {
              let i = random(65536);
              while (held[i]! < 0) i = (i + 1) & 65535;
              live.free(held[i]!, 4096);
              held[(holes[k] = i)] = -1;
            }
            for (let k = 0; k < holes.length; k++) held[holes[k]!] = live.allocate(4096, 2 ** 39 - 1);
            sum += held[holes[0]!]!;
          }
          return sum;
        },
      },
    ],
  },
  {
    name: 'iommu: translate',
    workload:
      'minimal back-end through the fabric: the same page (its IOTLB), and 512 pages in turn (three-level walk)',
    rows: [
      {
        name: 'hit',
        run: (n) => {
          let sum = 0;
          for (let turn = 0; turn < n; turn++) {
            request.lo = 0x4000_0010;
            sum += fabric.translate(request, outcome) === Verdict.translated ? 1 : 0;
          }
          return sum;
        },
      },
      {
        name: 'walk',
        run: (n) => {
          let sum = 0;
          for (let i = 0; i < n; i++) {
            request.lo = 0x4000_0000 + (i & 511) * 4096;
            sum += fabric.translate(request, outcome) === Verdict.translated ? 1 : 0;
          }
          return sum;
        },
      },
    ],
    budget: { ns: 25 },
  },
  {
    name: 'iommu: MSI',
    workload:
      'an event of one of 2,048 MSI-X vectors until its number is pending at the CPU; minimal IOMMU and controller',
    rows: [
      {
        name: 'event to pending',
        run: (n) => {
          let sum = 0;
          for (let i = 0; i < n; i++) {
            hardware.fire(i & 2047);
            sum += 1;
          }
          return sum;
        },
      },
      {
        name: 'compose one message',
        run: (n) => {
          let sum = 0;
          for (let i = 0; i < n; i++) {
            sum += vectors.block.message(i & 2047).data;
          }
          return sum;
        },
      },
    ],
    budget: { ns: 100 },
  },
];

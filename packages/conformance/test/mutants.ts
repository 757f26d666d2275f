import { IommuCore, MsiWindow, RadixTable, Domain } from '@doorbell/iommu';
import { MsixCapability } from '@doorbell/pci';
import { TranslationCache } from '@doorbell/platform';
import { getter, method, type Mutant } from '../src/index.js';
import { MinimalIommu } from '../src/minimal/model/iommu.js';
import { MinimalRoot } from '../src/minimal/driver/irqchip.js';
import { MinimalUnit } from '../src/minimal/driver/iommu.js';

type Original = (...args: unknown[]) => unknown;

export const coreMutants: readonly Mutant[] = [
  { name: 'window off by one', plant: getter(MsiWindow, 'capacity', (n) => n + 1) },
  { name: 'refcount leak', plant: method(MsiWindow, 'release', () => undefined) },
  { name: 'a cache that outlives a restore', plant: method(TranslationCache, 'clear', () => undefined) },
  { name: 'stale IOTLB on unmap', plant: method(MinimalUnit, 'flush', () => undefined) },
  {
    name: 'flush of the wrong domain',
    plant: method(MinimalUnit, 'forget', (original: Original, { rootAddress }: RadixTable) =>
      original({ rootAddress: rootAddress + 4096 }),
    ),
  },
  {
    name: 'byte order swapped',
    plant: method(MinimalRoot, 'compose', (original: Original, ...args: unknown[]) => {
      const message = original(...args) as { data: number };
      return { ...message, data: ((message.data & 0xff) << 8) | (message.data >>> 8) };
    }),
  },
  {
    name: 'lost write permission',
    plant: method(RadixTable, 'map', (original: Original, iova: number, pa: number, size: number, rights: number) =>
      original(iova, pa, size, rights & ~2),
    ),
  },
  {
    name: 'last page of a range',
    plant: method(RadixTable, 'map', (original: Original, iova: number, pa: number, size: number, rights: number) =>
      original(iova, pa, size > 4096 ? size - 4096 : size, rights),
    ),
  },
  {
    name: 'reserve before check',
    plant: method(
      MsiWindow,
      'reserve',
      function (this: { takeSlot(): number; free: number }, original: Original, ...args: unknown[]) {
        try {
          return original(...args);
        } catch (error) {
          if (this.free > 0) this.takeSlot();
          throw error;
        }
      },
    ),
  },
  {
    name: 'partial group attach',
    plant: method(IommuCore, 'membersOf', (original: Original, ...args: unknown[]) =>
      (original(...args) as unknown[]).slice(0, 1),
    ),
  },
  {
    name: 'alias ignored',
    plant: method(IommuCore, 'streamsOf', (original: Original, ...args: unknown[]) =>
      (original(...args) as number[]).slice(0, 1),
    ),
  },
  {
    name: 'doorbell offset dropped',
    plant: method(MsiWindow, 'iovaOf', (original: Original, ...args: unknown[]) => {
      const iova = original(...args) as number;
      return iova < 0 ? iova : iova - (iova % 4096);
    }),
  },
  {
    name: 'fault not recorded',
    plant: method(MinimalIommu, 'fault', function (this: MinimalIommu, original: Original, ...args: unknown[]) {
      const verdict = original(...args);
      this.set(8, this.get(8) & ~4);
      return verdict;
    }),
  },
  { name: 'conflict checked in one order', plant: method(Domain, 'obstacle', () => null) },
  {
    name: 'PBA not cleared',
    plant: method(MsixCapability, 'release', function (this: { pba: Uint32Array }, original: Original, vector: number) {
      const before = this.pba[vector >>> 5]!;
      original(vector);
      this.pba[vector >>> 5] = before;
    }),
  },
  {
    name: 'mask inverted',
    plant: method(MsixCapability, 'masked', (original: Original, vector: number) => !original(vector)),
  },
];

import { WRITE, type Device } from '@doorbell/platform';
import { equal, throwsCode } from './assert.js';
import type { Case } from './case.js';
import { READ_WRITE, ask, at, faults, reaches } from './probe.js';
import type { Lab } from './subject.js';

/** The device under another name: same ids, another group or more ids. */
const like = (device: Device, changes: Partial<Device>): Device => ({ ...device, ...changes });

const pageOf = (lab: Lab, n: number): number => lab.data + n * lab.granule;

/** Domains, groups, units, invalidation, faults. */
export const attachmentCases: readonly Case[] = [
  {
    name: 'strict: nothing stale after unmap',
    run: (lab) => {
      const domain = lab.domain(lab.a);
      domain.map(lab.iova(), lab.data, 2 * lab.granule, READ_WRITE);
      for (let n = 0; n < 2; n++) reaches(lab, lab.a, lab.iova(n), pageOf(lab, n));
      domain.unmap(lab.iova(), 2 * lab.granule);
      for (let n = 0; n < 2; n++) faults(lab, lab.a, lab.iova(n));
      domain.map(lab.iova(), pageOf(lab, 4), lab.granule, READ_WRITE);
      reaches(lab, lab.a, lab.iova(), pageOf(lab, 4));
    },
  },
  {
    name: 'lazy: stale at most until flush',
    run: (lab) => {
      const domain = lab.iommu.createDomain({ type: 'unmanaged', devices: [lab.a], flush: 'lazy' });
      lab.iommu.attach(lab.a, domain);
      domain.map(lab.iova(), lab.data, lab.granule, READ_WRITE);
      reaches(lab, lab.a, lab.iova(), lab.data);
      domain.unmap(lab.iova(), lab.granule);
      const seen = ask(lab, lab.a, lab.iova());
      equal(seen === at(lab.data) || seen.startsWith('fault'), true, `before the flush (${seen})`);
      domain.flush();
      faults(lab, lab.a, lab.iova());
    },
  },
  {
    name: 'two domains of one unit: each has its own translations and its own invalidation',
    run: (lab) => {
      const one = lab.domain(lab.a);
      const two = lab.domain(lab.b);
      one.map(lab.iova(), pageOf(lab, 1), lab.granule, READ_WRITE);
      two.map(lab.iova(), pageOf(lab, 2), lab.granule, READ_WRITE);
      reaches(lab, lab.a, lab.iova(), pageOf(lab, 1));
      reaches(lab, lab.b, lab.iova(), pageOf(lab, 2));
      reaches(lab, lab.a, lab.iova(), pageOf(lab, 1));
      one.unmap(lab.iova(), lab.granule);
      faults(lab, lab.a, lab.iova());
      reaches(lab, lab.b, lab.iova(), pageOf(lab, 2));
      two.unmap(lab.iova(), lab.granule);
      faults(lab, lab.b, lab.iova());
    },
  },
  {
    name: 'detached devices are blocked, and another domain shows its own pages at once',
    run: (lab) => {
      const one = lab.domain(lab.a);
      one.map(lab.iova(), pageOf(lab, 1), lab.granule, READ_WRITE);
      reaches(lab, lab.a, lab.iova(), pageOf(lab, 1));
      lab.iommu.detach(lab.a);
      faults(lab, lab.a, lab.iova());
      const two = lab.domain(lab.a);
      two.map(lab.iova(), pageOf(lab, 2), lab.granule, READ_WRITE);
      reaches(lab, lab.a, lab.iova(), pageOf(lab, 2));
      lab.iommu.move(lab.a, one);
      reaches(lab, lab.a, lab.iova(), pageOf(lab, 1));
      throwsCode('DOMAIN_BUSY', 'destroying a domain in use', () => lab.iommu.destroyDomain(one));
      lab.iommu.detach(lab.a);
      lab.iommu.destroyDomain(one);
      lab.iommu.destroyDomain(two);
    },
  },
  {
    name: 'identity reaches physical memory, blocked nothing',
    unless: (s) => !s.identity,
    run: (lab) => {
      lab.iommu.attach(lab.a, lab.iommu.createDomain({ type: 'identity' }));
      reaches(lab, lab.a, lab.data + 0x40, lab.data + 0x40, WRITE);
      faults(lab, lab.b, lab.data);
      lab.iommu.move(lab.a, lab.iommu.createDomain({ type: 'blocked' }));
      faults(lab, lab.a, lab.data + 0x40);
    },
  },
  {
    name: 'a group is attached and detached as a whole',
    run: (lab) => {
      const group = { group: 77, isolated: false, witness: ['made so by the kit'] };
      const a = like(lab.a, { isolation: group });
      const b = like(lab.b, { isolation: group });
      lab.iommu.groupOf(b);
      const domain = lab.domain(a);
      domain.map(lab.iova(), lab.data, lab.granule, READ_WRITE);
      reaches(lab, b, lab.iova(), lab.data);
      throwsCode('GROUP_BUSY', 'the other member again', () => lab.iommu.attach(b, domain));
      lab.iommu.detach(b);
      faults(lab, a, lab.iova());
      faults(lab, b, lab.iova());
    },
  },
  {
    name: 'a device is translated under every id that its requests can carry',
    run: (lab) => {
      const alias = lab.b.requester;
      const a = like(lab.a, { aliases: [lab.a.requester, alias] });
      const domain = lab.domain(a);
      domain.map(lab.iova(), lab.data, lab.granule, READ_WRITE);
      for (const id of [lab.a.requester, alias]) equal(ask(lab, a, lab.iova(), WRITE, id), at(lab.data), `id ${id}`);
    },
  },
  {
    name: 'two units do not see each other’s devices or translations',
    run: (lab) => {
      const one = lab.domain(lab.a);
      one.map(lab.iova(), pageOf(lab, 1), lab.granule, READ_WRITE);
      faults(lab, lab.c, lab.iova());
      const two = lab.domain(lab.c);
      two.map(lab.iova(), pageOf(lab, 2), lab.granule, READ_WRITE);
      reaches(lab, lab.c, lab.iova(), pageOf(lab, 2));
      reaches(lab, lab.a, lab.iova(), pageOf(lab, 1));
      two.unmap(lab.iova(), lab.granule);
      faults(lab, lab.c, lab.iova());
      reaches(lab, lab.a, lab.iova(), pageOf(lab, 1));
    },
  },
  {
    name: 'one domain on two units: unmap reaches both',
    unless: (s) => !s.spanningDomain,
    run: (lab) => {
      const domain = lab.domain(lab.a, lab.c);
      domain.map(lab.iova(), lab.data, lab.granule, READ_WRITE);
      reaches(lab, lab.a, lab.iova(), lab.data);
      reaches(lab, lab.c, lab.iova(), lab.data);
      domain.unmap(lab.iova(), lab.granule);
      faults(lab, lab.a, lab.iova());
      faults(lab, lab.c, lab.iova());
    },
  },
  {
    name: 'faults are recorded with stream, address and direction, each once',
    run: (lab) => {
      lab.domain(lab.a);
      lab.iommu.faults();
      for (let n = 0; n < lab.supports.faultsInARow; n++) {
        const iova = lab.iova(16 + n) + 0x10;
        faults(lab, lab.a, iova, WRITE);
        lab.platform.settle();
        if (n + 1 < lab.supports.faultsInARow) continue;
        const records = lab.iommu.faults();
        equal(records.length, lab.supports.faultsInARow, 'records, against supports.faultsInARow');
        const last = records[records.length - 1]!;
        equal(last.device?.name, lab.a.name, 'device');
        const page = last.addressHi * 2 ** 32 + (last.addressLo - (last.addressLo % lab.granule));
        equal(page, lab.iova(16 + n), 'page of the address');
        equal(last.write, true, 'direction');
      }
      equal(lab.iommu.faults().length, 0, 'records after they were taken');
      lab.domain(lab.b);
      faults(lab, lab.b, lab.iova());
      lab.platform.settle();
      equal(lab.iommu.faults()[0]?.device?.name ?? 'nobody', lab.b.name, 'whose fault it was');
    },
  },
];

import { READ, WRITE, hi32, lo32 } from '@doorbell/platform';
import { check, equal, throwsCode } from './assert.js';
import type { Case } from './case.js';
import { fingerprint } from './fingerprint.js';
import { READ_WRITE, ask, faults, reaches } from './probe.js';

/** map, unmap, translate, permissions. */
export const mappingCases: readonly Case[] = [
  {
    name: 'a blocked device reaches nothing',
    run: (lab) => {
      for (const device of lab.subject.devices) faults(lab, device, lab.data);
    },
  },
  {
    name: 'data arrives where the mapping says, byte for byte',
    run: (lab) => {
      const domain = lab.domain(lab.a);
      domain.map(lab.iova(), lab.data, 4 * lab.granule, READ_WRITE);
      const iova = lab.iova(2) + 0x124;
      const fabric = lab.platform.fabric(lab.a.segment);
      fabric.write32(lab.a.requester, hi32(iova), lo32(iova), 0x8899aabb);
      const bytes = new Uint8Array(4);
      lab.platform.memory.readBytes(lab.data + 2 * lab.granule + 0x124, bytes);
      equal(bytes.join(), '187,170,153,136', 'bytes in memory');
      const back = new Uint8Array(8);
      fabric.read(lab.a.requester, hi32(iova), lo32(iova), back);
      equal(back.subarray(0, 4).join(), bytes.join(), 'bytes read by the device');
    },
  },
  {
    name: 'the first and the last byte of a mapping translate, the ones beside it fault',
    run: (lab) => {
      const domain = lab.domain(lab.a);
      const pages = lab.supports.anyLayout ? 5 : 4;
      domain.map(lab.iova(8), lab.data, pages * lab.granule, READ_WRITE);
      reaches(lab, lab.a, lab.iova(8), lab.data);
      const end = pages * lab.granule;
      reaches(lab, lab.a, lab.iova(8) + end - 4, lab.data + end - 4);
      reaches(lab, lab.a, lab.iova(8) + end - lab.granule, lab.data + end - lab.granule);
      faults(lab, lab.a, lab.iova(8) - 4);
      faults(lab, lab.a, lab.iova(8) + end);
      equal(domain.iovaToPhys(lab.iova(8) + end - 4), lab.data + end - 4, 'iovaToPhys');
      equal(domain.iovaToPhys(lab.iova(8) + end), null, 'iovaToPhys behind the end');
    },
  },
  {
    name: 'every page size translates at its edges',
    run: (lab) => {
      const domain = lab.domain(lab.a);
      let iova = 0;
      for (const size of domain.pageSizes.filter((s) => s <= 2 ** 25)) {
        iova = Math.ceil((iova || lab.iova()) / size) * size;
        domain.map(iova, lab.data, size, READ_WRITE);
        reaches(lab, lab.a, iova, lab.data);
        reaches(lab, lab.a, iova + size - 4, lab.data + size - 4);
        faults(lab, lab.a, iova + size);
        equal(domain.unmap(iova, size), size, `bytes unmapped of a page of ${size}`);
        faults(lab, lab.a, iova);
        iova += size;
      }
    },
  },
  {
    name: 'a page without write permission refuses writes and takes reads',
    unless: (s) => !s.readOnly,
    run: (lab) => {
      lab.domain(lab.a).map(lab.iova(), lab.data, lab.granule, READ);
      reaches(lab, lab.a, lab.iova(), lab.data, READ);
      faults(lab, lab.a, lab.iova(), WRITE);
      // From a cached translation as well.
      faults(lab, lab.a, lab.iova(), WRITE);
      reaches(lab, lab.a, lab.iova(), lab.data, READ);
    },
  },
  {
    name: 'a page without read permission refuses reads and takes writes',
    unless: (s) => !s.writeOnly,
    run: (lab) => {
      lab.domain(lab.a).map(lab.iova(), lab.data, lab.granule, WRITE);
      reaches(lab, lab.a, lab.iova(), lab.data, WRITE);
      faults(lab, lab.a, lab.iova(), READ);
    },
  },
  {
    name: 'a mapping on a mapping is IOVA_CONFLICT, also in part, and changes nothing',
    run: (lab) => {
      const domain = lab.domain(lab.a);
      const g = lab.granule;
      domain.map(lab.iova(4), lab.data, 4 * g, READ_WRITE);
      const before = fingerprint(lab);
      const other = lab.data + Math.max(0x10_0000, g);
      throwsCode('IOVA_CONFLICT', 'the same range', () => domain.map(lab.iova(4), other, 4 * g, READ_WRITE));
      throwsCode('IOVA_CONFLICT', 'its last page', () => domain.map(lab.iova(7), other, g, READ_WRITE));
      throwsCode('IOVA_CONFLICT', 'its first page, from below', () =>
        domain.map(lab.iova(0), other, 5 * g, READ_WRITE),
      );
      equal(fingerprint(lab), before, 'state after refused calls');
      reaches(lab, lab.a, lab.iova(7), lab.data + 3 * g);
      faults(lab, lab.a, lab.iova(3));
    },
  },
  {
    name: 'unaligned, outside the aperture, beyond physical memory: typed errors that change nothing',
    run: (lab) => {
      const domain = lab.domain(lab.a);
      const { aperture, physicalBits } = lab.unit.capabilities;
      const g = lab.granule;
      const before = fingerprint(lab);
      throwsCode('UNALIGNED', 'odd IOVA', () => domain.map(lab.iova() + 4, lab.data, g, READ_WRITE));
      throwsCode('UNALIGNED', 'odd size', () => domain.map(lab.iova(), lab.data, g + 4, READ_WRITE));
      throwsCode('UNALIGNED', 'no size', () => domain.map(lab.iova(), lab.data, 0, READ_WRITE));
      throwsCode('UNALIGNED', 'odd physical address', () => domain.map(lab.iova(), lab.data + 4, g, READ_WRITE));
      throwsCode('IOVA_OUT_OF_APERTURE', 'one page too far', () =>
        domain.map(aperture.last + 1 - g, lab.data, 2 * g, READ_WRITE),
      );
      throwsCode('IOVA_OUT_OF_APERTURE', '2^63', () => domain.map(2n ** 63n, lab.data, g, READ_WRITE));
      throwsCode('BAD_ADDRESS', 'a fraction', () => domain.map(0.5, lab.data, g, READ_WRITE));
      if (physicalBits < 52) {
        throwsCode('PHYSICAL_OUT_OF_RANGE', 'too high', () => domain.map(lab.iova(), 2 ** physicalBits, g, READ_WRITE));
      }
      equal(fingerprint(lab), before, 'state after refused calls');
    },
  },
  {
    name: 'unmap skips holes and says how much there was',
    unless: (s) => !s.anyLayout,
    run: (lab) => {
      const domain = lab.domain(lab.a);
      const g = lab.granule;
      domain.map(lab.iova(0), lab.data, g, READ_WRITE);
      domain.map(lab.iova(5), lab.data + g, 2 * g, READ_WRITE);
      equal(domain.unmap(lab.iova(0), 16 * g), 3 * g, 'bytes');
      equal(domain.unmap(lab.iova(0), 16 * g), 0, 'bytes the second time');
      for (const n of [0, 5, 6]) faults(lab, lab.a, lab.iova(n));
    },
  },
  {
    name: 'a large mapping is whole, at every page of it',
    unless: (s) => !s.anyLayout,
    run: (lab) => {
      const domain = lab.domain(lab.a);
      const g = lab.granule;
      const pages = Math.min(1200, Math.floor(0x100_0000 / g));
      domain.map(lab.iova(1), lab.data + g, pages * g, READ_WRITE);
      for (let i = 0; i < pages; i++) {
        const iova = lab.iova(1 + i) + 8;
        check(ask(lab, lab.a, iova) === `0x${(lab.data + g + i * g + 8).toString(16)}`, `page ${i}`);
      }
      equal(domain.unmap(lab.iova(1), pages * g), pages * g, 'bytes');
      for (let i = 0; i < pages; i += 7) faults(lab, lab.a, lab.iova(1 + i));
    },
  },
];

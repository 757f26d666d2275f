import fc from 'fast-check';
import { expect, it } from 'vitest';
import { IovaAllocator } from '../src/index.js';

const PAGE = 4096;
const APERTURE = { first: 0, last: 2 ** 20 - 1 };

it('gives from the top, aligned to the size, and never address 0', () => {
  const iovas = new IovaAllocator(APERTURE, PAGE);
  expect(iovas.allocate(PAGE, APERTURE.last)).toBe(0xff000);
  expect(iovas.allocate(3 * PAGE, APERTURE.last)).toBe(0xf8000);
  expect(iovas.allocate(PAGE, 0x1fff)).toBe(0x1000);
  expect(iovas.allocate(PAGE, 0x1fff)).toBe(-1);
});

it('never gives a page twice, nor an excluded one, and takes everything back', () => {
  const ops = fc.array(fc.record({ size: fc.integer({ min: 1, max: 9 }), free: fc.boolean() }), { maxLength: 80 });
  fc.assert(
    fc.property(ops, fc.integer({ min: 0, max: 200 }), (steps, hole) => {
      const iovas = new IovaAllocator(APERTURE, PAGE);
      const excluded = { first: hole * PAGE, last: hole * PAGE + 5 * PAGE - 1 };
      iovas.exclude(excluded);
      const fresh = iovas.digest();
      const live: { base: number; size: number }[] = [];
      for (const { size, free } of steps) {
        const bytes = 2 ** Math.ceil(Math.log2(size)) * PAGE;
        if (free && live.length > 0) {
          const { base, size: held } = live.splice(size % live.length, 1)[0]!;
          iovas.free(base, held);
          continue;
        }
        const base = iovas.allocate(size * PAGE, APERTURE.last);
        if (base < 0) continue;
        const taken = [...live.map((l) => ({ first: l.base, last: l.base + l.size - 1 })), excluded];
        expect(taken.some((t) => base <= t.last && base + bytes - 1 >= t.first)).toBe(false);
        expect(base % bytes).toBe(0);
        live.push({ base, size: bytes });
      }
      for (const { base, size } of live) iovas.free(base, size);
      expect(iovas.digest()).toBe(fresh);
    }),
  );
});

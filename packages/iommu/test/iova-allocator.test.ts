import fc from 'fast-check';
import { expect, it } from 'vitest';
import { IovaAllocator } from '../src/index.js';
import { Flags } from './flags.js';

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

/** Everything that the allocator promises, whatever it keeps for reuse. */
it('gives what is free, aligned, below the limit, and fails only where nothing fits', () => {
  const step = fc.record({
    kind: fc.constantFrom('allocate', 'allocate', 'limited', 'free', 'free', 'burst', 'exclude', 'include'),
    pages: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 9, max: 700 })),
    at: fc.nat(1400),
  });
  const last = 1400;
  const granules = (pages: number) => 2 ** Math.ceil(Math.log2(pages));
  let [given, refused, reused] = [0, 0, 0];
  fc.assert(
    fc.property(fc.array(step, { minLength: 40, maxLength: 100 }), (steps) => {
      const iovas = new IovaAllocator({ first: 0, last: last * PAGE + PAGE - 1 }, PAGE);
      const flags = new Flags(1, last);
      const live: { base: number; pages: number }[] = [];
      const freed = new Set<number>();
      const holes: { first: number; last: number }[] = [];
      const free = (i: number) => {
        const { base, pages } = live.splice(i, 1)[0]!;
        iovas.free(base, pages * PAGE);
        flags.set(base / PAGE, base / PAGE + granules(pages) - 1, true);
        freed.add(base);
      };
      for (const { kind, pages, at } of steps) {
        if (kind === 'allocate' || kind === 'limited') {
          const limit = kind === 'limited' ? at : last;
          const before = iovas.digest();
          const base = iovas.allocate(pages * PAGE, limit * PAGE + PAGE - 1);
          if (base < 0) {
            refused++;
            expect([iovas.digest(), flags.fits(pages, limit)]).toEqual([before, false]);
            continue;
          }
          given++;
          if (freed.has(base)) reused++;
          const first = base / PAGE;
          expect([base % (granules(pages) * PAGE), first + granules(pages) - 1 <= limit]).toEqual([0, true]);
          expect([iovas.fits(base, pages * PAGE), flags.isFree(first, first + granules(pages) - 1)]).toEqual([
            true,
            true,
          ]);
          flags.set(first, first + granules(pages) - 1, false);
          live.push({ base, pages });
        } else if (kind === 'free' && live.length > 0) free(at % live.length);
        else if (kind === 'burst') {
          // More than a magazine holds.
          for (let i = 0; i < 2 * at; i++) {
            const base = iovas.allocate(PAGE, last * PAGE + PAGE - 1);
            if (base < 0) break;
            flags.set(base / PAGE, base / PAGE, false);
            live.push({ base, pages: 1 });
          }
          while (live.length > 10) free(at % live.length);
        } else if (kind === 'exclude') {
          const hole = { first: at, last: at + (pages % 70) };
          if (holes.some((h) => hole.first <= h.last && hole.last >= h.first)) continue;
          if (live.some((l) => l.base / PAGE <= hole.last && l.base / PAGE + granules(l.pages) > hole.first)) continue;
          iovas.exclude({ first: hole.first * PAGE + 1, last: hole.last * PAGE + 5 }); // whole granules go
          flags.set(hole.first, hole.last, false);
          holes.push(hole);
        } else if (kind === 'include' && holes.length > 0) {
          const hole = holes.splice(at % holes.length, 1)[0]!;
          iovas.include({ first: hole.first * PAGE, last: hole.last * PAGE + PAGE - 1 });
          flags.set(hole.first, hole.last, true);
        }
        const ranges = flags
          .ranges()
          .map(([a, b]) => `${(a * PAGE).toString(16)}-${((b + 1) * PAGE - 1).toString(16)}`);
        expect(iovas.digest()).toBe(ranges.join(' '));
      }
    }),
    { numRuns: 60 },
  );
  // The property says something only where all of it happens.
  expect(Math.min(given, refused, reused)).toBeGreaterThan(50);
});

it('says which addresses it cannot have given', () => {
  const iovas = new IovaAllocator({ first: 0, last: 2 ** 20 - 1 }, PAGE);
  expect(iovas.fits(0, PAGE)).toBe(false); // address 0
  expect(iovas.fits(0x1000, 2 * PAGE)).toBe(false); // not aligned to its size
  expect(iovas.fits(2 ** 20, PAGE)).toBe(false); // beyond the aperture
  expect(iovas.fits(0x2000, 2 * PAGE)).toBe(true);
});

it('reaches 52 bits, and gives a whole aperture at once', () => {
  const wide = new IovaAllocator({ first: 0, last: 2 ** 52 - 1 }, PAGE);
  expect(wide.allocate(PAGE, 2 ** 52 - 1)).toBe(2 ** 52 - PAGE);
  expect(wide.allocate(2 ** 50, 2 ** 52 - 1)).toBe(2 ** 51);
  expect(wide.allocate(PAGE, 0xffff_ffff)).toBe(0xffff_f000);
  wide.free(2 ** 51, 2 ** 50);
  wide.free(2 ** 52 - PAGE, PAGE);
  wide.free(0xffff_f000, PAGE);
  expect(wide.digest()).toBe('1000-fffffffffffff');
  const upper = new IovaAllocator({ first: 2 ** 51, last: 2 ** 52 - 1 }, PAGE);
  expect(upper.allocate(2 ** 51, 2 ** 52 - 1)).toBe(2 ** 51);
  expect(upper.allocate(PAGE, 2 ** 52 - 1)).toBe(-1);
});

it('gives what was freed last first, and takes everything back before it refuses', () => {
  const iovas = new IovaAllocator({ first: 0, last: 8 * PAGE - 1 }, PAGE);
  const all = Array.from({ length: 7 }, () => iovas.allocate(PAGE, 2 ** 20));
  expect(all).toEqual([7, 6, 5, 4, 3, 2, 1].map((n) => n * PAGE));
  for (const base of all) iovas.free(base, PAGE);
  expect(iovas.allocate(PAGE, 2 ** 20)).toBe(PAGE);
  expect(iovas.allocate(4 * PAGE, 2 ** 20)).toBe(4 * PAGE); // out of single pages
  expect(iovas.allocate(PAGE, 3 * PAGE - 1)).toBe(2 * PAGE);
});

import { PhysicalMemory, RangePageAllocator, READ, WRITE } from '@doorbell/platform';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RadixTable, readWrite, type RadixFormat } from '../src/index.js';

const PAGE = 4096;
const BIG = 2 ** 21;

/** Three levels of 512 entries: bit 0 R, bit 1 W, bit 2 table, bit 3 large page. */
const FORMAT: RadixFormat = {
  granuleBits: 12,
  indexBits: 9,
  levels: 3,
  leafAt: [true, true, false],
  leafLo: (physical, level, permissions) => (physical | readWrite(permissions) | (level ? 8 : 0)) >>> 0,
  leafHi: (physical) => Math.floor(physical / 2 ** 32),
  tableLo: (address) => (address | 4) >>> 0,
  tableHi: (address) => Math.floor(address / 2 ** 32),
  address: (lo, hi) => hi * 2 ** 32 + (lo - (lo % 4096)),
};

function make(size = 2 ** 26) {
  const memory = new PhysicalMemory([{ base: 0, size: 2 ** 30 }]);
  const pages = new RangePageAllocator(memory, 0x1000_0000, size);
  const empty = pages.digest();
  return { memory, pages, empty, table: new RadixTable(FORMAT, memory, pages, [PAGE, BIG]) };
}

describe('RadixTable', () => {
  it('writes the words that the format says, where the walk looks for them', () => {
    const { memory, table } = make();
    table.map(0x4020_3000, 0x1_2345_6000, PAGE, READ | WRITE);
    const root = table.rootAddress;
    const l1 = memory.read32(root + 8) - 4; // 0x4020_3000 >> 30 = 1
    const l0 = memory.read32(l1 + 8) - 4; // (0x4020_3000 >> 21) & 511 = 1
    expect([memory.read32(l0 + 3 * 8), memory.read32(l0 + 3 * 8 + 4)]).toEqual([0x2345_6003, 1]);
    expect(table.iovaToPhys(0x4020_3abc)).toBe(0x1_2345_6abc);
  });

  it('takes the largest pages that fit both addresses', () => {
    const { memory, table } = make();
    table.map(BIG - PAGE, 3 * BIG - PAGE, BIG + 2 * PAGE, READ);
    const l1 = memory.read32(table.rootAddress) - 4;
    expect(memory.read32(l1 + 8)).toBe(3 * BIG + 8 + 1); // the middle is one large page
    expect(table.iovaToPhys(2 * BIG)).toBe(4 * BIG);
    expect(() => table.unmap(BIG, PAGE)).toThrow(expect.objectContaining({ code: 'UNALIGNED' }));
    expect(table.iovaToPhys(BIG)).toBe(3 * BIG);
    expect(table.unmap(BIG - PAGE, BIG + 2 * PAGE)).toBe(BIG + 2 * PAGE);
    expect(table.mappedIn(0, 2 ** 30)).toBeNull();
  });

  it('leaves memory and allocator as they were when pages run out in the middle', () => {
    const { memory, pages, table } = make(4 * PAGE);
    const before = [memory.digest(), pages.digest()];
    expect(() => table.map(0, PAGE, 4 * BIG - PAGE, READ)).toThrow(expect.objectContaining({ code: 'OUT_OF_MEMORY' }));
    expect([memory.digest(), pages.digest()]).toEqual(before);
    table.map(0, 0, PAGE, READ);
    expect(table.iovaToPhys(0)).toBe(0);
  });

  it('gives tables back when their whole span is unmapped, after reclaim only', () => {
    const { pages, empty, table } = make();
    table.map(BIG, 0, BIG - PAGE, READ);
    const full = pages.digest();
    expect(table.unmap(0, 2 ** 30)).toBe(BIG - PAGE);
    expect(pages.digest()).toBe(full);
    table.undoUnmap();
    expect(table.iovaToPhys(BIG + PAGE)).toBe(PAGE);
    table.unmap(0, 2 ** 30);
    table.reclaim();
    expect(pages.digest()).not.toBe(full);
    table.destroy();
    expect(pages.digest()).toBe(empty);
  });

  it('agrees with a map of pages under random operations, undo included', () => {
    const op = fc.record({
      kind: fc.constantFrom('map', 'map', 'unmap', 'undo'),
      first: fc.integer({ min: 0, max: 1200 }),
      count: fc.constantFrom(1, 1, 2, 5, 512, 700),
      physical: fc.integer({ min: 0, max: 5000 }),
    });
    fc.assert(
      fc.property(fc.array(op, { maxLength: 25 }), (ops) => {
        const { table } = make();
        const model = new Map<number, number>();
        for (const { kind, first, count, physical } of ops) {
          const pages = Array.from({ length: count }, (_, i) => first + i);
          if (kind === 'map') {
            const busy = pages.some((p) => model.has(p));
            if (busy) {
              expect(() => table.map(first * PAGE, physical * PAGE, count * PAGE, READ)).toThrow(
                /overlaps the mapping/,
              );
            } else {
              table.map(first * PAGE, physical * PAGE, count * PAGE, READ);
              pages.forEach((p, i) => model.set(p, physical + i));
            }
          } else {
            let taken: number;
            try {
              taken = table.unmap(first * PAGE, count * PAGE);
            } catch {
              continue; // cuts a large page: nothing has changed, which the comparison below shows
            }
            expect(taken).toBe(pages.filter((p) => model.has(p)).length * PAGE);
            if (kind === 'undo') table.undoUnmap();
            else {
              pages.forEach((p) => model.delete(p));
              table.reclaim();
            }
          }
        }
        for (let p = 0; p < 2000; p++) {
          const expected = model.get(p);
          const seen = table.iovaToPhys(p * PAGE);
          if (seen !== (expected === undefined ? -1 : expected * PAGE)) expect([p, seen]).toEqual([p, expected]);
        }
      }),
      { numRuns: 60 },
    );
  });
});

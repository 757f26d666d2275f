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

/** Memory whose words nobody can reach: each access is a call, as on a live machine. */
class DistantMemory extends PhysicalMemory {
  override get direct(): never {
    return undefined as never;
  }
}

interface Kind {
  readonly Memory: typeof PhysicalMemory;
  readonly addressInPlace: boolean;
}
const KINDS: readonly Kind[] = [
  { Memory: PhysicalMemory, addressInPlace: true },
  { Memory: PhysicalMemory, addressInPlace: false },
  { Memory: DistantMemory, addressInPlace: true },
];

function make(size = 2 ** 26, { Memory, addressInPlace } = KINDS[0]!) {
  const memory = new Memory([{ base: 0, size: 2 ** 30 }]);
  const pages = new RangePageAllocator(memory, 0x1000_0000, size);
  const empty = pages.digest();
  return { memory, pages, empty, table: new RadixTable({ ...FORMAT, addressInPlace }, memory, pages, [PAGE, BIG]) };
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

  it('writes the same words in a run as page by page, across 4 GiB too, and however memory is reached', () => {
    const words = KINDS.map((kind) => {
      const { memory, table } = make(2 ** 26, kind);
      table.map(BIG - 3 * PAGE, 2 ** 32 - 2 * PAGE, 5 * PAGE, WRITE); // two tables; bit 32 changes in the first
      return memory.digest();
    });
    const { memory, table } = make();
    for (let i = 0; i < 5; i++) table.map(BIG + (i - 3) * PAGE, 2 ** 32 + (i - 2) * PAGE, PAGE, WRITE);
    expect(new Set([...words, memory.digest()]).size).toBe(1);
    expect(table.iovaToPhys(BIG - PAGE)).toBe(2 ** 32);
  });

  it('refuses a format that says addressInPlace and shifts the address', () => {
    const { memory, pages } = make();
    const shifted = { ...FORMAT, addressInPlace: true, leafLo: (physical: number) => (physical / 4) >>> 0 };
    expect(() => new RadixTable(shifted, memory, pages, [PAGE])).toThrow(
      expect.objectContaining({ code: 'BAD_RADIX_FORMAT' }),
    );
  });

  it('leaves empty tables where an unmap takes no page: nothing would be flushed', () => {
    const { memory, pages, table } = make();
    table.map(0, 0, PAGE, READ);
    table.unmap(0, PAGE);
    const before = [memory.digest(), pages.digest()];
    expect(table.unmap(0, BIG)).toBe(0);
    table.reclaim();
    expect([memory.digest(), pages.digest()]).toEqual(before);
    table.map(0, 0, PAGE, READ); // the table is still linked
    expect(table.unmap(0, BIG)).toBe(PAGE);
  });

  it('forgets the table of the last page when that table goes', () => {
    const { table } = make();
    table.map(PAGE, 0, PAGE, READ);
    table.unmap(0, BIG);
    table.reclaim();
    table.map(2 * PAGE, 0, PAGE, READ);
    expect([table.iovaToPhys(PAGE), table.iovaToPhys(2 * PAGE)]).toEqual([-1, 0]);
  });

  it('takes and puts back a tree of three levels in one call', () => {
    const { pages, table } = make();
    table.map(BIG - PAGE, 3 * BIG - PAGE, BIG + 2 * PAGE, READ); // a page, a large page, a page
    const full = pages.digest();
    expect(table.unmap(0, 2 ** 30)).toBe(BIG + 2 * PAGE);
    expect(table.mappedIn(0, 2 ** 39 - 1)).toBeNull();
    table.undoUnmap();
    table.reclaim();
    expect([table.iovaToPhys(BIG), table.iovaToPhys(2 * BIG), pages.digest()]).toEqual([3 * BIG, 4 * BIG, full]);
  });

  it.each(KINDS)('agrees with a map of pages under random operations, undo included: %o', (kind) => {
    const op = fc.record({
      kind: fc.constantFrom('map', 'map', 'unmap', 'undo'),
      first: fc.integer({ min: 0, max: 1200 }),
      count: fc.constantFrom(1, 1, 2, 5, 512, 700),
      physical: fc.integer({ min: 0, max: 5000 }),
    });
    fc.assert(
      fc.property(fc.array(op, { maxLength: 25 }), (ops) => {
        const { table } = make(2 ** 26, kind);
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

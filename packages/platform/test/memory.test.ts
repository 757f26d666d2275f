import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_ADDRESS, PhysicalMemory, RangePageAllocator } from '../src/index.js';
import { thrown } from './helpers.js';

const CHUNK = 2 ** 19;

describe('physical memory', () => {
  it('reads 0 where nothing was written, and allocates only what is written', () => {
    const m = new PhysicalMemory([{ base: 0, size: 2 ** 40 }]);
    expect([m.read8(1), m.read16(2), m.read32(2 ** 40 - 4)]).toEqual([0, 0, 0]);
    m.fill(0, 2 ** 33, 0);
    m.readBytes(2 ** 35, new Uint8Array(4096));
    expect(m.allocated).toBe(0);
    m.write8(2 ** 39 + 3, 0xab);
    expect([m.allocated, m.read32(2 ** 39)]).toEqual([CHUNK, 0xab00_0000]);
  });

  it('reaches 52 bits', () => {
    const m = new PhysicalMemory([{ base: 2 ** 52 - 4096, size: 4096 }]);
    m.write64(MAX_ADDRESS - 7, 0x1122_3344, 0x5566_7788);
    expect([m.read32(MAX_ADDRESS - 7), m.read32(MAX_ADDRESS - 3), m.read8(MAX_ADDRESS)]).toEqual([
      0x5566_7788, 0x1122_3344, 0x11,
    ]);
    expect(thrown(() => m.read32(2 ** 52)).code).toBe('OUTSIDE_MEMORY');
  });

  it.each([
    ['a base of 4', { base: 4, size: 8 }],
    ['a size of 4', { base: 0, size: 4 }],
    ['no size', { base: 0, size: 0 }],
    ['beyond 52 bits', { base: 2 ** 52 - 8, size: 16 }],
    ['a negative base', { base: -8, size: 8 }],
    ['a size that is no number', { base: 0, size: NaN }],
  ])('refuses a bank with %s', (_, bank) => {
    expect(thrown(() => new PhysicalMemory([bank])).code).toBe('BAD_MEMORY_BANK');
  });

  it('refuses overlapping banks, naming both ranges', () => {
    const banks = [
      { base: 0, size: 0x2000 },
      { base: 0x1000, size: 0x1000 },
    ];
    expect(thrown(() => new PhysicalMemory(banks)).message).toBe(
      'RAM (0x1000–0x1fff) overlaps RAM (0x0–0x1fff) (move one of them)',
    );
  });

  it('refuses unaligned access, with the address and what to do', () => {
    const m = new PhysicalMemory([{ base: 0, size: 4096 }]);
    const tries: [number, () => unknown][] = [
      [2, () => m.read16(1)],
      [2, () => m.write16(3, 0)],
      [4, () => m.read32(2)],
      [4, () => m.write32(1, 0)],
      [8, () => m.write64(4, 0, 0)],
    ];
    for (const [size, access] of tries) {
      const error = thrown(access);
      expect([error.code, error.details.size]).toEqual(['UNALIGNED', size]);
    }
    expect(thrown(() => m.read32(2)).message).toBe('access of 4 bytes at 0x2 is not aligned (align it to 4 bytes)');
  });

  it.each([
    ['below', 0xff8],
    ['in the hole', 0x3000],
    ['above', 0x5000],
    ['at 2^60, which no offset must reach', 2 ** 60],
    ['at no number', NaN],
    ['at a negative number', -4],
  ])('refuses access %s', (_, address) => {
    const m = new PhysicalMemory([
      { base: 0x1000, size: 0x2000 },
      { base: 0x4000, size: 0x1000 },
    ]);
    m.write32(0x1000, 1); // a chunk that is RAM in part is never remembered as if it were whole
    expect(m.has(address)).toBe(false);
    for (const access of [
      () => m.read32(address),
      () => m.write32(address, 1),
      () => m.write8(address, 1),
      () => m.readBytes(address, new Uint8Array(1)),
      () => m.fill(address, 1, 1),
    ])
      expect(thrown(access).code).toBe('OUTSIDE_MEMORY');
    expect(m.read32(0x1000)).toBe(1);
  });

  it('gives its words to whoever writes in place, in one piece or not at all', () => {
    const m = new PhysicalMemory([{ base: 0, size: 2 * CHUNK + 4096 }]);
    const at = m.direct.locateForWrite(CHUNK - 16, 16);
    m.direct.located[at + 3] = 7;
    expect([m.read32(CHUNK - 4), m.allocated]).toEqual([7, CHUNK]);
    expect(m.direct.locateForWrite(CHUNK - 16, 24)).toBe(-1);
    expect(m.direct.locateForWrite(2 * CHUNK, 4096)).toBe(0);
    expect(thrown(() => m.direct.locateForWrite(2 * CHUNK, 4104)).code).toBe('OUTSIDE_MEMORY');
    expect(thrown(() => m.direct.locateForWrite(2, 4)).code).toBe('UNALIGNED');
    expect(m.read32(CHUNK - 4)).toBe(7);
  });

  it('does bytes across adjacent banks, and none across a hole', () => {
    const m = new PhysicalMemory([
      { base: 0, size: CHUNK },
      { base: CHUNK, size: CHUNK },
      { base: 3 * CHUNK, size: CHUNK },
    ]);
    const bytes = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
    m.writeBytes(CHUNK - 8, bytes);
    const back = new Uint8Array(16);
    m.readBytes(CHUNK - 8, back);
    expect(back).toEqual(bytes);
    const before = m.digest();
    expect(thrown(() => m.writeBytes(2 * CHUNK - 8, bytes)).code).toBe('OUTSIDE_MEMORY');
    expect(m.digest()).toBe(before); // not even the part that would have fitted
  });

  it.each([1, 16, 17, 4096, CHUNK + 40])('takes and gives a part of an array: %i bytes, across chunks', (n) => {
    const m = new PhysicalMemory([{ base: 0, size: 8 * CHUNK }]);
    const at = CHUNK - (n >> 1);
    const from = Uint8Array.from({ length: n + 9 }, (_, i) => i * 7 + 1);
    m.writeBytes(at, from, 5, n);
    const into = new Uint8Array(n + 9).fill(0xee);
    m.readBytes(at, into, 3, n);
    expect(into.subarray(3, n + 3).every((b, i) => b === from[i + 5])).toBe(true);
    expect([into[2], into[n + 3], m.read8(at - 1), m.read8(at + n)]).toEqual([0xee, 0xee, 0, 0]);
  });

  it('writes bytes to the chunks of now after a restore, in its own copy after a snapshot', () => {
    const m = new PhysicalMemory([{ base: 0, size: 2 * CHUNK }]);
    m.writeBytes(64, new Uint8Array(64).fill(1));
    const state = m.snapshot();
    m.writeBytes(64, new Uint8Array(64).fill(2));
    m.restore(state);
    expect(m.read32(64)).toBe(0x0101_0101);
    m.writeBytes(64, new Uint8Array(64).fill(3));
    const other = new PhysicalMemory([{ base: 0, size: 2 * CHUNK }]);
    other.restore(state);
    expect([m.read32(64), other.read32(64), state[0]!.words[16]]).toEqual([0x0303_0303, 0x0101_0101, 0x0101_0101]);
    m.fill(64, 64, 0);
    const back = new Uint8Array(64);
    m.readBytes(64, back);
    expect([...back].every((b) => b === 0)).toBe(true);
  });

  it('is a map of bytes, whatever is done in whatever order', () => {
    const base = 3 * CHUNK - 64;
    const holes = [
      { base, size: 128 }, // crosses a chunk
      { base: base + 136, size: 56 },
      { base: 2 ** 45, size: 2 * CHUNK },
    ];
    const inRam = (a: number, n: number) => holes.some((h) => a >= h.base && a + n <= h.base + h.size);
    const where = fc.oneof(
      fc.integer({ min: base - 16, max: base + 200 }),
      fc.integer({ min: 2 ** 45 + CHUNK - 32, max: 2 ** 45 + CHUNK + 32 }),
    );
    const op = fc.record({
      at: where,
      size: fc.constantFrom(1, 2, 4, 8, 0),
      value: fc.nat(0xffff_ffff),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }),
    });
    fc.assert(
      fc.property(fc.array(op, { maxLength: 60 }), (ops) => {
        const m = new PhysicalMemory(holes);
        const model = new Map<number, number>();
        const put = (at: number, value: number, n: number) => {
          for (let i = 0; i < n; i++) model.set(at + i, (value >>> (8 * i)) & 0xff);
        };
        for (const { at, size, value, bytes } of ops) {
          const n = size || bytes.length;
          const legal = inRam(at, n) && (size === 0 || at % size === 0);
          const act = () => {
            if (size === 0) m.writeBytes(at, bytes);
            else if (size === 1) m.write8(at, value);
            else if (size === 2) m.write16(at, value);
            else if (size === 4) m.write32(at, value);
            else m.write64(at, ~value >>> 0, value);
          };
          if (!legal) {
            expect(['OUTSIDE_MEMORY', 'UNALIGNED']).toContain(thrown(act).code);
            continue;
          }
          act();
          if (size === 0) bytes.forEach((b, i) => model.set(at + i, b));
          else put(at, value, Math.min(size, 4));
          if (size === 8) put(at + 4, ~value >>> 0, 4);
        }
        const whole = new Uint8Array(128);
        m.readBytes(base, whole);
        whole.forEach((b, i) => expect(b).toBe(model.get(base + i) ?? 0));
        for (const [at, b] of model) {
          expect(m.read8(at)).toBe(b);
          const word = [0, 1, 2, 3].map((i) => model.get(at - (at % 4) + i) ?? 0);
          expect(m.read32(at - (at % 4))).toBe(word.reduce((sum, x, i) => sum + x * 256 ** i, 0));
        }
        const copy = new PhysicalMemory(holes);
        copy.restore(m.snapshot());
        expect(copy.digest()).toBe(m.digest());
      }),
      { numRuns: 200 },
    );
  });

  it('has a digest of the content alone: zeros written count as nothing', () => {
    const [a, b] = [new PhysicalMemory([{ base: 0, size: 2 ** 30 }]), new PhysicalMemory([{ base: 0, size: 2 ** 30 }])];
    a.write32(0x100, 5);
    b.write32(2 ** 29, 0);
    expect(b.digest()).not.toBe(a.digest());
    b.write32(0x100, 5);
    expect(b.digest()).toBe(a.digest());
    a.write32(0x200, 1);
    b.write32(0x204, 1);
    expect(b.digest()).not.toBe(a.digest());
  });

  it('refuses a state that has content where it has no RAM, unchanged', () => {
    const big = new PhysicalMemory([{ base: 0, size: 2 ** 30 }]);
    big.write32(2 ** 29, 1);
    const little = new PhysicalMemory([{ base: 0, size: 4096 }]);
    little.write32(0, 7);
    expect(thrown(() => little.restore(big.snapshot())).code).toBe('OUTSIDE_MEMORY');
    expect(little.read32(0)).toBe(7);
  });
});

describe('pages for drivers', () => {
  const setUp = (size = 64 * 4096) => {
    const memory = new PhysicalMemory([{ base: 0, size: 2 ** 20 }]);
    return { memory, pages: new RangePageAllocator(memory, 0x8000, size) };
  };

  it('are zeroed, whole, and aligned to their size or more', () => {
    const { memory, pages } = setUp();
    memory.fill(0x8000, 64 * 4096, 0xff);
    expect(pages.allocate(1)).toBe(0x8000);
    expect(pages.allocate(0x3000)).toBe(0xc000); // natural: 16 KiB
    expect(pages.allocate(4096)).toBe(0x9000); // the gap is used
    expect(pages.allocate(4096, 0x10000)).toBe(0x1_0000);
    expect(pages.allocate(0x4000, 4096)).toBe(0x1_4000); // less than natural is not asked for
    expect([memory.read32(0x9ffc), memory.read32(0xa000)]).toEqual([0, 0xffff_ffff]);
  });

  it('come back by free, merge, and are not given twice', () => {
    const { pages } = setUp();
    const fresh = pages.digest();
    const blocks = [4096, 8192, 4096].map((n) => [pages.allocate(n), n] as const);
    for (const [at, n] of [blocks[1]!, blocks[0]!, blocks[2]!]) pages.free(at, n);
    expect(pages.digest()).toBe(fresh);
    for (const [at, n] of [
      [0x8000, 4096],
      [0x8001, 4096],
      [0x4000, 4096],
      [0x4_7000, 8192],
    ] as const)
      expect(thrown(() => pages.free(at, n)).code).toBe('BAD_FREE');
    expect(pages.digest()).toBe(fresh);
  });

  it('run out with the numbers, changing nothing', () => {
    const { pages } = setUp(4 * 4096);
    pages.allocate(4096);
    const before = pages.digest();
    expect(thrown(() => pages.allocate(0x4000)).message).toBe(
      'no 16384 bytes aligned to 16384 left for tables (12288 free) (give the platform more RAM)',
    );
    expect(pages.digest()).toBe(before);
    expect(thrown(() => pages.allocate(0)).code).toBe('BAD_SIZE');
    expect(thrown(() => pages.allocate(NaN)).code).toBe('BAD_SIZE');
    expect(thrown(() => pages.allocate(Infinity)).code).toBe('BAD_SIZE');
    expect(thrown(() => pages.allocate(4096, 3)).code).toBe('BAD_ALIGNMENT');
  });

  it('never overlap, always lie inside, and all come back (property)', () => {
    const step = fc.oneof(fc.record({ size: fc.integer({ min: 1, max: 5 * 4096 }) }), fc.record({ drop: fc.nat(20) }));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { pages } = setUp();
        const fresh = pages.digest();
        const live: [number, number][] = [];
        for (const s of steps) {
          if ('drop' in s) {
            const [gone] = live.splice(s.drop % Math.max(1, live.length), 1);
            if (gone) pages.free(...gone);
            continue;
          }
          const bytes = Math.ceil(s.size / 4096) * 4096;
          let at: number;
          try {
            at = pages.allocate(s.size);
          } catch (error) {
            expect(error).toMatchObject({ code: 'OUT_OF_MEMORY' });
            continue;
          }
          expect(at % 2 ** Math.ceil(Math.log2(bytes))).toBe(0);
          expect(at >= 0x8000 && at + bytes <= 0x8000 + 64 * 4096).toBe(true);
          for (const [a, n] of live) expect(at >= a + n || at + bytes <= a).toBe(true);
          live.push([at, bytes]);
        }
        const state = pages.snapshot();
        const copy = setUp().pages;
        copy.restore(state);
        expect(copy.digest()).toBe(pages.digest());
        for (const block of live) pages.free(...block);
        expect(pages.digest()).toBe(fresh);
      }),
    );
  });
});

import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  elfBanks,
  loadElfCore,
  loadRaw,
  loadSparse,
  PhysicalMemory,
  saveElfCore,
  saveRaw,
  saveSparse,
} from '../src/index.js';
import { thrown } from './helpers.js';

const CHUNK = 2 ** 19;
const banks = [
  { base: 0, size: 2 ** 24 },
  { base: 2 ** 32 + 8, size: 2 ** 33 },
];
const join1 = (pieces: Iterable<Uint8Array>) => new Uint8Array(Buffer.concat([...pieces].map((p) => p.slice())));
/** The same bytes in pieces of the given sizes, over and over. */
function* inPieces(bytes: Uint8Array, ...sizes: number[]): Generator<Uint8Array> {
  for (let at = 0, i = 0; at < bytes.length; at += sizes[i++ % sizes.length]!)
    yield bytes.subarray(at, at + sizes[i % sizes.length]!);
}
const filled = (seed = 1) => {
  const m = new PhysicalMemory(banks);
  for (let i = 0, x = seed; i < 40; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    m.write32(4 * (x % 2 ** 22), x);
    m.write32(2 ** 32 + 8 + 4 * (x % 2 ** 31), ~x >>> 0);
  }
  return m;
};

describe('raw', () => {
  it('goes in and out at a base, in any pieces, and leaves zeros unallocated', () => {
    const m = new PhysicalMemory(banks);
    const bytes = new Uint8Array(3 * CHUNK);
    bytes.set([1, 2, 3], 0);
    bytes.set([4, 5], 3 * CHUNK - 2);
    expect(loadRaw(m, 0x1003, inPieces(bytes, 1, 4095, 70_000))).toBe(bytes.length);
    expect(m.allocated).toBe(2 * CHUNK);
    expect(Buffer.compare(join1(saveRaw(m, 0x1003, bytes.length)), bytes)).toBe(0);
    loadRaw(m, 0x1003, new Uint8Array(8)); // zeros replace
    expect([m.read8(0x1002), m.read32(0x1004)]).toEqual([0, 0]);
  });

  it('refuses what is not RAM', () => {
    const m = new PhysicalMemory(banks);
    expect(thrown(() => loadRaw(m, 2 ** 24 - 2, Uint8Array.of(1, 2, 3))).code).toBe('OUTSIDE_MEMORY');
    expect(thrown(() => [...saveRaw(m, 2 ** 24 - 2, 3)]).message).toContain('no RAM at 0xfffffe (3 bytes)');
  });
});

describe.each(['little', 'big'] as const)('ELF core, %s-endian', (endian) => {
  const save = (m: PhysicalMemory) => join1(saveElfCore(m, { machine: 62, endian }));

  it('brings all of RAM back, and is no larger than what was written', () => {
    const m = filled();
    const file = save(m);
    expect(file.length).toBeLessThan(m.allocated + 8192);
    for (const pieces of [file, inPieces(file, 7, 100_000), inPieces(file, 1_000_003)]) {
      const copy = new PhysicalMemory(banks);
      copy.write32(0x123450, 1); // what was never written there is zero here, too
      const core = loadElfCore(copy, pieces);
      expect([core.bits, core.endian, core.machine]).toEqual([64, endian, 62]);
      expect(copy.digest()).toBe(m.digest());
    }
    // Whole pages: the second bank begins 8 bytes into one.
    expect(elfBanks(file)).toEqual([banks[0], { base: 2 ** 32, size: 2 ** 33 + 4096 }]);
  });

  it('is what readelf reads', () => {
    const dir = mkdtempSync(join(tmpdir(), 'doorbell-'));
    try {
      writeFileSync(join(dir, 'core'), save(filled()));
      const { stdout, error } = spawnSync('readelf', ['-hlW', join(dir, 'core')], { encoding: 'utf8' });
      if (error) return console.warn('skipped: readelf is not installed');
      expect(stdout).toMatch(/Type:\s+CORE/);
      expect(stdout).toContain(`${endian} endian`);
      const loads = [...stdout.matchAll(/LOAD\s+(\w+) \w+ (\w+) (\w+) (\w+)/g)].map((l) => l.slice(1).map(Number));
      expect(loads.reduce((n, l) => n + l[3]!, 0)).toBe(2 ** 24 + 2 ** 33);
      expect(loads[0]![1]).toBe(0);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

describe('ELF cores that are not', () => {
  const good = () => join1(saveElfCore(filled(), { machine: 62 }));
  const patched = (...at: [number, number][]) => {
    const file = good();
    for (const [offset, byte] of at) file[offset] = byte;
    return file;
  };
  it.each([
    ['no ELF', () => Uint8Array.of(...Buffer.from('DBSPARS1 and more')), 'begin with 7f 45 4c 46'],
    ['an unknown class', () => patched([4, 3]), 'ELF class 3 or data 1 is unknown'],
    ['an executable', () => patched([16, 2]), 'type 2, not 4 (core)'],
    ['65535 segments', () => patched([56, 0xff], [57, 0xff]), '65535 segments'],
    ['short program headers', () => patched([54, 8]), 'program headers of 8 bytes'],
    ['program headers within the header', () => patched([32, 8]), 'within the ELF header'],
    ['segments that share bytes', () => patched([64 + 8, 0], [64 + 9, 0], [64 + 32, 1]), 'shares bytes of the file'],
    ['an end within the header', () => good().subarray(0, 40), 'ends after 40 bytes, within the ELF header'],
    ['an end within a segment', () => good().subarray(0, 9000), 'within the segment for 0x'],
  ])('%s: BAD_DUMP', (_, file, message) => {
    const error = thrown(() => loadElfCore(new PhysicalMemory(banks), file()));
    expect([error.code, error.message]).toEqual(['BAD_DUMP', expect.stringContaining(message)]);
  });

  it('content where there is no RAM: every such segment is named, nothing changes', () => {
    const m = new PhysicalMemory([{ base: 0, size: 4096 }]);
    const error = thrown(() => loadElfCore(m, good()));
    expect(error.code).toBe('OUTSIDE_MEMORY');
    expect(error.message).toContain('the dump has content where there is no RAM: ');
    expect(error.message).toContain('bytes at 0x100000008');
    expect(m.allocated).toBe(0);
  });

  it('32-bit cores load', () => {
    const file = new Uint8Array(52 + 32 + 4);
    const v = new DataView(file.buffer);
    file.set([0x7f, 0x45, 0x4c, 0x46, 1, 2, 1]);
    v.setUint16(16, 4);
    v.setUint16(18, 20);
    v.setUint32(28, 52);
    v.setUint16(42, 32);
    v.setUint16(44, 1);
    [1, 84, 0, 0x2000, 4, 8].forEach((x, i) => v.setUint32(52 + 4 * i, x));
    file.set([1, 2, 3, 4], 84);
    const m = new PhysicalMemory(banks);
    m.write32(0x2004, 9);
    expect(loadElfCore(m, file)).toMatchObject({ bits: 32, endian: 'big', machine: 20 });
    expect([m.read32(0x2000), m.read32(0x2004)]).toEqual([0x0403_0201, 0]);
  });
});

describe('sparse', () => {
  it('keeps pages with content only, and brings exactly them back (property)', () => {
    const at = fc.oneof(
      fc.nat(2 ** 24 - 1),
      fc.nat(2 ** 33 - 1).map((n) => 2 ** 32 + 8 + n),
    );
    fc.assert(
      fc.property(
        fc.array(fc.tuple(at, fc.nat(255)), { maxLength: 20 }),
        fc.integer({ min: 1, max: 9999 }),
        (bytes, piece) => {
          const m = new PhysicalMemory(banks);
          for (const [address, b] of bytes) m.write8(address, b);
          const file = join1(saveSparse(m));
          expect(file.length).toBeLessThanOrEqual(20 + new Set(bytes.map(([a]) => Math.floor(a / 4096))).size * 4108);
          const copy = filled();
          loadSparse(copy, inPieces(file, piece));
          expect(copy.digest()).toBe(m.digest());
        },
      ),
      { numRuns: 30 },
    );
  });

  it('refuses what it is not, and what is not whole', () => {
    const file = join1(saveSparse(filled()));
    const load = (bytes: Uint8Array) => thrown(() => loadSparse(new PhysicalMemory(banks), bytes));
    expect(load(Uint8Array.from({ length: 99 })).message).toContain('does not begin with DBSPARS1');
    expect(load(file.subarray(0, file.length - 12)).message).toContain('within a record’s head');
    expect(load(file.subarray(0, 4000)).message).toContain('within the record for 0x');
    const wrong = file.slice();
    wrong[file.length - 12]! ^= 1;
    expect(load(wrong).message).toContain('bytes of content and says');
    expect(thrown(() => loadSparse(new PhysicalMemory([{ base: 0, size: 4096 }]), file)).code).toBe('OUTSIDE_MEMORY');
  });
});

const here = (program: string) => spawnSync(program, ['--version']).status === 0;
const machines = [
  ['qemu-system-x86_64', '-M q35 -m 8', 'little', 0xfffc_0000, 0x4_0000],
  [
    'qemu-system-ppc64',
    '-M mac99 -m 16 -device loader,addr=0x4560,data=0x0102030405060708,data-len=8',
    'big',
    0,
    0x1_0000,
  ],
] as const;
for (const [program, args, endian, base, size] of machines) {
  const missing = !here(program);
  if (missing) console.warn(`skipped: dumps of ${program}, which is not installed`);
  describe.skipIf(missing)(`a dump of ${program}`, () => {
    let dir: string;
    beforeAll(() => {
      dir = mkdtempSync(join(tmpdir(), 'doorbell-'));
      spawnSync(program, ['-S', '-nodefaults', '-display', 'none', '-monitor', 'stdio', ...args.split(' ')], {
        input: `dump-guest-memory ${dir}/core\npmemsave ${base} ${size} "${dir}/raw"\nquit\n`,
        timeout: 90_000,
      });
    });
    afterAll(() => rmSync(dir, { recursive: true }));

    it('holds what the monitor’s own pmemsave says', () => {
      const fd = openSync(join(dir, 'core'), 'r');
      function* pieces(): Generator<Uint8Array> {
        const block = new Uint8Array(2 ** 20); // one block for all of it: the file is never in memory as a whole
        for (let at = 0, n; (n = readSync(fd, block, 0, block.length, at)) > 0; at += n) yield block.subarray(0, n);
      }
      const memory = new PhysicalMemory(elfBanks(pieces()));
      expect(loadElfCore(memory, pieces())).toMatchObject({ bits: 64, endian });
      closeSync(fd);
      const raw = readFileSync(join(dir, 'raw'));
      expect(raw.some((b) => b !== 0)).toBe(true);
      expect(Buffer.compare(raw, join1(saveRaw(memory, base, size)))).toBe(0);
    });
  });
}

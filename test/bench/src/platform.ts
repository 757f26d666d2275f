import { bit, bits, layout } from '@doorbell/bits';
import {
  createHooks,
  Diagnostics,
  PcieFabric,
  PhysicalMemory,
  RegisterFile,
  SystemBus,
  Verdict,
} from '@doorbell/platform';
import type { Outcome, Request, TranslationUnit } from '@doorbell/platform';
import type { Suite } from './harness.js';

const MIB = 2 ** 20;
const SIZE = 256 * MIB;
const memory = new PhysicalMemory([{ base: 0, size: SIZE }]);
const bare = new Uint32Array(SIZE / 4);
for (let i = 0, x = 1; i < bare.length; i++) bare[i] = x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
memory.writeBytes(0, new Uint8Array(bare.buffer));

const PAGE = 0x123_4000;
const word = PAGE / 4;
/** Word indices all over 256 MiB: a full-period generator, the low bits dropped. */
const next = (x: number): number => (Math.imul(x, 1664525) + 1013904223) >>> 0;

const CTRL = layout('CTRL', 'bench', 0x10, 32, { EN: bit(0), MODE: bits(7, 4) });
const MMIO = 0x8000_0000;
const bus = new SystemBus(memory);
const files = Array.from({ length: 8 }, (_, i) => {
  const file = new RegisterFile({
    name: `unit${i}`,
    base: MMIO + i * 0x1000,
    size: 0x1000,
    diagnostics: new Diagnostics(),
    registers: [CTRL],
  });
  bus.map(file);
  return file;
});
let started = 0;
for (const file of files) file.onWrite(0x10, (now) => void (started += now & 1));
const file = files[3]!;
const at = file.base + 0x10;

const hooks = createHooks();
let heard = 0;
const listener = (composed: number): void => void (heard += composed);
hooks.composed.tap('bench', () => listener(1));

/** The least that a unit can do: one table of 4 KiB pages, 1 MiB, a word each. */
const TABLE = 0x10_0000;
const unit: TranslationUnit = {
  name: 'table',
  translate(request: Request, out: Outcome): Verdict {
    out.pa = memory.read32(TABLE + 4 * ((request.lo >>> 12) & 255)) + (request.lo & 0xfff);
    return Verdict.translated;
  },
};
for (let i = 0; i < 256; i++) memory.write32(TABLE + 4 * i, 0x20_0000 + ((i * 37) & 255) * 4096);
const straight = new PcieFabric(0, bus);
const through = new PcieFabric(1, bus);
through.claim(unit);
const small = new Uint8Array(64).fill(1);
const large = new Uint8Array(4096).fill(1);
const target = new Uint8Array(bare.buffer);

export const platformSuites: Suite[] = [
  {
    name: 'platform: RAM u32 reads within a page',
    workload: 'the next of the 1,024 words of one 4 KiB page of 256 MiB of RAM that was written throughout',
    baseline: {
      name: 'a bare Uint32Array',
      run: (n) => {
        let sum = 0;
        for (let i = 0; i < n; i++) sum += bare[word + (i & 1023)]!;
        return sum;
      },
    },
    rows: [
      {
        name: 'PhysicalMemory.read32',
        run: (n) => {
          let sum = 0;
          for (let i = 0; i < n; i++) sum += memory.read32(PAGE + 4 * (i & 1023));
          return sum;
        },
      },
    ],
    budget: { times: 2 },
  },
  {
    name: 'platform: RAM u32 reads at random',
    workload: 'words all over 256 MiB of RAM that was written throughout; the address does not depend on what was read',
    baseline: {
      name: 'a bare Uint32Array',
      run: (n) => {
        let sum = 0;
        for (let i = 0, x = 1; i < n; i++) sum += bare[(x = next(x)) >>> 6]!;
        return sum;
      },
    },
    rows: [
      {
        name: 'PhysicalMemory.read32',
        run: (n) => {
          let sum = 0;
          for (let i = 0, x = 1; i < n; i++) sum += memory.read32(((x = next(x)) >>> 6) * 4);
          return sum;
        },
      },
    ],
    budget: { times: 4 },
  },
  {
    name: 'platform: MMIO dispatch',
    workload: 'a 32-bit register of a register file with a layout, among eight mapped regions',
    baseline: {
      name: 'the file’s word array',
      run: (n) => {
        let sum = 0;
        for (let i = 0; i < n; i++) sum += file.words[4]!;
        return sum;
      },
    },
    rows: [
      {
        name: 'CPU read, one unit over and over',
        run: (n) => {
          let sum = 0;
          for (let i = 0; i < n; i++) sum += bus.read32(at);
          return sum;
        },
      },
      {
        name: 'CPU read, eight units in turn',
        run: (n) => {
          let sum = 0;
          for (let i = 0; i < n; i++) sum += bus.read32(MMIO + 0x10 + ((i & 7) << 12));
          return sum;
        },
      },
      {
        name: 'CPU write with a handler',
        run: (n) => {
          for (let i = 0; i < n; i++) bus.write32(at, i);
          return started;
        },
      },
      {
        name: 'device write with a handler',
        run: (n) => {
          for (let i = 0; i < n; i++) bus.deviceWrite32(at, i, 8);
          return started;
        },
      },
    ],
    budget: { ns: 100 },
  },
  {
    name: 'platform: a hook call',
    workload: 'composed.call() with one tap that adds to a number; isUsed() of a hook without taps',
    baseline: {
      name: 'the function itself',
      run: (n) => {
        for (let i = 0; i < n; i++) listener(1);
        return heard;
      },
    },
    rows: [
      {
        name: 'one tap',
        run: (n) => {
          for (let i = 0; i < n; i++) hooks.composed.call();
          return heard;
        },
      },
      {
        name: 'isUsed() where nobody listens',
        run: (n) => {
          let used = 0;
          for (let i = 0; i < n; i++) if (hooks.delivered.isUsed()) used++;
          return used;
        },
      },
    ],
    budget: { ns: 50 },
  },
  {
    name: 'platform: fabric, a 4-byte write',
    workload: 'a posted write of 4 bytes to the next 64 bytes of 1 MiB of RAM; nobody listens to the trace',
    baseline: {
      name: 'a bare Uint32Array',
      run: (n) => {
        for (let i = 0; i < n; i++) bare[((i & 16383) << 4) + 0x8_0000] = i;
        return bare[0]!;
      },
    },
    rows: [
      {
        name: 'no unit',
        run: (n) => {
          for (let i = 0; i < n; i++) straight.write32(8, 0, 0x20_0000 + ((i & 16383) << 6), i);
          return memory.read32(0x20_0000);
        },
      },
      {
        name: 'through a unit with one table in RAM',
        run: (n) => {
          for (let i = 0; i < n; i++) through.write32(8, 0, (i & 16383) << 6, i);
          return memory.read32(0x20_0000);
        },
      },
    ],
    budget: { ns: 100 },
  },
  {
    name: 'platform: fabric, DMA',
    workload: 'a write to the next 4 KiB of 1 MiB of RAM, through a unit with one table in RAM; nobody listens',
    baseline: {
      name: 'Uint8Array.set of 4 KiB',
      run: (n) => {
        for (let i = 0; i < n; i++) target.set(large, 0x20_0000 + ((i & 255) << 12));
        return target[0]!;
      },
    },
    rows: [
      {
        name: '64 bytes',
        run: (n) => {
          for (let i = 0; i < n; i++) through.write(8, 0, (i & 255) << 12, small);
          return memory.read32(0x20_0000);
        },
      },
      {
        name: '4 KiB',
        run: (n) => {
          for (let i = 0; i < n; i++) through.write(8, 0, (i & 255) << 12, large);
          return memory.read32(0x20_0000);
        },
      },
    ],
    budget: { ns: 1000 },
  },
];

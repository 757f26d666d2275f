import { bit, bits, layout } from '@doorbell/bits';
import { beforeEach, describe, expect, it } from 'vitest';
import { CPU, Diagnostics, PhysicalMemory, RegisterFile, registerPort, SystemBus } from '../src/index.js';
import type { MmioRegion } from '../src/index.js';
import { thrown } from './helpers.js';

const BASE = 0x1000_0000;

const CTRL = layout('CTRL', 'test §1', 0x0, 32, {
  EN: bit(0),
  MODE: bits(7, 4, { reset: 5 }),
  ID: bits(15, 8, { access: 'ro', reset: 0x42 }),
  GO: bit(16, { access: 'wo' }),
  DONE: bit(17, { access: 'w1c' }),
  ERR: bit(31, { access: 'w1c' }),
});
const ADDR = layout('ADDR', 'test §2', 0x8, 64, { LO: bits(31, 0), HI: bits(63, 32) });
const BIG = layout('BIG', 'test §3', 0x0, 32, { V: bits(31, 0) }, { endian: 'big' });
const BIG64 = layout('BIG64', 'test §4', 0x8, 64, { A: bits(31, 0), B: bits(63, 32) }, { endian: 'big' });

let memory: PhysicalMemory;
let bus: SystemBus;
let diagnostics: Diagnostics;
const file = (endian: 'little' | 'big' = 'little', sizes?: number[]) => {
  const f = new RegisterFile({
    name: 'unit0',
    base: BASE,
    size: 0x100,
    endian,
    ...(sizes ? { sizes } : {}),
    diagnostics,
    registers: endian === 'big' ? [BIG, BIG64] : [CTRL, ADDR],
  });
  bus.map(f);
  return f;
};
beforeEach(() => {
  memory = new PhysicalMemory([{ base: 0, size: 0x10_0000 }]);
  bus = new SystemBus(memory);
  diagnostics = new Diagnostics();
});

describe('the CPU’s side of the bus', () => {
  it('reaches RAM and registers', () => {
    file();
    bus.write32(0x100, 7);
    bus.write16(0x106, 0xbeef);
    bus.write8(0x104, 1);
    bus.write64(0x108, 1, 2);
    expect([bus.read32(0x100), bus.read32(0x104), bus.read16(0x106), bus.read8(0x10c)]).toEqual([
      7, 0xbeef_0001, 0xbeef, 1,
    ]);
    bus.write64(BASE + 8, 0xaaaa_0000, 0xbbbb_0000);
    expect([bus.read32(BASE + 8), bus.read32(BASE + 12)]).toEqual([0xbbbb_0000, 0xaaaa_0000]);
  });

  it('throws a typed error that names the address, the region and the legal sizes', () => {
    file();
    expect(thrown(() => bus.read32(0x2000_0000)).message).toBe(
      'nothing answers at 0x20000000 (check the address against platform.describe())',
    );
    const wrong = thrown(() => bus.read8(BASE));
    expect([wrong.code, wrong.message]).toEqual([
      'BAD_ACCESS_SIZE',
      'access of 1 bytes at 0x10000000 is not legal in unit0 (aligned 4, 8 bytes) (use a legal size at an aligned offset)',
    ]);
    expect(thrown(() => bus.read32(BASE + 2)).code).toBe('UNALIGNED');
    expect(thrown(() => bus.write64(BASE + 4, 0, 0)).code).toBe('UNALIGNED');
    expect(thrown(() => bus.write32(0x10_0000, 0)).code).toBe('NO_SUCH_ADDRESS');
    expect(thrown(() => bus.read32(2)).code).toBe('UNALIGNED');
  });

  it('splits 8 bytes where a region has no 64-bit write, low first', () => {
    const seen: [number, number, number, number][] = [];
    const region: MmioRegion = {
      name: 'r',
      base: BASE,
      size: 16,
      read: () => 0,
      write: (o, s, v, source) => void seen.push([o, s, v, source]),
    };
    bus.map(region);
    bus.write64(BASE, 0x1111_1111, 0x2222_2222);
    expect(seen).toEqual([
      [0, 4, 0x2222_2222, CPU],
      [4, 4, 0x1111_1111, CPU],
    ]);
  });

  it('moves regions, and refuses overlaps with regions and RAM', () => {
    const f = file();
    const other = { ...f, name: 'bar', base: BASE + 0xff, size: 16, read: () => 0, write: () => undefined };
    expect(thrown(() => bus.map(other)).message).toContain('bar (0x100000ff–0x1000010e) overlaps unit0');
    expect(thrown(() => bus.map({ ...other, base: 0xf_fff8 })).message).toContain('overlaps RAM (0x0–0xfffff)');
    expect(bus.regionAt(BASE)).toBe(f);
    bus.unmap(f);
    expect(bus.regionAt(BASE)).toBeUndefined();
    bus.map(other);
    expect(bus.regionAt(BASE + 0x10e)).toBe(other);
  });

  it('finds each of many regions, and nothing between them', () => {
    const regions = Array.from(
      { length: 33 },
      (_, i): MmioRegion => ({
        name: `r${i}`,
        base: BASE + i * 0x1000,
        size: 0x800,
        read: () => i,
        write: () => undefined,
      }),
    );
    for (const r of [...regions].reverse()) bus.map(r);
    for (const [i, r] of regions.entries()) {
      expect(bus.read32(r.base + 0x7fc)).toBe(i);
      expect(bus.regionAt(r.base + 0x800)).toBeUndefined();
    }
  });

  it('has ports: ones where nothing is, overlaps refused', () => {
    let held = 0;
    const cf8 = {
      name: 'pci',
      first: 0xcf8,
      last: 0xcff,
      in32: () => held,
      out32: (_: number, v: number) => void (held = v),
    };
    bus.mapPorts(cf8);
    bus.out32(0xcf8, 0x8000_0000);
    bus.out32(0x80, 1);
    expect([bus.in32(0xcfc), bus.in32(0x80)]).toEqual([0x8000_0000, 0xffff_ffff]);
    expect(thrown(() => bus.mapPorts({ ...cf8, name: 'x', first: 0xcff, last: 0xd00 })).message).toContain(
      'x ports (0xcff–0xd00) overlaps pci ports (0xcf8–0xcff)',
    );
    bus.unmapPorts(cf8);
    expect(bus.in32(0xcf8)).toBe(0xffff_ffff);
  });
});

describe('the device’s side of the bus', () => {
  it('answers as an interconnect does: 0, or dropped', () => {
    file();
    expect(bus.deviceRead32(0x2000_0000)).toBe(0);
    expect(bus.deviceRead(0x2000_0000, 1)).toBe(0);
    expect(bus.deviceRead(BASE, 2)).toBe(0);
    expect(bus.deviceRead32(2)).toBe(0);
    expect(bus.deviceWrite32(0x2000_0000, 1, 5)).toBe(false);
    expect(bus.deviceWrite(BASE, 1, 1, 5)).toBe(false);
    expect(bus.deviceWrite32(BASE + 1, 1, 5)).toBe(false);
    expect(bus.deviceWrite(0x100, 2, 0x1234, 5)).toBe(true);
    expect(bus.deviceRead(0x100, 2)).toBe(0x1234);
    expect(bus.deviceWrite32(2 ** 60, 1, 5)).toBe(false); // an address that a guest chose
  });

  it('says who wrote', () => {
    const f = file();
    const sources: number[] = [];
    f.onWrite(0, (_now, _written, source) => void sources.push(source));
    bus.deviceWrite32(BASE, 1, 0x321);
    bus.write32(BASE, 1);
    expect(sources).toEqual([0x321, CPU]);
  });
});

describe('a big-endian register file', () => {
  it('is read by the CPU as bytes in memory order, by its driver as values', () => {
    const f = file('big', [1, 2, 4, 8]);
    f.set(0, 0x1122_3344);
    // Byte 0 in memory is the most significant.
    expect([0, 1, 2, 3].map((i) => bus.read8(BASE + i))).toEqual([0x11, 0x22, 0x33, 0x44]);
    expect(bus.read32(BASE)).toBe(0x4433_2211);
    expect(bus.read16(BASE + 2)).toBe(0x4433);
    expect(registerPort(bus, BASE, 'big').read32(0)).toBe(0x1122_3344);
  });

  it('takes a device’s little-endian message with its bytes turned round', () => {
    const f = file('big', [4]);
    bus.deviceWrite32(BASE, 0x0000_0060, 9);
    expect(f.get(0)).toBe(0x6000_0000);
    expect(bus.deviceRead32(BASE)).toBe(0x60);
  });

  it('takes bytes and halfwords into the right lanes', () => {
    const f = file('big', [1, 2, 4]);
    bus.write8(BASE + 1, 0xab);
    bus.write16(BASE + 2, 0x3412);
    expect(f.get(0)).toBe(0x00ab_1234);
  });

  it('takes 64 bits with the high word first', () => {
    const f = file('big', [4, 8]);
    registerPort(bus, BASE, 'big').write64(8, 0x0102_0304, 0x0506_0708);
    expect([f.get(8), f.get(12)]).toEqual([0x0102_0304, 0x0506_0708]);
    f.reset();
    bus.write64(BASE + 8, 0x0807_0605, 0x0403_0201); // the same bytes in one store
    expect([f.get(8), f.get(12)]).toEqual([0x0102_0304, 0x0506_0708]);
  });
});

describe('a register file', () => {
  it('starts with reset values, and keeps read-only bits', () => {
    const f = file();
    expect(bus.read32(BASE)).toBe(0x4250);
    bus.write32(BASE, 0xffff_ff01 & ~(1 << 17));
    expect(bus.read32(BASE) & 0xffff).toBe(0x4201);
    f.reset();
    expect(bus.read32(BASE)).toBe(0x4250);
  });

  it('clears write-1-to-clear bits that were written 1, and reads write-only bits as 0', () => {
    const f = file();
    f.set(0, 0x8002_0000);
    bus.write32(BASE, 0x8001_0000);
    expect(bus.read32(BASE)).toBe(0x0002_0000);
    expect(f.get(0)).toBe(0x0003_0000); // held, not shown
  });

  it('keeps write-1-to-clear bits that a narrow write does not name', () => {
    const f = file('little', [1, 2, 4]);
    f.set(0, 0x8002_4250);
    bus.write8(BASE, 0x31);
    expect(f.get(0)).toBe(0x8002_4231);
    bus.write8(BASE + 3, 0x80);
    expect(f.get(0)).toBe(0x0002_4231);
    expect([bus.read8(BASE), bus.read16(BASE)]).toEqual([0x31, 0x4231]);
  });

  it('tells handlers what it holds, what was written, per word and in order', () => {
    const f = file();
    const log: string[] = [];
    f.onWrite(8, (now) => void log.push(`lo ${now}`));
    f.onWrite(12, (now) => void log.push(`hi ${now}`));
    f.onWrite(0, (now, written) => void log.push(`${now.toString(16)} of ${written.toString(16)}`));
    bus.write64(BASE + 8, 1, 2);
    bus.write32(BASE, 0xff01);
    expect(log).toEqual(['lo 2', 'hi 1', '4201 of ff01']);
  });

  it('notes what nobody models, once a text, with a count', () => {
    const f = file();
    expect(bus.read32(BASE + 0x40)).toBe(0);
    bus.write32(BASE + 0x40, 1);
    bus.write32(BASE + 0x40, 1);
    expect(diagnostics.entries()).toEqual([
      ['unit0: not modelled: read of 0x40', 1],
      ['unit0: not modelled: write of 0x40', 2],
    ]);
    f.onRead(0x40, () => 9);
    expect(bus.read32(BASE + 0x40)).toBe(9);
    expect(diagnostics.entries()[0]![1]).toBe(1);
  });

  it('refuses registers on top of each other or beyond its size', () => {
    const TWIN = layout('TWIN', 'test §9', 0xc, 32, { X: bit(0) });
    const make = (size: number, ...registers: ConstructorParameters<typeof RegisterFile>[0]['registers'][number][]) =>
      thrown(() => new RegisterFile({ name: 'f', base: 0, size, diagnostics, registers }));
    expect(make(0x100, ADDR, TWIN).message).toBe('f: TWIN and ADDR both lie at 0xc (correct its offset or the size)');
    expect(make(8, CTRL, TWIN).code).toBe('REGISTER_OUTSIDE');
  });

  it('saves and restores its words', () => {
    const f = file();
    bus.write32(BASE + 8, 5);
    const state = f.snapshot();
    bus.write32(BASE + 8, 6);
    f.restore(state);
    expect(bus.read32(BASE + 8)).toBe(5);
  });
});

import { Platform, registerPort, type RegisterPort } from '@doorbell/platform';
import { beforeEach, describe, expect, it } from 'vitest';
import { Mpic, mpic } from '../src/index.js';
import { cpuAt, sourceAt } from '../src/spec/index.js';

const BASE = 0xfe04_0000;

/** Registers as the fact sheet places them; nothing of the driver. */
function bench(version = 0x402, cpus = 2) {
  const platform = new Platform({ memory: [{ base: 0, size: 2 ** 24 }] }).use(mpic({ version, cpus })).compose();
  (platform.model('mpic0') as Mpic).reset();
  const r = registerPort(platform.cpu, BASE, 'big');
  const source = (n: number, ivpr: number, idr = 1) => {
    r.write32(sourceAt(n) + 0x10, idr);
    r.write32(sourceAt(n), ivpr);
  };
  const iack = (cpu = 0) => r.read32(cpuAt(cpu) + 0xa0);
  const eoi = (cpu = 0) => r.write32(cpuAt(cpu) + 0xb0, 0);
  const ctpr = (value: number, cpu = 0) => r.write32(cpuAt(cpu) + 0x80, value);
  return { platform, r, source, iack, eoi, ctpr, model: platform.model('mpic0') as Mpic };
}

describe('MPIC model', () => {
  let b: ReturnType<typeof bench>;
  let r: RegisterPort;
  const fire = (srs: number, ibs: number) => r.write32(0x1740, ((srs << 29) | (ibs << 24)) >>> 0);
  beforeEach(() => {
    b = bench();
    r = b.r;
    b.ctpr(0);
  });

  it('after reset masks every source, sends it to CPU 0, and every CPU takes nothing', () => {
    b = bench();
    expect(b.r.read32(sourceAt(3))).toBe(0x8000_0000);
    expect(b.r.read32(sourceAt(0xe0))).toBe(0x8080_0000);
    expect(b.r.read32(sourceAt(0xe0) + 0x10)).toBe(1);
    expect(b.r.read32(cpuAt(1) + 0x80)).toBe(15);
    expect(b.r.read32(cpuAt(1) + 0x90)).toBe(1);
    expect(b.iack()).toBe(0xffff);
  });

  it('an MSI sets its bit, MSISR and the source; reading MSIR clears all three', () => {
    b.source(225, 0x0008_0025);
    fire(1, 5);
    fire(1, 9);
    expect(r.read32(0x1720)).toBe(2);
    expect(r.read32(sourceAt(225)) >>> 30).toBe(1);
    expect(b.iack()).toBe(0x25);
    expect(r.read32(0x1610)).toBe((1 << 5) | (1 << 9));
    expect(r.read32(0x1610)).toBe(0);
    expect(r.read32(0x1720)).toBe(0);
    expect(r.read32(sourceAt(225)) >>> 30).toBe(0);
    b.eoi();
    expect(b.iack()).toBe(0xffff);
  });

  it('a second MSI before the read adds no event, one after the read does', () => {
    b.source(224, 0x0008_0010);
    fire(0, 1);
    fire(0, 1);
    expect(b.iack()).toBe(0x10);
    r.read32(0x1600);
    fire(0, 2);
    expect(b.iack()).toBe(0xffff); // its own source is in service
    b.eoi();
    expect(b.iack()).toBe(0x10);
    expect(r.read32(0x1600)).toBe(4);
  });

  it('takes a higher priority over one in service, and ends the higher one first', () => {
    b.source(224, 0x0005_0010);
    b.source(225, 0x0009_0020);
    fire(0, 0);
    expect(b.iack()).toBe(0x10);
    fire(1, 0);
    expect(b.iack()).toBe(0x20);
    r.read32(0x1610);
    r.read32(0x1600);
    fire(0, 0);
    b.eoi(); // ends 225
    expect(b.iack()).toBe(0xffff); // 224 is still in service
    b.eoi();
    expect(b.iack()).toBe(0x10);
  });

  it('holds back what is not above CTPR, gives it when CTPR sinks; priority 0 never', () => {
    b.source(224, 0x0008_0010);
    b.source(225, 0x0000_0020);
    b.ctpr(8);
    fire(0, 0);
    fire(1, 0);
    expect(b.iack()).toBe(0xffff);
    b.ctpr(0);
    expect(b.iack()).toBe(0x10);
    r.read32(0x1600);
    b.eoi();
    expect(b.iack()).toBe(0xffff);
  });

  it('masks at the source, not at the doorbell: unmasking gives what came meanwhile', () => {
    b.source(224, 0x8008_0010);
    fire(0, 3);
    expect(b.iack()).toBe(0xffff);
    b.source(224, 0x0008_0010);
    expect(b.iack()).toBe(0x10);
  });

  it('sends to the CPUs of IDR, and a critical source past IACK', () => {
    b.ctpr(0, 1);
    b.source(224, 0x0008_0010, 2);
    fire(0, 0);
    expect(b.iack(0)).toBe(0xffff);
    expect(b.iack(1)).toBe(0x10);
    r.write32(sourceAt(225) + 0x18, 1);
    b.source(225, 0x0000_0020, 1);
    fire(1, 0);
    expect(b.model.asserted(0, 'critical')).toBe(true);
    expect(b.iack(0)).toBe(0xffff);
    r.read32(0x1610);
    expect(b.model.asserted(0, 'critical')).toBe(false);
  });

  it('each bank has an alias of its own, whose page holds nothing else', () => {
    b.source(232, 0x0008_0030);
    r.write32(0x5140, 0x0300_0000);
    expect(r.read32(0x1800)).toBe(8);
    expect(r.read32(0x5140)).toBe(0);
  });

  it('external sources latch edges and follow levels', () => {
    b.source(2, 0x0008_0050);
    b.model.line(2, true);
    b.model.line(2, false);
    expect(b.iack()).toBe(0x50);
    b.eoi();
    expect(b.iack()).toBe(0xffff);
    b.source(2, 0x0048_0050);
    b.model.line(2, true);
    b.model.line(2, false);
    expect(b.iack()).toBe(0xffff);
  });

  it('version 4.3 has sixteen MSIRs and MSIIR1, version 2.0 IDR with critical destinations', () => {
    const v43 = bench(0x403);
    v43.ctpr(0);
    v43.source(0x118, 0x0008_0077);
    v43.r.write32(0x7148, 0x3801_0000); // bank D, SRS 8, IBS 0x13
    expect(v43.iack()).toBe(0x77);
    expect(v43.r.read32(0x1c80)).toBe(1 << 0x13);
    const v2 = bench(0x200);
    v2.source(224, 0x8000_0000, 0x4000_0000);
    v2.r.write32(0x1740, 0);
    expect(v2.model.asserted(0, 'critical')).toBe(true); // ignores the mask
    expect(v2.r.read32(sourceAt(224) + 0x18)).toBe(0);
  });

  it('restores what was saved, and GCR.RST forgets it', () => {
    b.source(224, 0x0008_0010);
    fire(0, 0);
    expect(b.iack()).toBe(0x10);
    fire(0, 1);
    const state = structuredClone(b.model.snapshot());
    b.eoi();
    b.model.restore(state);
    expect(b.iack()).toBe(0xffff);
    b.eoi();
    expect(b.iack()).toBe(0x10);
    r.write32(0x1020, 0x8000_0000);
    expect(r.read32(0x1020)).toBe(0);
    expect(r.read32(0x1720)).toBe(0);
    expect(r.read32(0x0000)).toBe(0x0040_0402);
  });

  it('says what happened to a message', () => {
    const seen: unknown[] = [];
    b.platform.hooks.delivered.tap('test', (d) => seen.push(d));
    b.platform.hooks.refused.tap('test', (x) => seen.push(x.name));
    b.source(225, 0x0008_0025);
    const fabric = b.platform.fabric();
    fabric.write32(0x20, 0, 0xfe04_1740, 0x25);
    fabric.write32(0x20, 0, 0xfe04_4140, 0x45);
    expect(seen).toEqual([
      { controller: 'mpic', doorbell: '0xfe041740', msir: 1, bit: 5, source: 225, vector: 37, cpu: 0 },
      'SOURCE_MASKED',
    ]);
  });
});

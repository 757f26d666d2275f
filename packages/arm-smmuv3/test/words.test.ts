import { MMIO } from '@doorbell/iommu';
import { READ, WRITE } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { device, machine, RAM, RW } from './machine.js';

const h = (hi: number, lo: number): string =>
  '0x' + ((BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)).toString(16).padStart(16, '0');

/** What the driver leaves in memory, word for word. Second source: the words of Linux 6.1 in the Arm capture (SMMU of QEMU 7.2), fact sheet §7–§11. */
describe('words that the driver writes', () => {
  const setUp = () => {
    const m = machine();
    const nic = device(0x108);
    const domain = m.iommu.createDomain({ type: 'unmanaged', devices: [nic] });
    m.iommu.attach(nic, domain);
    const memory = m.platform.memoryModel;
    const quad = (at: number) => h(memory.read32(at + 4), memory.read32(at));
    const reg = (o: number) => m.platform.bus.read32(0x0905_0000 + o);
    return { ...m, nic, domain, memory, quad, reg };
  };

  it('stream table: level-1 descriptor, STE; CD', () => {
    const { memory, quad, reg } = setUp();
    expect(reg(0x88)).toBe(0x0001_0210); // two-level, SPLIT 8, LOG2SIZE 16: as Linux
    const l1 = reg(0x80) + 8;
    expect(memory.read32(l1) & 0xfff).toBe(9); // SPAN 9: 256 STEs
    const ste = (memory.read32(l1) & ~0xfff) + 64 * 8;
    const cd = memory.read32(ste) & ~0x3f;
    expect(quad(ste)).toBe(h(0, cd | 0xb)); // V, Config = S1; Linux: …00b too
    expect(quad(ste + 8)).toBe('0x00001000000000d4'); // SHCFG 1, S1CSH 3, S1COR 1, S1CIR 1; Linux: 0xd6 (S1DSS 2)
    expect([16, 24, 32, 40, 48, 56].map((o) => quad(ste + o))).toEqual(new Array(6).fill(h(0, 0)));
    // Linux: 0x0002e204c0003510 is ASID 2, ASET, A, R, AA64, IPS 4, V, EPD1, SH0 3, OR0 1, IR0 1, T0SZ 16
    expect(quad(cd)).toBe('0x0001e204c0003510');
    expect(quad(cd + 24)).toBe('0x000000000004ff44'); // MAIR; Linux: 0xfffffffff404ff44
    const neighbour = quad(ste + 64);
    expect(neighbour).toBe(h(0, 1)); // V, Config = abort
  });

  it('page, block, doorbell page, read-only page', () => {
    const { domain, memory, quad, reg } = setUp();
    domain.map(0x1000, RAM + 0x5000, 0x1000, RW);
    domain.map(0x2000, RAM + 0x6000, 0x1000, READ);
    domain.map(0x3000, 0x0809_0000, 0x1000, WRITE | MMIO);
    domain.map(0x20_0000, RAM, 0x20_0000, RW);
    const ste = (memory.read32(reg(0x80) + 8) & ~0xfff) + 64 * 8;
    const cd = memory.read32(ste) & ~0x3f;
    let table = memory.read32(cd + 8) & ~0xf;
    for (let n = 0; n < 2; n++) {
      expect(memory.read32(table) & 0xfff).toBe(3); // table descriptor
      table = memory.read32(table) & ~0xfff;
    }
    expect(quad(table + 8)).toBe('0x0060000040000f45'); // block
    const leaf = memory.read32(table) & ~0xfff;
    expect(quad(leaf + 8)).toBe('0x0060000040005f47'); // nG, AF, SH inner, AP[1], AttrIndx 1, page; UXN, PXN: nothing asked to execute
    expect(quad(leaf + 16)).toBe('0x0060000040006fc7');
    expect(quad(leaf + 24)).toBe('0x0060000008090e4b'); // AttrIndx 2 (device), SH outer
  });

  it('commands of an attach and a strict unmap', () => {
    const m = setUp();
    const base = m.reg(0x90) & ~0x1f;
    const commands = (from: number) =>
      Array.from({ length: m.reg(0x98) - from }, (_, i) => [
        m.quad(base + 16 * (from + i)),
        m.quad(base + 16 * (from + i) + 8),
      ]);
    expect(commands(0)).toEqual([
      ['0x0000000000000004', '0x000000000000001f'], // CFGI_ALL
      ['0x0000000000000030', h(0, 0)], // TLBI_NSNH_ALL
      ['0x0000000000000046', h(0, 0)], // SYNC
      ['0x0001000000000011', h(0, 0)], // TLBI_NH_ASID 1
      ['0x0000000000000046', h(0, 0)],
      ['0x0000010800000003', h(0, 0)], // CFGI_STE 0x108, level-1 descriptor too
      ['0x0000000000000046', h(0, 0)],
    ]);
    const from = m.reg(0x98);
    m.domain.map(0x10_0000, RAM, 0x1_d000, RW);
    m.domain.unmap(0x10_0000, 0x1_d000);
    m.domain.map(0x7_0000, RAM, 0x1000, RW);
    m.domain.unmap(0x7_0000, 0x1000);
    expect(commands(from)).toEqual([
      ['0x000100000001c012', '0x0000000000100400'], // TLBI_NH_VA, TG 4K, NUM 28, SCALE 0: 29 pages
      ['0x0000000000000046', h(0, 0)],
      ['0x0001000000000012', '0x0000000000070000'],
      ['0x0000000000000046', h(0, 0)],
    ]);
  });
});

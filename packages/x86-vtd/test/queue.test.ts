import { READ } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import type { VtdOptions } from '../src/model/options.js';
import { QUEUE, R, RawUnit } from './raw.js';

const IQE = 0x10;

describe('invalidation waits', () => {
  it('write their status, then raise the completion event', () => {
    const u = new RawUnit();
    u.set(R.IEDATA, 0x61);
    u.set(R.IEADDR, 0xfee0_1000);
    u.set(R.IECTL, 0);
    u.command([0xcafe_f00d, 0x35], [0, 0x5_0000]); // IF, SW
    expect(u.memory.read32(0x5_0000)).toBe(0xcafe_f00d);
    expect([u.get(R.ICS), u.passed]).toEqual([1, [[0, 0xfee0_1000, 0x61]]]);
    u.command([1, 0x15]); // IWC is 1 already: no new event
    expect(u.passed).toHaveLength(1);
    u.set(R.ICS, 1);
    expect(u.get(R.ICS)).toBe(0);
    u.command([1, 0x15]);
    expect(u.passed).toHaveLength(2);
  });
  it('keep the event pending while it is masked; clearing IWC withdraws it', () => {
    const u = new RawUnit();
    u.command([1, 0x15]);
    expect(u.get(R.IECTL)).toBe(0xc000_0000);
    u.set(R.ICS, 1);
    expect(u.get(R.IECTL)).toBe(0x8000_0000);
  });
  it('have an upper address only with ECAP.EIM', () => {
    const upper = (options: VtdOptions) => {
      const u = new RawUnit(options);
      for (const at of [0x44, 0xac]) u.set(at, 0x1234_5600);
      return [u.get(0x44), u.get(0xac)];
    };
    expect(upper({})).toEqual([0, 0]);
    expect(upper({ extendedInterruptMode: true })).toEqual([0x1234_5600, 0x1234_5600]);
  });
  it('whose status address is no memory are noted and stop the queue', () => {
    const u = new RawUnit();
    u.command([1, 0x25], [0, 0x7000_0000]);
    expect([u.get(R.IQH), u.get(R.FSTS)]).toEqual([0, IQE]);
    expect(u.platform.diagnostics.entries()[0]![0]).toContain('0x70000000');
  });
});

/** Fact sheet §7: IQEI and what is reserved. */
const BAD: readonly [string, number, readonly [number, number], readonly [number, number], VtdOptions?][] = [
  ['type 0', 3, [0, 0], [0, 0]],
  ['type 6 (scalable mode)', 3, [0, 0x26], [0, 0]],
  ['type 15', 3, [0, 0xf], [0, 0]],
  ['type extension bits 11:9', 3, [0, 0x211], [0, 0]],
  ['context cache, G = 0', 4, [0, 1], [0, 0]],
  ['context cache, bit 6', 4, [0, 0x51], [0, 0]],
  ['context cache, bit 50', 4, [0x4_0000, 0x11], [0, 0]],
  ['context cache, upper half', 4, [0, 0x11], [0, 1]],
  ['IOTLB, G = 0', 4, [0, 2], [0, 0]],
  ['IOTLB, bit 12', 4, [0, 0x1012], [0, 0]],
  ['IOTLB, bit 32', 4, [1, 0x12], [0, 0]],
  ['IOTLB, bit 71', 4, [0, 0x12], [0, 0x80]],
  ['IOTLB, AM beyond MAMV', 4, [0, 0x32], [0, 19]],
  ['device-TLB, bit 65', 4, [0, 3], [0, 2]],
  ['device-TLB, bit 4', 4, [0, 0x13], [0, 0]],
  ['device-TLB, PFSID without ECAP.DIT', 4, [0x10_0000, 3], [0, 0]],
  ['interrupt entry cache, bit 5', 4, [0, 0x24], [0, 0]],
  ['interrupt entry cache, bit 48', 4, [0x1_0000, 0x14], [0, 0]],
  ['wait, bit 7', 4, [0, 0xa5], [0, 0x5_0000]],
  ['wait, address bit 0', 4, [0, 0x25], [0, 0x5_0001]],
];

describe('invalidation queue errors', () => {
  it.each(BAD)('%s: IQEI = %i, the head stays, the next command waits', (_why, iqei, q0, q1, options) => {
    const u = new RawUnit(options);
    u.command([0x1111, 0x25], [0, 0x5_0000]);
    u.command(q0, q1);
    expect([u.get(R.FSTS), u.get(R.IQERCD), u.get(R.IQH)]).toEqual([IQE, iqei, 16]);
    u.command([0x2222, 0x25], [0, 0x5_0000]);
    expect(u.memory.read32(0x5_0000)).toBe(0x1111);
    // Software mends the descriptor and clears IQE: the unit goes on from there (§6.5.2.9).
    u.put(QUEUE + 16, 0x3333, 0x25);
    u.put(QUEUE + 24, 0, 0x5_0004);
    u.set(R.FSTS, IQE);
    expect([u.get(R.FSTS), u.get(R.IQH)]).toEqual([0, 48]);
    expect([u.memory.read32(0x5_0000), u.memory.read32(0x5_0004)]).toEqual([0x2222, 0x3333]);
  });
  it('a tail beyond the queue: IQEI = 1', () => {
    const u = new RawUnit();
    u.set(R.IQT, 0x1000);
    expect([u.get(R.FSTS), u.get(R.IQERCD)]).toEqual([IQE, 1]);
    u.set(R.FSTS, IQE);
    u.set(R.IQT, 0);
    expect(u.get(R.FSTS)).toBe(0);
  });
  it('stay cleared while the refused descriptor stands: the next tail fetches it anew', () => {
    const u = new RawUnit();
    u.command([0, 0xf]);
    u.set(R.FSTS, IQE);
    expect([u.get(R.FSTS), u.get(R.IQH)]).toEqual([0, 0]);
    u.set(R.IQT, 16);
    expect([u.get(R.FSTS), u.get(R.IQH)]).toEqual([IQE, 0]);
  });
  it('keep the queue from being switched off: IQH is not IQT', () => {
    const u = new RawUnit({}, 'QI');
    u.command([0, 0xf]);
    u.set(R.GCMD, 0);
    expect(u.get(R.GSTS)).toBe(0x4400_0000);
    u.set(R.IQT, 0);
    u.set(R.GCMD, 0);
    expect(u.get(R.GSTS)).toBe(0x4000_0000);
  });
  it('a queue outside memory: IQEI = 2', () => {
    const u = new RawUnit({}, '');
    u.set64(R.IQA, 0, 0x7000_0000);
    u.set(R.GCMD, 0x0400_0000);
    u.set(R.IQT, 16);
    expect([u.get(R.FSTS), u.get(R.IQERCD)]).toEqual([IQE, 2]);
  });
  it('256-bit descriptors without scalable mode: IQEI = 5', () => {
    const u = new RawUnit({}, '');
    u.set64(R.IQA, 0, QUEUE | 0x800);
    u.set(R.GCMD, 0x0400_0000);
    u.set(R.IQT, 32);
    expect([u.get(R.FSTS), u.get(R.IQERCD)]).toEqual([IQE, 5]);
  });
  it('raise the fault event, and do not while another source of it is pending', () => {
    const u = new RawUnit();
    u.set(R.FECTL, 0);
    u.set(R.FEADDR, 0xfee0_0000);
    u.command([0, 0]);
    expect(u.passed).toHaveLength(1);
    u.dma(0x1000, READ, 0x99);
    expect(u.passed).toHaveLength(1);
  });
});

describe('the queue', () => {
  it('wraps, has 2^QS pages, and holds its head at 0 while it is off', () => {
    const u = new RawUnit({}, '');
    u.set64(R.IQA, 0, QUEUE | 1);
    u.set(R.GCMD, 0x0400_0000);
    for (let at = 0; at < 0x2000; at += 16) {
      u.put(QUEUE + at, at, 0x25);
      u.put(QUEUE + at + 8, 0, 0x5_0000);
    }
    u.set(R.IQT, 0x1ff0);
    expect(u.memory.read32(0x5_0000)).toBe(0x1fe0);
    u.set(R.IQT, 0x20);
    expect([u.memory.read32(0x5_0000), u.get(R.IQH)]).toEqual([0x10, 0x20]);
    u.set(R.GCMD, 0);
    expect(u.get(R.IQH)).toBe(0);
  });
  it('forbids the registers while it is on', () => {
    const u = new RawUnit();
    u.set64(R.CCMD, 0xa000_0000, 0);
    expect(u.platform.diagnostics.entries().map(([text]) => text)).toEqual([
      'dmar0: illegal: CCMD used while queued invalidation is on',
    ]);
  });
});

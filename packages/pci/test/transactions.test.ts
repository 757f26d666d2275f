import { describe, expect, it } from 'vitest';
import { TRANSLATED } from '@doorbell/platform';
import { ACS, Acs, at, ATS, ExtCapId, PASID, PRI, rootPort, testFunction } from '../src/index.js';
import { board } from './board.js';

const GO_WRITE = 2;
const send = (
  bar: { write32(o: number, v: number): void; read32(o: number): number },
  address: number,
  data: number,
  go = GO_WRITE,
) => {
  bar.write32(0, address);
  bar.write32(8, data);
  bar.write32(12, go);
  return bar.read32(0x1c);
};
const LANDED = 0x8000_0000;

describe('a function’s own requests', () => {
  it('leave it with bus mastering only', () => {
    const { pci, platform } = board([at('01.0', testFunction())]);
    const fn = pci.get('00:01.0');
    expect((send(fn.bar(0), 0x1000, 7) & LANDED) >>> 0).toBe(0);
    expect(platform.memory.read32(0x1000)).toBe(0);
    fn.setBusMaster(true);
    expect((send(fn.bar(0), 0x1000, 7) & LANDED) >>> 0).toBe(LANDED);
    expect(platform.memory.read32(0x1000)).toBe(7);
    fn.bar(0).write32(12, 1);
    expect(fn.bar(0).read32(8)).toBe(7);
  });

  it('pass a bridge that is a bus master only', () => {
    const { pci, platform } = board([at('01.0', rootPort([at('00.0', testFunction())]))]);
    const fn = pci.get('01:00.0');
    fn.setBusMaster(true);
    pci.get('00:01.0').setBusMaster(false);
    send(fn.bar(0), 0x1000, 7);
    expect(platform.memory.read32(0x1000)).toBe(0);
    pci.get('00:01.0').setBusMaster(true);
    send(fn.bar(0), 0x1000, 7);
    expect(platform.memory.read32(0x1000)).toBe(7);
  });

  it('carry a forged requester id to the root unless a port validates sources', () => {
    for (const acs of [false, true]) {
      const { pci, doorbell, root } = board([at('01.0', rootPort([at('00.0', testFunction())], { acs }))]);
      const fn = pci.get('01:00.0');
      fn.setBusMaster(true);
      send(fn.bar(0), root.base, 0x55, 2 | 0x100 | (0x2a00 << 16));
      expect(doorbell.writes).toEqual(acs ? [] : [{ offset: 0, value: 0x55, source: 0x2a00 }]);
      send(fn.bar(0), root.base, 0x56);
      expect(doorbell.writes.at(-1)).toEqual({ offset: 0, value: 0x56, source: 0x0100 });
    }
  });

  it('carry a PASID and a translated address only where the capability is enabled, and Translation Blocking stops the latter', () => {
    const { pci, platform } = board([
      at('01.0', rootPort([at('00.0', testFunction({ ats: true, pasid: { width: 20 } }))], { acs: true })),
    ]);
    const fn = pci.get('01:00.0');
    fn.setBusMaster(true);
    const tried = (go: number) => {
      platform.memory.write32(0x1000, 0);
      send(fn.bar(0), 0x1000, 9, go);
      return platform.memory.read32(0x1000) === 9;
    };
    const pasid = 2 | 0x80;
    const translated = 2 | (TRANSLATED << 4);
    expect([tried(pasid), tried(translated)]).toEqual([false, false]);
    fn.write(fn.extendedCapability(ExtCapId.pasid) + PASID.$.at, 1 << 16);
    expect([tried(pasid), tried(translated)]).toEqual([true, false]);
    fn.write(fn.extendedCapability(ExtCapId.ats) + ATS.$.at, 0x8000_0000);
    expect([tried(pasid), tried(translated)]).toEqual([true, true]);
    const port = pci.get('00:01.0');
    port.write(port.extendedCapability(ExtCapId.acs) + ACS.$.at, (port.acs().control | Acs.TB) << 16);
    expect([tried(pasid), tried(translated)]).toEqual([true, false]);
  });

  it('PRI stops being stopped once it is enabled', () => {
    const { pci } = board([at('01.0', testFunction({ pri: { capacity: 32 } }))]);
    const fn = pci.get('00:01.0');
    const cap = fn.extendedCapability(ExtCapId.pri) + PRI.$.at;
    expect(fn.read(cap)).toBe(0x0100_0000);
    fn.write(cap, 1);
    expect(fn.read(cap)).toBe(1);
    expect(fn.read(cap + 4)).toBe(32);
  });

  it('that provoke each other end, and are noted', () => {
    const { pci, platform } = board([at('01.0', testFunction({ msix: 1 }))]);
    const fn = pci.get('00:01.0');
    const v = pci.enableMsixRange(fn, 1, 1);
    // The message rings the bell that sends the message.
    const table = fn.bar(4);
    v.mask(0);
    table.write32(0, fn.bar(0).address + 0x14);
    table.write32(8, 0);
    v.unmask(0);
    fn.bar(0).write32(0x14, 0);
    expect(platform.diagnostics.entries().map(([t]) => t)).toEqual([expect.stringContaining('provoke each other')]);
  });
});

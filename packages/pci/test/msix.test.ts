import { describe, expect, it } from 'vitest';
import { at, testFunction } from '../src/index.js';
import { board } from './board.js';

describe('MSI-X', () => {
  it('is programmed, and each vector arrives by a write of the function', () => {
    const { pci, doorbell } = board([at('04.0', testFunction({ msix: 4 }))]);
    const fn = pci.get('00:04.0');
    const v = pci.enableMsixRange(fn, 1, 4);
    expect(v.count).toBe(4);
    expect(v.message(2)).toEqual({ addressHi: 0, addressLo: 0xfee0_0000, data: 0x42 });
    fn.bar(0).write32(0x14, 2); // Fire
    expect(doorbell.writes).toEqual([{ offset: 0, value: 0x42, source: 0x20 }]);
    v.free();
    fn.bar(0).write32(0x14, 2);
    expect(doorbell.writes.length).toBe(1);
  });
});

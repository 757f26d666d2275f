import { decode, getAddress, getAt } from '@doorbell/bits';
import { describe, expect, it } from 'vitest';
import { inputBits, leafSize, SLPTE, tableIndex } from '@doorbell/x86-paging/spec';

describe('second-stage entries', () => {
  it('decodes a 4 KiB leaf that Linux 6.1 wrote (R, W, address 0x7021000)', () => {
    const words = Uint32Array.of(0x0702_1003, 0);
    expect(decode(SLPTE, words)).toBe('SLPTE{R=0x1 W=0x1 ADDR=0x7021}');
    expect(getAddress(words, 0, SLPTE.ADDR)).toBe(0x702_1000);
  });
  it('decodes the bits of a 1 GiB leaf: PS is bit 7, SNP bit 11, TM bit 62', () => {
    const words = Uint32Array.of(0x4000_0883, 0x4000_0000);
    expect([getAt(words, 0, SLPTE.PS), getAt(words, 0, SLPTE.SNP), getAt(words, 0, SLPTE.TM)]).toEqual([1, 1, 1]);
  });
});

describe('geometry', () => {
  it('indexes with 9 bits a level from bit 12 up', () => {
    // 0x01ab_cdef_1234_5000, bits 56:48, 47:39, 38:30, 29:21, 20:12
    const iova = 0x01ab_cdef_1234_5000n;
    for (let level = 1; level <= 5; level++) {
      const want = Number((iova >> BigInt(12 + 9 * (level - 1))) & 0x1ffn);
      expect(tableIndex(0x01ab_cdef, 0x1234_5000, level)).toBe(want);
    }
  });
  it('covers 39, 48 and 57 bits with 3, 4 and 5 levels', () => {
    expect([3, 4, 5].map(inputBits)).toEqual([39, 48, 57]);
    expect([1, 2, 3].map(leafSize)).toEqual([0x1000, 0x20_0000, 0x4000_0000]);
  });
});

import { describe, expect, it } from 'vitest';
import { PhysicalMemory } from '../src/index.js';

describe('PhysicalMemory.locate', () => {
  it('finds words where there is RAM, and says -1 elsewhere', () => {
    const memory = new PhysicalMemory([
      { base: 0, size: 0x10_0000 },
      { base: 0x1_0000_0000, size: 0x2000 },
    ]);
    memory.write64(0x8_0008, 2, 1);
    memory.write64(0x1_0000_1ff8, 4, 3);
    const pair = (address: number) => {
      const at = memory.locate(address);
      return at < 0 ? null : [memory.located[at], memory.located[at + 1]];
    };
    expect([pair(0x8_0008), pair(0x1_0000_1ff8), pair(0x7_0000)]).toEqual([
      [1, 2],
      [3, 4],
      [0, 0],
    ]);
    for (const address of [0x10_0000, 0x1_0000_2000, 2 ** 52, -8, 0x8_0009, NaN]) expect(pair(address)).toBeNull();
  });
});

import { NumberSpace } from '@doorbell/irqchip';
import { expect, it } from 'vitest';

it('gives the lowest free numbers, those that came back included', () => {
  const space = new NumberSpace('vectors', 32, 16);
  expect(space.take(4)).toEqual([32, 33, 34, 35]);
  space.give([33]);
  expect(space.take(2)).toEqual([33, 36]);
  expect(space.takeBlock(4, 4)).toBe(40);
  expect(space.take(4)).toEqual([37, 38, 39, 44]);
  space.give([33, 36]);
  space.claim([33, 36]);
  expect(space.take(1)).toEqual([45]);
  expect(() => space.take(3)).toThrow(expect.objectContaining({ code: 'IRQ_EXHAUSTED' }));
  expect(space.take(2)).toEqual([46, 47]);
});

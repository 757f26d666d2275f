import { expect, it } from 'vitest';
import { TranslationCache } from '../src/index.js';

it('remembers by tag and page until it is told to forget', () => {
  const cache = new TranslationCache(7);
  const slot = cache.store(0x1000, 5, 0x8000_0000_0000, 3);
  expect(cache.find(0x1000, 5)).toBe(slot);
  expect(cache.physical[slot]).toBe(0x8000_0000_0000);
  expect(cache.rights[slot]).toBe(3);
  expect(cache.find(0x2000, 5)).toBe(-1);
  expect(cache.find(0x1000, 13)).toBe(-1);
  cache.store(0x2000, 6, 0, 1);
  cache.forget(0x1000);
  expect(cache.find(0x1000, 5)).toBe(-1);
  expect(cache.find(0x2000, 6)).toBe(6);
  cache.store(0x2000, 14, 0, 1); // the same slot
  expect(cache.find(0x2000, 6)).toBe(-1);
  cache.store(0x2000, 2 ** 40 + 7, 0, 1);
  expect(cache.find(0x2000, 2 ** 40 + 7)).toBe(7);
  expect(cache.find(0x2000, 7)).toBe(-1);
  cache.clear();
  expect(cache.find(0x2000, 14)).toBe(-1);
});

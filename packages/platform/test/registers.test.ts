import { bit, bits, layout } from '@doorbell/bits';
import { expect, it } from 'vitest';
import { Diagnostics, RegisterFile } from '../src/index.js';

it('update sets fields of a register, whatever software may do to them, and leaves the others', () => {
  const FAULT = layout('FAULT', 'test', 8, 64, { CODE: bits(3, 0, { access: 'ro' }), SEEN: bit(8), HI: bits(63, 32) });
  const file = new RegisterFile({ name: 'f', base: 0, size: 16, diagnostics: new Diagnostics(), registers: [FAULT] });
  file.set(8, 0x105);
  file.update(FAULT, { CODE: 2, HI: 0xffff_ffff });
  expect([file.get(8), file.get(12)]).toEqual([0x102, 0xffff_ffff]);
});

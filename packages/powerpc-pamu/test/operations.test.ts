import { Platform, READ, Verdict, WRITE, newOutcome, newRequest, registerPort, swap32 } from '@doorbell/platform';
import { expect, it } from 'vitest';
import { pamu, type Pamu } from '../src/index.js';

const PRIMARY = 0x10_0000;
const OMT = 0x20_0000;

/** LIODN 3: a window of 4 KiB at 0, no translation; word 0x0c and word 0x1c as given. */
function unit(attributes: number, operations: number) {
  const platform = new Platform({ memory: [{ base: 0, size: 2 ** 24 }] }).use(pamu({})).compose();
  const r = registerPort(platform.cpu, 0xfe02_0000, 'big');
  [0, PRIMARY, 0, PRIMARY + 0x1000].forEach((v, i) => r.write32(4 * i, v));
  [0, OMT, 0, OMT + 0x800].forEach((v, i) => r.write32(0x20 + 4 * i, v));
  const words = [0, (0x0b << 6) | (3 << 3) | 1, 0, attributes, 0, 0, 0, operations];
  words.forEach((w, i) => platform.memory.write32(PRIMARY + 3 * 64 + 4 * i, swap32(w >>> 0)));
  const model = platform.model('pamu0') as Pamu;
  const out = newOutcome();
  const ask = (access: number, stream = 3) => {
    const verdict = model.translate({ ...newRequest(), stream, lo: 0x10, access }, out);
    return verdict === Verdict.fault ? out.fault : 'passes';
  };
  return { platform, ask };
}

it('OTM 1: an operation passes where one of the two pairs names it and maps it to a valid one (A6)', () => {
  const { ask } = unit(1, 0x0181_0000); // IOEA 1 (write) → MOEA 0x81; IOEB 0 (read) → MOEB 0, not valid
  expect([ask(WRITE), ask(READ)]).toEqual(['passes', 'OTV']);
  const both = unit(1, 0x8181_0080);
  expect([both.ask(WRITE), both.ask(READ)]).toEqual(['passes', 'passes']);
});

it('OTM 2: the byte of the OME decides; past the limit nothing is mapped', () => {
  const { ask, platform } = unit(2, 1);
  platform.memory.write8(OMT + 128, 0x80); // READ
  expect([ask(READ), ask(WRITE)]).toEqual(['passes', 'OTV']);
  platform.memory.write8(OMT + 129, 0x81); // WRITE
  expect(ask(WRITE)).toBe('passes');
  expect(unit(2, 16).ask(READ)).toBe('OTV');
});

it('OTM 3 is reserved, ATM 2 is not modelled and says so', () => {
  expect(unit(3, 0).ask(READ)).toBe('OTV');
  const { ask, platform } = unit(2 << 2, 0);
  expect(ask(READ)).toBe('WAV');
  expect(
    platform.diagnostics
      .entries()
      .map(([text]) => text)
      .join(),
  ).toContain('translation by pages');
});

it('tells its steps: the entry, its words, and why it refuses', () => {
  const { ask, platform } = unit(0, 0);
  const { steps } = platform.trace.record(() => [ask(READ), ask(READ, 4)]);
  expect(steps.map((s) => [s.what, s.at, s.why])).toEqual([
    ['primary PAACE of LIODN 3', PRIMARY + 3 * 64, 'valid'],
    ['primary PAACE of LIODN 4', PRIMARY + 4 * 64, 'not valid'],
    ['violation LAV', null, 'its primary PAACE is not valid'],
  ]);
  expect(steps[0]!.words[1]).toBe(0x2d9); // WSE 0x0B, AP all, V
});

import { describe, expect, it } from 'vitest';
import {
  bit,
  bits,
  decode,
  layout,
  LayoutError,
  load,
  long,
  ppc,
  reservedSet,
  seen,
  toMarkdown,
  wide,
  written,
} from '../src/index.js';

const declare =
  (table: Parameters<typeof layout>[4], width = 64) =>
  () =>
    layout('REG', 'Manual §1', 0, width, table);

describe('mistakes that throw when a module loads', () => {
  it('names both fields that overlap', () => {
    expect(declare({ A: bits(7, 4), B: bits(4, 0) })).toThrow('REG.A [7:4] overlaps B [4:0] (Manual §1)');
  });
  it('finds the overlap with a field that spans others', () => {
    expect(declare({ A: bit(20), B: bit(5), ALL: bits(31, 0) })).toThrow('REG.B [5:5] overlaps ALL [31:0]');
  });
  it('says when a field is out of the width', () => {
    expect(declare({ A: bits(35, 32) }, 32)).toThrow('REG.A [35:32] does not fit 32 bits');
  });
  it('says when a field is in words it cannot be read from', () => {
    expect(declare({ A: bits(33, 30) })).toThrow('crosses a word: declare it wide() or long()');
    expect(declare({ A: wide(31, 0) })).toThrow('takes two words and at most 53 bits');
    expect(declare({ A: wide(63, 10) })).toThrow('takes two words and at most 53 bits');
    expect(declare({ A: wide(70, 20) }, 96)).toThrow('takes two words and at most 53 bits');
    expect(declare({ A: long(95, 0) }, 96)).toThrow('is longer than the 64 bits');
  });
  it('says when positions are reversed, negative or broken', () => {
    for (const f of [bits(0, 3), bits(3, -1), bits(3.5, 1), bits(NaN, 0)])
      expect(declare({ F: f })).toThrow('is no range of bits, most significant first');
  });
  it('says when a PowerPC position is past the word, which would be a good position in another', () => {
    expect(() => ppc(1, 33, 34)).toThrow('ppc(1, 33, 34): a word has bits 0..31');
    expect(() => ppc(1, -1, 3)).toThrow(RangeError);
  });
  it('says when a field cannot hold its reset value or a named value', () => {
    expect(declare({ A: bits(1, 0, { reset: 4 }) })).toThrow('REG.A [1:0] cannot hold its reset value 4');
    expect(declare({ A: bits(1, 0, { is: { 5: 'FIVE' } }) })).toThrow('REG.A [1:0] cannot hold its named value 5');
  });
  it('refuses a width that is not whole words, and a field called $', () => {
    for (const width of [0, 16, 40, NaN]) expect(declare({}, width)).toThrow('is not whole 32-bit words');
    expect(declare({ $: bit(0) })).toThrow(LayoutError);
  });
  it('carries the values for programs', () => {
    let thrown: unknown;
    try {
      declare({ A: bit(64) })();
    } catch (e) {
      thrown = e;
    }
    expect(thrown).toMatchObject({ code: 'LAYOUT', layout: 'REG', ref: 'Manual §1', field: 'A' });
  });
});

describe('what a write does', () => {
  const STS = layout('STS', 'Manual §2', 0x34, 32, {
    PFO: bit(0, { access: 'w1c', doc: 'overflow' }),
    PPF: bit(1, { access: 'ro' }),
    KEY: bits(7, 4, { access: 'wo' }),
    MODE: bits(9, 8, { is: { 0: 'OFF', 1: 'ON' }, reset: 1, doc: 'a | b' }),
    KEEP: bits(15, 12, { access: 'reserved-preserve' }),
    RES0: bits(31, 16, { access: 'reserved-zero' }),
  });

  it('replaces rw, wo and preserved bits, keeps ro and reserved ones, clears w1c where 1 is written', () => {
    expect(written(STS, 0, 0x0000_0003, 0xffff_ffff)).toBe(0x0000_f3f2);
    expect(written(STS, 0, 0x0000_0003, 0)).toBe(0x0000_0003);
  });
  it('stays unsigned when bit 31 is set', () => {
    const R = layout('R', 'x', 0, 32, { HIGH: bit(31) });
    expect(written(R, 0, 0, 0x8000_0000)).toBe(0x8000_0000);
  });
  it('reads write-only and reserved bits as 0', () => {
    expect(seen(STS, 0, 0xffff_ffff)).toBe(0x0000_f303);
  });
  it('knows the reset value', () => {
    expect([...STS.$.reset]).toEqual([0x100]);
  });
  it('tells reserved bits, named or not, from others', () => {
    expect(reservedSet(STS, Uint32Array.of(0xf3f3))).toBe(false);
    expect(reservedSet(STS, Uint32Array.of(0x0001_0000))).toBe(true);
    expect(reservedSet(STS, Uint32Array.of(0, 0x4), 1)).toBe(true); // bit 2 has no name
  });
  it('decodes names, leaves zeros out, and shows bits that have no name', () => {
    expect(decode(STS, Uint32Array.of(0x0000_0105))).toBe('STS{PFO=0x1 MODE=ON unnamed[0]=0x4}');
    expect(decode(STS, Uint32Array.of(0))).toBe('STS{MODE=OFF}');
    expect(decode(STS, Uint32Array.of(0), 0, true)).toBe('STS{PFO=0x0 PPF=0x0 KEY=0x0 MODE=OFF KEEP=0x0 RES0=0x0}');
  });
  it('becomes a Markdown table', () => {
    expect(toMarkdown(STS).split('\n')).toEqual([
      '### STS',
      '',
      'Manual §2; offset 0x34; 32 bits',
      '',
      '| Bits | Field | Access | Reset | Meaning |',
      '|---|---|---|---|---|',
      '| 31:16 | RES0 | reserved-zero |  |  |',
      '| 15:12 | KEEP | reserved-preserve |  |  |',
      '| 9:8 | MODE | rw | 0x1 | a \\| b; 0 OFF, 1 ON |',
      '| 7:4 | KEY | wo |  |  |',
      '| 1 | PPF | ro |  |  |',
      '| 0 | PFO | w1c |  | overflow |',
      '',
    ]);
  });
  it('shows PowerPC fields as their manual counts them', () => {
    const page = toMarkdown(layout('P', 'x', 0, 64, { V: ppc(1, 31, 31), A: ppc(1, 0, 19) }, { endian: 'big' }));
    expect(page).toContain('64 bits; big-endian words; bit 0 is the most significant');
    expect(page).toContain('| word 1, 0:19 | A |');
    expect(page).toContain('| word 1, 31 | V |');
  });
});

describe('bytes', () => {
  const D = layout('D', 'x', 0, 64, {});
  const B = layout('B', 'x', 0, 64, {}, { endian: 'big' });
  it('loads words in the declared byte order, at any offset of any view', () => {
    const bytes = Uint8Array.of(9, 9, 1, 2, 3, 4, 5, 6, 7, 8).subarray(1);
    expect([...load(D, bytes, 1)]).toEqual([0x0403_0201, 0x0807_0605]);
    expect([...load(B, bytes, 1)]).toEqual([0x0102_0304, 0x0506_0708]);
  });
  it('throws when the bytes end too early', () => {
    expect(() => load(D, new Uint8Array(7))).toThrow(RangeError);
  });
});

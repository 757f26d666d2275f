import { getAt, getHi, getLo, getWide, type AnyField } from './fields.js';
import type { AnyLayout } from './layout.js';

const hex = (v: number): string => `0x${v.toString(16)}`;

const valueOf = (words: Uint32Array, at: number, f: AnyField): string => {
  if (f.kind === 'long') {
    const hi = getHi(words, at, f);
    const lo = getLo(words, at, f);
    if (hi !== 0) return hex(hi) + lo.toString(16).padStart(8, '0');
    return f.meta.is?.[lo] ?? hex(lo);
  }
  const v = f.kind === 'wide' ? getWide(words, at, f) : getAt(words, at, f);
  return f.meta.is?.[v] ?? hex(v);
};

/**
 * `STE{V=0x1 Config=S1 …}` for people: fields from bit 0 up; zero fields without a name are left out unless `all`.
 * Bits that are set and that no field names come last, as `unnamed[word]=0x…`: nothing in the words stays unseen.
 */
export function decode(l: AnyLayout, words: Uint32Array, at = 0, all = false): string {
  const shown: string[] = [];
  for (const [name, f] of [...l.$.fields].reverse()) {
    const v = valueOf(words, at, f);
    if (all || v !== '0x0') shown.push(`${name}=${v}`);
  }
  l.$.unnamed.forEach((mask, i) => {
    const rest = (words[at + i]! & mask) >>> 0;
    if (rest !== 0) shown.push(`unnamed[${i}]=${hex(rest)}`);
  });
  return `${l.$.name}{${shown.join(' ')}}`;
}

const place = (f: AnyField, words: number): string => {
  if (!f.meta.msb0) return f.hi === f.lo ? `${f.hi}` : `${f.hi}:${f.lo}`;
  const first = 31 - (f.hi & 31);
  const last = 31 - (f.lo & 31);
  return `${words > 1 ? `word ${f.word}, ` : ''}${first === last ? first : `${first}:${last}`}`;
};

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

/**
 * A Markdown table of the layout, for the generated register pages. Fields made by `ppc` are shown as their manual
 * counts them, from the most significant bit.
 */
export function toMarkdown(l: AnyLayout): string {
  const { name, ref, at, width, endian, fields } = l.$;
  const rows = fields.map(([field, f]) => {
    const { access = 'rw', reset, is = {}, doc } = f.meta;
    const values = Object.entries(is).map(([v, s]) => `${v} ${s}`);
    const meaning = [doc, values.join(', ')].filter(Boolean).join('; ');
    const cells = [place(f, width / 32), field, access, reset === undefined ? '' : hex(reset), meaning];
    return `| ${cells.map(cell).join(' | ')} |`;
  });
  const facts = [
    ref,
    ...(at ? [`offset ${hex(at)}`] : []),
    `${width} bits`,
    ...(endian === 'big' ? ['big-endian words'] : []),
    ...(fields.some(([, f]) => f.meta.msb0) ? ['bit 0 is the most significant'] : []),
  ];
  const head = [`### ${name}`, '', facts.join('; '), '', '| Bits | Field | Access | Reset | Meaning |'];
  return [...head, '|---|---|---|---|---|', ...rows, ''].join('\n');
}

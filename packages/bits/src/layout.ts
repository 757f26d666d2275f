import { getAt, getHi, getLo, getWide, type Access, type AnyField } from './fields.js';

/** Byte order of a structure's 32-bit words in memory. Fields count inside the words, so only loading and storing differ. */
export type Endian = 'little' | 'big';

export interface LayoutInfo {
  readonly name: string;
  /** Where the specification says so: 'IHI0070 §5.2'. */
  readonly ref: string;
  /** Byte offset of a register; 0 for a descriptor. */
  readonly at: number;
  /** Width in bits, a multiple of 32. */
  readonly width: number;
  readonly endian: Endian;
  /** Most significant first. */
  readonly fields: readonly (readonly [string, AnyField])[];
  /** Value after reset, per word. */
  readonly reset: Uint32Array;
  /** Bits that a write replaces, per word. */
  readonly writable: Uint32Array;
  /** Bits that a write of 1 clears. */
  readonly w1c: Uint32Array;
  /** Bits that a read returns (write-only ones read 0). */
  readonly readable: Uint32Array;
  /** Bits that no field names, or that a `reserved-zero` field names. */
  readonly reserved: Uint32Array;
}

export type Layout<F extends Record<string, AnyField> = Record<string, AnyField>> = F & { readonly $: LayoutInfo };

export interface LayoutOptions {
  readonly endian?: Endian;
}

/**
 * Declares a register (`at` = its offset) or a descriptor, command or event (`at` = 0).
 *
 * Mistakes in the table throw a RangeError when the module loads: a field out of the width, overlapping another,
 * in a word it cannot be read from, or a reset value or value name that the field cannot hold.
 */
export function layout<F extends Record<string, AnyField>>(
  name: string,
  ref: string,
  at: number,
  width: number,
  table: F,
  options: LayoutOptions = {},
): Layout<F> {
  if (width <= 0 || width % 32 !== 0) throw new RangeError(`${name} (${ref}): a width of ${width} bits is not whole 32-bit words`);
  if ('$' in table) throw new RangeError(`${name} (${ref}): a field cannot be called $`);
  const fields = Object.entries<AnyField>(table).sort(([, a], [, b]) => b.lo - a.lo || b.hi - a.hi);
  fields.forEach(([field, f], i) => check(name, ref, width, field, f, fields[i + 1]));
  const mask = (...access: Access[]) =>
    image(width, fields, (f) => (access.includes(f.meta.access ?? 'rw') ? ones(f) : 0n));
  const named = mask('rw', 'ro', 'wo', 'w1c', 'reserved-preserve');
  const info: LayoutInfo = {
    name,
    ref,
    at,
    width,
    endian: options.endian ?? 'little',
    fields,
    reset: image(width, fields, (f) => BigInt(f.meta.reset ?? 0)),
    writable: mask('rw', 'wo', 'reserved-preserve'),
    w1c: mask('w1c'),
    readable: mask('rw', 'ro', 'w1c', 'reserved-preserve'),
    reserved: named.map((w) => ~w >>> 0),
  };
  return Object.assign({ ...table }, { $: info });
}

function check(name: string, ref: string, width: number, field: string, f: AnyField, next: readonly [string, AnyField] | undefined): void {
  const bad = (why: string): never => {
    throw new RangeError(`${name}.${field} [${f.hi}:${f.lo}] ${why} (${ref})`);
  };
  const size = f.hi - f.lo + 1;
  const words = (f.hi >>> 5) - f.word;
  if (!Number.isInteger(f.hi) || !Number.isInteger(f.lo) || f.lo < 0 || size < 1) bad('is no range of bits, most significant first');
  if (f.hi >= width) bad(`does not fit ${width} bits`);
  if (next && next[1].hi >= f.lo) bad(`overlaps ${next[0]} [${next[1].hi}:${next[1].lo}]`);
  if (f.kind === 'field' && words !== 0) bad('crosses a word: declare it wide() or long()');
  if (f.kind === 'wide' && (words !== 1 || size > 53)) bad('cannot be read as wide(): that takes two words and at most 53 bits');
  if (f.kind === 'long' && size > 64) bad('is longer than the 64 bits that long() reads');
  const holds = (v: number) => Number.isSafeInteger(v) && v >= 0 && v < 2 ** size;
  if (f.meta.reset !== undefined && !holds(f.meta.reset)) bad(`cannot hold its reset value ${f.meta.reset}`);
  for (const v of Object.keys(f.meta.is ?? {})) if (!holds(Number(v))) bad(`cannot hold its named value ${v}`);
}

const ones = (f: AnyField): bigint => (1n << BigInt(f.hi - f.lo + 1)) - 1n;

/** Once, when the module loads: BigInt is fine here. */
function image(width: number, fields: readonly (readonly [string, AnyField])[], value: (f: AnyField) => bigint): Uint32Array {
  const all = fields.reduce((a, [, f]) => a | (value(f) << BigInt(f.lo)), 0n);
  return Uint32Array.from({ length: width / 32 }, (_, i) => Number((all >> BigInt(32 * i)) & 0xffff_ffffn));
}

/** What a register's word holds after software wrote `value`: read-only and reserved bits stay, write-1-to-clear bits clear. */
export const written = (l: { readonly $: LayoutInfo }, word: number, old: number, value: number): number =>
  (((old & ~l.$.writable[word]!) | (value & l.$.writable[word]!)) & ~(value & l.$.w1c[word]!)) >>> 0;

/** True where a bit is set that no field names or that must be zero. `words` from word `at` on. */
export function reservedSet(l: { readonly $: LayoutInfo }, words: Uint32Array, at = 0): boolean {
  const r = l.$.reserved;
  for (let i = 0; i < r.length; i++) if ((words[at + i]! & r[i]!) !== 0) return true;
  return false;
}

const valueOf = (words: Uint32Array, at: number, f: AnyField): string => {
  if (f.kind === 'long') {
    const hi = getHi(words, at, f);
    const lo = getLo(words, at, f);
    return hi ? `0x${hi.toString(16)}${lo.toString(16).padStart(8, '0')}` : `0x${lo.toString(16)}`;
  }
  const v = f.kind === 'wide' ? getWide(words, at, f) : getAt(words, at, f);
  return f.meta.is?.[v] ?? `0x${v.toString(16)}`;
};

/** `STE{V=1 Config=S1 …}` for people: fields from bit 0 up; zero fields without a name are left out unless `all`. */
export function decode(l: { readonly $: LayoutInfo }, words: Uint32Array, at = 0, all = false): string {
  const shown: string[] = [];
  for (let i = l.$.fields.length - 1; i >= 0; i--) {
    const [name, f] = l.$.fields[i]!;
    const v = valueOf(words, at, f);
    if (all || v !== '0x0') shown.push(`${name}=${v}`);
  }
  return `${l.$.name}{${shown.join(' ')}}`;
}

/** The layout's words from bytes in memory order. */
export function load(l: { readonly $: LayoutInfo }, bytes: Uint8Array, offset = 0, into = new Uint32Array(l.$.width / 32)): Uint32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < l.$.width / 32; i++) into[i] = view.getUint32(offset + 4 * i, l.$.endian === 'little');
  return into;
}

/** The layout's words to bytes in memory order. */
export function store(l: { readonly $: LayoutInfo }, words: Uint32Array, bytes: Uint8Array, offset = 0): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < l.$.width / 32; i++) view.setUint32(offset + 4 * i, words[i]!, l.$.endian === 'little');
}

/** A Markdown table of the layout, for the generated register pages. */
export function toMarkdown(l: { readonly $: LayoutInfo }): string {
  const { name, ref, at, width, endian, fields } = l.$;
  const rows = fields.map(([n, f]) => {
    const values = Object.entries(f.meta.is ?? {}).map(([v, s]) => `${v} ${s}`);
    const meaning = [f.meta.doc, values.join(', ')].filter(Boolean).join('; ');
    return `| ${f.hi === f.lo ? f.hi : `${f.hi}:${f.lo}`} | ${n} | ${f.meta.access ?? 'rw'} | ${f.meta.reset === undefined ? '' : `0x${f.meta.reset.toString(16)}`} | ${meaning} |`;
  });
  const place = at ? `offset 0x${at.toString(16)}, ` : '';
  const order = endian === 'big' ? ', big-endian words' : '';
  return [`### ${name}`, '', `${ref}; ${place}${width} bits${order}`, '', '| Bits | Field | Access | Reset | Meaning |', '|---|---|---|---|---|', ...rows, ''].join('\n');
}

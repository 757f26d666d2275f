/** What software may do with a field. `reserved-zero` must be written 0, `reserved-preserve` must be written back as read. */
export type Access = 'rw' | 'ro' | 'wo' | 'w1c' | 'reserved-zero' | 'reserved-preserve';

export interface Meta {
  readonly access?: Access;
  /** Value after reset. */
  readonly reset?: number;
  /** Names of values, for people: `{ 0: 'ABORT', 4: 'BYPASS' }`. */
  readonly is?: Readonly<Record<number, string>>;
  readonly doc?: string;
}

/**
 * Where a field lies. `hi` and `lo` count from bit 0 of the whole structure, least significant first, whatever the
 * manual's own numbering; `word` is the 32-bit word that holds `lo`, counted in the order of the structure's words.
 *
 * Plain literals with small integers: V8 folds a hoisted field to constants. Class instances cost twice as much.
 */
interface Part<Kind extends 'field' | 'wide' | 'long'> {
  readonly kind: Kind;
  readonly hi: number;
  readonly lo: number;
  readonly word: number;
  readonly lsb: number;
  readonly max: number;
  readonly mask: number;
  readonly meta: Meta;
}

/** Lies inside one 32-bit word. */
export type Field = Part<'field'>;
/** Crosses into the next word, at most 53 bits: read as one number. */
export type WideField = Part<'wide'>;
/** More than 53 bits or more than two words: read as (hi, lo) words with `getHi` and `getLo`; at most 64 bits. */
export type LongField = Part<'long'>;
export type AnyField = Field | WideField | LongField;

const part = <K extends 'field' | 'wide' | 'long'>(kind: K, hi: number, lo: number, meta: Meta): Part<K> => {
  const lsb = lo & 31;
  const max = hi - lo >= 31 ? -1 : (2 ** (hi - lo + 1) - 1) | 0;
  return { kind, hi, lo, word: lo >>> 5, lsb, max, mask: max << lsb, meta };
};

/** Bits `hi`..`lo` inside one 32-bit word. */
export const bits = (hi: number, lo: number, meta: Meta = {}): Field => part('field', hi, lo, meta);
/** One bit. */
export const bit = (n: number, meta: Meta = {}): Field => part('field', n, n, meta);
/** Bits `hi`..`lo` across two words, at most 53 bits. */
export const wide = (hi: number, lo: number, meta: Meta = {}): WideField => part('wide', hi, lo, meta);
/** Bits `hi`..`lo`, up to 64 of them, read as (hi, lo). */
export const long = (hi: number, lo: number, meta: Meta = {}): LongField => part('long', hi, lo, meta);

/**
 * Bits `first`..`last` of 32-bit word `word`, numbered from the most significant bit as PowerPC manuals do:
 * `ppc(1, 0, 19)` is the top 20 bits of the second word.
 */
export const ppc = (word: number, first: number, last: number, meta: Meta = {}): Field =>
  part('field', 32 * word + 31 - first, 32 * word + 31 - last, meta);

/**
 * Fields that repeat: `count` copies of `make(n)`, as `PREFIX0`, `PREFIX1`, … Spread into a layout's table.
 * `each('ATTR', 8, (n) => bits(8 * n + 7, 8 * n))`.
 */
export function each<P extends string, F extends AnyField>(prefix: P, count: number, make: (n: number) => F): Record<`${P}${number}`, F> {
  const out: Record<string, F> = {};
  for (let n = 0; n < count; n++) out[prefix + String(n)] = make(n);
  return out as Record<`${P}${number}`, F>;
}

/** Field of a single word. */
export const get = (word: number, f: Field): number => ((word >>> f.lsb) & f.max) >>> 0;
/** A single word with the field replaced; `value` is truncated to the field. */
export const set = (word: number, f: Field, value: number): number => ((word & ~f.mask) | ((value << f.lsb) & f.mask)) >>> 0;

/** Field of the structure that starts at word `at` of `words`. */
export const getAt = (words: Uint32Array, at: number, f: Field): number => ((words[at + f.word]! >>> f.lsb) & f.max) >>> 0;
export const setAt = (words: Uint32Array, at: number, f: Field, value: number): void => {
  const i = at + f.word;
  words[i] = (words[i]! & ~f.mask) | ((value << f.lsb) & f.mask);
};

/** Field of two words as one number (≤ 2^53). */
export const getWide = (words: Uint32Array, at: number, f: WideField): number =>
  (words[at + f.word]! >>> f.lsb) + (words[at + f.word + 1]! & (2 ** (f.hi - 31 - 32 * f.word) - 1)) * 2 ** (32 - f.lsb);
export const setWide = (words: Uint32Array, at: number, f: WideField, value: number): void => {
  const i = at + f.word;
  const low = 32 - f.lsb;
  const keep = 2 ** (f.hi - 31 - 32 * f.word) - 1;
  words[i] = ((words[i]! & ~(-1 << f.lsb)) | (value % 2 ** low << f.lsb)) >>> 0;
  words[i + 1] = ((words[i + 1]! & ~keep) | (Math.floor(value / 2 ** low) & keep)) >>> 0;
};

/**
 * A wide field in place: the address that bits 51:12 name, with the bits below `lo` zero. Most descriptors keep
 * pointers that way (`S1ContextPtr` is address bits 51:6 at bits 51:6). `base` is the structure's bit that holds address bit 0.
 */
export const getAddress = (words: Uint32Array, at: number, f: WideField, base = f.lo - f.lsb): number =>
  getWide(words, at, f) * 2 ** (f.lo - base);
export const setAddress = (words: Uint32Array, at: number, f: WideField, address: number, base = f.lo - f.lsb): void =>
  setWide(words, at, f, Math.floor(address / 2 ** (f.lo - base)));

const longWord = (words: Uint32Array, at: number, f: LongField, n: number): number => {
  const i = at + f.word + n;
  const low = (words[i] ?? 0) >>> f.lsb;
  const value = f.lsb === 0 ? low : (low | ((words[i + 1] ?? 0) << (32 - f.lsb))) >>> 0;
  const left = f.hi - f.lo + 1 - 32 * n;
  return left >= 32 ? value : left <= 0 ? 0 : (value & (2 ** left - 1)) >>> 0;
};
/** Bits 31:0 of a long field. */
export const getLo = (words: Uint32Array, at: number, f: LongField): number => longWord(words, at, f, 0);
/** Bits 63:32 of a long field. */
export const getHi = (words: Uint32Array, at: number, f: LongField): number => longWord(words, at, f, 1);
export const setLong = (words: Uint32Array, at: number, f: LongField, hi: number, lo: number): void => {
  for (let b = f.lo; b <= f.hi; b++) {
    const n = b - f.lo;
    const v = n < 32 ? (lo >>> n) & 1 : (hi >>> (n - 32)) & 1;
    const i = at + (b >>> 5);
    words[i] = ((words[i]! & ~(1 << (b & 31))) | (v << (b & 31))) >>> 0;
  }
};

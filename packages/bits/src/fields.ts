/** What software may do with a field. `reserved-zero` must be written 0, `reserved-preserve` must be written back as read. */
export type Access = 'rw' | 'ro' | 'wo' | 'w1c' | 'reserved-zero' | 'reserved-preserve';

export interface Meta {
  /** `rw` when absent. */
  readonly access?: Access;
  /** Value after reset; 0 when absent. */
  readonly reset?: number;
  /** Names of values, for people: `{ 0: 'ABORT', 4: 'BYPASS' }`. */
  readonly is?: Readonly<Record<number, string>>;
  readonly doc?: string;
  /** Pages show the field as its manual counts it: from the most significant bit of its word. `ppc()` sets it. */
  readonly msb0?: boolean;
}

/**
 * Where a field lies. `hi` and `lo` count from bit 0 of the whole structure, least significant first, whatever the
 * manual's own numbering; `word` is the 32-bit word that holds `lo`, counted in the order of the structure's words.
 *
 * One literal makes every field, so they share one shape, and V8 folds a hoisted field to constants; class instances
 * cost twice as much. The masks are computed here once, because a power or a BigInt in a reader is what costs.
 */
interface Part<Kind extends 'field' | 'wide' | 'long'> {
  readonly kind: Kind;
  readonly hi: number;
  readonly lo: number;
  readonly word: number;
  /** The field's lowest bit inside `word`. */
  readonly lsb: number;
  /** The value's bits 31:0, as a mask. */
  readonly max: number;
  /** The value's bits 63:32, as a mask. */
  readonly maxHi: number;
  /** The field's bits in `word`. */
  readonly mask: number;
  /** The field's bits in the word after `word`. */
  readonly mask1: number;
  /** The field's bits two words after `word`. */
  readonly mask2: number;
  /** What bit 0 of the second word weighs in the value. */
  readonly scale: number;
  readonly meta: Meta;
}

/** Lies inside one 32-bit word. */
export type Field = Part<'field'>;
/** Crosses into the next word, at most 53 bits: read as one number. */
export type WideField = Part<'wide'>;
/** Up to 64 bits anywhere: read as (hi, lo) words with `getHi` and `getLo`. */
export type LongField = Part<'long'>;
export type AnyField = Field | WideField | LongField;

/** The lowest `n` bits set, as a signed 32-bit integer: none for `n` ≤ 0, all for `n` ≥ 32. */
const ones = (n: number): number => (n >= 32 ? -1 : n <= 0 ? 0 : 2 ** n - 1) | 0;

const part = <K extends 'field' | 'wide' | 'long'>(kind: K, hi: number, lo: number, meta: Meta): Part<K> => {
  const word = lo >>> 5;
  const lsb = lo & 31;
  const end = hi - 32 * word + 1;
  return {
    kind,
    hi,
    lo,
    word,
    lsb,
    max: ones(hi - lo + 1),
    maxHi: ones(hi - lo - 31),
    mask: ones(hi - lo + 1) << lsb,
    mask1: ones(end - 32),
    mask2: ones(end - 64),
    scale: 2 ** (32 - lsb),
    meta,
  };
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
 * `ppc(1, 0, 19)` is the top 20 bits of the second word. Throws a RangeError if `last` is not in the word.
 */
export const ppc = (word: number, first: number, last: number, meta: Meta = {}): Field => {
  // Caught here and not in layout(): 33..34 would be good positions, in the word before.
  if (first < 0 || last > 31) throw new RangeError(`ppc(${word}, ${first}, ${last}): a word has bits 0..31`);
  return part('field', 32 * word + 31 - first, 32 * word + 31 - last, { ...meta, msb0: true });
};

/** The numbers below N, or any number when N is no literal. */
type Below<N extends number, Seen extends number[] = []> = number extends N
  ? number
  : Seen['length'] extends N
    ? Seen[number]
    : Below<N, [...Seen, Seen['length']]>;

/**
 * Fields that repeat: `count` copies of `make(n)`, as `PREFIX0`, `PREFIX1`, … Spread into a layout's table.
 * `...each('ATTR', 8, (n) => bits(8 * n + 7, 8 * n))`: ATTR7 exists, ATTR8 does not compile.
 */
export function each<P extends string, N extends number, F extends AnyField>(
  prefix: P,
  count: N,
  make: (n: number) => F,
): Record<`${P}${Below<N>}`, F> {
  const out: Record<string, F> = {};
  for (let n = 0; n < count; n++) out[prefix + String(n)] = make(n);
  return out;
}

/** Field of a single word. */
export const get = (word: number, f: Field): number => ((word >>> f.lsb) & f.max) >>> 0;
/** A single word with the field replaced; `value` is truncated to the field. */
export const set = (word: number, f: Field, value: number): number =>
  ((word & ~f.mask) | ((value << f.lsb) & f.mask)) >>> 0;

/** Field of the structure that starts at word `at` of `words`. */
export const getAt = (words: Uint32Array, at: number, f: Field): number =>
  ((words[at + f.word]! >>> f.lsb) & f.max) >>> 0;
/** Replaces the field in the structure that starts at word `at` of `words`; `value` is truncated to the field. */
export const setAt = (words: Uint32Array, at: number, f: Field, value: number): void => {
  const i = at + f.word;
  words[i] = (words[i]! & ~f.mask) | ((value << f.lsb) & f.mask);
};

/** Field of two words as one number (< 2^53). */
export const getWide = (words: Uint32Array, at: number, f: WideField): number => {
  const i = at + f.word;
  return (words[i]! >>> f.lsb) + ((words[i + 1]! & f.mask1) >>> 0) * f.scale;
};
/** Replaces a field of two words; `value`, an integer from 0 to 2^53 − 1, is truncated to the field. */
export const setWide = (words: Uint32Array, at: number, f: WideField, value: number): void => {
  const i = at + f.word;
  words[i] = (words[i]! & ~f.mask) | (value << f.lsb);
  words[i + 1] = (words[i + 1]! & ~f.mask1) | (Math.floor(value / f.scale) & f.mask1);
};

/**
 * A wide field in place: the address that bits 51:12 name, with the bits below `lo` zero. Most descriptors keep
 * pointers that way (`S1ContextPtr` is address bits 51:6 at bits 51:6). `base` is the structure's bit that holds
 * address bit 0, by default bit 0 of the field's first word.
 */
export const getAddress = (words: Uint32Array, at: number, f: WideField, base?: number): number => {
  if (base !== undefined) return getWide(words, at, f) * 2 ** (f.lo - base);
  const i = at + f.word;
  return ((words[i]! & f.mask) >>> 0) + ((words[i + 1]! & f.mask1) >>> 0) * 2 ** 32;
};
/** Puts an address in place; its bits below the field are dropped. */
export const setAddress = (words: Uint32Array, at: number, f: WideField, address: number, base?: number): void => {
  if (base !== undefined) return setWide(words, at, f, Math.floor(address / 2 ** (f.lo - base)));
  const i = at + f.word;
  words[i] = (words[i]! & ~f.mask) | (address & f.mask);
  words[i + 1] = (words[i + 1]! & ~f.mask1) | (Math.floor(address / 2 ** 32) & f.mask1);
};

/** Bits 31:0 of a long field. */
export const getLo = (words: Uint32Array, at: number, f: LongField): number => {
  const i = at + f.word;
  const low = words[i]! >>> f.lsb;
  // A shift by 32 is a shift by 0, so an aligned field must not take the second word; nor may one that has none.
  if (f.lsb === 0 || f.mask1 === 0) return (low & f.max) >>> 0;
  return ((low | (words[i + 1]! << (32 - f.lsb))) & f.max) >>> 0;
};
/** Bits 63:32 of a long field; 0 if it is no longer than 32 bits. */
export const getHi = (words: Uint32Array, at: number, f: LongField): number => {
  if (f.maxHi === 0) return 0;
  const i = at + f.word + 1;
  const low = words[i]! >>> f.lsb;
  if (f.mask2 === 0) return (low & f.maxHi) >>> 0;
  return ((low | (words[i + 1]! << (32 - f.lsb))) & f.maxHi) >>> 0;
};
/** Replaces a long field by two words; bits beyond the field are dropped. */
export const setLong = (words: Uint32Array, at: number, f: LongField, hi: number, lo: number): void => {
  const i = at + f.word;
  words[i] = (words[i]! & ~f.mask) | ((lo << f.lsb) & f.mask);
  if (f.mask1 === 0) return;
  const middle = f.lsb === 0 ? hi : (lo >>> (32 - f.lsb)) | (hi << f.lsb);
  words[i + 1] = (words[i + 1]! & ~f.mask1) | (middle & f.mask1);
  if (f.mask2 !== 0) words[i + 2] = (words[i + 2]! & ~f.mask2) | ((hi >>> (32 - f.lsb)) & f.mask2);
};

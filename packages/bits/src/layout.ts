import type { AnyField } from './fields.js';

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
  /** Bits that no field names. */
  readonly unnamed: Uint32Array;
}

export type Layout<F extends Record<string, AnyField> = Record<string, AnyField>> = F & { readonly $: LayoutInfo };

/** Any layout, for functions that look at its information only. */
export interface AnyLayout {
  readonly $: LayoutInfo;
}

export interface LayoutOptions {
  readonly endian?: Endian;
}

/** A mistake in a declared table, thrown when the module that declares it loads. */
export class LayoutError extends RangeError {
  readonly code = 'LAYOUT';
  constructor(
    readonly layout: string,
    readonly ref: string,
    /** The field at fault, unless the layout as a whole is. */
    readonly field: string | undefined,
    why: string,
  ) {
    super(`${layout}${field === undefined ? '' : `.${field}`} ${why} (${ref})`);
    this.name = 'LayoutError';
  }
}

/**
 * Declares a register (`at` = its offset) or a descriptor, command or event (`at` = 0), `width` bits wide.
 *
 * Throws a LayoutError for a field out of the width, overlapping another, in words from which its kind cannot be read,
 * or with a reset value or named value that it cannot hold.
 */
export function layout<F extends Record<string, AnyField>>(
  name: string,
  ref: string,
  at: number,
  width: number,
  table: F,
  options: LayoutOptions = {},
): Layout<F> {
  if (!(width > 0) || width % 32 !== 0)
    throw new LayoutError(name, ref, undefined, `[${width} bits] is not whole 32-bit words`);
  if ('$' in table) throw new LayoutError(name, ref, '$', 'is the name of the layout’s own information');
  const fields = Object.entries<AnyField>(table).sort(([, a], [, b]) => b.lo - a.lo || b.hi - a.hi);
  fields.forEach(([field, f], i) => {
    const why = mistake(width, f, fields[i + 1]);
    if (why !== undefined) throw new LayoutError(name, ref, field, `[${f.hi}:${f.lo}] ${why}`);
  });
  const all = image(width, fields, bitsOf);
  const kept = image(width, fields, (f) => (f.meta.access === 'reserved-zero' ? 0n : bitsOf(f)));
  const mask = (...access: string[]) =>
    image(width, fields, (f) => (access.includes(f.meta.access ?? 'rw') ? bitsOf(f) : 0n));
  const $: LayoutInfo = {
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
    reserved: kept.map((w) => ~w),
    unnamed: all.map((w) => ~w),
  };
  // A spread gives fast properties however many fields `each` made; adding `$` afterwards would keep a dictionary,
  // and a field read would then start with a hash lookup.
  return { ...table, $ };
}

/** Why a field cannot stand as it is declared; `next` is the one below it. */
function mistake(width: number, f: AnyField, next: readonly [string, AnyField] | undefined): string | undefined {
  const size = f.hi - f.lo + 1;
  const crossed = (f.hi >>> 5) - f.word;
  if (!Number.isInteger(f.hi) || !Number.isInteger(f.lo) || f.lo < 0 || size < 1)
    return 'is no range of bits, most significant first';
  if (f.hi >= width) return `does not fit ${width} bits`;
  if (next && next[1].hi >= f.lo) return `overlaps ${next[0]} [${next[1].hi}:${next[1].lo}]`;
  if (f.kind === 'field' && crossed !== 0) return 'crosses a word: declare it wide() or long()';
  if (f.kind === 'wide' && (crossed !== 1 || size > 53))
    return 'cannot be read as wide(): that takes two words and at most 53 bits';
  if (f.kind === 'long' && size > 64) return 'is longer than the 64 bits that long() reads';
  const holds = (v: number) => Number.isSafeInteger(v) && v >= 0 && v < 2 ** size;
  if (f.meta.reset !== undefined && !holds(f.meta.reset)) return `cannot hold its reset value ${f.meta.reset}`;
  const named = Object.keys(f.meta.is ?? {}).find((v) => !holds(Number(v)));
  return named === undefined ? undefined : `cannot hold its named value ${named}`;
}

const bitsOf = (f: AnyField): bigint => (1n << BigInt(f.hi - f.lo + 1)) - 1n;

/** One value per field, each in its place, as words. Once, when the module loads: BigInt is fine here. */
function image(width: number, fields: LayoutInfo['fields'], value: (f: AnyField) => bigint): Uint32Array {
  const whole = fields.reduce((a, [, f]) => a | (value(f) << BigInt(f.lo)), 0n);
  return Uint32Array.from({ length: width / 32 }, (_, i) => Number((whole >> BigInt(32 * i)) & 0xffff_ffffn));
}

/**
 * What a register's word holds after software wrote `value` to it: read-only and reserved bits stay, write-1-to-clear
 * bits that were written 1 clear.
 */
export const written = (l: AnyLayout, word: number, old: number, value: number): number => {
  const writable = l.$.writable[word]!;
  return ((old & ~writable & ~(value & l.$.w1c[word]!)) | (value & writable)) >>> 0;
};

/** What software reads of a register's word that holds `held`: write-only and unnamed bits read 0. */
export const seen = (l: AnyLayout, word: number, held: number): number => (held & l.$.readable[word]!) >>> 0;

/** True where a bit is set that no field names or that must be zero. `words` from word `at` on. */
export function reservedSet(l: AnyLayout, words: Uint32Array, at = 0): boolean {
  const r = l.$.reserved;
  for (let i = 0; i < r.length; i++) if ((words[at + i]! & r[i]!) !== 0) return true;
  return false;
}

/** The layout's words from bytes in memory order. Throws a RangeError when the bytes end too early. */
export function load(l: AnyLayout, bytes: Uint8Array, offset = 0, into = new Uint32Array(l.$.width / 32)): Uint32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < l.$.width / 32; i++) into[i] = view.getUint32(offset + 4 * i, l.$.endian === 'little');
  return into;
}

/** The layout's words to bytes in memory order. Throws a RangeError when the bytes end too early. */
export function store(l: AnyLayout, words: Uint32Array, bytes: Uint8Array, offset = 0): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let i = 0; i < l.$.width / 32; i++) view.setUint32(offset + 4 * i, words[i]!, l.$.endian === 'little');
}

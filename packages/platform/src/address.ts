import { DoorbellError } from './errors.js';

/** An I/O virtual address at the public edge. Inside, addresses are (hi, lo) pairs or numbers up to 2^52. */
export type Iova = number | bigint;

/** Both ends belong to the range. */
export interface Range {
  readonly first: number;
  readonly last: number;
}

/** A 64-bit value as two unsigned words. */
export interface Word64 {
  hi: number;
  lo: number;
}

export const TWO32 = 0x1_0000_0000;

// Literals here, since the engine loads an exported constant at each use, in the module itself too.
/** Upper word of an address up to 2^53. */
export const hi32 = (address: number): number => Math.floor(address / 0x1_0000_0000);
/** Lower word of an address up to 2^53. */
export const lo32 = (address: number): number => address >>> 0;
/** (hi, lo) as a number; exact below 2^53. */
export const join64 = (hi: number, lo: number): number => hi * 0x1_0000_0000 + (lo >>> 0);

/**
 * The one place where a caller's address becomes (hi, lo). A number must be a safe integer; a bigint must fit 64 bits.
 * Errors: `BAD_ADDRESS`.
 */
export function splitIova(iova: Iova, what = 'address'): Word64 {
  if (typeof iova === 'bigint') {
    if (iova < 0n || iova > 0xffff_ffff_ffff_ffffn) throw badAddress(what, String(iova));
    return { hi: Number(iova >> 32n), lo: Number(iova & 0xffff_ffffn) };
  }
  if (!Number.isSafeInteger(iova) || iova < 0) throw badAddress(what, String(iova));
  return { hi: hi32(iova), lo: lo32(iova) };
}

function badAddress(what: string, value: string): DoorbellError {
  return new DoorbellError(
    'BAD_ADDRESS',
    `${what} ${value} is not an address`,
    'pass a safe integer or a bigint of at most 64 bits',
    {
      what,
      value,
    },
  );
}

/** `0x…`, lower case, without leading zeros. */
export const hex = (value: number | bigint): string => '0x' + value.toString(16);
/** (hi, lo) as `0x…`. */
export const hex64 = (hi: number, lo: number): string =>
  hi ? '0x' + hi.toString(16) + (lo >>> 0).toString(16).padStart(8, '0') : hex(lo >>> 0);
/** `0xfirst–0xlast`. */
export const showRange = (r: Range): string => `${hex(r.first)}–${hex(r.last)}`;
export const overlaps = (a: Range, b: Range): boolean => a.first <= b.last && b.first <= a.last;
export const rangeOf = (base: number, size: number): Range => ({ first: base, last: base + size - 1 });

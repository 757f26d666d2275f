/**
 * A second reading of PAMU tables, from the fact sheet (A3 to A7) alone: bytes and shifts, neither the specification's layouts nor the
 * model. Slow and plain.
 */
export interface Tables {
  byte(address: number): number;
  readonly primary: { readonly base: bigint; readonly limit: bigint };
  readonly secondary: { readonly base: bigint; readonly limit: bigint };
  readonly addressBits: bigint;
}

const word = (t: Tables, at: bigint): bigint => {
  let v = 0n;
  for (let i = 0n; i < 4n; i++) v = (v << 8n) | BigInt(t.byte(Number(at + i)));
  return v;
};

/** The physical address, or what is wrong, in the fact sheet's words. */
export function walk(t: Tables, liodn: number, address: bigint, write: boolean): bigint | string {
  const p = t.primary.base + 64n * BigInt(liodn);
  if (p + 64n > t.primary.limit) return 'LAV';
  const w1 = word(t, p + 4n);
  if ((w1 & 1n) === 0n || (w1 & 2n) !== 0n) return 'LAV';
  const wse = (w1 >> 6n) & 0x3fn;
  const window = 1n << (wse + 1n);
  const wba = (word(t, p) << 32n) | (w1 & 0xffff_f000n);
  if ((address & ~(window - 1n)) !== wba) return 'WAV';
  if ((w1 & 0x20n) === 0n) return end(t, p, address - wba, window, address, write);
  const wce = (word(t, p + 0x0cn) >> 4n) & 0xfn;
  const slot = window / (1n << (wce + 1n));
  // A window smaller than its count of sub-windows is nothing that the sheet describes.
  if (slot === 0n) return 'odd';
  const i = (address - wba) / slot;
  const inside = address - wba - i * slot;
  const size = (at: bigint): bigint => 1n << (((word(t, at + 0x14n) >> 6n) & 0x3fn) + 1n);
  if (i === 0n) return end(t, p, inside, size(p), address, write);
  const s = t.secondary.base + 64n * (word(t, p + 0x18n) + i - 1n);
  if (s + 64n > t.secondary.limit) return 'WAV';
  const v1 = word(t, s + 4n);
  if ((v1 & 1n) === 0n || (v1 & 2n) === 0n || v1 >> 16n !== BigInt(liodn)) return 'WAV';
  return end(t, s, inside, size(s), address, write);
}

function end(t: Tables, at: bigint, inside: bigint, size: bigint, address: bigint, write: boolean): bigint | string {
  const ap = (word(t, at + 4n) >> 3n) & 3n;
  if ((ap & (write ? 2n : 1n)) === 0n) return 'APV';
  if (inside >= size) return 'WAV';
  const w3 = word(t, at + 0x0cn);
  if ((w3 & 3n) !== 0n) return 'operation';
  const atm = (w3 >> 2n) & 3n;
  if (atm === 0n) return address;
  if (atm !== 1n) return 'WAV';
  const twba = (word(t, at + 0x10n) << 32n) | (word(t, at + 0x14n) & 0xffff_f000n);
  return ((twba & ~(size - 1n)) | inside) & ((1n << t.addressBits) - 1n);
}

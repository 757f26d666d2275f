/** Deterministic damage: the same seed gives the same bytes on every machine (mulberry32). */
export function random(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export const cutAt = (bytes: Uint8Array, end: number): Uint8Array => bytes.slice(0, end);

/** One to eight bytes replaced; half of the time by a value that breaks lengths and counts. */
export function flip(bytes: Uint8Array, next: () => number): Uint8Array {
  const out = bytes.slice();
  const times = 1 + Math.floor(next() * 8);
  for (let i = 0; i < times; i++) {
    const at = Math.floor(next() * out.length);
    out[at] = next() < 0.5 ? [0, 1, 0x7f, 0x80, 0xff, 4][Math.floor(next() * 6)]! : Math.floor(next() * 256);
  }
  return out;
}

/** Makes the checksum of an ACPI table right again, so that only its contents are wrong. */
export function mend(table: Uint8Array): Uint8Array {
  if (table.length < 36) return table;
  const length = Math.min(new DataView(table.buffer, table.byteOffset).getUint32(4, true), table.length);
  table[9] = 0;
  let sum = 0;
  for (let i = 0; i < length; i++) sum += table[i]!;
  table[9] = -sum & 0xff;
  return table;
}

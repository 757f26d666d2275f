import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  bits,
  get,
  getAddress,
  getAt,
  getHi,
  getLo,
  getWide,
  layout,
  load,
  long,
  set,
  setAddress,
  setAt,
} from '../src/index.js';
import { setLong, setWide, store, wide, written, type Access } from '../src/index.js';

// The oracle is one BigInt of the whole structure: it knows nothing of words, masks or signs.
const WORDS = 6;
const whole = (w: Uint32Array) => w.reduceRight((a, v) => (a << 32n) | BigInt(v), 0n);
const cut = (all: bigint, hi: number, lo: number) => (all >> BigInt(lo)) & ((1n << BigInt(hi - lo + 1)) - 1n);
const put = (all: bigint, hi: number, lo: number, v: bigint) => {
  const mask = (1n << BigInt(hi - lo + 1)) - 1n;
  return (all & ~(mask << BigInt(lo))) | ((v & mask) << BigInt(lo));
};
const word = fc.oneof(fc.constantFrom(0, 0x8000_0000, 0xffff_ffff), fc.nat(0xffff_ffff));
const words = fc.array(word, { minLength: WORDS, maxLength: WORDS }).map((w) => Uint32Array.from(w));
const size = (max: number) => fc.integer({ min: 1, max });

it('reads and writes any field of one word as the oracle does', () => {
  const inWord = fc.tuple(fc.nat(WORDS - 1), fc.nat(31), size(32)).map(([w, lsb, n]) => {
    return { hi: 32 * w + Math.min(31, lsb + n - 1), lo: 32 * w + lsb };
  });
  fc.assert(
    fc.property(words, inWord, word, (w, { hi, lo }, v) => {
      const f = bits(hi, lo);
      expect(BigInt(getAt(w, 0, f))).toBe(cut(whole(w), hi, lo));
      expect(get(w[f.word]!, f)).toBe(getAt(w, 0, f));
      const one = set(w[f.word]!, f, v);
      const want = put(whole(w), hi, lo, BigInt(v));
      setAt(w, 0, f, v);
      expect(whole(w)).toBe(want);
      expect(one).toBe(w[f.word]);
    }),
  );
});

it('reads and writes any wide field as the oracle does, addresses in place too', () => {
  const across = fc
    .tuple(fc.nat(WORDS - 2), fc.integer({ min: 1, max: 31 }), fc.nat(31))
    .filter(([, lsb, end]) => 32 + end - lsb + 1 <= 53)
    .map(([w, lsb, end]) => ({ hi: 32 * w + 32 + end, lo: 32 * w + lsb }));
  fc.assert(
    fc.property(words, across, fc.maxSafeNat(), (w, { hi, lo }, v) => {
      const f = wide(hi, lo);
      expect(BigInt(getWide(w, 0, f))).toBe(cut(whole(w), hi, lo));
      const want = put(whole(w), hi, lo, BigInt(v));
      setWide(w, 0, f, v);
      expect(whole(w)).toBe(want);
      const address = getAddress(w, 0, f);
      expect(BigInt(address)).toBe(cut(whole(w), hi, lo) << BigInt(f.lsb));
      setAddress(w, 0, f, address);
      expect(whole(w)).toBe(want);
    }),
  );
});

it('reads and writes any long field as the oracle does', () => {
  const anywhere = fc.tuple(fc.nat(32 * WORDS - 1), size(64)).map(([lo, n]) => {
    return { hi: Math.min(32 * WORDS - 1, lo + n - 1), lo };
  });
  fc.assert(
    fc.property(words, anywhere, word, word, (w, { hi, lo }, vHi, vLo) => {
      const f = long(hi, lo);
      expect((BigInt(getHi(w, 0, f)) << 32n) | BigInt(getLo(w, 0, f))).toBe(cut(whole(w), hi, lo));
      const want = put(whole(w), hi, lo, (BigInt(vHi) << 32n) | BigInt(vLo));
      setLong(w, 0, f, vHi, vLo);
      expect(whole(w)).toBe(want);
    }),
  );
});

it('accepts tables whose fields share no bit and refuses all others', () => {
  const field = fc.tuple(fc.nat(63), size(12)).map(([lo, n]) => ({ lo, hi: Math.min(lo | 31, lo + n - 1) }));
  fc.assert(
    fc.property(fc.array(field, { minLength: 1, maxLength: 12 }), (fields) => {
      const owners = new Uint8Array(64);
      for (const { hi, lo } of fields) for (let b = lo; b <= hi; b++) owners[b]!++;
      const declare = () =>
        layout('T', 'x', 0, 64, Object.fromEntries(fields.map((f, i) => [`F${i}`, bits(f.hi, f.lo)])));
      if (owners.some((n) => n > 1)) expect(declare).toThrow('overlaps');
      else expect(declare().$.fields).toHaveLength(fields.length);
    }),
  );
});

it('writes each bit by its own access kind', () => {
  const kinds = fc.constantFrom<Access>('rw', 'ro', 'wo', 'w1c', 'reserved-zero', 'reserved-preserve');
  fc.assert(
    fc.property(fc.array(kinds, { minLength: 32, maxLength: 32 }), word, word, (access, old, value) => {
      const table = Object.fromEntries(access.map((a, n) => [`B${n}`, bits(n, n, { access: a })]));
      const after = written(layout('T', 'x', 0, 32, table), 0, old, value);
      access.forEach((a, n) => {
        const [was, put, now] = [old, value, after].map((v) => (v >>> n) & 1);
        const kept = a === 'ro' || a === 'reserved-zero';
        expect(now).toBe(kept ? was : a === 'w1c' ? was! & ~put! : put);
      });
    }),
  );
});

it('stores what it loads, in both byte orders', () => {
  const bytes = fc.uint8Array({ minLength: 24, maxLength: 24 });
  fc.assert(
    fc.property(bytes, fc.constantFrom('little' as const, 'big' as const), (source, endian) => {
      const L = layout('T', 'x', 0, 192, {}, { endian });
      const back = new Uint8Array(24);
      store(L, load(L, source), back);
      expect(back).toEqual(source);
    }),
  );
});

import { Platform, READ, Verdict, WRITE, newOutcome, newRequest, registerPort } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { pamu, type Pamu } from '../src/index.js';
import { walk, type Tables } from './walker.js';

const PRIMARY = 0x10_0000;
const SECONDARY = 0x20_0000;
const BASE = 0xfe02_0000;

function generator(seed: number): (n: number) => number {
  let s = (Math.imul(seed, 0x9e3779b9) ^ 0x1234567) | 0 || 1;
  return (n) => {
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    return (s >>> 0) % n;
  };
}

/** A PAMU on hand-made tables: 16 LIODNs, 256 secondary entries. */
function machine() {
  const platform = new Platform({ memory: [{ base: 0, size: 2 ** 28 }] }).use(pamu({})).compose();
  const r = registerPort(platform.cpu, BASE, 'big');
  [0, PRIMARY, 0, PRIMARY + 16 * 64, 0, SECONDARY, 0, SECONDARY + 256 * 64].forEach((v, i) => r.write32(4 * i, v));
  const put = (at: number, words: readonly number[]) =>
    words.forEach((w, i) => {
      for (let b = 0; b < 4; b++) platform.memory.write8(at + 4 * i + b, (w >>> (24 - 8 * b)) & 0xff);
    });
  const tables: Tables = {
    byte: (at) => (at < 2 ** 28 ? platform.memory.read8(at) : 0),
    primary: { base: BigInt(PRIMARY), limit: BigInt(PRIMARY + 16 * 64) },
    secondary: { base: BigInt(SECONDARY), limit: BigInt(SECONDARY + 256 * 64) },
    addressBits: 36n,
  };
  const unit = platform.model('pamu0') as Pamu;
  const request = newRequest();
  const out = newOutcome();
  const ask = (liodn: number, address: bigint, write: boolean): bigint | string => {
    request.stream = liodn;
    request.hi = Number(address >> 32n);
    request.lo = Number(address & 0xffff_ffffn);
    request.access = write ? WRITE : READ;
    const verdict = unit.translate(request, out);
    return verdict === Verdict.fault ? out.fault : BigInt(out.pa);
  };
  return { platform, put, tables, ask, unit };
}

describe('the model and a second walker agree', () => {
  it('over random PAACEs', () => {
    const { put, tables, ask } = machine();
    const verdicts = new Map<string, number>();
    const seeds = process.env['DOORBELL_LONG'] ? 400 : 60;
    for (let seed = 1; seed <= seeds; seed++) {
      const pick = generator(seed);
      const word = () => (pick(65536) * 65536 + pick(65536)) >>> 0;
      const chance = (n: number) => pick(n) === 0;
      const shapes = Array.from({ length: 16 }, (_, liodn) => {
        const wse = 0x0b + pick(chance(4) ? 24 : 16);
        const size = 2 ** (wse + 1);
        const wce = Math.min(pick(chance(5) ? 8 : 4), Math.max(0, wse - 0x0b - 1));
        const base = size * pick(Math.max(1, Math.min(64, Math.floor(2 ** 36 / size))));
        const mw = wse > 0x0b && !chance(3) ? 1 : 0;
        const slotEnc = mw ? wse - (wce + 1) : wse;
        const swse = chance(5) ? Math.max(0x0b, slotEnc - pick(4)) : slotEnc;
        const fspi = chance(12) ? 245 : 15 * liodn;
        const target = () => [pick(16), ((word() & 0xffff_f000) | (swse << 6)) >>> 0] as const;
        const atm = chance(8) ? pick(4) : 1;
        const low = (ap: number, pt: number, v: number) => (ap << 3) | (pt << 1) | v;
        const ap = () => (chance(10) ? pick(4) : 3);
        const valid = () => (chance(24) ? 0 : 1);
        put(PRIMARY + 64 * liodn, [
          Math.floor(base / 2 ** 32),
          (((base >>> 0) & 0xffff_f000) | (wse << 6) | (mw << 5) | low(ap(), chance(40) ? 1 : 0, valid())) >>> 0,
          0,
          (wce << 4) | (atm << 2),
          ...target(),
          fspi,
          0,
        ]);
        if (mw) {
          for (let i = 0; i < 2 ** (wce + 1) - 1 && fspi + i < 256; i++) {
            const owner = chance(30) ? pick(16) : liodn;
            put(SECONDARY + 64 * (fspi + i), [
              0,
              ((owner << 16) | low(ap(), chance(30) ? 0 : 1, valid())) >>> 0,
              0,
              (chance(8) ? 0 : 1) << 2,
              ...target(),
              0,
              0,
            ]);
          }
        }
        return { base, size };
      });
      for (let n = 0; n < 300; n++) {
        const liodn = pick(17);
        const shape = shapes[liodn] ?? { base: 0, size: 4096 };
        const offset = Math.floor((word() / 2 ** 32) * shape.size);
        const address = chance(12) ? BigInt(word()) : BigInt(shape.base + offset);
        const write = chance(2);
        const wanted = walk(tables, liodn, address, write);
        expect({ seed, n, liodn, address, answer: ask(liodn, address, write) }).toEqual({
          seed,
          n,
          liodn,
          address,
          answer: wanted,
        });
        const kind = typeof wanted === 'string' ? wanted : wanted === address ? 'passed' : 'translated';
        verdicts.set(kind, (verdicts.get(kind) ?? 0) + 1);
      }
    }
    console.log(`seeds 1–${seeds}: ${[...verdicts].map(([k, n]) => `${k} ${n}`).join(', ')}`);
    const total = [...verdicts.values()].reduce((a, b) => a + b, 0);
    expect((verdicts.get('translated') ?? 0) / total).toBeGreaterThan(0.5);
    for (const kind of ['LAV', 'WAV', 'APV', 'passed']) expect(verdicts.get(kind)).toBeGreaterThan(0);
  });

  it('over the worked example of the fact sheet (A7): slot 128 of a 1 GiB window is the MSI page', () => {
    const { put, tables, ask } = machine();
    // WSE 0x1D, MW, AP denied for slot 0, V; WCE 7; FSPI 0.
    put(PRIMARY + 64 * 5, [0, (0x1d << 6) | 0x20 | 1, 0, 7 << 4, 0, 0x15 << 6, 0, 0]);
    // LIODN 5, AP update, PT, V; ATM 1; TWBA 0xfe044000, SWSE 0x0B.
    put(SECONDARY + 64 * 127, [0, (5 << 16) | (2 << 3) | 3, 0, 1 << 2, 0, 0xfe04_4000 + (0x0b << 6), 0, 0]);
    for (const side of [walk.bind(null, tables), ask]) {
      expect(side(5, 0x2000_0140n, true)).toBe(0xfe04_4140n);
      expect(side(5, 0x2000_0140n, false)).toBe('APV');
      expect(side(5, 0x2000_1000n, true)).toBe('WAV');
      expect(side(5, 0x2040_0000n, true)).toBe('WAV');
      expect(side(5, 0x0n, true)).toBe('APV');
      expect(side(5, 0x4000_0000n, true)).toBe('WAV');
      expect(side(6, 0x2000_0140n, true)).toBe('LAV');
    }
  });
});

import fc from 'fast-check';
import { newOutcome, newRequest, READ, WRITE } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { R, RawUnit } from './raw.js';

const u32 = fc.nat(0xffff_ffff);
/** Words that look like entries: mostly present, mostly pointing at memory, often with a stray bit. */
const entry = fc.tuple(
  fc.constantFrom(0, 1, 3, 0x83, 0x81, 9, 0x803, 0xfff),
  fc.nat(0x1f),
  fc.constantFrom(0, 0, 0, 1, 0x4000_0000, 0x8000_0000),
);
/** Often where the unit's own tables lead. */
const iova = fc.oneof(
  u32,
  fc.nat(0xf).map((n) => 0x4020_0000 + 0x1000 * n),
);
/** Entries of the tables that RawUnit makes, or anything near them. */
const slot = fc.oneof(
  fc.constantFrom(0x1000, 0x2200, 0x2208, 0x2220, 0x3000, 0x4008, 0x5008, 0x6008, 0x2_0030, 0x2_0038),
  fc.nat(0xfff).map((n) => 0x1000 + 8 * n),
);
const registers = fc.constantFrom(...Object.values(R), 0x9c, 0x64, 0xdc, 0x100);

describe('whatever software does', () => {
  it('random tables, commands, register writes and requests never throw, and every fault has a reason', () => {
    const reasons = new Map<number, number>();
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.array(fc.tuple(slot, entry), { maxLength: 40 }),
        fc.array(fc.tuple(registers, u32), { maxLength: 20 }),
        fc.array(fc.tuple(fc.constantFrom(0, 1, 2, 3, 4, 5, 7), u32, u32, u32), { maxLength: 10 }),
        fc.array(
          fc.tuple(fc.constantFrom(0x20, 0x20, 0x22, 0x120), iova, fc.constantFrom(0, 0, 0, 1, 0x1_0000), fc.boolean()),
          {
            maxLength: 30,
          },
        ),
        (cachingMode, entries, writes, commands, requests) => {
          const u = new RawUnit({ cachingMode, faultRecords: 4 });
          for (const [slot, [bits, page, hi]] of entries) u.put(slot, hi, (page << 12) | bits);
          for (const [type, a, b, c] of commands) u.command([a, (b & ~15) | type], [c, a]);
          for (const [offset, value] of writes) u.set(offset, value);
          for (const [sid, address, hi, write] of requests) {
            const answer = u.dma(hi * 2 ** 32 + address, write ? WRITE : READ, sid);
            if (answer.verdict === 'fault') {
              expect(answer.code).toBeGreaterThan(0);
              reasons.set(answer.code, (reasons.get(answer.code) ?? 0) + 1);
            } else expect(answer.pa).toBeGreaterThanOrEqual(0);
            const sent = u.msi((0xfee0_0000 | (address & 0xf_fffc)) >>> 0, hi, sid);
            if (sent !== true) reasons.set(sent, (reasons.get(sent) ?? 0) + 1);
          }
          // And it can be saved and put back in that state.
          const state = structuredClone(u.unit.snapshot());
          u.unit.restore(state);
          expect(JSON.stringify(u.unit.snapshot())).toBe(JSON.stringify(state));
        },
      ),
      { numRuns: 100, seed: 20261124 },
    );
    console.info(
      'reasons met',
      [...reasons].sort(([a], [b]) => a - b),
    );
    expect(reasons.size).toBeGreaterThanOrEqual(8);
  });

  it('a walk in a circle ends: the levels are counted down', () => {
    const u = new RawUnit();
    u.put(0x3000, 0, 0x3003);
    expect(u.dma(0x123)).toMatchObject({ verdict: 'translated', pa: 0x3123 });
  });

  it('restored from random register dumps, it still answers', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(0x8f), u32), { maxLength: 60 }), u32, (dump, address) => {
        const { unit } = new RawUnit();
        unit.restoreRegisters(new Map(dump.map(([word, value]) => [4 * word, value])));
        const out = newOutcome();
        const verdict = unit.translate({ ...newRequest(), stream: 0x20, lo: address, access: WRITE }, out);
        if (verdict === 3) unit.interrupt({ ...newRequest(), stream: 0x20, lo: address, access: WRITE }, out);
        expect([0, 1, 2, 3]).toContain(verdict);
      }),
      { numRuns: 300, seed: 20261124 },
    );
  });
});

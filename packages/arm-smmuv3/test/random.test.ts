import { Verdict } from '@doorbell/platform';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AT, PAGE, RAM, Raw } from './raw.js';

const word = fc.integer({ min: 0, max: 0xffff_ffff });
/** Words that are often nearly right: pointers into RAM with low bits set. */
const likely = fc.oneof(
  word,
  fc.nat(0xfff).map((low) => (AT.root | low) >>> 0),
  fc.constant(0),
  fc.nat(255),
);
const opcode = fc.constantFrom(1, 2, 3, 4, 5, 6, 0x10, 0x11, 0x12, 0x13, 0x30, 0x46, 0, 0x28, 0x2a, 0x99);

describe.each(['1', 'both'] as const)('whatever software writes, stages: %s', (which) => {
  const stages = which === '1' ? 1 : which;
  it('random STEs, CDs and descriptors fault or translate, and never throw', () => {
    fc.assert(
      fc.property(
        fc.record({
          ste: fc.array(likely, { minLength: 16, maxLength: 16 }),
          cd: fc.array(likely, { minLength: 16, maxLength: 16 }),
          table: fc.array(likely, { minLength: 64, maxLength: 64 }),
          good: fc.nat(3),
          addresses: fc.array(fc.tuple(likely, likely, fc.nat(15)), { minLength: 1, maxLength: 6 }),
        }),
        ({ ste, cd, table, good, addresses }) => {
          const r = new Raw({ ssidBits: 2, cd2l: true, stages }).start();
          if (good & 1) ste.splice(0, 4, AT.cd | 0xb, 0, 0, 0);
          r.words(AT.strtab + 64 * 8, Uint32Array.from(ste));
          if (!(good & 2)) r.words(AT.cd, Uint32Array.from(cd));
          for (let page = 0; page < 4; page++) r.words(AT.root + 0x1000 * page, Uint32Array.from(table));
          for (const [lo, hi, access] of addresses) {
            const out = r.ask((BigInt(hi & 0x1ff) << 32n) | BigInt(lo), {
              access: access & 7 || 1,
              pasid: (access >> 3) - 1,
            });
            expect([Verdict.translated, Verdict.bypass, Verdict.fault]).toContain(out.verdict);
            if (out.verdict === Verdict.fault) expect(out.fault).not.toBe('');
          }
        },
      ),
      { numRuns: 300, seed: 20261124 },
    );
  });

  it('random commands are executed or end in an error that stops the queue; CONS never passes PROD', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(opcode, likely, likely, likely), { minLength: 1, maxLength: 15 }), (commands) => {
        const r = new Raw({ stages }).start();
        r.map(0x1000, AT.page | PAGE);
        r.ask(0x1000);
        r.command(...commands.map(([op, a, b, c]) => [((a & 0xffff_ff00) | op) >>> 0, b, a, c]));
        const cons = r.read(0x9c);
        const error = (cons >>> 24) & 0x7f;
        if (error === 0) expect(cons & 0xfffff).toBe(commands.length);
        else expect([(cons & 0xfffff) < commands.length, r.read(0x60) & 1]).toEqual([true, 1]);
        r.ask(0x1000);
      }),
      { numRuns: 300, seed: 20261124 },
    );
  });

  it('random register writes never throw', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(0xff), likely, fc.boolean()), { maxLength: 30 }), (writes) => {
        const r = new Raw({ stages }).start();
        for (const [offset, value, page1] of writes) {
          r.write((offset & ~3) + (page1 ? 0x10000 : 0), value);
          r.ask(RAM);
        }
      }),
      { numRuns: 200, seed: 20261124 },
    );
  });
});

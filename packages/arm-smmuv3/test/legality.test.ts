import { READ, Verdict, WRITE, PRIVILEGED, EXEC } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import type { SmmuOptions } from '../src/index.js';
import { AT, PAGE, Raw } from './raw.js';

type Ste = Parameters<Raw['ste']>[1];
type Cd = Parameters<Raw['cd']>[0];

const A = AT.page | PAGE;
function outcome(ste: Ste, cd: Cd, options: SmmuOptions = {}): string {
  const r = new Raw(options).start();
  r.ste(8, ste);
  r.cd(cd);
  r.map(0x1000, A);
  const out = r.ask(0x1000);
  return out.verdict === Verdict.fault ? out.fault : ['translated', 'bypass'][out.verdict]!;
}

const stes: [string, Ste, string, SmmuOptions?][] = [
  ['stage 1', {}, 'translated'],
  ['V = 0', { V: 0 }, 'C_BAD_STE'],
  ['Config 0xx whatever else it says', { Config: 3, S1STALLD: 1, EATS: 3 }, 'STE_ABORT'],
  ['bypass', { Config: 4 }, 'bypass'],
  ['bypass ignores S1 fields', { Config: 4, S1STALLD: 1, S1ContextPtr: 2 ** 50 }, 'bypass'],
  ['stage 2 without S2P', { Config: 6 }, 'C_BAD_STE'],
  ['nested without S2P', { Config: 7 }, 'C_BAD_STE'],
  ['S1STALLD with STALL_MODEL 1', { S1STALLD: 1 }, 'C_BAD_STE'],
  ['S1CDMax with SSIDSIZE 0 is ignored', { S1CDMax: 5, S1Fmt: 1 }, 'translated'],
  ['S1CDMax > SSIDSIZE', { S1CDMax: 5 }, 'C_BAD_STE', { ssidBits: 4 }],
  ['two-level S1Fmt without CD2L', { S1CDMax: 4, S1Fmt: 1, S1DSS: 2 }, 'C_BAD_STE', { ssidBits: 4 }],
  ['S1Fmt 3 acts as 0', { S1CDMax: 4, S1Fmt: 3, S1DSS: 2 }, 'translated', { ssidBits: 4 }],
  ['S1ContextPtr outside OAS', { S1ContextPtr: 2 ** 45 }, 'C_BAD_STE'],
  ['S1DSS 1 bypasses', { S1CDMax: 4, S1DSS: 1 }, 'bypass', { ssidBits: 4 }],
  ['S1DSS 3 acts as 0', { S1CDMax: 4, S1DSS: 3 }, 'F_STREAM_DISABLED', { ssidBits: 4 }],
  ['STRW is ignored with HYP = 0', { STRW: 1 }, 'translated'],
];
const cds: [string, Cd, string, SmmuOptions?][] = [
  ['V = 0', { V: 0 }, 'C_BAD_CD'],
  ['A = 0 with TERM_MODEL 1', { A: 0 }, 'C_BAD_CD'],
  ['S = 1 with STALL_MODEL 1', { S: 1 }, 'C_BAD_CD'],
  ['big-endian tables', { ENDI: 1 }, 'C_BAD_CD'],
  ['big-endian with both halves off', { ENDI: 1, EPD0: 1 }, 'F_TRANSLATION'],
  ['AArch32', { AA64: 0 }, 'C_BAD_CD'],
  ['HA without HTTU', { HA: 1 }, 'C_BAD_CD'],
  ['HD without HTTU', { HD: 1 }, 'C_BAD_CD'],
  ['16-bit ASID without ASID16', { ASID: 0x100 }, 'C_BAD_CD', { asid16: false }],
  ['T0SZ 15', { T0SZ: 15 }, 'C_BAD_CD'],
  ['T0SZ 40', { T0SZ: 40 }, 'C_BAD_CD'],
  ['T0SZ 40 with STT', { T0SZ: 40 }, 'F_TRANSLATION', { stt: true }],
  ['TG0 reserved', { TG0: 3 }, 'C_BAD_CD'],
  ['TG0 that the unit lacks', { TG0: 1 }, 'C_BAD_CD', { granules: [4] }],
  ['TG0 is not looked at with EPD0 = 1', { TG0: 3, EPD0: 1 }, 'F_TRANSLATION'],
  ['TTB0 outside IPS', { IPS: 0, TTB0: 2 ** 33 }, 'C_BAD_CD'],
  ['TG1 reserved with EPD1 = 0', { EPD1: 0, TG1: 0, T1SZ: 16 }, 'C_BAD_CD'],
  ['TG1 good with EPD1 = 0', { EPD1: 0, TG1: 2, T1SZ: 16 }, 'translated'],
];

describe('STE legality (§5.2.2)', () => {
  it.each(stes)('%s', (_n, ste, expected, options) => {
    expect(outcome(ste, {}, options)).toBe(expected);
  });
});
describe('CD legality (§5.4.2)', () => {
  it.each(cds)('%s', (_n, cd, expected, options) => {
    expect(outcome({}, cd, options)).toBe(expected);
  });
});

describe('stream table', () => {
  const ask = (cfg: number, l1: number, sid: number) => {
    const r = new Raw().start({ cfg });
    const l2 = AT.strtab + 0x1_0000;
    r.quad(AT.strtab, 0, l1 ? l2 | l1 : 0);
    for (let i = 0; i < 256; i++) r.ste(i, { Config: 4 }, l2 + 64 * i);
    return r.ask(0x1000, { sid }).fault || 'ok';
  };
  const two = (split: number) => (1 << 16) | (split << 6) | 10;
  it.each([
    ['SPAN = 0', two(6), 0, 0, 'C_BAD_STREAMID'],
    ['SPAN = 4: 8 STEs, the last', two(6), 4, 7, 'ok'],
    ['SPAN = 4: beyond', two(6), 4, 8, 'C_BAD_STREAMID'],
    ['SPAN > SPLIT + 1', two(6), 8, 0, 'C_BAD_STREAMID'],
    ['SPAN reserved', two(10), 12, 0, 'C_BAD_STREAMID'],
    ['SPLIT 7 acts as 6', two(7), 8, 0, 'C_BAD_STREAMID'],
    ['SPLIT 8', two(8), 9, 255, 'ok'],
    ['beyond LOG2SIZE', two(6), 7, 1024, 'C_BAD_STREAMID'],
  ])('%s', (_n, cfg, l1, sid, expected) => {
    expect(ask(cfg, l1, sid)).toBe(expected);
  });
});

describe('permissions (VMSAv8-64, §9)', () => {
  const rights = (lo: number, hi: number, tableHi = 0, cd: Cd = {}) => {
    const r = new Raw().start();
    r.cd(cd);
    r.map(0x1000, lo, hi);
    const l1 = AT.root + 0x1000;
    r.quad(l1, tableHi, (AT.root + 0x2000) | 3);
    return [READ, WRITE, EXEC | READ, READ | PRIVILEGED, WRITE | PRIVILEGED, EXEC | READ | PRIVILEGED]
      .map((access) =>
        r.ask(0x1000, { access }).verdict === Verdict.translated
          ? 'rwxRWX'[
              '012345'.indexOf(
                String(
                  [READ, WRITE, EXEC | READ, READ | PRIVILEGED, WRITE | PRIVILEGED, EXEC | READ | PRIVILEGED].indexOf(
                    access,
                  ),
                ),
              )
            ]
          : '-',
      )
      .join('');
  };
  const UXN = 1 << 22;
  const PXN = 1 << 21;
  it.each([
    ['user read-write: never privileged-executable', A, 0, 0, {}, 'rwxRW-'],
    ['AP[1] = 0', A & ~0x40, 0, 0, {}, '--xRWX'],
    ['read-only', A | 0x80, 0, 0, {}, 'r-xR-X'],
    ['UXN and PXN', A, UXN | PXN, 0, {}, 'rw-RW-'],
    ['APTable[1]: no write below', A, 0, 1 << 30, {}, 'r-xR-X'],
    ['APTable[0]: no unprivileged below', A, 0, 1 << 29, {}, '--xRWX'],
    ['UXNTable, PXNTable', A | 0x80, 0, 3 << 27, {}, 'r--R--'],
    ['HAD0: tables take nothing away', A, 0, 0x7800_0000, { HAD0: 1 }, 'rwxRW-'],
    ['WXN', A, 0, 0, { WXN: 1 }, 'rw-RW-'],
    ['PAN', A | 0x80, 0, 0, { PAN: 1 }, 'r-x--X'],
  ])('%s', (_n, lo, hi, table, cd, expected) => {
    expect(rights(lo, hi, table, cd)).toBe(expected);
  });

  it('an invalid leaf under a restricted table is F_TRANSLATION', () => {
    const r = new Raw().start();
    r.map(0x1000, 0);
    r.quad(AT.root + 0x1000, 1 << 30, (AT.root + 0x2000) | 3);
    expect(r.ask(0x1000, { access: WRITE }).fault).toBe('F_TRANSLATION');
  });
});

import { READ, Verdict, WRITE } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { AT, PAGE, Raw } from './raw.js';

const SYNC = [0x46];
const A = AT.page | PAGE;
const B = (AT.page + 0x1000) | PAGE;

/** Asks, changes memory, asks again (stale), invalidates, asks a third time. */
function stale(r: Raw, change: () => void, ...commands: (readonly number[])[]): number[] {
  const pa = () => {
    const { verdict, pa: at } = r.ask(0x1000);
    return verdict === Verdict.translated ? at : -1;
  };
  const seen = [pa()];
  change();
  seen.push(pa());
  r.command(...commands, SYNC);
  seen.push(pa());
  return seen;
}

const va = (asid: number, hi = 0, low = 0) => [0x12, asid << 16, (0x1000 | low) >>> 0, hi];
const dropsPage: [string, readonly number[]][] = [
  ['TLBI_NH_VA', va(5)],
  ['TLBI_NH_VA with leaf = 1', va(5, 0, 1)],
  ['TLBI_NH_VA, range of 4 pages of 4 KiB from 0', [0x12 | (3 << 12), 5 << 16, 1 << 10, 0]],
  ['TLBI_NH_VA, TG 4K with TTL 3', [0x12, 5 << 16, 0x1000 | (1 << 10) | (3 << 8), 0]],
  ['TLBI_NH_VAA', [0x13, 0, 0x1000, 0]],
  ['TLBI_NH_ASID', [0x11, 5 << 16]],
  ['TLBI_NH_ALL', [0x10]],
  ['TLBI_NSNH_ALL', [0x30]],
];
const keepsPage: [string, readonly number[]][] = [
  ['TLBI_NH_VA of another ASID', va(6)],
  ['TLBI_NH_VA of another page', [0x12, 5 << 16, 0x2000, 0]],
  ['TLBI_NH_VA of the page 2^32 above', va(5, 1)],
  ['TLBI_NH_VA, TTL 2: no leaf there', [0x12, 5 << 16, 0x1000 | (1 << 10) | (2 << 8), 0]],
  ['TLBI_NH_VA, range with TG 64K: another granule', [0x12 | (3 << 12), 5 << 16, 3 << 10, 0]],
  ['TLBI_NH_ASID of another ASID', [0x11, 6 << 16]],
  ['CFGI_STE: never the TLB', [0x03, 8, 0]],
  ['CFGI_ALL: never the TLB', [0x04, 0, 31]],
  ['SYNC', SYNC],
];

describe('the TLB really caches', () => {
  it.each(dropsPage)('a changed PTE is seen after %s', (_n, command) => {
    const r = new Raw().start();
    const at = r.map(0x1000, A);
    expect(stale(r, () => r.quad(at, 0, B), command)).toEqual([AT.page, AT.page, AT.page + 0x1000]);
    expect(r.read(0x60)).toBe(0);
  });

  it.each(keepsPage)('a changed PTE is not seen after %s', (_n, command) => {
    const r = new Raw().start();
    const at = r.map(0x1000, A);
    expect(stale(r, () => r.quad(at, 0, B), command)).toEqual([AT.page, AT.page, AT.page]);
    expect(r.read(0x60)).toBe(0);
  });

  const global: [string, readonly number[], boolean][] = [
    ['TLBI_NH_ASID of the ASID that fetched it', [0x11, 5 << 16], true],
    ['TLBI_NH_ASID of another ASID', [0x11, 6 << 16], false],
    ['TLBI_NH_VA of any ASID', va(9), true],
  ];
  it.each(global)('a global entry and %s', (_n, command, gone) => {
    const r = new Raw().start();
    const at = r.map(0x1000, A & ~0x800); // nG = 0
    const after = AT.page + (gone ? 0x1000 : 0);
    expect(stale(r, () => r.quad(at, 0, B), command)).toEqual([AT.page, AT.page, after]);
  });

  it('any address in a block drops the whole block', () => {
    const r = new Raw().start();
    r.map(0x1000, A);
    const level2 = AT.root + 0x2000;
    r.quad(level2 + 8, 0, 0x4040_0000 | (PAGE & ~2)); // 2 MiB block at 0x20_0000
    expect(r.ask(0x20_0000)).toMatchObject({ pa: 0x4040_0000, pageSize: 0x20_0000 });
    expect(r.ask(0x3f_f000).pa).toBe(0x405f_f000);
    r.quad(level2 + 8, 0, 0);
    expect(r.ask(0x20_0000).verdict).toBe(Verdict.translated);
    r.command([0x12, 5 << 16, 0x2a_b000, 0], SYNC);
    expect(r.ask(0x20_0000).verdict).toBe(Verdict.fault);
    expect(r.ask(0x3f_f000).verdict).toBe(Verdict.fault);
  });

  it('faults are not cached: a new mapping needs no invalidation', () => {
    const r = new Raw().start();
    const at = r.map(0x1000, 0);
    expect(r.ask(0x1000).fault).toBe('F_TRANSLATION');
    r.quad(at, 0, A);
    expect(r.ask(0x1000, { access: READ | WRITE }).pa).toBe(AT.page);
  });
});

const changeCd = (r: Raw) => () => {
  r.cd({ EPD0: 1 });
};
const changeSte = (r: Raw) => () => {
  r.ste(8, { Config: 0 });
};
const configuration: [string, (r: Raw) => () => void, readonly number[], boolean][] = [
  ['CD', changeCd, [0x05, 8, 1], true],
  ['CD', changeCd, [0x05, 9, 1], false],
  ['CD', changeCd, [0x05 | (1 << 12), 8, 1], false],
  ['CD', changeCd, [0x06, 8], true],
  ['CD', changeCd, [0x03, 8, 1], true],
  ['CD', changeCd, [0x30], false],
  ['STE', changeSte, [0x03, 8, 1], true],
  ['STE', changeSte, [0x03, 9, 1], false],
  ['STE', changeSte, [0x04, 8, 2], true],
  ['STE', changeSte, [0x04, 16, 2], false],
  ['STE', changeSte, [0x04, 0, 31], true],
  ['STE', changeSte, [0x05, 8, 1], false],
  ['STE', changeSte, [0x06, 8], false],
];

describe('the configuration caches really cache', () => {
  it.each(configuration)('a changed %s, %#', (_n, change, command, seen) => {
    const r = new Raw().start();
    r.map(0x1000, A);
    // the TLB would answer for a CD whose half is off: TLBI goes along where the CD has to be looked at
    const tlbi = [0x10];
    const before = stale(r, change(r), tlbi, command);
    expect(before).toEqual([AT.page, AT.page, seen ? -1 : AT.page]);
  });

  it('level-1 descriptors stay until CFGI_STE with leaf = 0', () => {
    const r = new Raw();
    const l2 = AT.strtab + 0x1000;
    r.start({ cfg: (1 << 16) | (6 << 6) | 8 });
    r.quad(AT.strtab, 0, l2 | 7); // SPAN = 7: 64 STEs
    r.ste(8, {}, l2 + 64 * 8);
    r.ste(9, {}, l2 + 64 * 9);
    r.map(0x1000, A);
    expect(r.ask(0x1000).pa).toBe(AT.page);
    r.quad(AT.strtab, 0, 0);
    r.command([0x03, 9, 1], SYNC);
    expect(r.ask(0x1000, { sid: 9 }).pa).toBe(AT.page);
    r.command([0x03, 9, 0], SYNC);
    expect(r.ask(0x1000, { sid: 9 }).fault).toBe('C_BAD_STREAMID');
  });

  it('a CD is cached per StreamID: both have to be named', () => {
    const r = new Raw().start();
    r.ste(9, {});
    r.map(0x1000, A);
    r.ask(0x1000);
    r.ask(0x1000, { sid: 9 });
    r.cd({ V: 0 });
    r.command([0x05, 8, 1], SYNC);
    expect(r.ask(0x1000).fault).toBe('C_BAD_CD');
    expect(r.ask(0x1000, { sid: 9 }).verdict).toBe(Verdict.translated);
  });
});

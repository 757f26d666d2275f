import { READ, Verdict, WRITE } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import type { SmmuOptions } from '../src/index.js';
import { AT, hex, PAGE, RAM, Raw } from './raw.js';

type Ste = Parameters<Raw['ste']>[1];

/** A stage-2 page: write-back, S2AP RW, inner shareable, AF (Linux io-pgtable ARM_64_LPAE_S2 leaves 0x7ff as well). */
const PAGE2 = 0x7ff;
const TABLE2 = RAM + 0x40_0000;
const both: SmmuOptions = { stages: 'both' };
/** 4 KiB granule, 39 bits from level 1: S2T0SZ 25, S2SL0 1. */
const S2: Ste = {
  Config: 6,
  S2VMID: 3,
  S2T0SZ: 25,
  S2SL0: 1,
  S2PS: 4,
  S2AA64: 1,
  S2R: 1,
  S2TTB: TABLE2,
};
const NESTED: Ste = { ...S2, Config: 7 };

/** Maps one page of stage 2 below TABLE2. Returns where its descriptor stands. */
function map2(r: Raw, ipa: number, lo: number, hi = 0): number {
  r.quad(TABLE2 + 8 * Math.floor(ipa / 2 ** 30), 0, (TABLE2 + 0x1000) | 3);
  r.quad(TABLE2 + 0x1000 + 8 * (Math.floor(ipa / 2 ** 21) % 512), 0, (TABLE2 + 0x2000) | 3);
  const at = TABLE2 + 0x2000 + 8 * (Math.floor(ipa / 2 ** 12) % 512);
  r.quad(at, hi, lo);
  return at;
}

/** A nested stream whose guest sees its own tables one to one, and IPA 0x5000 at AT.page. */
function nested(changes: Ste = {}): Raw {
  const r = new Raw(both).start();
  r.ste(8, { ...NESTED, ...changes });
  // a block of 2 MiB for AT.cd and AT.root
  r.quad(TABLE2 + 8, 0, (TABLE2 + 0x3000) | 3);
  r.quad(TABLE2 + 0x3000 + 8, 0, (RAM + 0x20_0000) | (PAGE2 & ~2));
  map2(r, 0x5000, AT.page | PAGE2);
  r.map(0x1000, 0x5000 | PAGE);
  return r;
}

const outcome = (ste: Ste, options: SmmuOptions = both): string => {
  const r = new Raw(options).start();
  r.ste(8, { ...S2, ...ste });
  map2(r, 0x1000, AT.page | PAGE2);
  const out = r.ask(0x1000);
  return out.verdict === Verdict.fault ? out.fault : ['translated', 'bypass'][out.verdict]!;
};

const legality: [string, Ste, string, SmmuOptions?][] = [
  ['stage 2', {}, 'translated'],
  ['a unit of stage 2 alone', {}, 'translated', { stages: 2 }],
  ['stage 1 on a unit of stage 2 alone', { Config: 5 }, 'C_BAD_STE', { stages: 2 }],
  ['nested on a unit of stage 2 alone', { Config: 7 }, 'C_BAD_STE', { stages: 2 }],
  ['S2S with STALL_MODEL 1', { S2S: 1 }, 'C_BAD_STE'],
  ['AArch32', { S2AA64: 0 }, 'C_BAD_STE'],
  ['S2HA without HTTU', { S2HA: 1 }, 'C_BAD_STE'],
  ['S2HD without HTTU', { S2HD: 1 }, 'C_BAD_STE'],
  ['S2TG reserved', { S2TG: 3 }, 'C_BAD_STE'],
  ['S2TG that the unit lacks', { S2TG: 1 }, 'C_BAD_STE', { stages: 'both', granules: [4] }],
  ['S2TTB outside S2PS', { S2PS: 0, S2TTB: 2 ** 33 }, 'C_BAD_STE'],
  ['S2T0SZ below 64 − IAS', { S2T0SZ: 19, S2SL0: 2 }, 'C_BAD_STE'],
  ['S2T0SZ 40', { S2T0SZ: 40, S2SL0: 0 }, 'C_BAD_STE'],
  ['S2T0SZ 42, start at level 2, with STT', { S2T0SZ: 42, S2SL0: 0 }, 'F_TRANSLATION', { stages: 'both', stt: true }],
  ['43 bits from level 1: 16 tables', { S2T0SZ: 21 }, 'translated'],
  ['44 bits from level 1: more than 16 tables', { S2T0SZ: 20 }, 'C_BAD_STE'],
  ['30 bits from level 1: less than one entry', { S2T0SZ: 34 }, 'C_BAD_STE'],
  ['S2SL0 3 without STT', { S2SL0: 3, S2T0SZ: 39 }, 'C_BAD_STE'],
  ['S2SL0 3 with 16 KiB', { S2SL0: 3, S2TG: 2 }, 'C_BAD_STE'],
  ['S2ENDI', { S2ENDI: 1 }, 'C_BAD_STE'],
  ['16-bit VMID without VMID16', { S2VMID: 0x100 }, 'C_BAD_STE', { stages: 'both', vmid16: false }],
  ['stage-1 fields do not count', { S1STALLD: 1, S1ContextPtr: 2 ** 50 }, 'translated'],
];

describe('stage 2 in the STE (§5.2.2)', () => {
  it.each(legality)('%s', (_n, ste, expected, options) => expect(outcome(ste, options)).toBe(expected));

  it('a 16-bit VMID counts under a stage 1 alone where there is a stage 2', () => {
    const r = new Raw({ stages: 'both', vmid16: false }).start();
    r.ste(8, { S2VMID: 0x100 });
    expect(r.ask(0x1000).fault).toBe('C_BAD_STE');
    const without = new Raw().start();
    without.ste(8, { S2VMID: 0x100 });
    expect(without.ask(0x1000).fault).toBe('F_TRANSLATION');
  });

  it('a SubstreamID with stage 2 alone is C_BAD_SUBSTREAMID; S1DSS 1 leaves stage 2', () => {
    const r = new Raw({ stages: 'both', ssidBits: 4 }).start();
    r.ste(8, S2);
    map2(r, 0x1000, AT.page | PAGE2);
    expect(r.ask(0x1000, { pasid: 1 }).fault).toBe('C_BAD_SUBSTREAMID');
    r.ste(8, { ...NESTED, S1CDMax: 2, S1DSS: 1 });
    r.command([0x03, 8], [0x46]);
    expect(r.ask(0x1004)).toMatchObject({ verdict: Verdict.translated, pa: AT.page + 4 });
  });
});

/** w3: RnW 3, S2 7, CLASS 9:8, TTRnW 12. */
const RNW = 8;
const SECOND = 0x80;
const record = (id: number, w3: number, input: number, at: number) =>
  [id, 8, 0, w3, input, 0, at >>> 0, Math.floor(at / 2 ** 32)].map(hex);

const records: [string, (r: Raw) => unknown, string[][]][] = [
  [
    'nothing mapped for the output of stage 1: CLASS IN, the IPA',
    (r) => (r.map(0x1000, 0x7abc_d000 | PAGE), r.ask(0x1234)),
    [record(0x10, RNW | SECOND | 0x200, 0x1234, 0x7abc_d000)],
  ],
  [
    'a table of stage 1 that stage 2 does not map: CLASS TT, the IPA of the descriptor’s page',
    (r) => (r.quad(AT.root, 0, 0x6000_0003), r.ask(0x1234, { access: WRITE })),
    [record(0x10, SECOND | 0x100, 0x1234, 0x6000_0000)],
  ],
  [
    'a table of stage 1 without read: TTRnW',
    (r) => (map2(r, 0x9000, AT.page | (PAGE2 & ~0x40)), r.quad(AT.root, 0, 0x9003), r.ask(0x1234)),
    [record(0x13, RNW | SECOND | 0x1100, 0x1234, 0x9000)],
  ],
  [
    'a CD that stage 2 does not map: CLASS CD',
    (r) => (r.ste(8, { ...NESTED, S1ContextPtr: 0x7000_0040 }), r.ask(0x1234)),
    [record(0x10, RNW | SECOND, 0x1234, 0x7000_0000)],
  ],
  [
    'a CD in device memory with S2PTW',
    (r) => (
      r.ste(8, { ...NESTED, S2PTW: 1, S1ContextPtr: 0x9000 }),
      map2(r, 0x9000, AT.cd | (PAGE2 & ~0x38)),
      r.ask(0x1234)
    ),
    [record(0x13, RNW | SECOND, 0x1234, 0x9000)],
  ],
  [
    'no write at stage 2 for what stage 1 allows',
    (r) => (map2(r, 0x5000, AT.page | (PAGE2 & ~0x80)), r.ask(0x1234, { access: WRITE })),
    [record(0x13, SECOND | 0x200, 0x1234, 0x5000)],
  ],
  [
    'stage 1 refuses too: it judges first',
    (r) => (
      map2(r, 0x5000, AT.page | (PAGE2 & ~0x80)),
      r.map(0x1000, 0x5000 | PAGE | 0x80),
      r.ask(0x1234, { access: WRITE })
    ),
    [record(0x13, 0x200, 0x1234, 0)],
  ],
  [
    'F_ACCESS of stage 2',
    (r) => (map2(r, 0x5000, AT.page | (PAGE2 & ~0x400)), r.ask(0x1234)),
    [record(0x12, RNW | SECOND | 0x200, 0x1234, 0x5000)],
  ],
  [
    'F_ADDR_SIZE of stage 2',
    (r) => (map2(r, 0x5000, PAGE2, 0x1000), r.ask(0x1234)),
    [record(0x11, RNW | SECOND | 0x200, 0x1234, 0x5000)],
  ],
  [
    'a stage-2 descriptor outside memory: its address',
    (r) => (r.quad(TABLE2, 0, 0x3003), r.ask(0x1234)),
    [record(0x0b, RNW | SECOND | 0x200, 0x1234, 0x3000)],
  ],
  [
    'a descriptor of stage 1 whose IPA leads outside memory: S2 = 0, its physical address',
    (r) => (map2(r, 0x9000, 0x3000 | PAGE2), r.quad(AT.root, 0, 0x9003), r.ask(0x1234)),
    [record(0x0b, RNW | 0x100, 0x1234, 0x3000)],
  ],
  [
    'nothing with S2R = 0',
    (r) => (r.ste(8, { ...NESTED, S2R: 0 }), r.map(0x1000, 0x7abc_d000 | PAGE), r.ask(0x1234)),
    [],
  ],
];

describe('records of stage 2 (§7.3)', () => {
  it.each(records)('%s', (_n, provoke, expected) => {
    const r = nested();
    provoke(r);
    expect(r.events()).toEqual(expected);
  });
});

const SYNC = [0x46];
/** Whether the nested page, then a stage-2-only page are still cached after a command. */
function survivors(...command: number[]): string {
  const r = nested();
  r.ste(9, S2, AT.strtab + 64 * 9);
  const at = map2(r, 0x6000, AT.page | PAGE2);
  const first = r.map(0x1000, 0x5000 | PAGE);
  const seen = () => `${r.ask(0x1000).pa === AT.page} ${r.ask(0x6000, { sid: 9 }).pa === AT.page}`;
  expect(seen()).toBe('true true');
  r.quad(first, 0, 0);
  r.quad(at, 0, 0);
  r.command(command, SYNC);
  expect(r.read(0x60)).toBe(0);
  return seen();
}
const tlbi: [string, number[], string][] = [
  ['TLBI_S2_IPA: stage 2’s own, nothing combined', [0x2a, 3, 0x6000, 0], 'true false'],
  ['TLBI_S2_IPA of another VMID', [0x2a, 2, 0x6000, 0], 'true true'],
  ['TLBI_S2_IPA of another page', [0x2a, 3, 0x7000, 0], 'true true'],
  ['TLBI_S2_IPA, a range of 8 pages from 0', [0x2a | (7 << 12), 3, 1 << 10, 0], 'true false'],
  ['TLBI_S12_VMALL', [0x28, 3], 'false false'],
  ['TLBI_S12_VMALL of another VMID', [0x28, 4], 'true true'],
  ['TLBI_NH_ALL: stage 1 with what is below', [0x10, 3], 'false true'],
  ['TLBI_NH_ALL of VMID 0', [0x10, 0], 'true true'],
  ['TLBI_NH_ASID', [0x11, 3 | (5 << 16)], 'false true'],
  ['TLBI_NH_ASID of another VMID', [0x11, 2 | (5 << 16)], 'true true'],
  ['TLBI_NH_VA', [0x12, 3 | (5 << 16), 0x1000, 0], 'false true'],
  ['TLBI_NH_VAA', [0x13, 3, 0x1000, 0], 'false true'],
  ['TLBI_NH_VA by the IPA', [0x12, 3 | (5 << 16), 0x5000, 0], 'true true'],
  ['TLBI_NSNH_ALL', [0x30], 'false false'],
  ['CFGI_STE', [0x03, 8], 'true true'],
];

describe('TLBIs by VMID and stage', () => {
  it.each(tlbi)('%s', (_n, command, expected) => expect(survivors(...command)).toBe(expected));

  it('NH_* without stage 1 and S2_* without stage 2 are CERROR_ILL', () => {
    for (const [stages, op] of [
      [2, 0x10],
      [2, 0x12],
      [2, 0x05],
      [1, 0x28],
      [1, 0x2a],
    ] as const) {
      const r = new Raw({ stages }).start();
      r.command([op], SYNC);
      expect(hex(r.read(0x9c))).toBe('0x1000000');
    }
  });

  it('walks of stage 1 use what stage 2 cached of its tables until TLBI_S2_IPA', () => {
    const r = nested();
    expect(r.ask(0x1000, { access: READ }).pa).toBe(AT.page);
    r.quad(TABLE2 + 8, 0, 0); // the guest's tables have gone
    r.map(0x2000, 0x5000 | PAGE);
    expect(r.ask(0x2000).pa).toBe(AT.page);
    r.command([0x2a, 3, AT.root & ~0xfff, 0], [0x10, 3], SYNC);
    expect(r.ask(0x2000)).toMatchObject({ fault: 'F_TRANSLATION' });
    expect(r.events().at(-1)![3]).toBe(hex(RNW | SECOND | 0x100));
  });
});

describe('the memory that answers depend on', () => {
  it('has both stages’ tables and the CD where they really lie', () => {
    const r = nested();
    const lines = [...r.smmu.tables()].map((t) => `${t.what} ${hex(t.at)} ${hex(t.size)}`);
    expect(lines.filter((l) => !/stream table|event/.test(l))).toEqual([
      `stage-2 table, level 1 ${hex(TABLE2)} 0x1000`,
      `stage-2 table, level 2 ${hex(TABLE2 + 0x1000)} 0x1000`,
      `stage-2 table, level 3 ${hex(TABLE2 + 0x2000)} 0x1000`,
      `stage-2 table, level 2 ${hex(TABLE2 + 0x3000)} 0x1000`,
      `CD ${hex(RAM + 0x30_0000)} 0x40`,
      ...[0, 1, 2, 3].map((n) => `stage-1 table, level ${n} ${hex(AT.root + 0x1000 * n)} 0x1000`),
    ]);
  });
});

import { READ, TRANSLATED, TRANSLATION_REQUEST, WRITE } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import type { VtdOptions } from '../src/model/options.js';
import { CONTEXT, IRTES, PAGE, PTE, R, RawUnit, ROOT, SID } from './raw.js';

const MSI = 0xfee0_0010;

interface Row {
  readonly why: string;
  readonly code: number;
  /** Whether FPD of the context entry keeps it out of the records (fact sheet §6). */
  readonly masked: boolean;
  readonly options?: VtdOptions;
  readonly change?: (u: RawUnit) => void;
  /** Default: a read of PAGE. */
  readonly iova?: number;
  readonly access?: number;
  readonly more?: { readonly kind?: number; readonly pasid?: number };
}

/** Fact sheet §6 (names LRT.2 … LGN.4), §3 and §5 for what is reserved. */
const DMA: readonly Row[] = [
  { code: 0x1, masked: false, why: 'root entry not present', change: (u) => u.put(ROOT, 0, CONTEXT) },
  { code: 0x2, masked: true, why: 'context entry not present', change: (u) => u.context(SID, 0x3000, 0x0502) },
  { code: 0x3, masked: true, why: 'TT = 3', change: (u) => u.context(SID, 0x300d, 0x0502) },
  { code: 0x3, masked: true, why: 'TT = 1 without ECAP.DT', change: (u) => u.context(SID, 0x3005, 0x0502) },
  {
    code: 0x3,
    masked: true,
    why: 'TT = 2 without ECAP.PT',
    options: { passThrough: false },
    change: (u) => u.context(SID, 0x3009, 0x0502),
  },
  { code: 0x3, masked: true, why: 'TT = 2 with less than the largest AW', change: (u) => u.context(SID, 9, 0x0501) },
  { code: 0x3, masked: true, why: 'AW = 0', change: (u) => u.context(SID, 0x3001, 0x0500) },
  { code: 0x3, masked: true, why: 'AW = 3 without 5 levels', change: (u) => u.context(SID, 0x3001, 0x0503) },
  { code: 0x3, masked: true, why: 'AW = 4', change: (u) => u.context(SID, 0x3001, 0x0504) },
  { code: 0x3, masked: true, why: 'top table outside memory', change: (u) => u.context(SID, 0x7000_0001, 0x0502) },
  { code: 0x4, masked: true, why: 'address beyond MGAW', iova: 2 ** 48 },
  {
    code: 0x4,
    masked: true,
    why: 'address beyond the entry’s AW',
    change: (u) => u.context(SID, 0x4001, 0x0501),
    iova: 2 ** 39,
  },
  { code: 0x5, masked: true, why: 'write to a read-only page', iova: PAGE + 0x1000, access: WRITE },
  { code: 0x5, masked: true, why: 'write where nothing is', iova: 0x1_0000, access: WRITE },
  { code: 0x6, masked: true, why: 'read of a write-only page', iova: PAGE + 0x2000 },
  { code: 0x6, masked: true, why: 'read where nothing is', iova: 0x1_0000 },
  {
    code: 0x5,
    masked: true,
    why: 'write under a read-only table',
    change: (u) => u.put(0x5008, 0, 0x6001),
    iova: PAGE,
    access: WRITE,
  },
  { code: 0x7, masked: true, why: 'table outside memory', change: (u) => u.put(0x5008, 0, 0x7000_0003) },
  {
    code: 0x8,
    masked: false,
    why: 'root table outside memory',
    change: (u) => {
      u.set64(R.RTADDR, 0x10, 0);
      u.set(R.GCMD, 0xc600_0000);
    },
  },
  { code: 0x9, masked: false, why: 'context table outside memory', change: (u) => u.put(ROOT, 0, 0x7000_0001) },
  { code: 0xa, masked: false, why: 'root entry bit 1', change: (u) => u.put(ROOT, 0, CONTEXT | 3) },
  { code: 0xa, masked: false, why: 'root entry bit 64', change: (u) => u.put(ROOT + 8, 0, 1) },
  { code: 0xa, masked: false, why: 'root entry above HAW', change: (u) => u.put(ROOT, 0x1_0000, CONTEXT | 1) },
  { code: 0xb, masked: true, why: 'context entry bit 4', change: (u) => u.context(SID, 0x3011, 0x0502) },
  { code: 0xb, masked: true, why: 'context entry bit 71', change: (u) => u.context(SID, 0x3001, 0x0582) },
  {
    code: 0xb,
    masked: true,
    why: 'context entry bit 88',
    change: (u) => u.context(SID, 0x3001, 0x0100_0502),
  },
  {
    code: 0xb,
    masked: true,
    why: 'context entry above HAW',
    change: (u) => u.put(CONTEXT + 16 * SID, 0x1_0000, 0x3001),
  },
  { code: 0xc, masked: true, why: 'leaf bit 11 without ECAP.SC', change: (u) => u.put(PTE, 0, 0x00ab_c803) },
  { code: 0xc, masked: true, why: 'leaf bit 62 without ECAP.DT', change: (u) => u.put(PTE, 0x4000_0000, 0x00ab_c003) },
  { code: 0xc, masked: true, why: 'leaf above HAW', change: (u) => u.put(PTE, 0x1_0000, 0x00ab_c003) },
  {
    code: 0xc,
    masked: true,
    why: 'table bit 11',
    options: { snoopControl: true },
    change: (u) => u.put(0x5008, 0, 0x6803),
  },
  { code: 0xc, masked: true, why: 'PS at level 4', change: (u) => u.put(0x3000, 0, 0x4083) },
  {
    code: 0xc,
    masked: true,
    why: '2 MiB page with address bit 12',
    change: (u) => u.put(0x5010, 0, 0x00e0_1083),
    iova: 0x4040_0000,
  },
  {
    code: 0xc,
    masked: true,
    why: '1 GiB page with address bit 21',
    change: (u) => u.put(0x4010, 0, 0x4020_0083),
    iova: 0x8000_0000,
  },
  {
    code: 0xc,
    masked: true,
    why: '1 GiB page that CAP does not list',
    options: { largePages: { m2: true, g1: false } },
    iova: 0x8000_0000,
  },
  { code: 0xd, masked: true, why: 'translated request', more: { kind: TRANSLATED } },
  {
    code: 0xd,
    masked: true,
    why: 'translation request',
    more: { kind: TRANSLATION_REQUEST },
  },
  { code: 0xe, masked: true, why: 'leads into 0xFEEx_xxxx', change: (u) => u.put(PTE, 0, 0xfee0_1003) },
  { code: 0x31, masked: false, why: 'request with PASID', more: { pasid: 3 } },
];

describe.each(DMA)('DMA fault $code: $why', ({ code, masked, options, change, ...row }) => {
  const { iova = PAGE, access = READ, more = {} } = row;
  const ask = (u: RawUnit) => u.dma(iova, access, SID, more);
  it('is recorded word for word', () => {
    const u = new RawUnit(options);
    change?.(u);
    expect(ask(u)).toEqual({ verdict: 'fault', pa: -1, code, recorded: true });
    const at = (more.kind ?? 0) * 2 ** 28;
    expect(u.record()).toEqual([
      (iova & 0xffff_f000) >>> 0,
      Math.floor(iova / 2 ** 32),
      SID,
      0x8000_0000 + (access === READ ? 0x4000_0000 : 0) + at + code, // F, T1, AT, FR
    ]);
    expect(u.get(R.FSTS)).toBe(0x2); // PPF, FRI = 0
    u.set(R.FRCD + 12, 0x8000_0000);
    expect([u.get(R.FSTS), u.record()[3]! >>> 31]).toEqual([0, 0]);
  });

  it(masked ? 'is kept out of the records by FPD' : 'is recorded whatever FPD says', () => {
    const u = new RawUnit(options);
    change?.(u);
    const at = CONTEXT + 16 * SID;
    u.memory.write32(at, u.memory.read32(at) | 2);
    expect(ask(u)).toEqual({ verdict: 'fault', pa: -1, code, recorded: !masked });
    expect(u.get(R.FSTS)).toBe(masked ? 0 : 2);
  });
});

/** IRTE 3: vector 0x42 to APIC 1, physical, fixed, edge; SVT = 1, SID = 0x20. */
const IRTE_LO = [0x0000_0100, 0x0042_0001] as const;
const IRTE_HI = [0, 0x0004_0020] as const;
const HANDLE_3 = MSI | (3 << 5);

interface InterruptRow {
  readonly why: string;
  readonly code: number;
  readonly masked: boolean;
  readonly index: number;
  readonly options?: VtdOptions;
  readonly change?: (u: RawUnit) => void;
  readonly ask?: (u: RawUnit) => true | number;
}

/** Fact sheet §6 and §8. */
const INTERRUPTS: readonly InterruptRow[] = [
  { code: 0x20, masked: false, index: 0, why: 'SHV = 1 with data 31:16', ask: (u) => u.msi(HANDLE_3 | 8, 0x1_0000) },
  { code: 0x21, masked: false, index: 256, why: 'index = size', ask: (u) => u.msi(MSI | (256 << 5), 0) },
  { code: 0x21, masked: false, index: 0x8000, why: 'handle bit 15', ask: (u) => u.msi(MSI | 4, 0) },
  { code: 0x21, masked: false, index: 259, why: 'sub-handle beyond', ask: (u) => u.msi(HANDLE_3 | 8, 256) },
  {
    code: 0x21,
    masked: false,
    index: 3,
    why: 'entry above HAW',
    options: { hostAddressWidth: 40 },
    change: (u) => {
      u.set64(R.IRTA, 0x100, 7);
      u.set(R.GCMD, 0x8700_0000);
    },
  },
  { code: 0x22, masked: true, index: 3, why: 'P = 0', change: (u) => u.irte(3, [0x100, 0x0042_0000], IRTE_HI) },
  {
    code: 0x23,
    masked: false,
    index: 3,
    why: 'table outside memory',
    change: (u) => {
      u.set64(R.IRTA, 0, 0x7000_0007);
      u.set(R.GCMD, 0x8700_0000);
    },
  },
  { code: 0x24, masked: true, index: 3, why: 'IRTE bit 12', change: (u) => u.irte(3, [0x100, 0x0042_1001], IRTE_HI) },
  { code: 0x24, masked: true, index: 3, why: 'IRTE bit 24', change: (u) => u.irte(3, [0x100, 0x0142_0001], IRTE_HI) },
  { code: 0x24, masked: true, index: 3, why: 'DST bit 0', change: (u) => u.irte(3, [0x101, 0x0042_0001], IRTE_HI) },
  { code: 0x24, masked: true, index: 3, why: 'IRTE bit 84', change: (u) => u.irte(3, IRTE_LO, [0, 0x0014_0020]) },
  { code: 0x24, masked: true, index: 3, why: 'IRTE bit 127', change: (u) => u.irte(3, IRTE_LO, [0x8000_0000, 0x20]) },
  { code: 0x24, masked: true, index: 3, why: 'DLM = 3', change: (u) => u.irte(3, [0x100, 0x0042_0061], IRTE_HI) },
  { code: 0x24, masked: true, index: 3, why: 'posted', change: (u) => u.irte(3, [0x100, 0x0042_8001], IRTE_HI) },
  { code: 0x25, masked: false, index: 0, why: 'compatibility format', ask: (u) => u.msi(0xfee0_1000, 0x42) },
  { code: 0x26, masked: true, index: 3, why: 'another function', ask: (u) => u.msi(HANDLE_3, 0, 0x28) },
  {
    code: 0x26,
    masked: true,
    index: 3,
    why: 'SQ = 1 ignores bit 2 only',
    change: (u) => u.irte(3, IRTE_LO, [0, 0x0005_0020]),
    ask: (u) => u.msi(HANDLE_3, 0, 0x22),
  },
  {
    code: 0x26,
    masked: true,
    index: 3,
    why: 'bus out of range',
    change: (u) => u.irte(3, IRTE_LO, [0, 0x0008_0305]),
    ask: (u) => u.msi(HANDLE_3, 0, 0x600),
  },
  { code: 0x26, masked: true, index: 3, why: 'SVT = 3', change: (u) => u.irte(3, IRTE_LO, [0, 0x000c_0020]) },
];

describe.each(INTERRUPTS)('interrupt fault $code: $why', ({ code, masked, index, options, change, ask }) => {
  const send = ask ?? ((u: RawUnit) => u.msi(HANDLE_3, 0));
  it('is recorded word for word, with the index in bits 63:48', () => {
    const u = new RawUnit(options);
    u.irte(3, IRTE_LO, IRTE_HI);
    change?.(u);
    expect(send(u)).toBe(code);
    expect(u.delivered).toEqual([]);
    const [w0, w1, , w3] = u.record();
    expect([w0, w1, w3]).toEqual([0, (index << 16) >>> 0, (0x8000_0000 | code) >>> 0]);
  });
  it(masked ? 'is kept out of the records by FPD of the IRTE' : 'is recorded whatever FPD says', () => {
    const u = new RawUnit(options);
    u.irte(3, IRTE_LO, IRTE_HI);
    change?.(u);
    u.memory.write32(IRTES + 48, u.memory.read32(IRTES + 48) | 2);
    expect(send(u)).toBe(code);
    expect(u.get(R.FSTS)).toBe(masked ? 0 : 2);
  });
});

describe('the range 0xFEEx_xxxx', () => {
  it('records 0x29 for what is no interrupt request, or only blocks it where the unit is older', () => {
    for (const [access, size, lo] of [
      [READ, 4, 0xfee0_0000],
      [WRITE, 8, 0xfee0_0000],
      [WRITE, 4, 0xfee0_0002],
    ] as const) {
      const u = new RawUnit();
      expect(u.dma(lo, access, SID, { size })).toMatchObject({ verdict: 'fault', code: 0x29, recorded: true });
      const old = new RawUnit({ recordInterruptRange: false });
      expect(old.dma(lo, access, SID, { size })).toMatchObject({ verdict: 'fault', code: -1, recorded: false });
    }
  });
  it('is an ordinary address with upper bits', () => {
    expect(new RawUnit().dma(0x1_fee0_0000, WRITE)).toMatchObject({ verdict: 'fault', code: 0x5 });
  });
});

describe('remapped delivery', () => {
  it('takes vector, destination and mode from the IRTE, not from the message', () => {
    const u = new RawUnit();
    u.irte(3, IRTE_LO, IRTE_HI);
    expect(u.msi(HANDLE_3, 0x99)).toBe(true);
    u.irte(4, [0x0000_ff00, 0x0051_003d], [0, 0]); // P, DM, RH, TM, DLM = 1
    expect(u.msi(MSI | (3 << 5) | 8, 1, 0x77)).toBe(true); // handle 3 + sub-handle 1
    expect(u.delivered).toEqual([
      [0x42, 1, 0, 0, 0, 0],
      [0x51, 0xff, 1, 1, 1, 1],
    ]);
  });
  it('verifies sources by SQ and by bus range', () => {
    const u = new RawUnit();
    u.irte(1, IRTE_LO, [0, 0x0007_0020]); // SQ = 3
    u.irte(2, IRTE_LO, [0, 0x0008_0305]); // SVT = 2: buses 3 to 5
    expect([0x20, 0x23, 0x27].map((sid) => u.msi(MSI | 32, 0, sid))).toEqual([true, true, true]);
    expect(u.msi(MSI | 32, 0, 0x28)).toBe(0x26);
    expect([0x300, 0x4ff, 0x5a0].map((sid) => u.msi(MSI | 64, 0, sid))).toEqual([true, true, true]);
    expect(u.msi(MSI | 64, 0, 0x200)).toBe(0x26);
  });
  it('passes everything while IRES = 0, compatibility format with CFIS = 1, and neither with EIME = 1', () => {
    const off = new RawUnit({}, 'TE+QI');
    expect(off.msi(0xfee0_1000, 0x42)).toBe(true);
    expect(off.passed).toEqual([[0, 0xfee0_1000, 0x42]]);
    const cfi = new RawUnit();
    cfi.set(R.GCMD, 0x8680_0000);
    expect(cfi.get(R.GSTS)).toBe(0xc780_0000);
    expect(cfi.msi(0xfee0_1000, 0x42)).toBe(true);
    const eime = new RawUnit({ extendedInterruptMode: true });
    eime.set64(R.IRTA, 0, IRTES | 0x807);
    eime.set(R.GCMD, 0x8700_0000);
    eime.set(R.GCMD, 0x8680_0000);
    expect(eime.msi(0xfee0_1000, 0x42)).toBe(0x25);
    eime.irte(3, [0x0001_2345, 0x0042_0001], IRTE_HI);
    expect(eime.msi(HANDLE_3, 0)).toBe(true);
    expect(eime.delivered).toEqual([[0x42, 0x1_2345, 0, 0, 0, 0]]);
  });
});

describe('fault records', () => {
  const frcd = (u: RawUnit, n: number) => u.record(n).slice(2);
  it('are used round-robin; FRI names the one that made PPF 1; a full set overflows', () => {
    const u = new RawUnit({ faultRecords: 2 });
    expect(u.dma(0x1000, READ, 0x21).recorded).toBe(true);
    expect(u.dma(0x1000, WRITE, 0x22).recorded).toBe(true);
    expect([frcd(u, 0), frcd(u, 1)]).toEqual([
      [0x21, 0xc000_0002], // F, T1: read, FR = 2
      [0x22, 0x8000_0002],
    ]);
    expect(u.get(R.FSTS)).toBe(2);
    expect(u.dma(0x1000, READ, 0x23).recorded).toBe(false);
    expect(u.get(R.FSTS)).toBe(3); // PFO
    u.set(R.FRCD + 12, 0x8000_0000);
    expect(u.dma(0x1000, READ, 0x24).recorded).toBe(false); // dropped while PFO = 1
    u.set(R.FRCD + 16 + 12, 0x8000_0000);
    expect(u.get(R.FSTS)).toBe(1);
    u.set(R.FSTS, 1);
    expect(u.get(R.FSTS)).toBe(0);
    u.dma(0x1000, READ, 0x25);
    expect(frcd(u, 0)).toEqual([0x25, 0xc000_0002]);
    u.set(R.FRCD + 12, 0x8000_0000);
    u.dma(0x1000, READ, 0x26);
    expect(u.get(R.FSTS)).toBe(0x102); // FRI = 1
  });
  it('collapse repeated faults of one source while one is pending', () => {
    const u = new RawUnit({ faultRecords: 4 });
    u.dma(0x1000, READ, 0x21);
    expect(u.dma(0x2000, READ, 0x21)).toMatchObject({ recorded: false });
    expect(u.get(R.FSTS)).toBe(2);
    const every = new RawUnit({ faultRecords: 4, collapseFaults: false });
    every.dma(0x1000, READ, 0x21);
    expect(every.dma(0x2000, READ, 0x21)).toMatchObject({ recorded: true });
  });
  it('send the fault event once until all is cleared; masked, it stays pending', () => {
    const u = new RawUnit({ faultRecords: 4 });
    u.set(R.FEDATA, 0x55);
    u.set(R.FEADDR, 0xfee0_2000);
    expect(u.get(R.FECTL)).toBe(0x8000_0000);
    u.dma(0x1000, READ, 0x21);
    expect(u.get(R.FECTL)).toBe(0xc000_0000); // IM, IP
    expect(u.passed).toEqual([]);
    u.set(R.FECTL, 0);
    expect(u.passed).toEqual([[0, 0xfee0_2000, 0x55]]); // not remapped, though IRES = 1
    expect(u.get(R.FECTL)).toBe(0);
    u.dma(0x1000, READ, 0x22); // PPF is already 1
    expect(u.passed).toHaveLength(1);
    u.set(R.FRCD + 12, 0x8000_0000);
    u.set(R.FRCD + 28, 0x8000_0000);
    u.dma(0x1000, READ, 0x22);
    expect(u.passed).toHaveLength(2);
  });
});

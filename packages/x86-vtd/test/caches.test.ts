import { READ, WRITE } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { CONTEXT, DID, PAGE, PTE, R, RawUnit, ROOT, SID } from './raw.js';

const MSI_3 = 0xfee0_0070;
const IRTE_3 = [
  [0x0000_0100, 0x0042_0001],
  [0, 0x0004_0020],
] as const;

/** A second device of domain 5, one of domain 6, and one on another function of the same device. */
function unit(options: ConstructorParameters<typeof RawUnit>[0] = {}, status?: string): RawUnit {
  const u = new RawUnit(options, status);
  u.context(0x22, 0x3001, 0x0502);
  u.context(0x28, 0x3001, 0x0602);
  u.irte(3, ...IRTE_3);
  return u;
}

const moved = (u: RawUnit) => u.put(PTE, 0, 0x00cc_c003);
const pa = (u: RawUnit, sid: number = SID, iova = PAGE) => u.dma(iova, READ, sid).pa;

describe('the IOTLB', () => {
  it('keeps a translation that memory no longer has', () => {
    const u = unit();
    expect(pa(u)).toBe(0xab_c000);
    moved(u);
    expect(pa(u)).toBe(0xab_c000);
    u.put(PTE, 0, 0);
    expect(pa(u)).toBe(0xab_c000);
  });

  it('is shared by the devices of a domain and by nobody else', () => {
    const u = unit();
    pa(u);
    moved(u);
    expect([pa(u, 0x22), pa(u, 0x28)]).toEqual([0xab_c000, 0xcc_c000]);
  });

  /** Descriptors of fact sheet §7 with their second quadword. G: 1 global, 2 domain, 3 page. */
  const reaches = (u: RawUnit, q0: number, did: number, q1: readonly [number, number] = [0, 0]) => {
    pa(u);
    moved(u);
    u.command([0, q0 | (did << 16)], q1);
    return pa(u) === 0xcc_c000;
  };
  it.each([
    ['global', 0x12, 0, 0, true],
    ['its domain', 0x22, DID, 0, true],
    ['another domain', 0x22, 6, 0, false],
    ['the page', 0x32, DID, PAGE, true],
    ['the page in another domain', 0x32, 6, PAGE, false],
    ['the next page', 0x32, DID, PAGE + 0x1000, false],
    ['16 pages around it', 0x32, DID, 0x4020_0000 | 4, true],
    ['16 pages above it', 0x32, DID, 0x4021_0000 | 4, false],
    ['2^18 pages around it', 0x32, DID, 0x4000_0000 | 18, true],
    ['with the invalidation hint', 0x32, DID, PAGE | 0x40, true],
    ['with drains', 0xf2, DID, PAGE, true],
  ])('IOTLB invalidation of %s', (_what, q0, did, q1, reached) => {
    expect(reaches(unit(), q0, did, [0, q1])).toBe(reached);
    expect(unit().get(R.FSTS)).toBe(0);
  });

  it.each([
    ['2 MiB', 0x4040_0000, 0xe0_0000, 0x1f_f000, 0x5010, 0x0060_0083, 0x60_0000],
    ['1 GiB', 0x8000_0000, 0x4000_0000, 0x3fff_f000, 0x4010, 0xc000_0083, 0xc000_0000],
  ])('keeps a page of %s under one entry, and drops it by any page in it', (_size, at, to, last, pte, now, then) => {
    const u = unit();
    expect([pa(u, SID, at), pa(u, SID, at + last)]).toEqual([to, to + last]);
    u.put(pte, 0, now);
    expect(pa(u, SID, at + 0x1_1000)).toBe(to + 0x1_1000);
    u.command([0, 0x0005_0032], [0, at + 0x2_2000]);
    expect(pa(u, SID, at + 0x1_1000)).toBe(then + 0x1_1000);
  });

  it('does the whole domain for a page where CAP.PSI = 0', () => {
    const u = unit({ pageSelective: false });
    pa(u);
    moved(u);
    u.command([0, 0x0005_0032], [0, 0x7000_0000]);
    expect(pa(u)).toBe(0xcc_c000);
  });

  it('faults from the cached rights', () => {
    const u = unit();
    expect(u.dma(PAGE + 0x1000, READ).pa).toBe(0xab_d000);
    u.put(0x6010, 0, 0x00ab_d003);
    expect(u.dma(PAGE + 0x1000, WRITE)).toMatchObject({ verdict: 'fault', code: 5, recorded: true });
    u.command([0, 0x0005_0032], [0, PAGE + 0x1000]);
    expect(u.dma(PAGE + 0x1000, WRITE).pa).toBe(0xab_d000);
  });

  it('remembers absence only in caching mode', () => {
    for (const cachingMode of [false, true]) {
      const u = unit({ cachingMode });
      expect(u.dma(PAGE + 0x5000)).toMatchObject({ code: 6 });
      u.put(PTE + 0x28, 0, 0x00aa_a003);
      expect(u.dma(PAGE + 0x5000).verdict).toBe(cachingMode ? 'fault' : 'translated');
      u.command([0, 0x0005_0032], [0, PAGE + 0x5000]);
      expect(u.dma(PAGE + 0x5000).pa).toBe(0xaa_a000);
    }
  });

  it('is invalidated through its register while the queue is off', () => {
    const u = unit({}, 'TE');
    pa(u);
    moved(u);
    u.set64(R.IVA, 0, PAGE);
    u.set64(R.IOTLB, 0xb000_0005, 0); // IVT, IIRG = 3, DID 5
    expect(u.get(R.IOTLB + 4)).toBe(0x3600_0005); // IVT = 0, IAIG = 3
    expect(pa(u)).toBe(0xcc_c000);
  });
});

describe('the context cache', () => {
  const other = (u: RawUnit) => {
    // Another table that leads elsewhere, and another domain.
    u.put(0x7000, 0, 0x8003);
    u.put(0x8008, 0, 0x9003);
    u.put(0x9008, 0, 0xa003);
    u.put(0xa008, 0, 0x00dd_d003);
    u.context(SID, 0x7001, 0x0702);
  };
  it.each([
    ['global', [0, 0x11], true],
    ['its domain', [0, 0x0005_0021], true],
    ['another domain', [0, 0x0006_0021], false],
    ['the device', [SID, 0x0005_0031], true],
    ['another device', [0x28, 0x0005_0031], false],
    ['another function', [0x22, 0x0005_0031], false],
    ['all functions of the device (FM = 3)', [0x3_0022, 0x0005_0031], true],
    ['functions that differ in bit 2 (FM = 1)', [0x1_0022, 0x0005_0031], false],
    ['functions that differ in bits 2:1 (FM = 2)', [0x2_0022, 0x0005_0031], true],
  ] as const)('context-cache invalidation of %s', (_what, q0, reached) => {
    const u = unit();
    pa(u);
    other(u);
    expect(pa(u)).toBe(0xab_c000);
    u.command(q0);
    expect(pa(u)).toBe(reached ? 0xdd_d000 : 0xab_c000);
  });

  it('goes as a whole where the unit cannot tell domains apart', () => {
    const u = unit({ domainContexts: false });
    pa(u);
    other(u);
    u.set(R.GCMD, 0x8200_0000); // QIE off: by register
    u.set64(R.CCMD, 0xc000_0000, 6);
    expect(u.get(R.CCMD + 4)).toBe(0x4800_0000); // CAIG: global
    expect(pa(u)).toBe(0xdd_d000);
  });
  it('keeps an entry whose root entry is gone', () => {
    const u = unit();
    pa(u);
    u.put(ROOT, 0, 0);
    expect(pa(u)).toBe(0xab_c000);
    u.command([0, 0x11]);
    expect(u.dma(PAGE)).toMatchObject({ code: 1 });
  });

  it('remembers absence only in caching mode, under domain 0', () => {
    for (const cachingMode of [false, true]) {
      const u = unit({ cachingMode });
      expect(u.dma(PAGE, READ, 0x40)).toMatchObject({ code: 2 });
      u.context(0x40, 0x3001, 0x0502);
      expect(u.dma(PAGE, READ, 0x40).verdict).toBe(cachingMode ? 'fault' : 'translated');
      u.command([0, 0x21]); // domain 0
      expect(u.dma(PAGE, READ, 0x40).verdict).toBe('translated');
    }
  });

  it('is invalidated through CCMD while the queue is off', () => {
    const u = unit({}, 'TE');
    pa(u);
    other(u);
    u.set64(R.CCMD, 0xe000_0000, (SID << 16) | 5); // ICC, CIRG = 3
    expect([u.get(R.CCMD + 4), u.get(R.CCMD)]).toEqual([0x7800_0000, 5]); // CAIG = 3; SID and FM read 0
    expect(pa(u)).toBe(0xdd_d000);
  });
});

describe('the interrupt entry cache', () => {
  it.each([
    ['global', [0, 0x0000_0004], true],
    ['its index', [3, 0x0000_0014], true],
    ['another index', [2, 0x0000_0014], false],
    ['its aligned pair', [2, 0x0800_0014], true],
    ['the next pair', [4, 0x0800_0014], false],
    ['eight from 5 on, aligned down', [5, 0x1800_0014], true],
  ] as const)('invalidation of %s', (_what, q0, reached) => {
    const u = unit();
    u.msi(MSI_3, 0);
    u.irte(3, [0x0000_0200, 0x0055_0001], [0, 0x0004_0020]);
    u.msi(MSI_3, 0);
    u.command(q0);
    u.msi(MSI_3, 0);
    expect(u.delivered.map(([vector]) => vector)).toEqual([0x42, 0x42, reached ? 0x55 : 0x42]);
  });

  it('keeps an entry that memory no longer has, and absence only in caching mode', () => {
    for (const cachingMode of [false, true]) {
      const u = unit({ cachingMode });
      u.msi(MSI_3, 0);
      u.irte(3, [0, 0], [0, 0]);
      expect(u.msi(MSI_3, 0)).toBe(true);
      u.command([3, 0x14]);
      expect(u.msi(MSI_3, 0)).toBe(0x22);
      u.irte(3, ...IRTE_3);
      expect(u.msi(MSI_3, 0)).toBe(cachingMode ? 0x22 : true);
      u.command([3, 0x14]);
      expect(u.msi(MSI_3, 0)).toBe(true);
    }
  });
});

describe('table pointers', () => {
  it('take effect with SRTP and SIRTP, and what is cached survives unless CAP says otherwise', () => {
    for (const enhancedSetPointer of [false, true]) {
      const u = unit({ enhancedSetPointer });
      pa(u);
      u.msi(MSI_3, 0);
      u.put(0xb000, 0, CONTEXT | 1);
      moved(u);
      u.set64(R.RTADDR, 0, 0xb000);
      expect(pa(u)).toBe(0xab_c000);
      u.set(R.GCMD, 0xc600_0000);
      expect(pa(u)).toBe(enhancedSetPointer ? 0xcc_c000 : 0xab_c000);
      u.set64(R.IRTA, 0, 0xc007);
      u.set(R.GCMD, 0x8700_0000);
      expect(u.msi(MSI_3, 0)).toBe(enhancedSetPointer ? 0x22 : true);
    }
  });
});

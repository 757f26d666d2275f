import { describe, expect, it } from 'vitest';
import {
  bit,
  bits,
  decode,
  each,
  get,
  getAddress,
  getAt,
  getHi,
  getLo,
  getWide,
  layout,
  load,
  long,
  ppc,
  set,
} from '../src/index.js';
import { setAddress, setAt, setLong, setWide, store, wide } from '../src/index.js';

/** Whole words whose value a second source states: positions that a round trip cannot prove. */
describe('golden words', () => {
  const TYPER = layout('GITS_TYPER', 'Arm IHI 0069', 0x8, 64, {
    Physical: bit(0),
    Virtual: bit(1),
    CCT: bit(2),
    ITT_entry_size: bits(7, 4),
    ID_bits: bits(12, 8),
    Devbits: bits(17, 13),
    SEIS: bit(18),
    PTA: bit(19),
    HCC: bits(31, 24),
    CIDbits: bits(35, 32),
    CIL: bit(36),
  });

  it('reads GITS_TYPER as QEMU 7.2 resets it: 12-byte ITT entries, 16-bit identifiers', () => {
    // QEMU hw/intc/arm_gicv3_its.c, gicv3_its_reset: 0x1F_0001EFB1
    const typer = Uint32Array.of(0x0001_efb1, 0x0000_001f);
    expect(getAt(typer, 0, TYPER.Physical)).toBe(1);
    expect(getAt(typer, 0, TYPER.ITT_entry_size)).toBe(11);
    expect(getAt(typer, 0, TYPER.ID_bits)).toBe(15);
    expect(getAt(typer, 0, TYPER.Devbits)).toBe(15);
    expect(getAt(typer, 0, TYPER.CIDbits)).toBe(15);
    expect(getAt(typer, 0, TYPER.CIL)).toBe(1);
    expect(decode(TYPER, typer)).toBe(
      'GITS_TYPER{Physical=0x1 ITT_entry_size=0xb ID_bits=0xf Devbits=0xf CIDbits=0xf CIL=0x1}',
    );
  });

  it('writes a GBPA of 0x1000: SHCFG = use incoming, nothing else', () => {
    // QEMU hw/arm/smmuv3.c, SMMU_GBPA_RESET_VAL; field positions IHI 0070 §6.3.14
    expect(set(0, bits(13, 12), 1)).toBe(0x1000);
  });

  it('composes a VT-d interrupt-entry invalidation for index 0x27, one entry', () => {
    // VT-d §6.5.2.9: type 3:0 = 4, G = 4 (1: index-selective), IIDX 63:32 → low half 0x14
    const IEC = layout('IEC', 'VT-d §6.5.2.9', 0, 128, {
      TYPE: bits(3, 0),
      G: bit(4),
      IM: bits(31, 27),
      IIDX: bits(47, 32),
    });
    const d = new Uint32Array(4);
    setAt(d, 0, IEC.TYPE, 4);
    setAt(d, 0, IEC.G, 1);
    setAt(d, 0, IEC.IIDX, 0x27);
    expect([...d]).toEqual([0x0000_0014, 0x0000_0027, 0, 0]);
  });

  it('composes a stage-1 STE with S1ContextPtr in place', () => {
    // Linux arm-smmu-v3-test: V | Config(S1_TRANS) = 0xb; IHI 0070 §5.2: S1ContextPtr 55:6 holds address bits 55:6
    const STE = layout('STE', 'IHI 0070 §5.2', 0, 512, {
      V: bit(0),
      Config: bits(3, 1, { is: { 0: 'ABORT', 4: 'BYPASS', 5: 'S1' } }),
      S1ContextPtr: wide(55, 6),
      S1CDMax: bits(63, 59),
      EATS: bits(93, 92),
    });
    const ste = new Uint32Array(16);
    setAt(ste, 0, STE.V, 1);
    setAt(ste, 0, STE.Config, 5);
    expect(ste[0]).toBe(0x0000_000b); // V, Config = S1
    setAddress(ste, 0, STE.S1ContextPtr, 0x12_3456_7fc0);
    setAt(ste, 0, STE.EATS, 1);
    expect([...ste.subarray(0, 4)]).toEqual([0x3456_7fcb, 0x0000_0012, 0x1000_0000, 0]);
    expect(getAddress(ste, 0, STE.S1ContextPtr)).toBe(0x12_3456_7fc0);
    expect(decode(STE, ste)).toBe('STE{V=0x1 Config=S1 S1ContextPtr=0x48d159ff EATS=0x1}');
  });

  it('puts PAMU window fields where U-Boot and Linux mask them, from bytes in big-endian order', () => {
    // Linux fsl_pamu.h: PAACE_WSE 0xfc0, PAACE_MW 0x20, PAACE_AP 0x18, V 1; counted from the top: 20:25, 26, 27:28, 31
    const PAACE = layout(
      'PAACE',
      'P4080RM ch. PAMU',
      0,
      512,
      {
        WBAH: ppc(0, 0, 31),
        WBAL: ppc(1, 0, 19),
        WSE: ppc(1, 20, 25),
        MW: ppc(1, 26, 26),
        AP: ppc(1, 27, 28),
        V: ppc(1, 31, 31),
      },
      { endian: 'big' },
    );
    expect(PAACE.WBAL.mask >>> 0).toBe(0xffff_f000);
    expect(PAACE.WSE.mask).toBe(0x0fc0);
    expect(PAACE.MW.mask).toBe(0x20);
    expect(PAACE.AP.mask).toBe(0x18);
    const words = new Uint32Array(16);
    setAt(words, 0, PAACE.WBAL, 0xfe000);
    setAt(words, 0, PAACE.WSE, 0x1d); // 2^(0x1d + 1) = 1 GiB
    setAt(words, 0, PAACE.AP, 3);
    setAt(words, 0, PAACE.V, 1);
    const bytes = new Uint8Array(64);
    store(PAACE, words, bytes);
    expect([...bytes.subarray(0, 8)]).toEqual([0, 0, 0, 0, 0xfe, 0x00, 0x07, 0x59]);
    expect([...load(PAACE, bytes)]).toEqual([...words]);
  });

  it('takes MSIIR fields from the top byte, as data 0x5d in bits 31:24', () => {
    // Linux fsl_msi.c: data = SRS << 5 | IBS in the most significant byte of MSIIR
    expect(get(0x5d00_0000, ppc(0, 0, 2))).toBe(2);
    expect(get(0x5d00_0000, ppc(0, 3, 7))).toBe(0x1d);
  });
});

describe('fields across words', () => {
  it('reads 63:12 unsigned when bit 63 is set', () => {
    const f = wide(63, 12);
    const w = Uint32Array.of(0xffff_f123, 0xffff_ffff);
    expect(getWide(w, 0, f)).toBe(2 ** 52 - 1);
    expect(getAddress(w, 0, f)).toBe(2 ** 64 - 2 ** 12);
  });

  it('leaves the bits around a wide field alone', () => {
    const w = Uint32Array.of(0xffff_ffff, 0xffff_ffff);
    setWide(w, 0, wide(51, 12), 0);
    expect([...w]).toEqual([0x0000_0fff, 0xfff0_0000]);
  });

  it('reads a field that begins in bit 31', () => {
    expect(getWide(Uint32Array.of(0x8000_0000, 0x0000_0005), 0, wide(33, 31))).toBe(3);
  });

  it('reads and writes 64 bits that lie in three words', () => {
    const f = long(103, 40);
    const w = new Uint32Array(5).fill(0xffff_ffff);
    setLong(w, 0, f, 0x0123_4567, 0x89ab_cdef);
    expect([...w]).toEqual([0xffff_ffff, 0xabcd_efff, 0x2345_6789, 0xffff_ff01, 0xffff_ffff]);
    expect([getHi(w, 0, f), getLo(w, 0, f)]).toEqual([0x0123_4567, 0x89ab_cdef]);
  });

  it('reads the last, aligned 64 bits without looking past them', () => {
    const w = Uint32Array.of(0, 0, 0x8000_0001, 0xfedc_ba98);
    expect([getHi(w, 0, long(127, 64)), getLo(w, 0, long(127, 64))]).toEqual([0xfedc_ba98, 0x8000_0001]);
    expect([getHi(w, 0, long(127, 100)), getLo(w, 0, long(127, 100))]).toEqual([0, 0xfed_cba9]);
  });

  it('places repeated fields and knows their names', () => {
    const MAIR = layout('MAIR', 'Arm ARM', 0, 64, { ...each('ATTR', 8, (n) => bits(8 * n + 7, 8 * n)) });
    expect(getAt(Uint32Array.of(0x0c04_00ff, 0x0000_4400), 0, MAIR.ATTR5)).toBe(0x44);
    // @ts-expect-error there are eight
    expect(MAIR.ATTR8).toBeUndefined();
  });
});

describe('addresses whose bit 0 is not at the word', () => {
  it('places an address that the structure keeps shifted', () => {
    // A field at 43:10 that holds address bits 45:12, so address bit 0 would lie two bits below the structure.
    const f = wide(43, 10);
    const w = new Uint32Array(2);
    setAddress(w, 0, f, 0x1234_5678_9000, -2);
    expect([...w]).toEqual([0x159e_2400, 0x0000_048d]);
    expect(getAddress(w, 0, f, -2)).toBe(0x1234_5678_9000);
  });
});

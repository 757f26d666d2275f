import { get } from '@doorbell/bits';
import { describe, expect, it } from 'vitest';
import * as S from '../src/spec/index.js';

/** Words from sources other than the layouts themselves. */
describe('golden words of the MPIC', () => {
  it('QEMU ppce500: FRR 0x00c30102 is 196 sources, 2 CPUs, id 2; BRR1 0x00400402 is version 4.2', () => {
    expect(get(0x00c30102, S.FRR.NIRQ)).toBe(195);
    expect(get(0x00c30102, S.FRR.NCPU)).toBe(1);
    expect(get(0x00c30102, S.FRR.VID)).toBe(2);
    expect(get(0x00400402, S.BRR1.VERSION)).toBe(0x402);
  });
  it('QEMU ppce500: 0x25000000 at MSIIR is MSIR1, bit 5; data 0x25 in PCI byte order', () => {
    expect(S.msiirWord({ msir: 1, bit: 5 })).toBe(0x2500_0000);
    expect(S.msiData(S.hwirqOf({ msir: 1, bit: 5 }, 0x402))).toBe(0x25);
  });
  it('QEMU ppce500: 0x00080025 is unmasked, priority 8, vector 0x25; 0x20000000 of GCR is mixed mode', () => {
    expect(get(0x0008_0025, S.IVPR.MSK)).toBe(0);
    expect(get(0x0008_0025, S.IVPR.PRIORITY)).toBe(8);
    expect(get(0x0008_0025, S.IVPR.VECTOR)).toBe(0x25);
    expect(get(0x2000_0000, S.GCR.M)).toBe(1);
    expect(get(0x6000_0000, S.GCR.M)).toBe(3);
  });
  it('fact sheet B2 (Linux fsl_msi): data of MSIIR1 is SRS | IBS << 4; byte 0 lands in bits 31:24', () => {
    // SRS 9, IBS 0x13: data 0x139; bytes 0x39 0x01 0x00 0x00 → word 0x39010000.
    expect(S.hwirqOf({ msir: 9, bit: 0x13 }, 0x403)).toBe(0x139);
    expect(S.msiir1Word({ msir: 9, bit: 0x13 })).toBe(0x3901_0000);
    expect(S.fromMsiir1(0x3901_0000)).toEqual({ msir: 9, bit: 0x13 });
  });
  it('fact sheet B2, device trees: sources of the banks', () => {
    expect([S.msiSource(0, 0), S.msiSource(1, 0), S.msiSource(2, 7)]).toEqual([0xe0, 0xe8, 0xf7]);
    expect([S.msiSource(0, 8), S.msiSource(1, 15), S.msiSource(3, 0), S.msiSource(3, 8)]).toEqual([
      0x100, 0x10f, 0xf8, 0x118,
    ]);
    for (let bank = 0; bank < 4; bank++)
      for (let msir = 0; msir < 16; msir++) expect(S.msirOf(S.msiSource(bank, msir))).toEqual({ bank, msir });
    expect(S.msirOf(0xdf)).toBeNull();
  });
  it('fact sheet B1: where registers lie', () => {
    expect([S.BANK_BASE, S.BANK_BASE + S.BANK_STRIDE * 3]).toEqual([0x1600, 0x1c00]);
    expect(S.ALIAS_BASE + S.ALIAS_STRIDE * 2 + S.MSIIR.$.at).toBe(0x6140);
    expect(S.ALIAS_BASE + S.ALIAS_STRIDE * 3 + S.MSIIR1.$.at).toBe(0x7148);
    expect(S.sourceAt(225)).toBe(0x1_1c20);
    expect(S.cpuAt(1) + S.IACK.$.at).toBe(0x2_10a0);
  });
});

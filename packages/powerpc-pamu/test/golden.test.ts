import { getAt } from '@doorbell/bits';
import { READ, WRITE } from '@doorbell/platform';
import { IOMMU } from '@doorbell/iommu';
import { immediate } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { PAMU_TABLES } from '../src/index.js';
import * as S from '../src/spec/index.js';
import { LIODN, subject } from './subject.js';

/** Masks and encodings as the fact sheet quotes them (Linux fsl_pamu.h, U-Boot fsl_pamu.h, LIBOS pamu.h), not as our layouts have them. */
describe('golden words of the PAMU', () => {
  it('A5: word 0x04 is WBAL 0xfffff000, WSE 0x0fc0, MW 0x20, AP 0x18, DD 0x04, PT 0x02, V 0x01', () => {
    const masks = (['WBAL', 'WSE', 'MW', 'AP', 'DD', 'PT', 'V'] as const).map((f) => S.PPAACE[f].mask >>> 0);
    expect(masks).toEqual([0xffff_f000, 0x0fc0, 0x20, 0x18, 0x04, 0x02, 0x01]);
    expect(S.SPAACE.LIODN.mask >>> 0).toBe(0xffff_0000);
  });
  it('A5: word 0x0c is CID 0x00ff0000, WCE 0xf0, ATM 0x0c, OTM 0x03; word 0x08 has CR 0x80', () => {
    const { CID, WCE, ATM, OTM, CR } = S.PPAACE;
    expect([CID, WCE, ATM, OTM, CR].map((f) => f.mask >>> 0)).toEqual([0x00ff_0000, 0xf0, 0x0c, 0x03, 0x80]);
    expect([CID, WCE, ATM, OTM].every((f) => f.word === 3)).toBe(true);
  });
  it('A5: 4 KiB is 0x0B, 64 GiB 0x23; 256 sub-windows are WCE 7', () => {
    expect([2 ** 12, 2 ** 16, 2 ** 30, 2 ** 36].map(S.encodeSize)).toEqual([0x0b, 0x0f, 0x1d, 0x23]);
    expect([2, 4, 256].map(S.encodeCount)).toEqual([0, 1, 7]);
  });
  it('A3: PC is PE | OCE | SPCC | PPCC = 0x40001011, AVICS 0x8, AVIE 0x4; A8: LAV = 1 is 0x400', () => {
    const { PE, OCE, SPCC, PPCC } = S.PC;
    expect((PE.mask | OCE.mask | SPCC.mask | PPCC.mask) >>> 0).toBe(0x4000_1011);
    expect([S.PICS.AVICS.mask, S.PICS.AVIE.mask]).toEqual([8, 4]);
    expect(S.VIOLATION.liodnOutside.word & 0x7ffe).toBe(0x400);
    const { LAV, WAV, APV, OTV, PDV, GCV } = S.AVS1;
    expect([LAV, WAV, APV, OTV, PDV, GCV].map((f) => f.mask)).toEqual([0x1c00, 0x380, 0x78, 0x06, 0x4000, 0x2000]);
  });
  it('A3: PAMU n is bypassed by 0x80000000 >> n of guts 0x604', () => {
    expect([0, 4].map(S.bypassMask)).toEqual([0x8000_0000, 0x0800_0000]);
    expect(S.PAMUBYPENR.$.at).toBe(0x604);
  });

  it('A7, the worked example as the driver writes it: 1 GiB in 256, the MSI page in slot 128', () => {
    const { platform, devices } = subject({ base: 0, size: 2 ** 30, count: 256 })({ completion: immediate() });
    const iommu = platform.service(IOMMU);
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [devices[0]] });
    iommu.attach(devices[0], domain);
    domain.map(0, 0x1000_0000, 0x40_0000, READ | WRITE);
    domain.table!.map(0x2000_0000, 0xfe04_4000, 0x1000, WRITE);
    const tables = platform.service(PAMU_TABLES);
    const bytes = (at: number): string => {
      const b = new Uint8Array(32);
      platform.memory.readBytes(at, b);
      return Buffer.from(b).toString('hex').replace(/.{8}/g, '$& ').trim();
    };
    // WSE 0x1D = 0x740, MW 0x20, AP all 0x18, V; WCE 7, ATM 1; TWBA 0x10000000, SWSE 0x15 = 0x540; FSPI 0.
    expect(bytes(tables.primaryAt(LIODN.a))).toBe(
      '00000000 00000779 00000000 00000074 00000000 10000540 00000000 00000000',
    );
    // LIODN 193 = 0xc1, AP update 0x10, PT, V; ATM 1; TWBA 0xfe044000, SWSE 0x0B = 0x2c0. Sub-window 128 is entry 127.
    expect(bytes(tables.secondaryAt(127))).toBe(
      '00000000 00c10013 00000000 00000004 00000000 fe0442c0 00000000 00000000',
    );
    expect(getAt(tables.writer.copy(tables.secondaryAt(126)), 0, S.SPAACE.V)).toBe(0);
  });
});

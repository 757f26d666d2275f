import { decode, get, getAddress, getAt, getLo } from '@doorbell/bits';
import { describe, expect, it } from 'vitest';
import { SLPTE } from '@doorbell/x86-paging/spec';
import { capWords, configOf, ecapWords } from '../src/model/options.js';
import { passThroughContext, translatedContext } from '../src/driver/contexts.js';
import { secondLevelFormat } from '../src/driver/second-level.js';
import * as spec from '../src/spec/index.js';

/** Words of a 64-bit or longer value as manuals print it, most significant digits first. */
const words = (hexText: string): Uint32Array =>
  Uint32Array.from(hexText.replaceAll('_', '').match(/.{8}/g)!.reverse(), (w) => parseInt(w, 16));

describe('registers, from a live QEMU 7.2 (registers.json of the VT-d capture)', () => {
  it('CAP and ECAP of the q35 preset are QEMU’s', () => {
    expect([...capWords(configOf())]).toEqual([0x222f_0606, 0x00d2_008c]);
    expect([...ecapWords(configOf())]).toEqual([0x00f0_0f4a, 0]);
  });
  it('CAP 0x00d2008c222f0606', () => {
    const cap = words('00d2008c_222f0606');
    expect(getAt(cap, 0, spec.CAP.ND)).toBe(6); // 2^16 domains
    expect(getAt(cap, 0, spec.CAP.SAGAW)).toBe(0b00110); // 39 and 48 bits
    expect(getAt(cap, 0, spec.CAP.MGAW)).toBe(47);
    expect(getAt(cap, 0, spec.CAP.MAMV)).toBe(18);
    expect(getAt(cap, 0, spec.CAP.NFR)).toBe(0);
    expect([getAt(cap, 0, spec.CAP.SSLPS_2M), getAt(cap, 0, spec.CAP.SSLPS_1G), getAt(cap, 0, spec.CAP.PSI)]).toEqual([
      1, 1, 1,
    ]);
    expect(spec.froOf(cap[1]!, cap[0]!)).toBe(0x220); // fact sheet §1
  });
  it('ECAP 0xf00f4a', () => {
    expect(spec.iroOf(0xf0_0f4a)).toBe(0xf0);
    const on = Object.entries({ QI: 1, IR: 1, PT: 1, EIM: 0, DT: 0, SC: 0, C: 0 });
    for (const [name, value] of on) expect([name, get(0xf0_0f4a, spec.ECAP[name as 'QI'])]).toEqual([name, value]);
    expect(get(0xf0_0f4a, spec.ECAP.MHMV)).toBe(15);
  });
  it('GSTS 0xc7000000: translation, root pointer, queue, remapping, its pointer', () => {
    expect(decode(spec.GSTS, Uint32Array.of(0xc700_0000))).toBe('GSTS{IRTPS=0x1 IRES=0x1 QIES=0x1 RTPS=0x1 TES=0x1}');
  });
  it('IRTA 0x4a0000f: 65536 entries at 0x4a00000', () => {
    const irta = words('00000000_04a0000f');
    expect([getAddress(irta, 0, spec.IRTA.IRTA), 2 ** (getAt(irta, 0, spec.IRTA.S) + 1)]).toEqual([0x4a0_0000, 65536]);
    expect(getAt(irta, 0, spec.IRTA.EIME)).toBe(0);
  });
  it('FRCD0: a write of 00:08.0 to 0x7abcdef000, reason 5, cleared', () => {
    const frcd = words('00ffff05_00000040_0000007a_bcdef000');
    expect(getAddress(frcd, 0, spec.FRCD.FI)).toBe(0x7a_bcde_f000);
    expect([spec.FRCD.FR, spec.FRCD.SID, spec.FRCD.F, spec.FRCD.T1].map((f) => getAt(frcd, 0, f))).toEqual([
      5, 0x40, 0, 0,
    ]);
  });
});

describe('descriptors, from the fact sheet §7 (words that Linux 6.1 queued)', () => {
  it('0x…_0005_00F2 is an IOTLB invalidation: page, drains, domain 5', () => {
    const d = words('00000000_00000000_00000000_000500f2');
    const { G, DW, DR, DID } = spec.IOTLB_INV;
    expect([d[0]! & 15, ...[G, DW, DR, DID].map((f) => getAt(d, 0, f))]).toEqual([2, 3, 1, 1, 5]);
  });
  it('0x0027_0000_0014 is an IEC invalidation of index 0x27', () => {
    const d = words('00000000_00000000_00000027_00000014');
    const { G, IM, IIDX } = spec.IEC_INV;
    expect([d[0]! & 15, ...[G, IM, IIDX].map((f) => getAt(d, 0, f))]).toEqual([4, 1, 0, 0x27]);
  });
  it('a wait with status: fact sheet §7 row 5', () => {
    const d = words('00000000_049c3000_00000002_00000025');
    expect([getAt(d, 0, spec.WAIT.SW), getLo(d, 0, spec.WAIT.DATA)]).toEqual([1, 2]);
    expect(getLo(d, 0, spec.WAIT.ADDR) * 4).toBe(0x49c_3000);
  });
});

describe('interrupt messages', () => {
  it('0xfee00298 (CONTRACTS’ example; fact sheet §8.1) is handle 20 with a sub-handle', () => {
    expect(spec.handleOf(0xfee0_0298)).toBe(20);
    expect(get(0xfee0_0298, spec.REMAPPABLE_ADDRESS.SHV)).toBe(1);
    expect(spec.remappableAddress(20, 1)).toBe(0xfee0_0298);
  });
  it('handle[15] stands in bit 2 (fact sheet §8.1)', () => {
    expect(spec.handleOf(0xfeef_fff4)).toBe(0xffff); // forged in the capture: 0xfeeffff4
    expect(spec.remappableAddress(0xffff, 0)).toBe(0xfeef_fff4);
    expect(spec.remappableAddress(0x8000, 0)).toBe(0xfee0_0014);
  });
});

describe('structures that the driver writes, by the fact sheet §3, §5', () => {
  it('context entry: lo = table | TT | P, hi = DID << 8 | AW', () => {
    expect([...translatedContext(0x1234, 4, 0x1_2345_6000)]).toEqual([0x2345_6001, 1, 0x0012_3402, 0]);
    expect([...translatedContext(3, 3, 0x5000)]).toEqual([0x5001, 0, 0x0301, 0]);
    expect([...passThroughContext(1, 4)]).toEqual([0x9, 0, 0x0102, 0]);
  });
  it('paging entries: R bit 0, W bit 1, PS bit 7, address 51:12', () => {
    const f = secondLevelFormat(4, true, true);
    expect([f.leafLo(0x1_2345_6000, 0, 3), f.leafHi(0x1_2345_6000, 0, 3)]).toEqual([0x2345_6003, 1]);
    expect([f.leafLo(0x20_0000, 1, 1), f.leafLo(0x4000_0000, 2, 2)]).toEqual([0x20_0081, 0x4000_0082]);
    expect(f.tableLo(0x9000)).toBe(0x9003);
    expect(f.address(0x2345_6003, 0x4000_0001, 0)).toBe(0x1_2345_6000); // TM is no address
    expect(decode(SLPTE, Uint32Array.of(0x20_0081, 0))).toBe('SLPTE{R=0x1 PS=0x1 ADDR=0x200}');
  });
});

import { qoriq, qoriqMemory } from '@doorbell/boards';
import { IOMMU } from '@doorbell/iommu';
import { PCI, at, testFunction } from '@doorbell/pci';
import { Platform, READ, Verdict, WRITE, newOutcome, newRequest, registerPort } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { FslPciBridge, fslPci } from '../src/index.js';
import * as S from '../src/spec/index.js';

const BASE = 0xfe20_0000;

function bench() {
  const platform = new Platform({ memory: [{ base: 0, size: 2 ** 24 }] }).use(fslPci({})).compose();
  const r = registerPort(platform.cpu, BASE, 'big');
  const bridge = platform.model('pcie0') as FslPciBridge;
  const request = newRequest();
  const out = newOutcome();
  const ask = (address: number, access: number = WRITE): number | string => {
    request.hi = Math.floor(address / 2 ** 32);
    request.lo = address >>> 0;
    request.access = access;
    return platform.fabric().translate(request, out) === Verdict.fault ? out.fault : out.pa;
  };
  return { platform, r, bridge, ask };
}

describe('inbound windows', () => {
  it('golden words: a 64 GiB memory window with snoop is 0xa0f55023 at 0xdc0 + 0x10 (fact sheet B2)', () => {
    const { r } = bench();
    expect(r.read32(0xdd0)).toBe(0xa0f5_5023);
    expect([S.INBOUND[1], S.INBOUND[2], S.INBOUND[3], S.INBOUND.msi]).toEqual([0xde0, 0xdc0, 0xda0, 0xd00]);
  });

  it('the driver opens memory at its own addresses and CCSR just below 4 GiB', () => {
    const { ask } = bench();
    expect(ask(0x1234)).toBe(0x1234);
    expect(ask(0x9_0000_0000, READ)).toBe(0x9_0000_0000);
    expect(ask(0xff04_4140)).toBe(0xfe04_4140);
    expect(ask(2 ** 36)).toBe('INBOUND_MISS');
  });

  it('PEXCSRBAR shows its size to who writes all ones', () => {
    const { r } = bench();
    r.write32(0, 0x8000_0010);
    expect(r.read32(4)).toBe(0x0000_00ff); // 0xff000000, little-endian
    r.write32(4, 0xffff_ffff);
    expect(r.read32(4)).toBe(0x0000_00ff);
    r.write32(0, 0x8000_0014);
    expect(r.read32(4)).toBe(0xffff_ffff);
  });

  it('a window moves addresses to its target; the dedicated MSI window comes first (FreeBSD opens one onto CCSR)', () => {
    const { r, ask } = bench();
    r.write32(0xd00, 0xfe000); // PITAR
    r.write32(0xd08, 0x00100000 | 0x40000); // PIWBAR: 0x1_4000_0000
    r.write32(0xd10, 0x80ee_5017); // 16 MiB, CCSR
    expect(ask(0x1_4004_1740)).toBe(0xfe04_1740);
    r.write32(0xd10, 0x00ee_5017);
    expect(ask(0x1_4004_1740)).toBe(0x1_4004_1740);
  });

  it('keeps its state over snapshot and restore, and closes at reset', () => {
    const { bridge, ask } = bench();
    const state = structuredClone(bridge.snapshot());
    bridge.reset();
    expect(ask(0x1234)).toBe('INBOUND_MISS');
    bridge.restore(state);
    expect(ask(0xff04_4140)).toBe(0xfe04_4140);
  });

  it('refuses options that cannot be', () => {
    expect(() => new Platform({ memory: [] }).use(fslPci({ inbound: 3000 })).compose()).toThrow(/inbound/);
  });

  it('keeps its windows out of what a PAMU behind it is asked for: a message there would never reach it', () => {
    const functions = [[at('04.0', testFunction({ msix: 1 }))]];
    const platform = new Platform({ memory: qoriqMemory() }).use(qoriq({ functions })).compose();
    const fn = platform.service(PCI).get('00:04.0');
    const iommu = platform.service(IOMMU);
    expect(iommu.reservedRegions(fn)).toMatchObject([{ first: 0xff00_0000, last: 0xffff_ffff, kind: 'reserved' }]);
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [fn] });
    iommu.attach(fn, domain);
    const conflict = expect.objectContaining({ code: 'MSI_WINDOW_CONFLICT' }) as Error;
    expect(() => domain.reserveMsiWindow({ base: 0xff00_0000, size: 0x1000 })).toThrow(conflict);
  });
});

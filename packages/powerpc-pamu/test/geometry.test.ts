import { CPU_INTERFACE, INTERRUPTS } from '@doorbell/irqchip';
import { IOMMU } from '@doorbell/iommu';
import { definePlugin, immediate, Platform, READ, Verdict, WRITE, type Device } from '@doorbell/platform';
import { plainDevice } from '@doorbell/conformance';
import { mpic } from '@doorbell/powerpc-mpic';
import { describe, expect, it, vi } from 'vitest';
import {
  PAMU_TABLES,
  fits,
  pamu,
  planGeometry,
  type Extent,
  type Guts,
  type Limits,
  type Pamu,
  type PamuNode,
  type PamuTable,
} from '../src/index.js';
import { LOW, subject } from './subject.js';

const RW = READ | WRITE;
const LIMITS: Limits = { aperture: { first: 0, last: 2 ** 32 - 1 }, subWindows: 256 };
const extent = (iova: number, physical: number, size: number, permissions = RW): Extent => ({
  iova,
  physical,
  size,
  permissions,
});
const plan = (...extents: Extent[]) => planGeometry(extents, LIMITS);

/** One PAMU whose domains are planned for their mappings. */
function planned(options: PamuNode = {}): { platform: Platform; a: Device; b: Device } {
  const platform = new Platform({ memory: [{ base: 0, size: 2 ** 30 }] })
    .use(mpic({ banks: 1 }), pamu(options), definePlugin('host', { compatible: ['test,host'] }))
    .node({
      name: 'pci0',
      compatible: 'test,host',
      iommuMap: [{ inputBase: 0, count: 64, outputBase: 193, to: 'pamu0' }],
    })
    .compose();
  return { platform, a: plainDevice(0x08), b: plainDevice(0x10) };
}

describe('planning a window', () => {
  it('takes the whole aperture where mappings start on its sub-windows', () => {
    const result = plan(extent(0, 0, 2 ** 28), extent(0x800_0000 * 4, 0xfe04_4000, 0x1000, WRITE));
    expect(result.geometry).toEqual({ base: 0, size: 2 ** 32, count: 256 });
    expect(fits(result) && result.pieces.filter(Boolean).length).toBe(17);
  });
  it('takes a smaller one for finer mappings, naturally aligned', () => {
    expect(plan(extent(0x10_0000, 0x4000, 0x1000), extent(0x10_1000, 0x9000, 0x1000)).geometry).toEqual({
      base: 0x10_0000,
      size: 2 ** 20,
      count: 256,
    });
  });
  it('joins neighbours that continue each other', () => {
    const result = plan(extent(0x100_0000, 0x4_0000, 0x1000), extent(0x100_1000, 0x4_1000, 0x1000));
    expect(fits(result) && result.pieces[1]).toMatchObject({ size: 0x2000, physical: 0x4_0000 });
  });
  it('says what the finest window lacks, and what it could hold nearby', () => {
    const result = plan(extent(0x4000_1000, 0x1000, 0x1000), extent(0x800_0000, 0xfe04_4000, 0x1000, WRITE));
    expect(fits(result)).toBe(false);
    expect(result).toMatchObject({
      geometry: { base: 0, size: 2 ** 31, count: 256 },
      nearest: { iova: 0x4000_0000, size: 0x1000 },
    });
  });
  it('does not map a part of a sub-window that is no power of two, nor to unaligned memory', () => {
    const limits = { ...LIMITS, fixed: LOW };
    expect(planGeometry([extent(0, 0, 0x3000)], limits)).toMatchObject({
      why: expect.stringContaining('no power') as string,
    });
    expect(planGeometry([extent(0, 0x1000, 0x2000)], limits)).toMatchObject({
      why: expect.stringContaining('not aligned') as string,
    });
    expect(fits(planGeometry([extent(0, 0x1000, 0x1000)], limits))).toBe(true);
  });
});

describe('a domain whose window is planned', () => {
  it('fails with the geometry and the nearest possible mapping, and nothing changed', () => {
    const { platform, a } = planned();
    const iommu = platform.service(IOMMU);
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [a] });
    domain.map(0, 0, 2 ** 28, RW);
    const before = platform.memoryModel.digest();
    expect(() => domain.map(0x4000_1000, 0x2000, 0x1000, RW)).toThrow(
      expect.objectContaining({
        code: 'PAMU_GEOMETRY',
        details: expect.objectContaining({ nearest: { iova: 0x4000_0000, size: 0x1000 } }) as object,
      }),
    );
    expect(platform.memoryModel.digest()).toBe(before);
    expect(domain.iovaToPhys(0x4000_1000)).toBeNull();
  });

  it('changes its window while attached, but not under live interrupts', () => {
    const { platform, a } = planned();
    const iommu = platform.service(IOMMU);
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [a] });
    iommu.attach(a, domain);
    domain.map(0x10_0000, 0x4000, 0x1000, READ);
    domain.map(0x10_1000, 0x9000, 0x1000, RW);
    const ask = (iova: number, write: boolean) => {
      const bytes = new Uint8Array(4);
      const fabric = platform.fabric();
      const verdict = write ? fabric.write(0x08, 0, iova, bytes) : fabric.read(0x08, 0, iova, bytes);
      return verdict === Verdict.fault ? fabric.outcome.fault : fabric.outcome.pa;
    };
    expect([ask(0x10_0010, false), ask(0x10_1010, true), ask(0x10_0010, true)]).toEqual([0x4010, 0x9010, 'APV']);
    expect((domain.table as PamuTable).geometry.base).toBe(0x10_0000);

    const other = iommu.createDomain({ type: 'unmanaged', devices: [a] });
    iommu.move(a, other);
    other.reserveMsiWindow({ base: 0x800_0000, size: 0x1000 });
    const block = platform.service(INTERRUPTS).domainFor(a).allocate({ count: 1 });
    expect(() => other.map(0x10_0000, 0x4000, 0x1000, RW)).toThrow(
      expect.objectContaining({ code: 'PAMU_GEOMETRY_LIVE' }),
    );
    other.map(0x100_0000, 0x4000, 0x1000, RW);
    expect(block.message(0)).toEqual({ addressHi: 0, addressLo: 0x800_0140, data: 0 });
    platform.fabric().write32(0x08, 0, 0x800_0140, 0);
    expect(platform.get(CPU_INTERFACE).acknowledge(0)).not.toBeNull();
    expect(iommu.msiIsolation(a).isolated).toBe(false);
    expect(iommu.msiIsolation(a).witness[0]).toContain('checks no requester');
  });

  it('maps and unmaps at sub-window 0, the primary entry itself, and loses no interrupt in between', () => {
    const { platform, a } = planned();
    const iommu = platform.service(IOMMU);
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [a] });
    iommu.attach(a, domain);
    domain.reserveMsiWindow({ base: 0x800_0000, size: 0x1000 });
    platform.service(INTERRUPTS).domainFor(a).allocate({ count: 1 });
    const { memory } = platform.service(PAMU_TABLES).host;
    const write = memory.write32.bind(memory);
    const verdicts: Verdict[] = [];
    vi.spyOn(memory, 'write32').mockImplementation((at, word) => {
      write(at, word);
      verdicts.push(platform.fabric().write32(0x08, 0, 0x800_0140, 0));
    });
    domain.map(0, 0x100_0000, 2 ** 24, RW);
    domain.unmap(0, 2 ** 24);
    domain.map(0, 0x200_0000, 2 ** 20, READ);
    expect(verdicts.length).toBeGreaterThan(6);
    expect(new Set(verdicts)).toEqual(new Set([Verdict.translated]));
  });

  it('can have its window above 4 GiB, where the aperture reaches there', () => {
    const { platform, a } = planned({ apertureBits: 36 });
    const iommu = platform.service(IOMMU);
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [a] });
    iommu.attach(a, domain);
    domain.map(0, 0, 2 ** 28, RW);
    domain.reserveMsiWindow({ base: 2 ** 33, size: 0x1000 });
    const chain = platform.service(INTERRUPTS).domainFor(a);
    expect(() => chain.allocate({ count: 1, addressBits: 32 })).toThrow(
      expect.objectContaining({ code: 'MSI_WINDOW_UNREACHABLE' }),
    );
    const { addressHi, addressLo, data } = chain.allocate({ count: 1 }).message(0);
    expect([addressHi, addressLo]).toEqual([2, 0x140]);
    platform.fabric().write32(0x08, addressHi, addressLo, data);
    expect(platform.get(CPU_INTERFACE).acknowledge(0)).not.toBeNull();
  });

  it('unmaps whole sub-windows only', () => {
    const { platform, a } = planned();
    const domain = platform.service(IOMMU).createDomain({ type: 'unmanaged', devices: [a] });
    domain.map(0, 0, 2 ** 26, RW);
    expect(domain.unmap(2 ** 24, 2 ** 24)).toBe(2 ** 24);
    expect(() => domain.unmap(0, 0x1000)).toThrow(expect.objectContaining({ code: 'UNALIGNED' }));
    expect(domain.iovaToPhys(2 ** 25)).toBe(2 ** 25);
  });

  it('runs out of secondary entries with a typed error', () => {
    const { platform } = planned();
    const iommu = platform.service(IOMMU);
    const attached: Device[] = [];
    expect(() => {
      for (let n = 0; n < 40; n++) {
        const device = plainDevice(n);
        const domain = iommu.createDomain({ type: 'unmanaged', devices: [device] });
        iommu.attach(device, domain);
        attached.push(device);
      }
    }).toThrow(expect.objectContaining({ code: 'PAMU_SPAACT_EXHAUSTED' }));
    expect(attached).toHaveLength(32);
    iommu.detach(attached[0]!);
    iommu.attach(plainDevice(40), iommu.createDomain({ type: 'unmanaged', devices: [plainDevice(40)] }));
  });
});

describe('the unit', () => {
  it('refuses a LIODN that it does not have (PC2.MLIODN), with nothing written', () => {
    const { platform, a } = planned({ maxLiodn: 193 });
    const iommu = platform.service(IOMMU);
    const domain = iommu.createDomain({ type: 'identity' });
    const before = platform.memoryModel.digest();
    iommu.groupOf(a);
    expect(() => iommu.attach(a, domain)).toThrow(expect.objectContaining({ code: 'PAMU_LIODN_RANGE' }));
    expect(platform.memoryModel.digest()).toBe(before);
  });

  it('is bypassed until its driver has programmed it', () => {
    const { platform } = planned();
    const guts = platform.model('guts0') as Guts;
    expect(guts.bypassed(0)).toBe(false);
    platform.cpu.write32(0xfe0e_0604, 0x0000_0080); // big-endian 0x80000000
    const bytes = new Uint8Array(4);
    expect(platform.fabric().read(0x08, 0, 0x1000, bytes)).toBe(Verdict.bypass);
  });

  it('captures one violation and loses the next, and raises MPIC source 24', () => {
    const { platform, devices } = subject(LOW)({ completion: immediate() });
    const iommu = platform.service(IOMMU);
    for (const d of devices) iommu.groupOf(d);
    const lines: unknown[] = [];
    platform.hooks.delivered.tap('test', (d) => lines.push(d['source']));
    platform.cpu.write32(0xfe05_0000 + 0x20 * 24, 0x1800_0800); // big-endian 0x00080018
    platform.fabric().write32(devices[0].requester, 0, 0x1000, 1);
    platform.fabric().write32(devices[1].requester, 0, 0x2000, 1);
    expect(lines).toEqual([24]);
    const faults = iommu.faults();
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatchObject({ unit: 'pamu0', stream: 193, name: 'LAV', addressLo: 0x1000, write: true });
    expect(iommu.faults()).toEqual([]);
  });

  it('shares its interrupt: acknowledging one PAMU leaves the line up for the other', () => {
    const { platform, devices } = subject(LOW)({ completion: immediate() });
    const pending = () => platform.cpu.read32(0xfe05_0000 + 0x20 * 24) & 0x40; // IVPR.A, big-endian
    platform.cpu.write32(0xfe05_0000 + 0x20 * 24, 0x1800_0800);
    platform.fabric().write32(devices[0].requester, 0, 0x1000, 1);
    platform.fabric().write32(devices[2].requester, 0, 0x1000, 1);
    for (const [pamu, left] of [
      [1, 0x40],
      [0, 0],
    ] as const) {
      platform.cpu.write32(0xfe02_0c1c + 0x1000 * pamu, 0x0c00_0000); // PICS: AVICS, AVIE stays
      expect(pending()).toBe(left);
    }
  });

  it('with the gate closed lets nothing through', () => {
    const { platform, devices } = subject(LOW)({ completion: immediate() });
    const iommu = platform.service(IOMMU);
    iommu.attach(devices[0], iommu.createDomain({ type: 'identity' }));
    expect(platform.fabric().write32(devices[0].requester, 0, 0x1000, 1)).toBe(Verdict.translated);
    platform.cpu.write32(0xfe02_0c10, 0x0000_00c0); // big-endian PGC | PE
    expect(platform.fabric().write32(devices[0].requester, 0, 0x1000, 1)).toBe(Verdict.fault);
    expect(platform.fabric().outcome.fault).toBe('GCV');
    expect((platform.model('pamu0') as Pamu).snapshot()).toBeInstanceOf(Uint32Array);
  });
});

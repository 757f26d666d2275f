import { MMIO } from '@doorbell/iommu';
import { after, EXEC, immediate, READ, seeded, Verdict, WRITE } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import type { SmmuNodeOptions } from '../src/index.js';
import { ask, device, machine, RAM, RW } from './machine.js';

const second: SmmuNodeOptions = { stages: 'both', stage: 2 };
const h = (v: number): string => `0x${(v >>> 0).toString(16)}`;

/** S2T0SZ, S2SL0 and the bytes of the first level that the driver chooses: fewest levels, tables side by side where that saves one. */
const shapes: [SmmuNodeOptions, number, number, number][] = [
  [{ granule: 4, oas: 32 }, 32, 0, 4 * 4096],
  [{ granule: 4, oas: 40 }, 24, 1, 2 * 4096],
  [{ granule: 4, oas: 42 }, 22, 1, 8 * 4096],
  [{ granule: 4, oas: 44 }, 20, 2, 8 * 32],
  [{ granule: 4, oas: 48 }, 16, 2, 4096],
  [{ granule: 16, oas: 40 }, 24, 1, 16 * 16384],
  [{ granule: 16, oas: 44 }, 20, 2, 8 * 256],
  [{ granule: 16, oas: 48 }, 16, 2, 2 * 16384],
  [{ granule: 64, oas: 40 }, 24, 1, 8 * 2048],
  [{ granule: 64, oas: 44 }, 20, 1, 4 * 65536],
  [{ granule: 64, oas: 48 }, 16, 2, 8 * 64],
];

describe.each([immediate(), after(3), seeded(1)])('domains on stage 2, $name', (policy) => {
  it.each(shapes)('%j: S2T0SZ %i, S2SL0 %i, %i bytes at the first level', (options, t0sz, sl0, bytes) => {
    const { platform, iommu, smmu } = machine({ ...second, ...options, ril: options.granule !== 16 }, policy);
    const nic = device(0x20);
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [nic] });
    iommu.attach(nic, domain);
    const { memoryModel: m, bus } = platform;
    const ste = (m.read32(bus.read32(0x0905_0080)) & ~0xfff) + 64 * 0x20;
    expect([m.read32(ste + 20) & 0x3f, (m.read32(ste + 20) >>> 6) & 3]).toEqual([t0sz, sl0]);
    expect([...smmu.tables()].find((t) => t.what.startsWith('stage-2 table'))?.size).toBe(bytes);

    // a walk that starts lower has no larger blocks
    const start = (options.granule === 4 ? 2 : 3) - sl0;
    expect(domain.pageSizes.length).toBe(options.granule === 4 ? Math.min(3, 4 - start) : 2);
    const granule = domain.pageSizes[0]!;
    const top = domain.aperture.last + 1 - 4 * granule;
    expect(top + 4 * granule).toBe(2 ** (64 - t0sz));
    domain.map(top, RAM, 4 * granule, RW);
    domain.map(0, RAM + granule, granule, WRITE);
    domain.map(domain.pageSizes[1]!, 0, domain.pageSizes[1]!, READ);
    expect(ask(platform, 0x20, top + 3 * granule + 8, WRITE)).toMatchObject({ pa: RAM + 3 * granule + 8 });
    expect(ask(platform, 0x20, 4, WRITE)).toMatchObject({ verdict: Verdict.translated, permissions: WRITE });
    expect(ask(platform, 0x20, 4, READ)).toMatchObject({ fault: 'F_PERMISSION', recorded: true });
    expect(ask(platform, 0x20, domain.pageSizes[1]! + 4)).toMatchObject({ pa: 4, pageSize: domain.pageSizes[1] });
    domain.unmap(top, 2 * granule);
    expect(ask(platform, 0x20, top)).toMatchObject({ fault: 'F_TRANSLATION' });
    expect(ask(platform, 0x20, top + 2 * granule)).toMatchObject({ pa: RAM + 2 * granule });
    expect(ask(platform, 0x20, top + 4 * granule)).toMatchObject({ fault: 'F_ADDR_SIZE' });
    expect(iommu.faults().map((f) => f.name)).toEqual(['F_PERMISSION', 'F_TRANSLATION', 'F_ADDR_SIZE']);
  });
});

describe('stage 2, the driver', () => {
  it('words of pages, a block, a doorbell page; DDI 0487 D8.3 and Linux io-pgtable (0x7ff: page, write-back, S2AP RW, inner, AF)', () => {
    const { iommu, platform } = machine({ ...second, oas: 40 });
    const nic = device(0x20);
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [nic] });
    iommu.attach(nic, domain);
    domain.map(0x1000, RAM + 0x5000, 0x1000, RW | EXEC);
    domain.map(0x2000, RAM + 0x6000, 0x1000, RW);
    domain.map(0x3000, RAM + 0x7000, 0x1000, READ);
    domain.map(0x4000, 0x0809_0000, 0x1000, WRITE | MMIO);
    domain.map(0x20_0000, RAM, 0x20_0000, RW);
    const { memoryModel: m, bus } = platform;
    const ste = (m.read32(bus.read32(0x0905_0080)) & ~0xfff) + 64 * 0x20;
    const level2 = m.read32(m.read32(ste + 24) & ~0xf) & ~0xfff;
    const level3 = m.read32(level2) & ~0xfff;
    expect([1, 2, 3, 4].map((n) => [m.read32(level3 + 8 * n), m.read32(level3 + 8 * n + 4)].map(h))).toEqual([
      ['0x400057ff', '0x0'],
      ['0x400067ff', '0x400000'], // XN[1]
      ['0x4000777f', '0x400000'], // S2AP R
      ['0x8090687', '0x400000'], // device-nGnRE, outer, S2AP W
    ]);
    expect(h(m.read32(level2 + 8))).toBe('0x400007fd');
  });

  it('gives each table a VMID, and says when there is none left', () => {
    const { iommu } = machine({ ...second, vmid16: false });
    const made = Array.from({ length: 256 }, (_, i) => {
      const nic = device(i);
      return { nic, domain: iommu.createDomain({ type: 'unmanaged', devices: [nic] }) };
    });
    for (const { nic, domain } of made.slice(0, 255)) iommu.attach(nic, domain);
    const before = iommu.digest();
    const last = made[255]!;
    expect(() => iommu.attach(last.nic, last.domain)).toThrow(expect.objectContaining({ code: 'VMID_EXHAUSTED' }));
    expect(iommu.digest()).toBe(before);
    iommu.detach(made[7]!.nic);
    iommu.attach(last.nic, last.domain);
  });

  it('a VMID’s next owner does not meet what its last one left in the TLB', () => {
    const { iommu, platform } = machine(second);
    const [a, b] = [device(0x20), device(0x28)];
    const first = iommu.createDomain({ type: 'unmanaged', devices: [a], flush: 'lazy' });
    iommu.attach(a, first);
    first.map(0x1000, RAM, 0x1000, RW);
    expect(ask(platform, 0x20, 0x1000).pa).toBe(RAM);
    iommu.detach(a);
    const next = iommu.createDomain({ type: 'unmanaged', devices: [b] });
    iommu.attach(b, next);
    expect(iommu.digest()).toContain('vmids 1');
    expect(ask(platform, 0x28, 0x1000).fault).toBe('F_TRANSLATION');
  });

  it('moves between stages by way of an aborting stream, and says that this is not hitless', () => {
    const { iommu, platform, driver } = machine(second);
    const nic = device(0x20);
    const [one, two] = [1, 2].map(() => iommu.createDomain({ type: 'unmanaged', devices: [nic] }));
    iommu.attach(nic, one!);
    one!.map(0x1000, RAM, 0x1000, RW);
    two!.map(0x1000, RAM + 0x1000, 0x1000, RW);
    expect(driver.hitless(0x20, one!.target, two!.target)).toBe(false);
    expect(driver.hitless(0x20, 'blocked', two!.target)).toBe(true);
    iommu.move(nic, two!);
    expect(ask(platform, 0x20, 0x1000).pa).toBe(RAM + 0x1000);
    iommu.move(nic, iommu.createDomain({ type: 'identity', devices: [nic] }));
    expect(ask(platform, 0x20, 0x1000).pa).toBe(0x1000);
  });

  it('is refused what the unit lacks: a stage, a guest without both, a guest on no stage 2', () => {
    expect(() => machine({ stage: 2 })).toThrow(/no stage 2/);
    expect(() => machine({ stages: 2, stage: 1 })).toThrow(/no stage 1/);
    for (const options of [{ stages: 2 }, { stages: 'both' }] as const) {
      const { iommu } = machine(options);
      const nic = device(0x20);
      const parent = iommu.createDomain({ type: 'unmanaged', devices: [nic] });
      iommu.attach(nic, parent);
      expect(() => iommu.createDomain({ type: 'nested', parent, guest: { tables: 0 } })).toThrow(
        expect.objectContaining({ code: 'NESTING_UNSUPPORTED' }),
      );
    }
  });
});

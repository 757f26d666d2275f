import { minimalIommu, minimalIrqchip, plainDevice } from '@doorbell/conformance';
import { CPU_INTERFACE, INTERRUPTS } from '@doorbell/irqchip';
import { Platform, READ, Verdict, WRITE, definePlugin } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { IOMMU, type IommuUnit, type ReservedRegion, type UnitCapabilities } from '../src/index.js';

const DATA = 0x100_0000;
const RW = READ | WRITE;
const code = (code: string) => expect.objectContaining({ code }) as Error;

/** Bus 0 behind iommu0, bus 1 behind iommu1, bus 2 behind nothing. */
function machine(change: (unit: IommuUnit) => void = () => undefined) {
  const platform = new Platform({ memory: [{ base: 0, size: 2 ** 28 }] })
    .use(minimalIommu(), minimalIrqchip(), definePlugin('host', { compatible: ['test,host'] }))
    .node(
      { name: 'iommu0', compatible: 'minimal,iommu', reg: [{ base: 0xf000_0000, size: 0x1000 }] },
      { name: 'iommu1', compatible: 'minimal,iommu', reg: [{ base: 0xf000_1000, size: 0x1000 }] },
      { name: 'bell0', compatible: 'minimal,irqchip', reg: [{ base: 0xf010_0000, size: 0x3000 }] },
      {
        name: 'pci0',
        compatible: 'test,host',
        iommuMap: [
          { inputBase: 0, count: 256, outputBase: 0, to: 'iommu0' },
          { inputBase: 256, count: 256, outputBase: 0, to: 'iommu1' },
        ],
      },
    )
    .compose();
  const iommu = platform.service(IOMMU);
  change(iommu.allUnits[1]!);
  const nodes = [plainDevice(0x08), plainDevice(0x108), plainDevice(0x208)] as const;
  return { platform, iommu, a: nodes[0], b: nodes[1], alone: nodes[2] };
}

const withCapabilities = (changes: Partial<UnitCapabilities>) => (unit: IommuUnit) =>
  void Object.assign(unit, { capabilities: { ...unit.capabilities, ...changes } });
const withRegion = (region: ReservedRegion) => (unit: IommuUnit) =>
  void Object.assign(unit, { reservedRegions: () => [region] });

describe('domains and units', () => {
  it('a device behind no unit has no domain: NO_IOMMU', () => {
    const { iommu, alone } = machine();
    expect(() => iommu.createDomain({ type: 'unmanaged', devices: [alone] })).toThrow(code('NO_IOMMU'));
    const domain = iommu.createDomain({ type: 'unmanaged' });
    expect(() => iommu.attach(alone, domain)).toThrow(code('NO_IOMMU'));
  });

  it('a spanning domain has what all units have in common', () => {
    const aperture = { first: 0x1000_0000, last: 2 ** 38 - 1 };
    const { iommu, a, b } = machine(withCapabilities({ aperture, physicalBits: 40 }));
    const both = iommu.createDomain({ type: 'unmanaged', devices: [a, b] });
    expect(both.aperture).toEqual(aperture);
    expect(() => both.map(0x2000_0000, 2 ** 40, 4096, RW)).toThrow(code('PHYSICAL_OUT_OF_RANGE'));
    const wide = iommu.createDomain({ type: 'unmanaged', devices: [a] });
    expect(() => iommu.attach(b, wide)).toThrow(code('INCOMPATIBLE_UNIT'));
  });

  it.each([
    ['no page size in common', { pageSizes: [65536] }],
    ['apertures apart', { aperture: { first: 2 ** 40, last: 2 ** 41 - 1 } }],
    ['one fixed MSI window', { msiWindow: { first: 0xfee0_0000, last: 0xfeef_ffff } }],
  ] as const)('%s: INCOMPATIBLE_UNIT', (_name, changes) => {
    const { iommu, a, b } = machine(withCapabilities(changes));
    expect(() => iommu.createDomain({ type: 'unmanaged', devices: [a, b] })).toThrow(code('INCOMPATIBLE_UNIT'));
  });

  it('identity and blocked domains have no tables: NOT_A_PAGING_DOMAIN', () => {
    const { iommu } = machine();
    for (const type of ['identity', 'blocked'] as const) {
      const domain = iommu.createDomain({ type });
      expect(() => domain.map(0, 0, 4096, RW)).toThrow(code('NOT_A_PAGING_DOMAIN'));
      expect(() => domain.reserveMsiWindow({ base: 0, size: 4096 })).toThrow(code('NOT_A_PAGING_DOMAIN'));
    }
  });

  it('nesting where no unit has it: NESTING_UNSUPPORTED', () => {
    const { iommu, a } = machine();
    const parent = iommu.createDomain({ type: 'unmanaged', devices: [a] });
    iommu.attach(a, parent);
    expect(() => iommu.createDomain({ type: 'nested', parent, guest: { tables: 0 } })).toThrow(
      code('NESTING_UNSUPPORTED'),
    );
  });

  it('a device that is removed leaves its domain, and its stream is blocked', () => {
    const { platform, iommu, a } = machine();
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [a] });
    iommu.attach(a, domain);
    domain.map(0x4000_0000, DATA, 4096, RW);
    platform.hooks.deviceRemoved.call(a);
    expect(domain.devices.size).toBe(0);
    expect(platform.fabric().write32(a.requester, 0, 0x4000_0000, 1)).toBe(Verdict.fault);
  });

  it('says which device’s domain changed', () => {
    const { platform, iommu, a } = machine();
    const seen: string[] = [];
    platform.hooks.attach.tap('test', (device, type) => void seen.push(`${device.name} ${type}`));
    iommu.attach(a, iommu.createDomain({ type: 'identity' }));
    iommu.detach(a);
    expect(seen).toEqual([`${a.name} identity`, `${a.name} null`]);
  });
});

describe('reserved regions', () => {
  const rmrr = { first: 0x5000_0000, last: 0x5000_1fff, kind: 'direct', why: 'RMRR of the test' } as const;

  it('are shown, refuse mappings, and refuse the device where something is mapped there', () => {
    const { iommu, b } = machine(withRegion(rmrr));
    expect(iommu.reservedRegions(b)).toEqual([rmrr]);
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [b] });
    domain.map(0x5000_1000, DATA, 4096, RW);
    expect(() => iommu.attach(b, domain)).toThrow(code('IOVA_RESERVED'));
    domain.unmap(0x5000_1000, 4096);
    iommu.attach(b, domain);
    expect(() => domain.map(0x5000_1000, DATA, 4096, RW)).toThrow(code('IOVA_RESERVED'));
    expect(() => domain.reserveMsiWindow({ base: 0x5000_0000, size: 4096 })).toThrow(code('MSI_WINDOW_CONFLICT'));
    const { range } = iommu.placeMsiWindow(domain, [b]);
    expect(iommu.reservedRegions(b)).toContainEqual({ ...range, kind: 'software-msi', why: 'MSI window' });
  });

  it('direct ones are mapped one to one in a dma domain, and never given out', () => {
    const { platform, iommu, b } = machine(withRegion(rmrr));
    const domain = iommu.createDomain({ type: 'dma', devices: [b] });
    iommu.attach(b, domain);
    expect(domain.iovaToPhys(0x5000_1004)).toBe(0x5000_1004);
    expect(
      platform.fabric().translate(
        {
          requester: b.requester,
          stream: 0,
          hi: 0,
          lo: 0x5000_0000,
          size: 4,
          access: READ,
          kind: 0,
          pasid: -1,
          data: 0,
        },
        platform.fabric().outcome,
      ),
    ).toBe(Verdict.translated);
    for (let i = 0; i < 20; i++) {
      const iova = domain.dmaMap(DATA + i * 4096, 4096, RW, 0x5000_3fff);
      expect(iova < rmrr.first || iova > rmrr.last).toBe(true);
    }
  });
});

describe('lazy dma domains', () => {
  it('hold unmapped addresses back until they are flushed', () => {
    const { iommu, a } = machine();
    const domain = iommu.createDomain({ type: 'dma', devices: [a], flush: 'lazy' });
    iommu.attach(a, domain);
    const first = domain.dmaMap(DATA, 4096, RW);
    domain.dmaUnmap(first, 4096);
    expect(domain.dmaMap(DATA, 4096, RW)).not.toBe(first);
    domain.flush();
    expect(domain.dmaMap(DATA, 4096, RW)).toBe(first);
  });

  it('flush by themselves when addresses run out', () => {
    const { iommu, a } = machine();
    const domain = iommu.createDomain({ type: 'dma', devices: [a], flush: 'lazy' });
    iommu.attach(a, domain);
    for (let i = 0; i < 64; i++) domain.dmaUnmap(domain.dmaMap(DATA, 4096, RW, 0x4fff), 4096);
    for (let i = 0; i < 4; i++) domain.dmaMap(DATA, 4096, RW, 0x4fff);
    expect(() => domain.dmaMap(DATA, 4096, RW, 0x4fff)).toThrow(code('IOVA_EXHAUSTED'));
  });
});

describe('dma domains', () => {
  it('refuse to take back what they cannot have given, with nothing changed', () => {
    const { iommu, a } = machine();
    const domain = iommu.createDomain({ type: 'dma', devices: [a] });
    iommu.attach(a, domain);
    const iova = domain.dmaMap(DATA, 8192, RW);
    const before = domain.digest();
    expect(() => domain.dmaUnmap(iova + 4096, 8192)).toThrow(code('IOVA_NOT_ALLOCATED'));
    expect([domain.digest(), domain.iovaToPhys(iova + 4096)]).toEqual([before, DATA + 4096]);
  });

  it('never give out what was held back when the MSI window came to lie there', () => {
    const { iommu, a } = machine();
    const domain = iommu.createDomain({ type: 'dma', devices: [a], flush: 'lazy' });
    iommu.attach(a, domain);
    const iova = domain.dmaMap(DATA, 4096, RW);
    domain.dmaUnmap(iova, 4096);
    domain.reserveMsiWindow({ base: iova, size: 4096 });
    domain.flush();
    expect(domain.dmaMap(DATA, 4096, RW)).not.toBe(iova);
  });
});

describe('the MSI window', () => {
  it('can be moved while empty and grown while used, but not off its doorbells', () => {
    const { platform, iommu, a } = machine();
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [a] });
    iommu.attach(a, domain);
    domain.reserveMsiWindow({ base: 0x800_0000, size: 0x1000 });
    domain.reserveMsiWindow({ base: 0x900_0000, size: 0x2000 });
    platform.service(INTERRUPTS).domainFor(a).allocate({ count: 1 });
    expect(() => domain.reserveMsiWindow({ base: 0x900_1000, size: 0x4000 })).toThrow(code('MSI_WINDOW_IN_USE'));
    expect(() => domain.releaseMsiWindow()).toThrow(code('MSI_WINDOW_IN_USE'));
    expect(domain.reserveMsiWindow({ base: 0x8ff_f000, size: 0x8000 }).free).toBe(6);
  });

  it('is refused where the unit has its own: MSI_WINDOW_FIXED', () => {
    const msiWindow = { first: 0xfee0_0000, last: 0xfeef_ffff };
    const { iommu, b } = machine(withCapabilities({ msiWindow }));
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [b] });
    expect(() => domain.reserveMsiWindow({ base: 0x800_0000, size: 0x1000 })).toThrow(code('MSI_WINDOW_FIXED'));
    expect(iommu.msiDemand([b], domain)).toMatchObject({ pages: 0, bytes: 0, fixed: msiWindow });
    iommu.attach(b, domain);
    expect(() => domain.map(0xfee0_0000, DATA, 4096, RW)).toThrow(code('IOVA_RESERVED'));
  });
});

describe('nested domains', () => {
  /** A unit that takes any guest stage 1 as the identity: enough to see whose window it is and what messages look like. */
  const nesting = (unit: IommuUnit) => {
    withCapabilities({ nested: true })(unit);
    Object.assign(unit, { createNested: (parent: unknown) => parent });
  };

  it('have their parent’s window: by default the guest sees doorbells where the parent maps them', () => {
    const { platform, iommu, b } = machine(nesting);
    const parent = iommu.createDomain({ type: 'unmanaged', devices: [b] });
    iommu.attach(b, parent);
    const nested = iommu.createDomain({ type: 'nested', parent, guest: { tables: 0 } });
    expect(() => nested.reserveMsiWindow({ base: 0, size: 4096 })).toThrow(code('MSI_WINDOW_OF_PARENT'));
    expect(() => nested.map(0, DATA, 4096, RW)).toThrow(code('NOT_A_PAGING_DOMAIN'));
    expect(() => void iommu.move(b, nested)).not.toThrow();
    const allocate = () => platform.service(INTERRUPTS).domainFor(b).allocate({ count: 1 });
    expect(allocate).toThrow(code('MSI_WINDOW_MISSING'));
    parent.reserveMsiWindow({ base: 0x800_0000, size: 0x2000 });
    const block = allocate();
    expect(block.message(0).addressLo).toBe(0x800_0040);
    expect(iommu.msiDemand([b], nested)).toMatchObject({ pages: 2 });
    platform.fabric().write32(b.requester, 0, block.message(0).addressLo, block.message(0).data);
    expect(platform.get(CPU_INTERFACE).pending(0)).toEqual([block.message(0).data]);
  });

  it('or the caller says where the guest has them: the message is a stage-1 input', () => {
    const { platform, iommu, b } = machine(nesting);
    const parent = iommu.createDomain({ type: 'unmanaged', devices: [b] });
    iommu.attach(b, parent);
    parent.reserveMsiWindow({ base: 0x800_0000, size: 0x2000 });
    const guestView = { doorbell: (iova: number) => iova - 0x800_0000 + 0xfee_0000 };
    const nested = iommu.createDomain({ type: 'nested', parent, guest: { tables: 0 }, guestView });
    iommu.move(b, nested);
    const block = platform
      .service(INTERRUPTS)
      .domainFor(b)
      .allocate({ count: 1, cpus: [1] });
    expect(block.message(0).addressLo).toBe(0xfee_1040);
  });
});

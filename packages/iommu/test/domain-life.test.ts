import { minimalSubject } from '@doorbell/conformance';
import { INTERRUPTS } from '@doorbell/irqchip';
import { READ, WRITE, immediate } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { IOMMU, type DomainType, type FlushMode, type ReservedRegion } from '../src/index.js';

const RW = READ | WRITE;
const code = (code: string) => expect.objectContaining({ code }) as Error;

/** Two devices behind one unit, the first with `regions` of its own. */
function machine(regions: readonly ReservedRegion[] = []) {
  const subject = minimalSubject({ completion: immediate() });
  const iommu = subject.platform.service(IOMMU);
  const [a, b] = subject.devices;
  const unit = iommu.unitOf(a)!;
  unit.reservedRegions = (stream) => (stream === a.requester ? regions : []);
  const make = (type: DomainType, flush: FlushMode = 'strict') => iommu.createDomain({ type, flush, devices: [a] });
  return { platform: subject.platform, iommu, unit, a, b, refuse: (k: number) => subject.refuse(k), make };
}

describe('a domain that was destroyed', () => {
  it('takes no mapping, no window and no device: DOMAIN_DESTROYED', () => {
    const { platform, iommu, a, make } = machine();
    const domain = make('dma');
    domain.map(0x4000_0000, 0x1000, 4096, RW);
    iommu.destroyDomain(domain);
    const before = platform.memoryModel.digest();
    for (const call of [
      () => domain.map(0x4000_1000, 0x1000, 4096, RW),
      () => domain.unmap(0x4000_0000, 4096),
      () => domain.dmaMap(0x1000, 4096, RW),
      () => domain.reserveMsiWindow({ base: 0x800_0000, size: 4096 }),
      () => iommu.attach(a, domain),
      () => iommu.move(a, domain),
      () => iommu.destroyDomain(domain),
      () => iommu.createDomain({ type: 'nested', parent: domain, guest: { tables: 0 } }),
    ])
      expect(call).toThrow(code('DOMAIN_DESTROYED'));
    expect(domain.iovaToPhys(0x4000_0000)).toBeNull();
    expect(platform.memoryModel.digest()).toBe(before);
  });
});

describe('addresses that a dma domain gives out', () => {
  it('are taken back once: IOVA_NOT_ALLOCATED, and two users never get the same', () => {
    const { make } = machine();
    const domain = make('dma');
    const iova = domain.dmaMap(0x1000, 4096, RW);
    domain.dmaUnmap(iova, 4096);
    expect(() => domain.dmaUnmap(iova, 4096)).toThrow(code('IOVA_NOT_ALLOCATED'));
    expect(domain.dmaMap(0x1000, 4096, RW)).not.toBe(domain.dmaMap(0x2000, 4096, RW));
  });

  it('stay mapped and allocated when the flush that ends a lazy run is refused', () => {
    const { iommu, a, refuse, make } = machine();
    const domain = make('dma', 'lazy');
    iommu.attach(a, domain);
    const empty = domain.digest();
    const all = Array.from({ length: 300 }, (_, i) => domain.dmaMap(0x1000 * i, 4096, RW));
    refuse(0);
    const refused = all.filter((iova, i) => {
      try {
        domain.dmaUnmap(iova, 4096);
      } catch (error) {
        expect(error).toEqual(code('COMMAND_REFUSED'));
        expect(domain.iovaToPhys(iova)).toBe(0x1000 * i);
        return true;
      }
      return false;
    });
    expect(refused).toHaveLength(1);
    domain.dmaUnmap(refused[0]!, 4096);
    domain.flush();
    expect(domain.digest()).toBe(empty);
  });

  it('are free again where a window has left', () => {
    const { make } = machine();
    const domain = make('dma');
    const empty = domain.digest();
    for (const base of [0x800_0000, 0x900_0000]) domain.reserveMsiWindow({ base, size: 4096 });
    domain.releaseMsiWindow();
    expect(domain.digest()).toBe(empty);
  });

  it('lose a window that the core placed with its last doorbell, also where enabling was refused', () => {
    for (const k of [0, 1, -1]) {
      const { platform, iommu, a, refuse, make } = machine();
      const domain = make('dma');
      iommu.attach(a, domain);
      const empty = domain.digest();
      refuse(k);
      const enable = () => platform.service(INTERRUPTS).domainFor(a).allocate({ count: 2 });
      if (k >= 0) expect(enable).toThrow(code('COMMAND_REFUSED'));
      else enable().free();
      expect(domain.digest(), `command ${k}`).toBe(empty);
    }
  });
});

it.each([
  ['a size', 4096.5, 0],
  ['a physical address', 4096, 0.5],
])('%s that is no whole number is UNALIGNED', (_name, size, physical) => {
  const { make } = machine();
  expect(() => make('unmanaged').map(0x4000_0000, physical, size, RW)).toThrow(code('UNALIGNED'));
});

describe('direct regions', () => {
  const direct = (first: number, last: number): ReservedRegion => ({ first, last, kind: 'direct', why: 'a test' });
  const regions = [direct(0x7000_0000, 0x7000_17ff), direct(0x7000_1800, 0x7000_2fff)];

  it('are mapped one to one by attach and by move, as far as they are not yet', () => {
    const { iommu, a, make } = machine(regions);
    const [first, second] = [make('dma'), make('dma')];
    iommu.attach(a, first);
    iommu.move(a, second);
    for (const domain of [first, second])
      for (let at = 0x7000_0000; at < 0x7000_3000; at += 4096) expect(domain.iovaToPhys(at)).toBe(at);
  });

  it('are not left behind where the unit refuses the device', () => {
    const { iommu, unit, a, b, make } = machine(regions);
    const domain = make('dma');
    iommu.attach(b, domain);
    const attach = unit.attach.bind(unit);
    unit.attach = () => {
      throw new Error('refused');
    };
    expect(() => iommu.attach(a, domain)).toThrow('refused');
    expect(domain.iovaToPhys(0x7000_0000)).toBeNull();
    unit.attach = attach;
    iommu.attach(a, domain);
    expect(domain.iovaToPhys(0x7000_0000)).toBe(0x7000_0000);
  });
});

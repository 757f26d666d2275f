import { CPU_INTERFACE, INTERRUPTS } from '@doorbell/irqchip';
import { IOMMU } from '@doorbell/iommu';
import { at, edu, PCI, type PciDevice } from '@doorbell/pci';
import { Platform, READ, Verdict, WRITE } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { e500, qoriq, qoriqMemory, type QoriqOptions } from '../src/qoriq.js';

const card = () => edu({ dmaBits: 64, msix: 4 });
const WINDOW = { base: 0x800_0000, size: 0x10_0000 };

function board(options: QoriqOptions = {}) {
  const functions = [[at('04.0', card()), at('05.0', card())], [at('04.0', card())]];
  const platform = new Platform({ memory: qoriqMemory() }).use(qoriq({ functions, ...options })).compose();
  return { platform, pci: platform.service(PCI), iommu: platform.service(IOMMU) };
}

/** Fires vector 0 by the function's own register and says whose number a CPU takes. */
function fire(platform: Platform, fn: PciDevice, cpu: number): string | undefined {
  fn.bar(0).write32(0x60, 1);
  platform.settle();
  const number = platform.get(CPU_INTERFACE).acknowledge(cpu);
  const owner = number === null ? undefined : platform.service(INTERRUPTS).owner(cpu, number);
  if (number !== null) platform.get(CPU_INTERFACE).end(cpu, number);
  return owner?.block.device.name;
}

describe('qoriq', () => {
  it.each([
    ['PCIe1', '0000:00:04.0', 0x140],
    ['PCIe2', '0001:00:04.0', 0x140],
  ])('%s: the MSI-X table holds the IOVA of MSIIR, and the vector arrives', (_name, bdf, offset) => {
    const { platform, pci, iommu } = board();
    const fn = pci.get(bdf);
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [fn] });
    iommu.attach(fn, domain);
    expect(iommu.msiDemand([fn], domain).pages).toBe(1);
    domain.reserveMsiWindow(WINDOW);
    const vectors = pci.enableMsixRange(fn, 1, 2, { cpus: [1] });
    expect(vectors.message(0)).toEqual({ addressHi: 0, addressLo: WINDOW.base + offset, data: 0 });
    const alias = 0xf_fe04_4140 + (fn.segment === 1 ? 0x1000 : 0);
    expect(domain.iovaToPhys(WINDOW.base + offset)).toBe(alias);
    expect(fire(platform, fn, 1)).toBe(fn.name);
    expect(iommu.msiIsolation(fn).isolated).toBe(false);
  });

  it('gives each bank’s page a sub-window of its own in one domain, and says how large the window has to be', () => {
    const { platform, pci, iommu } = board();
    const [one, two] = [pci.get('0000:00:04.0'), pci.get('0001:00:04.0')];
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [one, two] });
    iommu.attach(one, domain);
    iommu.attach(two, domain);
    expect(iommu.msiDemand([one, two], domain)).toMatchObject({ pages: 2, bytes: 2 ** 24 + 4096 });
    domain.reserveMsiWindow(WINDOW);
    const first = pci.enableMsixRange(one, 1, 1);
    expect(() => pci.enableMsixRange(two, 1, 1)).toThrow(
      expect.objectContaining({
        code: 'MSI_WINDOW_EXHAUSTED',
        details: expect.objectContaining({ smallest: 2 ** 24 + 4096 }) as object,
      }),
    );
    domain.reserveMsiWindow({ base: WINDOW.base, size: 2 ** 24 + 4096 });
    const second = pci.enableMsixRange(two, 1, 1);
    expect([first, second].map((v) => v.message(0).addressLo)).toEqual([0x800_0140, 0x900_0140]);
    expect([fire(platform, one, 0), fire(platform, two, 0)]).toEqual([one.name, two.name]);
  });

  it('of version 4.3 rings MSIIR1', () => {
    const { platform, pci, iommu } = board({ mpic: 0x0403 });
    const fn = pci.get('00:04.0');
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [fn] });
    iommu.attach(fn, domain);
    domain.reserveMsiWindow(WINDOW);
    expect(pci.enableMsixRange(fn, 1, 1, { cpus: [0] }).message(0).addressLo).toBe(WINDOW.base + 0x148);
    expect(fire(platform, fn, 0)).toBe(fn.name);
  });

  it('moves data through windows and PAMU, and reports what is outside', () => {
    const { platform, pci, iommu } = board();
    const fn = pci.get('00:04.0');
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [fn] });
    iommu.attach(fn, domain);
    domain.map(0x10_0000, 0x1000, 0x1000, READ);
    domain.map(0x10_1000, 0x5000, 0x1000, READ | WRITE);
    const fabric = platform.fabric();
    expect(fabric.write32(fn.requester, 0, 0x10_1020, 7)).toBe(Verdict.translated);
    expect(platform.memory.read32(0x5020)).toBe(7);
    expect(fabric.write32(fn.requester, 0, 0x10_0020, 7)).toBe(Verdict.fault);
    const [fault] = iommu.faults();
    expect(fault).toMatchObject({ name: 'APV', write: true, addressLo: 0x10_0020 });
    expect(fault?.device?.name).toBe(fn.name);
    // Beyond the inbound windows nobody answers, and the PAMU never sees it.
    expect(fabric.write32(fn.requester, 0x100, 0, 7)).toBe(Verdict.fault);
    expect(fabric.outcome.fault).toBe('INBOUND_MISS');
    expect(iommu.faults()).toEqual([]);
    // PEXCSRBAR leads to CCSR, and the PAMU refuses it.
    expect(fabric.write32(fn.requester, 0, 0xff04_4140, 0)).toBe(Verdict.fault);
    expect(iommu.faults()[0]).toMatchObject({ name: 'WAV', addressHi: 0xf, addressLo: 0xfe04_4140 });
  });

  it('with one LIODN per controller has one group there; with one per function, groups of PCI', () => {
    const names = (liodns: 'controller' | 'function') => {
      const { pci, iommu } = board({ liodns });
      return iommu.groupOf(pci.get('00:04.0')).devices.map((d) => d.name);
    };
    expect(names('controller')).toEqual(['0000:00:04.0', '0000:00:05.0']);
    expect(names('function')).toEqual(['0000:00:04.0']);
  });

  it('without a PAMU sends MSIs through PEXCSRBAR', () => {
    const { platform, pci, iommu } = board({ pamu: false });
    const fn = pci.get('00:04.0');
    const vectors = pci.enableMsixRange(fn, 1, 1, { cpus: [1] });
    expect(vectors.message(0)).toEqual({ addressHi: 0, addressLo: 0xff04_4140, data: 0 });
    expect(fire(platform, fn, 1)).toBe(fn.name);
    expect(iommu.unitOf(fn)).toBeNull();
  });
});

describe('e500', () => {
  it('has no IOMMU: the message is MSIIR through PEXCSRBAR, and nothing isolates it', () => {
    const platform = new Platform({ memory: qoriqMemory() }).use(e500({ functions: [at('04.0', card())] })).compose();
    const fn = platform.service(PCI).get('00:04.0');
    const vectors = platform.service(PCI).enableMsixRange(fn, 1, 1, { cpus: [0] });
    expect(vectors.message(0)).toEqual({ addressHi: 0, addressLo: 0xfff4_1740, data: 0 });
    expect(fire(platform, fn, 0)).toBe(fn.name);
    const iommu = platform.service(IOMMU);
    expect(iommu.msiIsolation(fn).isolated).toBe(false);
    expect(() => iommu.createDomain({ type: 'unmanaged', devices: [fn] })).toThrow(
      expect.objectContaining({ code: 'NO_IOMMU' }),
    );
  });
});

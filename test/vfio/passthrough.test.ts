import { q35, q35Memory, virt, virtMemory } from '@doorbell/boards';
import { CPU_INTERFACE, INTERRUPTS } from '@doorbell/irqchip';
import { IOMMU } from '@doorbell/iommu';
import { CapId, PCI, TEST_FIRE, at, testFunction } from '@doorbell/pci';
import { Platform, READ, Verdict, WRITE, type Plugin } from '@doorbell/platform';
import { Signal, VFIO } from '@doorbell/vfio';
import { describe, expect, it } from 'vitest';

const functions = [at('01.0', testFunction({ msix: 4 })), at('02.0', testFunction({ msix: 2 }))];
const GUEST_RAM = { iova: 0x4000_0000, size: 0x20_0000 };

/** The VMM: the same lines on every architecture. */
function passthrough(platform: Platform, options: { allowUnsafeInterrupts?: boolean } = {}) {
  const vfio = platform.service(VFIO);
  const fn = platform.service(PCI).get('00:01.0');
  const container = vfio.createContainer([fn]);
  const { msi, usable } = container.info();
  expect(usable.some((r) => r.first <= GUEST_RAM.iova && r.last >= GUEST_RAM.iova + GUEST_RAM.size - 1)).toBe(true);
  if (msi.bytes > 0) container.registerMsiWindow({ base: 0x800_0000, size: msi.bytes });
  const ram = platform.pages.allocate(GUEST_RAM.size);
  container.map(GUEST_RAM.iova, ram, GUEST_RAM.size, READ | WRITE);
  const device = container.openDevice(fn, options);
  const signals = [new Signal(), new Signal(), new Signal()];
  device.setInterrupts('msix', signals);
  return { vfio, container, device, signals, ram, fn };
}

/** The host's interrupt entry: every CPU takes what is pending and hands it on. */
function takeInterrupts(platform: Platform): number {
  let nobody = 0;
  const cpus = platform.get(CPU_INTERFACE);
  for (const cpu of [0, 1]) {
    for (let n = cpus.acknowledge(cpu); n !== null; n = cpus.acknowledge(cpu)) {
      if (!platform.service(VFIO).interrupt(cpu, n)) nobody++;
      cpus.end(cpu, n);
    }
  }
  return nobody;
}

const compose = (memory: ReturnType<typeof q35Memory>, board: Plugin) => new Platform({ memory }).use(board).compose();
const boards: readonly [string, () => Platform][] = [
  ['q35: VT-d', () => compose(q35Memory(), q35({ functions }))],
  ['virt: SMMUv3 + ITS', () => compose(virtMemory(), virt({ functions }))],
];

describe.each(boards)('passthrough on %s', (_name, build) => {
  it('signals each vector to its user, DMA reaches the guest’s memory only', () => {
    const platform = build();
    const { device, signals, ram, fn, container } = passthrough(platform);
    device.bar(0).write32(TEST_FIRE.$.at, 1);
    device.bar(0).write32(TEST_FIRE.$.at, 2);
    expect(takeInterrupts(platform)).toBe(0);
    expect(signals.map((s) => s.take())).toEqual([0, 1, 1]);
    device.mask(0);
    device.bar(0).write32(TEST_FIRE.$.at, 0);
    takeInterrupts(platform);
    expect(signals[0]!.take()).toBe(0);
    device.unmask(0);
    takeInterrupts(platform);
    expect(signals[0]!.take()).toBe(1);

    const fabric = platform.fabric();
    expect(fabric.write32(fn.requester, 0, GUEST_RAM.iova + 8, 0xfeed)).toBe(Verdict.translated);
    expect(platform.memory.read32(ram + 8)).toBe(0xfeed);
    expect(fabric.write32(fn.requester, 0, 0x10_0000, 1)).toBe(Verdict.fault);

    container.close();
    expect(fabric.write32(fn.requester, 0, GUEST_RAM.iova + 8, 1)).toBe(Verdict.fault);
    expect(platform.service(IOMMU).domainOf(fn).type).toBe('blocked');
  });

  it('says before anything is opened which IOVAs are usable and what MSIs will take', () => {
    const platform = build();
    const fns = ['00:01.0', '00:02.0'].map((f) => platform.service(PCI).get(f));
    const container = platform.service(VFIO).createContainer(fns);
    const { msi, usable, reserved } = container.info();
    if (msi.fixed) {
      expect(msi.pages).toBe(0);
      expect(reserved).toContainEqual(expect.objectContaining({ kind: 'msi', first: 0xfee0_0000, last: 0xfeef_ffff }));
      expect(usable.some((r) => r.first <= 0xfee0_0000 && r.last >= 0xfee0_0000)).toBe(false);
    } else {
      expect(msi).toMatchObject({ pages: 1, granule: 4096, bytes: 4096 });
      expect(msi.doorbells[0]).toMatchObject({ address: 0x0809_0040, page: 0x0809_0000 });
    }
  });

  it('every write to the MSI-X table and its capability is made by the PCI core; the client makes none', () => {
    const platform = build();
    const fn = platform.service(PCI).get('00:01.0');
    const msix = fn.capability(CapId.msix);
    const ecam = fn.bus * 2 ** 20 + fn.slot * 2 ** 15;
    const table = fn.bar(fn.read(msix + 4) & 7).address;
    const writers = new Map<string, number>();
    const { bus } = platform;
    const original = bus.write32.bind(bus);
    bus.write32 = (address: number, value: number) => {
      const isTable = address >= table && address < table + 4 * 16;
      const isCapability = address % 2 ** 28 === (ecam + msix) % 2 ** 28;
      if (isTable || isCapability) {
        const stack = new Error().stack ?? '';
        const first = /packages\/(pci|iommu|vfio|irqchip)\/src/.exec(stack)?.[1] ?? 'nobody';
        writers.set(first, (writers.get(first) ?? 0) + 1);
      }
      original(address, value);
    };
    passthrough(platform).container.close();
    expect([...writers.keys()]).toEqual(['pci']);
    expect(writers.get('pci')).toBeGreaterThan(8);
  });

  it('a group that somebody else uses is not viable, and a closed device is closed', () => {
    const platform = build();
    const fn = platform.service(PCI).get('00:01.0');
    const iommu = platform.service(IOMMU);
    const container = platform.service(VFIO).createContainer([fn]);
    const other = iommu.createDomain({ type: 'dma', devices: [fn], name: 'the host driver' });
    iommu.attach(fn, other);
    expect(() => container.openDevice(fn)).toThrow(expect.objectContaining({ code: 'GROUP_NOT_VIABLE' }));
    iommu.detach(fn);
    const device = container.openDevice(fn);
    expect(() =>
      device.setInterrupts(
        'msix',
        Array.from({ length: 9 }, () => new Signal()),
      ),
    ).toThrow(expect.objectContaining({ code: 'BAD_SIGNALS' }));
    device.close();
    expect(() => device.bar(0)).toThrow(expect.objectContaining({ code: 'DEVICE_CLOSED' }));
  });
});

describe('isolation of interrupts', () => {
  const unsafe: readonly [string, () => Platform, RegExp][] = [
    ['a v2m frame', () => compose(virtMemory(), virt({ msi: 'gicv2m', functions })), /v2m/],
    [
      'VT-d without interrupt remapping',
      () => compose(q35Memory(), q35({ functions, vtd: { remapInterrupts: false } })),
      /0xFEEx/,
    ],
  ];
  it.each(unsafe)('%s: MSI_NOT_ISOLATED with a witness; the override works', (_name, build, witness) => {
    const platform = build();
    const digest = platform.service(INTERRUPTS).digest();
    let error: unknown;
    try {
      passthrough(platform);
    } catch (e) {
      error = e;
    }
    expect(error).toMatchObject({ code: 'MSI_NOT_ISOLATED' });
    expect((error as Error).message).toMatch(witness);
    expect(platform.service(INTERRUPTS).digest()).toBe(digest);

    const again = build();
    const { device, signals } = passthrough(again, { allowUnsafeInterrupts: true });
    device.bar(0).write32(TEST_FIRE.$.at, 0);
    takeInterrupts(again);
    expect(signals[0]!.take()).toBe(1);
  });

  it('a function with an RMRR cannot be passed through', () => {
    const reserved = [{ first: 0x7f80_0000, last: 0x7fff_ffff, streams: [0x08], why: 'RMRR of 00:01.0' }];
    const platform = compose(q35Memory(), q35({ functions, vtd: { reserved } }));
    const fn = platform.service(PCI).get('00:01.0');
    const container = platform.service(VFIO).createContainer([fn]);
    expect(() => container.openDevice(fn)).toThrow(expect.objectContaining({ code: 'DIRECT_REGION_PASSTHROUGH' }));
    container.openDevice(platform.service(PCI).get('00:02.0'));
  });
});

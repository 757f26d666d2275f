import { IOMMU } from '@doorbell/iommu';
import { CPU_INTERFACE, INTERRUPTS } from '@doorbell/irqchip';
import { at, edu, PCI, TEST_FIRE, testFunction } from '@doorbell/pci';
import { Platform, READ, Verdict, WRITE } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { q35, q35Memory } from '../src/q35.js';

const compose = (options: Parameters<typeof q35>[0] = {}) => {
  const platform = new Platform({ memory: q35Memory() })
    .use(q35({ functions: [at('05.0', edu())], ...options }))
    .compose();
  const pci = platform.service(PCI);
  return { platform, pci, fn: pci.get('0000:00:05.0'), fabric: platform.fabric() };
};

describe('q35', () => {
  it('has edu at 00:05.0, whose MSI is remapped and whose DMA is translated', () => {
    const { platform, pci, fn, fabric } = compose();
    const iommu = platform.service(IOMMU);
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [fn] });
    iommu.attach(fn, domain);
    domain.map(0x4000_0000, 0x20_0000, 0x1000, READ | WRITE);
    expect(fabric.read(0x28, 0, 0x4000_0000, new Uint8Array(4))).toBe(Verdict.translated);
    pci.enableMsiRange(fn, 1, 1, { cpus: [1] });
    const [block] = platform.service(INTERRUPTS).blocksOf(fn);
    // Remappable format: handle 0, its sub-handle valid.
    expect(block!.message(0)).toEqual({ addressHi: 0, addressLo: 0xfee0_0018, data: 0 });
    fabric.write32(0x28, 0, 0xfee0_0018, 0);
    expect(platform.get(CPU_INTERFACE).pending(1)).toHaveLength(1);
    fabric.write32(0x30, 0, 0xfee0_0018, 0);
    expect(fabric.outcome.fault).toBe('IRTE_SOURCE_ID');
  });

  it('without a unit, an MSI that cannot be masked moves in one write or not at all: never half a message', () => {
    for (const taken of [0, 3]) {
      for (let n = 0; ; n++) {
        const functions = [at('05.0', testFunction({ msi: 1 })), at('06.0', testFunction({ msix: 4 }))];
        const { platform, pci, fn } = compose({ vtd: false, functions });
        if (taken > 0) pci.enableMsixRange(pci.get('00:06.0'), taken, taken, { cpus: [1] });
        const vectors = pci.enableMsiRange(fn, 1, 1, { cpus: [0] });
        const before = vectors.message(0);
        const { bus } = platform;
        const write = bus.write32.bind(bus);
        let step = 0;
        bus.write32 = (address, value) => {
          if (step++ === n) write(fn.bar(0).address + TEST_FIRE.$.at, 0);
          write(address, value);
        };
        const move = () => vectors.setAffinity(0, 1);
        if (taken > 0) expect(move).toThrow(expect.objectContaining({ code: 'MSI_CANNOT_MOVE_LIVE' }));
        else expect(move().messageChanged).toBe(true);
        bus.write32 = write;
        // Its vector is another function's on CPU 1, so that address and data would have to change together.
        if (taken > 0) expect(vectors.message(0)).toEqual(before);
        else expect(vectors.message(0)).toEqual({ ...before, addressLo: before.addressLo + 0x1000 });
        if (step <= n) break;
        const cpus = platform.get(CPU_INTERFACE);
        const owners = [0, 1].flatMap((cpu) =>
          cpus.pending(cpu).map((number) => platform.service(INTERRUPTS).owner(cpu, number)?.block.device.name),
        );
        expect(owners, `fired at step ${n}`).toEqual([fn.name]);
      }
    }
  });

  it('works without a unit: messages in compatibility format', () => {
    const { platform, pci, fn, fabric } = compose({ vtd: false });
    pci.enableMsiRange(fn, 1, 1, { cpus: [1] });
    const [block] = platform.service(INTERRUPTS).blocksOf(fn);
    const { addressLo, data } = block!.message(0);
    expect([addressLo, data]).toEqual([0xfee0_1000, 0x31]);
    fabric.write32(0x99, 0, addressLo, data);
    expect(platform.get(CPU_INTERFACE).pending(1)).toEqual([0x31]);
  });
});

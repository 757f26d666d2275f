import { INTERRUPTS } from '@doorbell/irqchip';
import { IOMMU } from '@doorbell/iommu';
import { PCI, type PciDevice } from '@doorbell/pci';
import { after, hex, immediate, READ, seeded, WRITE, type CompletionPolicy } from '@doorbell/platform';
import { afterAll, describe, expect, it } from 'vitest';
import { missing, rows, type Row, type World } from './worlds.js';

const WINDOW = { base: 0x800_0000, size: 0x10_0000 };
/** edu's registers (QEMU docs/specs/edu): raise, acknowledge, DMA source, destination, count, command. */
const RAISE = 0x60;
const ACKNOWLEDGE = 0x64;

/** Enables an interrupt, lets the function send it, sees it at the CPU. Nothing in it knows the architecture. */
function transparent({ platform, arrived }: World, fn: PciDevice, cpu: number) {
  const pci = platform.service(PCI);
  const domain = platform.service(IOMMU).createDomain({ type: 'unmanaged', devices: [fn] });
  platform.service(IOMMU).attach(fn, domain);
  if (platform.service(IOMMU).msiDemand([fn], domain).pages > 0) domain.reserveMsiWindow(WINDOW);

  const vectors = pci.allocateVectors(fn, { min: 1, max: 1, kinds: ['msix', 'msi'], cpus: [cpu] });
  const before = arrived().length;
  fn.bar(0).write32(RAISE, 1);
  platform.waitUntil('the interrupt', () => arrived().length > before);
  fn.bar(0).write32(ACKNOWLEDGE, 1);

  const number = Number(arrived().at(-1)!.split('@')[0]);
  const owner = platform.service(INTERRUPTS).owner(cpu, number);
  return { domain, vectors, message: vectors.message(0), arrived: arrived().at(-1), owner };
}

/** edu's DMA engine moves 4 bytes out of memory and back to another place. */
function copy({ platform }: World, fn: PciDevice, from: number, to: number): void {
  const bar = fn.bar(0);
  for (const [source, target, command] of [
    [from, 0x40000, 1],
    [0x40000, to, 3],
  ] as const) {
    bar.write64(0x80, Math.floor(source / 2 ** 32), source >>> 0);
    bar.write64(0x88, Math.floor(target / 2 ** 32), target >>> 0);
    bar.write64(0x90, 0, 4);
    bar.write64(0x98, 0, command);
    platform.waitUntil('the DMA engine', () => !(bar.read32(0x98) & 1));
  }
}

for (const row of rows) {
  const reason = missing(row);
  if (reason !== null) console.warn(`skipped: transparent MSI, ${row.name}: ${reason}`);
  describe.skipIf(reason !== null)(row.name, () => {
    const worlds: World[] = [];
    const world = (completion?: CompletionPolicy) => {
      const made = row.build(completion);
      worlds.push(made);
      return { world: made, fn: made.platform.service(PCI).get('00:04.0') };
    };
    afterAll(() => worlds.forEach((w) => w.close()));

    it('enables, fires and receives one vector; the function holds what the architecture needs', () => {
      const { world: w, fn } = world();
      const { message, vectors, arrived, owner, domain } = transparent(w, fn, 1);
      expect(arrived).toMatch(/@1$/);
      expect(owner?.block.device.name).toBe('0000:00:04.0');
      expect(owner?.index).toBe(0);
      const { addressHi, addressLo, data } = message;
      expect(addressHi).toBe(0);
      if (row.arch === 'x86') {
        // VT-d §5.1.2.2: remappable format is bit 4; 0xFEE in bits 31:20; the data is a sub-handle.
        expect(addressLo >>> 20).toBe(0xfee);
        expect(addressLo & 0x10).toBe(0x10);
        expect(data).toBe(0);
      } else if (row.arch === 'powerpc') {
        // MSIIR of bank A is the register at 0x140 of its alias page (fact sheet B1); MSIR and bit 0.
        expect(addressLo).toBe(WINDOW.base + 0x140);
        expect(domain.iovaToPhys(addressLo)).toBe(0xf_fe04_4140);
        expect(data).toBe(0);
      } else {
        // GITS_TRANSLATER is the register at 0x40 of its page; the page lies in the window.
        expect(addressLo).toBe(WINDOW.base + 0x40);
        expect(domain.iovaToPhys(addressLo)).toBe(0x0809_0040);
        expect(data).toBe(0);
      }
      const words = `address ${hex(addressLo)}, data ${hex(data)}`;
      console.log(`${row.name}: ${vectors.kind} read back: ${words}; arrived as ${arrived}`);
    });

    it('moves data through its domain, and nothing where nothing is mapped', () => {
      const { world: w, fn } = world();
      const { memory } = w.platform;
      const iommu = w.platform.service(IOMMU);
      const domain = iommu.createDomain({ type: 'unmanaged', devices: [fn] });
      iommu.attach(fn, domain);
      domain.map(0x10_0000, w.data, 0x1000, READ);
      domain.map(0x10_1000, w.data + 0x4000, 0x1000, READ | WRITE);
      fn.setBusMaster(true);
      memory.write32(w.data + 0x10, 0x1234_5678);
      copy(w, fn, 0x10_0010, 0x10_1020);
      expect(memory.read32(w.data + 0x4020)).toBe(0x1234_5678);
      iommu.faults();
      copy(w, fn, 0x10_0010, 0x10_3020);
      const faults = iommu.faults().map((f) => [f.device?.name, f.write, f.addressLo]);
      expect(faults).toEqual([['0000:00:04.0', true, row.arch === 'x86' ? 0x10_3000 : 0x10_3020]]);
    });

    if (row.needs === null) {
      const policies = [immediate(), after(3), ...Array.from({ length: 20 }, (_, i) => seeded(i + 1))];
      it.each(policies)('the same when hardware completes $name', (policy) => {
        const { world: w, fn } = world(policy);
        const { arrived, vectors } = transparent(w, fn, 0);
        expect(arrived).toMatch(/@0$/);
        vectors.free();
      });
    }

    if (row.arch !== 'x86') {
      it('without a window: MSI_WINDOW_MISSING; memory, registers and configuration space are as before', () => {
        const { world: w, fn } = world();
        const iommu = w.platform.service(IOMMU);
        iommu.attach(fn, iommu.createDomain({ type: 'unmanaged', devices: [fn] }));
        const before = state(w, fn, row);
        expect(() => w.platform.service(PCI).enableMsiRange(fn, 1, 1)).toThrow(
          expect.objectContaining({ code: 'MSI_WINDOW_MISSING' }),
        );
        expect(state(w, fn, row)).toEqual(before);
      });
    }
  });
}

/** Tables in memory, configuration space, and on our models every register. */
function state(w: World, fn: PciDevice, row: Row): unknown {
  const config = Array.from({ length: 64 }, (_, i) => fn.read(4 * i));
  const allocators = [w.platform.service(IOMMU).digest(), w.platform.service(INTERRUPTS).digest()];
  if (row.needs !== null) {
    const ram = new Uint8Array(0x800_0000);
    w.platform.memory.readBytes(0x4800_0000, ram);
    let hash = 0;
    for (let i = 0; i < ram.length; i += 4) hash = (Math.imul(hash, 31) + (ram[i]! | (ram[i + 1]! << 8))) | 0;
    return { config, allocators, hash };
  }
  const { models } = w.platform.snapshot();
  return { config, allocators, memory: w.platform.memoryModel.digest(), models };
}

import { INTERRUPTS, type IrqLevel } from '@doorbell/irqchip';
import { DoorbellError } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { at, CapId, testFunction, type PciDevice, type TestFunctionOptions } from '../src/index.js';
import { board } from './board.js';

const fire = (fn: PciDevice, vector: number) => {
  fn.bar(0).write32(0x14, vector);
};
const setup = (options: TestFunctionOptions, more: { vectors?: number; doorbell?: number } = {}) => {
  const b = board([at('04.0', testFunction(options))], more);
  return { ...b, fn: b.pci.get('00:04.0') };
};

describe('MSI', () => {
  // Message control and structure by form: PCI 3.0 §6.8.1.
  it.each([
    [{ msi: 1, msi64: false }, 0x0000_0005, 0x0c],
    [{ msi: 1 }, 0x0080_0005, 0x10],
    [{ msi: 8, msi64: false, perVectorMasking: true }, 0x0106_0005, 0x14],
    [{ msi: 32, perVectorMasking: true }, 0x018a_0005, 0x18],
  ] as const)('%j shows %x', (options, header, length) => {
    const { fn } = setup(options);
    const cap = fn.capability(CapId.msi);
    expect(fn.read(cap)).toBe(header);
    for (let o = 4; o < length; o += 4) fn.write(cap + o, 0xffff_ffff);
    const words = Array.from({ length: length / 4 - 1 }, (_, i) => fn.read(cap + 4 + 4 * i));
    const hi = options.msi === 1 || !('perVectorMasking' in options) ? 0 : 2 ** options.msi - 1;
    const wide = !('msi64' in options);
    expect(words).toEqual([0xffff_fffc, ...(wide ? [0xffff_ffff] : []), 0xffff, ...(hi ? [hi, 0] : [])]);
    fn.write(cap, 0xffff_ffff); // extended data is not offered
    expect(fn.read(cap)).toBe(header | 0x0001_0000 | (((header >>> 17) & 7) << 20));
  });

  it('sends vector n as data | n to one address', () => {
    const { pci, doorbell, fn } = setup({ msi: 8 });
    const v = pci.enableMsiRange(fn, 8, 8);
    expect(v.kind).toBe('msi');
    expect(fn.read(fn.capability(CapId.msi))).toBe(0x00b7_0005);
    for (const i of [0, 5, 7]) fire(fn, i);
    expect(doorbell.writes.map((w) => w.value)).toEqual([0x40, 0x45, 0x47]);
    expect(v.message(5)).toEqual({ addressHi: 0, addressLo: 0xfee0_0000, data: 0x45 });
    v.free();
    expect(fn.read(fn.capability(CapId.msi))).toBe(0x0086_0005);
    fire(fn, 5);
    expect(doorbell.writes.length).toBe(3);
  });

  it('forgets what is pending of vectors that are allocated no more', () => {
    const { pci, doorbell, fn } = setup({ msi: 8, perVectorMasking: true });
    const v = pci.enableMsiRange(fn, 8, 8);
    const cap = fn.capability(CapId.msi);
    for (const i of [1, 5]) {
      v.mask(i);
      fire(fn, i);
    }
    fn.write(cap, 0x0197_0005); // two of eight
    expect(fn.read(cap + 0x14)).toBe(1 << 1);
    for (const i of [1, 5]) v.unmask(i);
    expect(doorbell.writes.map((w) => w.value)).toEqual([0x41]);
  });

  it('takes numbers by powers of two, aligned, and the function folds the rest onto them', () => {
    const { pci, fn, root, doorbell } = setup({ msi: 8 });
    root.numbers.take(1);
    const v = pci.enableMsiRange(fn, 1, 3);
    expect([v.count, v.block.count, v.message(0).data]).toEqual([3, 4, 0x44]);
    fire(fn, 6); // four allocated of eight
    expect(doorbell.writes[0]!.value).toBe(0x46);
  });

  it('takes the next smaller power of two where the controller has no such run', () => {
    const { pci, fn, root } = setup({ msi: 32 }, { vectors: 32 });
    root.numbers.take(9); // 0x40..0x48: the best aligned runs left are 16 at 0x50 and less
    expect(pci.enableMsiRange(fn, 4, 32).count).toBe(16);
    pci.disable(fn);
    const digest = root.digest();
    expect(() => pci.enableMsiRange(fn, 20, 32)).toThrow(expect.objectContaining({ code: 'IRQ_EXHAUSTED' }));
    expect(root.digest()).toBe(digest);
  });

  it('holds masked vectors pending in configuration space', () => {
    const { pci, fn, doorbell } = setup({ msi: 4, perVectorMasking: true });
    const v = pci.enableMsiRange(fn, 4, 4);
    const pending = fn.capability(CapId.msi) + 0x14;
    v.mask(2);
    fire(fn, 2);
    fire(fn, 2);
    expect([fn.read(pending), doorbell.writes.length]).toEqual([4, 0]);
    fn.write(pending, 0); // read-only
    expect(fn.read(pending)).toBe(4);
    fn.bar(0).write32(0x18, 2); // the cause goes away
    expect(fn.read(pending)).toBe(0);
    fire(fn, 2);
    v.unmask(2);
    expect([fn.read(pending), doorbell.writes.map((w) => w.value)]).toEqual([0, [0x42]]);
  });

  it('without masking says so to whoever would move it', () => {
    const { pci, fn } = setup({ msi: 4 });
    expect(pci.enableMsiRange(fn, 4, 4).block.owner!.canMask).toBe(false);
    const { pci: p, fn: f, doorbell } = setup({ msi: 4, perVectorMasking: true });
    const v = p.enableMsiRange(f, 4, 4);
    const owner = v.block.owner!;
    expect(owner.canMask).toBe(true);
    v.mask(1);
    owner.maskAll();
    fire(f, 0);
    fire(f, 1);
    expect(doorbell.writes).toEqual([]);
    owner.unmaskAll();
    expect(doorbell.writes.map((w) => w.value)).toEqual([0x40]);
    v.unmask(1);
    expect(doorbell.writes.length).toBe(2);
  });

  it('cannot reach a doorbell above 4 GiB with a 32-bit capability; nothing changes', () => {
    const { pci, fn, platform, root } = setup({ msi: 1, msi64: false }, { doorbell: 0x12_0000_0000 });
    const before = platform.snapshot();
    expect(() => pci.enableMsiRange(fn, 1, 1)).toThrow(expect.objectContaining({ code: 'MSI_ADDRESS_UNREACHABLE' }));
    expect(platform.snapshot().models).toEqual(before.models);
    expect(root.numbers.available).toBe(256);
    const wide = setup({ msi: 1 }, { doorbell: 0x12_0000_0000 });
    const v = wide.pci.enableMsiRange(wide.fn, 1, 1);
    expect(v.message(0)).toEqual({ addressHi: 0x12, addressLo: 0, data: 0x40 });
    fire(wide.fn, 0);
    expect(wide.doorbell.writes.length).toBe(1);
  });

  it('needs bus mastering', () => {
    const { pci, fn, doorbell } = setup({ msi: 1 });
    pci.enableMsiRange(fn, 1, 1);
    fn.setBusMaster(false);
    fire(fn, 0);
    expect(doorbell.writes).toEqual([]);
  });

  it('a multiple message enable above the capability counts as the capability', () => {
    const { pci, fn, doorbell } = setup({ msi: 2 });
    pci.enableMsiRange(fn, 2, 2);
    const cap = fn.capability(CapId.msi);
    fn.write(cap, fn.read(cap) | (5 << 20));
    fire(fn, 3);
    expect(doorbell.writes[0]!.value).toBe(0x41);
  });

  it('moves one vector alone, and several only together', () => {
    const { pci, fn, doorbell, platform, root } = setup({ msi: 4, perVectorMasking: true });
    const four = pci.enableMsiRange(fn, 4, 4);
    const before = platform.snapshot();
    const cpus = [...four.block.cpus];
    expect(() => four.setAffinity(1, 1)).toThrow(expect.objectContaining({ code: 'MSI_ONE_ADDRESS' }));
    expect(platform.snapshot().models).toEqual(before.models);
    expect(four.block.cpus).toEqual(cpus);
    Object.assign(root, { base: root.base + 0x20 }); // as when a window moves under all of them
    four.block.owner!.rewrite();
    expect(four.message(3)).toEqual({ addressHi: 0, addressLo: 0xfee0_0020, data: 0x43 });
    four.free();
    expect(() => pci.enableMsiRange(fn, 2, 2, { cpus: [0, 1] })).toThrow(/its 2 MSI vectors cannot go to CPUs 0, 1/);
    expect(root.numbers.available).toBe(256);
    const one = pci.enableMsiRange(fn, 1, 1);
    expect(one.setAffinity(0, 1)).toEqual({ messageChanged: true, alongWith: [] });
    fire(fn, 0);
    expect(doorbell.writes).toEqual([{ offset: 0x24, value: 0x40, source: 0x20 }]);
  });

  it('changes nothing where a lower level of the chain refuses', () => {
    const { pci, fn, platform, root } = setup({ msi: 4 });
    const failing: IrqLevel = {
      name: 'no window',
      prepare: () => {
        throw new DoorbellError('MSI_WINDOW_MISSING', 'no window', 'reserve one', {});
      },
      compose: (message) => message,
    };
    (platform.service(INTERRUPTS).domainFor(fn).levels as IrqLevel[]).push(failing);
    const before = platform.snapshot();
    expect(() => pci.allocateVectors(fn, { min: 1, max: 4 })).toThrow(
      expect.objectContaining({ code: 'MSI_WINDOW_MISSING' }),
    );
    expect(platform.snapshot().models).toEqual(before.models);
    expect(root.numbers.available).toBe(256);
  });
});

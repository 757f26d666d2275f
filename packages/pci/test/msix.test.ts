import { describe, expect, it } from 'vitest';
import { INTERRUPTS } from '@doorbell/irqchip';
import { at, CapId, nvmeLike, testFunction, type PciDevice } from '../src/index.js';
import { board } from './board.js';

const fire = (fn: PciDevice, vector: number) => {
  fn.bar(0).write32(0x14, vector);
};
const withdraw = (fn: PciDevice, vector: number) => {
  fn.bar(0).write32(0x18, vector);
};
const setup = (n = 4, vectors = 256) => {
  const b = board([at('04.0', testFunction({ msix: n }))], { vectors });
  return { ...b, fn: b.pci.get('00:04.0') };
};

describe('MSI-X', () => {
  it('is programmed, and each vector arrives by a write of the function', () => {
    const { pci, doorbell, fn } = setup();
    const v = pci.enableMsixRange(fn, 1, 4);
    expect(v.count).toBe(4);
    expect(v.kind).toBe('msix');
    expect(v.message(2)).toEqual({ addressHi: 0, addressLo: 0xfee0_0000, data: 0x42 });
    fire(fn, 2);
    expect(doorbell.writes).toEqual([{ offset: 0, value: 0x42, source: 0x20 }]);
    v.free();
    v.free();
    fire(fn, 2);
    expect(doorbell.writes.length).toBe(1);
    expect(pci.vectorsOf(fn)).toBeUndefined();
    expect(() => v.message(0)).toThrow(expect.objectContaining({ code: 'BAD_VECTOR' }));
  });

  it('has the words of the specification in configuration space and table', () => {
    const { pci, fn } = setup(4);
    const cap = fn.capability(CapId.msix);
    expect(fn.read(cap) >>> 0).toBe(0x0003_0011); // 4 entries, not enabled
    expect(fn.read(cap + 4)).toBe(0x0000_0004); // table at 0 of BAR 4
    expect(fn.read(cap + 8)).toBe(0x0000_1004); // PBA one page on
    const table = fn.bar(4);
    expect([0, 4, 8, 12].map((o) => table.read32(o))).toEqual([0, 0, 0, 1]); // masked after reset
    pci.enableMsixRange(fn, 4, 4);
    expect(fn.read(cap) >>> 0).toBe(0x8003_0011);
    expect([16, 20, 24, 28].map((o) => table.read32(o))).toEqual([0xfee0_0000, 0, 0x41, 0]);
  });

  it('is programmed in the order of Linux: enabled and masked, entries, entry masks, function mask', () => {
    const { pci, fn, platform } = setup(2);
    const writes: string[] = [];
    const { bus } = platform;
    const real = bus.write32.bind(bus);
    const table = fn.bar(4).address;
    bus.write32 = (address, value) => {
      const where = address >= table && address < table + 32 ? `table+${address - table}` : `config+${address & 0xfff}`;
      writes.push(`${where}=${value.toString(16)}`);
      real(address, value);
    };
    pci.enableMsixRange(fn, 2, 2);
    const cap = fn.capability(CapId.msix);
    expect(writes).toEqual([
      'config+4=406', // bus master, INTx off
      `config+${cap}=c0010011`,
      ...['table+0=fee00000', 'table+4=0', 'table+8=40', 'table+16=fee00000', 'table+20=0', 'table+24=41'],
      ...['table+12=0', 'table+28=0'],
      `config+${cap}=80010011`,
    ]);
  });

  it('holds a masked vector in its pending bit and sends it at unmask, once', () => {
    const { pci, doorbell, fn } = setup(40);
    const v = pci.enableMsixRange(fn, 40, 40);
    const pba = fn.bar(4);
    v.mask(35);
    fire(fn, 35);
    fire(fn, 35);
    expect(doorbell.writes).toEqual([]);
    expect(pba.read32(0x1004)).toBe(1 << 3);
    pba.write32(0x1004, 0); // read-only
    expect(pba.read32(0x1004)).toBe(1 << 3);
    v.unmask(35);
    expect(doorbell.writes.map((w) => w.value)).toEqual([0x40 + 35]);
    expect(pba.read32(0x1004)).toBe(0);
  });

  it('does not send what was withdrawn while masked', () => {
    const { pci, doorbell, fn } = setup();
    const v = pci.enableMsixRange(fn, 4, 4);
    v.mask(1);
    fire(fn, 1);
    withdraw(fn, 1);
    v.unmask(1);
    expect(doorbell.writes).toEqual([]);
  });

  it('releases everything that is pending and not masked itself when the function mask clears', () => {
    const { pci, doorbell, fn } = setup(70);
    const v = pci.enableMsixRange(fn, 70, 70);
    const cap = fn.capability(CapId.msix);
    fn.write(cap, (fn.read(cap) | (1 << 30)) >>> 0);
    v.mask(3);
    for (const i of [2, 3, 69]) fire(fn, i);
    expect(doorbell.writes).toEqual([]);
    fn.write(cap, fn.read(cap) & ~(1 << 30));
    expect(doorbell.writes.map((w) => w.value)).toEqual([0x42, 0x40 + 69]);
    v.unmask(3);
    expect(doorbell.writes.length).toBe(3);
  });

  it('notes a change of an entry that is not masked', () => {
    const { pci, fn, platform } = setup();
    pci.enableMsixRange(fn, 1, 1);
    fn.bar(4).write32(8, 5);
    expect(platform.diagnostics.entries()[0]![0]).toContain('MSI-X entry 0 changed while not masked');
  });

  it('takes fewer vectors where the controller has fewer, down to min', () => {
    const { pci, fn, root } = setup(8, 5);
    const v = pci.enableMsixRange(fn, 2, 8);
    expect(v.count).toBe(5);
    v.free();
    const before = root.digest();
    expect(() => pci.enableMsixRange(fn, 6, 8)).toThrow(expect.objectContaining({ code: 'IRQ_EXHAUSTED' }));
    expect(root.digest()).toBe(before);
  });

  it('refuses what cannot be', () => {
    const { pci, fn } = setup(4);
    expect(() => pci.enableMsixRange(fn, 0, 1)).toThrow(expect.objectContaining({ code: 'BAD_VECTOR' }));
    expect(() => pci.enableMsixRange(fn, 3, 2)).toThrow(expect.objectContaining({ code: 'BAD_VECTOR' }));
    expect(() => pci.enableMsixRange(fn, 5, 9)).toThrow(/offers 4 MSI-X vectors, 5 needed/);
    expect(() => pci.enableMsiRange(fn, 1, 1)).toThrow(expect.objectContaining({ code: 'MSI_NOT_SUPPORTED' }));
    pci.enableMsixRange(fn, 1, 1);
    expect(() => pci.enableMsixRange(fn, 1, 1)).toThrow(expect.objectContaining({ code: 'MSI_ALREADY_ENABLED' }));
    pci.disable(fn);
    pci.disable(fn);
    expect(pci.enableMsixRange(fn, 4, 99).count).toBe(4);
  });

  it('moves a vector to another CPU by masking, writing what changed, unmasking', () => {
    const { pci, doorbell, fn, platform } = setup();
    const v = pci.enableMsixRange(fn, 4, 4, { cpus: [0, 1] });
    expect(v.message(1).addressLo).toBe(0xfee0_0004);
    expect(v.setAffinity(1, 0)).toEqual({ messageChanged: true, alongWith: [] });
    expect(v.message(1)).toEqual({ addressHi: 0, addressLo: 0xfee0_0000, data: 0x41 });
    expect(v.setAffinity(1, 0).messageChanged).toBe(false);
    fire(fn, 1);
    expect(doorbell.writes).toEqual([{ offset: 0, value: 0x41, source: 0x20 }]);
    expect(platform.diagnostics.entries()).toEqual([]);
  });

  it('gives the block an owner that delivers what came in between', () => {
    const { pci, doorbell, fn, root } = setup();
    const v = pci.enableMsixRange(fn, 2, 2);
    const owner = v.block.owner!;
    expect(owner.canMask).toBe(true);
    owner.maskAll();
    fire(fn, 0);
    expect(doorbell.writes).toEqual([]);
    Object.assign(root, { base: root.base + 0x100 });
    owner.rewrite();
    owner.unmaskAll();
    expect(doorbell.writes).toEqual([{ offset: 0x100, value: 0x40, source: 0x20 }]);
  });

  it('keeps a user’s mask through an owner’s mask and unmask', () => {
    const { pci, doorbell, fn } = setup();
    const v = pci.enableMsixRange(fn, 2, 2);
    v.mask(0);
    v.block.owner!.maskAll();
    fire(fn, 0);
    v.block.owner!.unmaskAll();
    expect(doorbell.writes).toEqual([]);
    v.unmask(0);
    expect(doorbell.writes.length).toBe(1);
  });

  it('has 2048 vectors at most', () => {
    const { pci, fn, doorbell } = setup(2048, 4096);
    const v = pci.enableMsixRange(fn, 2048, 2048);
    fire(fn, 2047);
    expect(doorbell.writes[0]!.value).toBe(0x40 + 2047);
    expect(v.message(2047).data).toBe(0x40 + 2047);
    expect(() => testFunction({ msix: 2049 })).toThrow(expect.objectContaining({ code: 'BAD_FUNCTION' }));
  });
});

describe('allocateVectors', () => {
  it('prefers MSI-X, and goes on with MSI', () => {
    const b = board([
      at('01.0', testFunction({ msix: 2, msi: 8 })),
      at('02.0', testFunction({ msi: 8 })),
      at('03.0', testFunction()),
    ]);
    const [a, c, d] = ['00:01.0', '00:02.0', '00:03.0'].map((x) => b.pci.get(x));
    expect(b.pci.allocateVectors(a!, { min: 1, max: 8 })).toMatchObject({ kind: 'msix', count: 2 });
    expect(b.pci.allocateVectors(c!, { min: 1, max: 8 })).toMatchObject({ kind: 'msi', count: 8 });
    b.pci.disable(a!);
    expect(b.pci.allocateVectors(a!, { min: 4, max: 8 })).toMatchObject({ kind: 'msi', count: 8 });
    expect(() => b.pci.allocateVectors(d!, { min: 1, max: 1 })).toThrow(
      expect.objectContaining({ code: 'MSI_NOT_SUPPORTED' }),
    );
    expect(() => b.pci.allocateVectors(d!, { min: 1, max: 1, kinds: [] })).toThrow(
      expect.objectContaining({ code: 'BAD_VECTOR' }),
    );
  });
});

describe('a failed enable', () => {
  const kinds = [
    ['msix', testFunction({ msix: 3 })],
    ['msi', testFunction({ msi: 4, perVectorMasking: true })],
    ['msi', testFunction({ msi: 2, msi64: false })],
  ] as const;
  it.each(kinds)('of %s leaves everything bit-identical, at whichever write the hardware fails', (kind, definition) => {
    let refused = 0;
    for (let k = 0; ; k++) {
      const { platform, pci, root } = board([at('04.0', definition)]);
      const fn = pci.get('00:04.0');
      const before = platform.snapshot();
      const digest = platform.service(INTERRUPTS).digest();
      const { bus } = platform;
      const real = bus.write32.bind(bus);
      let n = 0;
      bus.write32 = (address, value) => {
        if (n++ === k) throw new Error('the machine went away');
        real(address, value);
      };
      try {
        pci.allocateVectors(fn, { min: 2, max: 4, kinds: [kind] });
      } catch (error) {
        refused++;
        expect((error as Error).message).toBe('the machine went away');
        expect(platform.snapshot().models).toEqual(before.models);
        expect(platform.service(INTERRUPTS).digest()).toBe(digest);
        expect(root.numbers.available).toBe(256);
        expect(pci.vectorsOf(fn)).toBeUndefined();
        continue;
      }
      break;
    }
    expect(refused).toBeGreaterThan(3);
  });

  it('tells a function that ignores its table', () => {
    const { platform, pci } = board([at('04.0', testFunction({ msix: 2 }))]);
    const fn = pci.get('00:04.0');
    const { bus } = platform;
    const real = bus.write32.bind(bus);
    const lost = fn.bar(4).address + 16;
    bus.write32 = (address, value) => {
      if (address !== lost) real(address, value);
    };
    const before = platform.snapshot();
    expect(() => pci.enableMsixRange(fn, 2, 2)).toThrow(expect.objectContaining({ code: 'MSI_REFUSED' }));
    expect(platform.snapshot().models).toEqual(before.models);
  });
});

describe('nvme-like', () => {
  it('reads commands and data, writes completions and fires each queue’s vector', () => {
    const { pci, platform, doorbell } = board([at('06.0', nvmeLike({ queues: 3 }))]);
    const fn = pci.get('00:06.0');
    const v = pci.enableMsixRange(fn, 3, 3);
    const bar = fn.bar(0);
    const ram = platform.memory;
    expect(bar.read32(0)).toBe(0x0080_0003);
    const queue = (q: number, sq: number, cq: number) => {
      const at = 0x1000 + 0x20 * q;
      bar.write32(at, sq);
      bar.write32(at + 8, cq);
      bar.write32(at + 0x10, (0xc000_0000 | (q << 16) | 3) >>> 0);
      return at;
    };
    const command = (address: number, opcode: number, id: number, prp: number, block: number) => {
      ram.write32(address, opcode | (id << 16));
      ram.write32(address + 24, prp);
      ram.write32(address + 40, block);
    };
    const q1 = queue(1, 0x10000, 0x11000);
    const q2 = queue(2, 0x12000, 0x13000);
    ram.write32(0x20000, 0xfeedface);
    command(0x10000, 1, 0xa1, 0x20000, 5); // Write block 5
    bar.write32(q1 + 0x14, 1);
    expect(doorbell.writes.map((w) => w.value)).toEqual([v.message(1).data]);
    // success, phase 1, command id; queue 1, head 1
    expect([ram.read32(0x1100c), ram.read32(0x11008)]).toEqual([0x0001_00a1, 0x0001_0001]);
    command(0x12000, 2, 0xb2, 0x21000, 5); // Read it back, in another queue
    command(0x12040, 2, 0xb3, 0x21000, 500); // beyond the end
    command(0x12080, 9, 0xb4, 0, 0); // no such opcode
    bar.write32(q2 + 0x14, 3);
    expect(ram.read32(0x21000)).toBe(0xfeedface);
    expect([ram.read32(0x1300c), ram.read32(0x1301c), ram.read32(0x1302c)]).toEqual([
      0x0001_00b2,
      (0x0001_00b3 | (0x80 << 17)) >>> 0,
      0x0003_00b4,
    ]);
    expect(doorbell.writes.length).toBe(4);
    // The completion queue is full until its head moves on.
    command(0x120c0, 0, 0xb5, 0, 0);
    bar.write32(q2 + 0x14, 0);
    expect(doorbell.writes.length).toBe(4);
    bar.write32(q2 + 0x18, 2);
    expect(doorbell.writes.length).toBe(5);
    expect(ram.read32(0x1303c)).toBe(0x0001_00b5);
  });
});

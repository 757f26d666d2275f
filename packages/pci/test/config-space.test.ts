import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { definePlugin, Platform } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import {
  at,
  CapId,
  cf8Port,
  conventionalBridge,
  definePciFunction,
  downstreamPort,
  ecamPort,
  edu,
  nvmeLike,
  PCI,
  PCI_HARDWARE,
  PCIEXBAR,
  pciHost,
  pcieToPciBridge,
  rootPort,
  testFunction,
  upstreamPort,
  type Placed,
} from '../src/index.js';
import { board, ECAM } from './board.js';

const config = (bus: number, slot: number, fn = 0) => ECAM + (bus << 20) + (slot << 15) + (fn << 12);

describe('configuration space', () => {
  it('has the words of QEMU’s edu', () => {
    const { platform } = board([at('05.0', edu())], { enumerate: false });
    const read = (o: number) => platform.cpu.read32(config(0, 5) + o);
    // As a QEMU 7.2 q35 machine shows them before any firmware.
    expect([0x00, 0x04, 0x08, 0x0c, 0x10, 0x2c, 0x34, 0x3c, 0x40].map(read)).toEqual([
      0x11e8_1234, 0x0010_0000, 0x00ff_0010, 0, 0, 0x1100_1af4, 0x40, 0x0100, 0x0080_0005,
    ]);
  });

  it('answers bytes and halfwords, keeps write-1-to-clear bits that a byte write leaves out', () => {
    const { platform, hardware } = board([at('05.0', edu())], { enumerate: false });
    const { cpu } = platform;
    expect([cpu.read8(config(0, 5)), cpu.read8(config(0, 5) + 1), cpu.read16(config(0, 5) + 2)]).toEqual([
      0x34, 0x12, 0x11e8,
    ]);
    const space = hardware.find(0x28)!.config;
    space.set(4, 0x2010_0000); // Received Master Abort
    cpu.write16(config(0, 5) + 4, 0xffff);
    expect(space.get(4)).toBe(0x2010_0507);
    cpu.write8(config(0, 5) + 7, 0x20);
    expect(space.get(4)).toBe(0x0010_0507);
  });

  it('sizes BARs as asked, 32 and 64 bits wide', () => {
    const fn = definePciFunction({
      name: 'sizes',
      vendor: 0x1234,
      device: 1,
      classCode: 0xff0000,
      bars: {
        0: { size: 16 },
        1: { size: 2 ** 20, prefetchable: true },
        2: { size: 2 ** 35, width: 64 },
        4: { size: 2 ** 31 },
      },
    });
    const { platform } = board([at('05.0', fn)], { enumerate: false });
    const { cpu } = platform;
    for (let n = 0; n < 6; n++) cpu.write32(config(0, 5) + 0x10 + 4 * n, 0xffff_ffff);
    const read = Array.from({ length: 6 }, (_, n) => cpu.read32(config(0, 5) + 0x10 + 4 * n));
    expect(read).toEqual([0xffff_fff0, 0xfff0_0008, 0x0000_0004, 0xffff_fff8, 0x8000_0000, 0]);
  });

  it('reads all ones where nobody is, and drops writes there', () => {
    const { platform } = board([at('05.0', edu())]);
    for (const where of [config(0, 6), config(0, 5, 1), config(7, 0)]) {
      platform.cpu.write32(where, 0);
      expect(platform.cpu.read32(where)).toBe(0xffff_ffff);
    }
    expect(platform.cpu.read32(0xe800_0000)).toBe(0); // no BAR
  });

  it('marks every function of a device that has several', () => {
    const { platform } = board([at('05.0', edu()), at('05.2', edu()), at('06.0', edu())]);
    const type = (slot: number, fn = 0) => platform.cpu.read8(config(0, slot, fn) + 0x0e);
    expect([type(5), type(5, 2), type(6)]).toEqual([0x80, 0x80, 0]);
  });

  it('holds functions that other blocks put there, with capabilities of their own', () => {
    const unit = definePciFunction({
      name: 'a unit',
      vendor: 0x1022,
      device: 0x1419,
      classCode: 0x080600,
      pcie: false,
      msi: { vectors: 1 },
      capabilities: [
        { id: 0x0f, length: 0x18, header: 0x000b, registers: [{ layout: PCIEXBAR, at: 4, values: [0xfed8_0001] }] },
      ],
    });
    const other = definePlugin(
      'other',
      {
        compatible: ['other'],
        model: {
          create: (context) => {
            context.service(PCI_HARDWARE).place(0, at('00.2', unit));
            return {};
          },
        },
      },
      [{ name: 'other', compatible: 'other' }],
    );
    for (const first of [true, false]) {
      const host = pciHost({ ecam: { base: ECAM }, windows: [] }, [at('00.0', edu())]);
      const plugins = first ? [other, host] : [host, other];
      const platform = new Platform({ memory: [{ base: 0, size: 2 ** 20 }] }).use(...plugins).compose();
      const fn = platform.service(PCI).get('00:00.2');
      expect(fn.capabilities.map((c) => c.id)).toEqual([0x05, 0x0f]);
      const cap = fn.capability(0x0f);
      expect([fn.read(cap) >>> 16, fn.read(cap + 4) & 1, fn.multiFunction]).toEqual([0x000b, 1, true]);
    }
  });

  it('hides extended configuration space behind a conventional bus', () => {
    const f = testFunction({ ats: true });
    const { pci } = board([at('01.0', rootPort([at('00.0', pcieToPciBridge([at('01.0', f)]))])), at('02.0', f)]);
    expect(pci.get('02:01.0').capabilities.some((c) => c.extended)).toBe(false);
    expect(pci.get('02:01.0').read(0x100)).toBe(0xffff_ffff);
    expect(pci.get('00:02.0').capabilities.some((c) => c.extended)).toBe(true);
  });

  it('goes back to power-on values at a function-level reset, and below a secondary bus reset', () => {
    const { pci, doorbell } = board([at('01.0', rootPort([at('00.0', testFunction({ msix: 2 }))]))]);
    const fn = pci.get('01:00.0');
    const v = pci.enableMsixRange(fn, 1, 1);
    const pcie = fn.capability(CapId.pcie);
    fn.write(pcie + 8, fn.read(pcie + 8) | 0x8000);
    expect(fn.read(pcie + 8) & 0x8000).toBe(0);
    expect([fn.read(4) & 7, fn.read(0x10), fn.read(fn.capability(CapId.msix)) >>> 31]).toEqual([0, 0, 0]);
    expect(v.count).toBe(1);
    fn.write(4, 7);
    const port = pci.get('00:01.0');
    port.write(0x3c, 1 << 22);
    expect(fn.read(4) & 7).toBe(0);
    expect(doorbell.writes).toEqual([]);
  });

  it('shows an asserted pin in Status, and the line after the bridges’ swizzle', () => {
    const tree = [at('02.0', conventionalBridge([at('03.0', testFunction())]))];
    const { pci, platform } = board(tree);
    const lines: unknown[] = [];
    platform.hardwareService(PCI_HARDWARE).onIntx((...line) => lines.push(line));
    const fn = pci.get('01:03.0');
    fn.bar(0).write32(0x20, 1);
    expect(fn.read(4) & (1 << 19)).not.toBe(0);
    fn.setCommand(0x400, 0x400); // Interrupt Disable
    fn.setCommand(0x400, 0);
    fn.bar(0).write32(0x20, 0);
    expect(fn.read(4) & (1 << 19)).toBe(0);
    // INTA of device 3 is INTD of the bridge at device 2.
    expect(lines).toEqual([true, false, true, false].map((on) => [0, 2, 4, on]));
  });
});

describe('CF8/CFC', () => {
  const functions = (): Placed[] => [
    at('05.0', edu()),
    at('01.0', rootPort([at('00.0', nvmeLike())])),
    at('02.0', testFunction({ msix: 4 })),
  ];

  it('shows the same 256 bytes as ECAM', () => {
    const { platform } = board(functions(), { q35: true });
    const cf8 = cf8Port(platform.cpu);
    const ecam = ecamPort(platform.cpu, ECAM, 0, 256);
    for (const requester of [0x00, 0x28, 0x08, 0x10, 0x100, 0x77])
      for (let o = 0; o < 256; o += 4) expect(cf8.read(requester, o)).toBe(ecam.read(requester, o));
    cf8.write(0x28, 0x0c, 0x55);
    expect(ecam.read(0x28, 0x0c)).toBe(0x55);
    expect(cf8.read(0x28, 0x100)).toBe(0xffff_ffff);
    platform.cpu.write32(ECAM + (5 << 15) + 0x0c, 0);
    expect(cf8.read(0x28, 0x0c)).toBe(0);
  });

  it('answers nothing while CONFIG_ADDRESS is not enabled', () => {
    const { platform } = board(functions(), { q35: true });
    platform.bus.out32(0xcf8, 0x2800);
    expect([platform.bus.in32(0xcfc), platform.bus.in32(0xcf8)]).toEqual([0xffff_ffff, 0x2800]);
  });

  it('is enough to enumerate and to enable MSI-X', () => {
    const { pci, doorbell, platform } = board(functions(), { q35: true, access: 'cf8' });
    expect(pci.functions.map((d) => d.name.slice(5))).toEqual(['00:00.0', '00:01.0', '00:02.0', '00:05.0', '01:00.0']);
    const fn = pci.get('00:02.0');
    pci.enableMsixRange(fn, 4, 4);
    fn.bar(0).write32(0x14, 3);
    expect(doorbell.writes.map((w) => w.value)).toEqual([0x43]);
    expect(() => platform.cpu.read32(ECAM)).toThrow(expect.objectContaining({ code: 'NO_SUCH_ADDRESS' }));
  });

  it('puts the ECAM where PCIEXBAR says, and nowhere over something else', () => {
    const { platform } = board(functions(), { q35: true });
    const { cpu, bus, diagnostics } = platform;
    expect(cpu.read32(ECAM)).toBe(0x29c0_8086);
    const cf8 = cf8Port(cpu);
    cf8.write(0, 0x60, 0x9000_0003); // 128 MiB
    expect(cpu.read32(0x9000_0000)).toBe(0x29c0_8086);
    expect(bus.regionAt(0x97ff_ffff)).toBeDefined();
    expect(bus.regionAt(0x9800_0000)).toBeUndefined();
    expect(bus.regionAt(ECAM)).toBeUndefined();
    cf8.write(0, 0x60, 0x0000_0001); // RAM
    expect(bus.regionAt(0x9000_0000)).toBeUndefined();
    expect(diagnostics.entries()[0]![0]).toContain('PCIEXBAR');
    cf8.write(0, 0x60, 0x9000_0007);
    expect(diagnostics.entries()[1]![0]).toContain('reserved');
  });

  it('says NO_PORT_IO on a machine that has none', () => {
    expect(() => cf8Port({} as never)).toThrow(expect.objectContaining({ code: 'NO_PORT_IO' }));
  });
});

describe('a definition that cannot be', () => {
  const base = { name: 'x', vendor: 1, device: 2, classCode: 0 };
  it.each([
    ['a BAR of 24 bytes', { ...base, bars: { 0: { size: 24 } } }],
    ['a 64-bit BAR in the last place', { ...base, bars: { 5: { size: 4096, width: 64 as const } } }],
    ['a BAR in another’s upper half', { ...base, bars: { 0: { size: 4096, width: 64 as const }, 1: { size: 4096 } } }],
    ['three MSI vectors', { ...base, msi: { vectors: 3 as 2 } }],
    ['an MSI-X table that does not fit', { ...base, bars: { 0: { size: 4096 } }, msix: { vectors: 300, bar: 0 } }],
    ['ATS without PCI Express', { ...base, pcie: false, ats: true }],
    ['egress control', { ...base, acs: 0x20 }],
    ['an interrupt pin E', { ...base, pin: 5 as 4 }],
    ['a PASID of 21 bits', { ...base, pasid: { width: 21 } }],
  ])('%s: BAD_FUNCTION', (_, definition) => {
    expect(() => definePciFunction(definition)).toThrow(expect.objectContaining({ code: 'BAD_FUNCTION' }));
  });
  it('two at one place, a device 1 on a link, no place: refused with the names', () => {
    expect(() => board([at('05.0', edu()), at('05.0', nvmeLike())])).toThrow(/nvme-like cannot stand at 05.0/);
    expect(() => board([at('05.0', rootPort([at('01.0', edu())]))])).toThrow(/a link has device 0 only/);
    expect(() => at('20.0', edu())).toThrow(/cannot stand at "20.0"/);
  });
  it('a host bridge without buses or with crooked windows: BAD_HOST_BRIDGE', () => {
    expect(() => board([], { ecam: { base: ECAM, buses: 300 } })).toThrow(/300 buses/);
    expect(() => board([], { windows: [{ base: 0xe000_0001, size: 0x1000 }] })).toThrow(/whole pages/);
  });
});

describe('whatever software writes', () => {
  const tree = (): Placed[] => [
    at(
      '01.0',
      rootPort([at('00.0', upstreamPort([at('00.0', downstreamPort([at('00.0', nvmeLike())], { acs: true }))]))]),
    ),
    at('02.0', conventionalBridge([at('01.0', testFunction({ msix: 3, msi: 4, perVectorMasking: true }))])),
    at('03.0', testFunction({ msix: 3, ats: true, pasid: { width: 8 }, acs: 0x1f })),
    at('05.0', edu()),
  ];
  const offset = fc.oneof(
    fc.integer({ min: 0, max: 0x50 }),
    fc.integer({ min: 0, max: 0x140 }),
    fc.integer({ min: 0, max: 0xfff }),
  );
  const value = fc.oneof(
    fc.constantFrom(0, 1, 2, 4, 6, 7, 0xffff_ffff, 0x8000_0000, 0xc000_0000),
    fc.integer({ min: 0, max: 0xffff_ffff }),
  );
  const place = fc.constantFrom(
    config(0, 0),
    config(0, 1),
    config(0, 2),
    config(0, 3),
    config(0, 5),
    config(1, 0),
    config(4, 1),
    config(2, 0),
    config(3, 0),
  );
  const toConfig = fc.record({ to: fc.constant('config' as const), place, offset, value });
  const toBar = fc.record({
    to: fc.constant('bar' as const),
    place: fc.integer({ min: 0, max: 8 }),
    offset: fc.integer({ min: 0, max: 0x2000 }),
    value,
  });

  const boards = [false, true].map((q35) => {
    const { platform, pci } = board(tree(), { q35 });
    const bars = pci.functions.flatMap((d) => d.bars.filter((b) => b).map((b) => b!.address));
    return { platform, pci, bars, fresh: platform.snapshot() };
  });

  it('throws nothing, hangs nothing, and every snapshot restores', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(toConfig, toBar), { maxLength: 60 }), fc.boolean(), (writes, q35) => {
        const { platform, pci, bars, fresh } = boards[Number(q35)]!;
        platform.restore(fresh);
        const { cpu } = platform;
        for (const d of pci.functions) d.setBusMaster(true);
        const half = platform.snapshot();
        const all = () => {
          for (const w of writes) {
            const address =
              w.to === 'config' ? w.place + (w.offset & ~3) : bars[w.place % bars.length]! + (w.offset & ~3);
            if (platform.bus.regionAt(address) === undefined) continue; // PCIEXBAR moved away
            cpu.write32(address, w.value);
            cpu.read32(platform.bus.regionAt(address) ? address : 0);
          }
          platform.settle();
          return platform.snapshot();
        };
        const first = all();
        platform.restore(half);
        expect(isDeepStrictEqual(platform.snapshot().models, half.models)).toBe(true);
        expect(isDeepStrictEqual(all().models, first.models)).toBe(true);
      }),
      { numRuns: 150 },
    );
  });
});

describe('state', () => {
  it('a fork goes on where the platform stood, and on its own', () => {
    const { platform, pci } = board([at('05.0', edu()), at('04.0', testFunction({ msix: 2 }))]);
    const fn = pci.get('00:04.0');
    const v = pci.enableMsixRange(fn, 2, 2);
    v.mask(1);
    fn.bar(0).write32(0x14, 1);
    pci.get('00:05.0').bar(0).write32(4, 5);
    const copy = platform.fork();
    const twin = copy.service(PCI).get('00:05.0').bar(0);
    expect(twin.read32(4)).toBe(0xffff_fffa);
    twin.write32(4, 0);
    expect(pci.get('00:05.0').bar(0).read32(4)).toBe(0xffff_fffa);
    const there = copy.service(PCI).get('00:04.0');
    expect(there.bar(4).read32(0x1000)).toBe(2); // pending
    there.bar(4).write32(28, 0);
    expect((copy.model('root0') as unknown as { writes: { value: number }[] }).writes.map((w) => w.value)).toEqual([
      0x41,
    ]);
    copy.dispose();
  });
});

import { lapicState, qemuAvailable, startQ35, type QemuMachine } from '@doorbell/qemu';
import { Platform } from '@doorbell/platform';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { at, CapId, cf8Port, edu, PCI, pciHostQ35, type BarPort, type PciBus, type PciDevice } from '../src/index.js';
import { testRoot, type DoorbellModel } from './root.js';

const qemu = qemuAvailable('x86_64');
if (!qemu.available) console.warn(`skipped: pci on QEMU: ${qemu.reason}`);

const ECAM = 0xb000_0000;
const WINDOWS = [{ base: 0xe000_0000, size: 0x1000_0000 }];

interface Side {
  platform: Platform;
  pci: PciBus;
  /** Vectors that reached a CPU since the start. */
  arrived(cpu: number): number[];
}

/** The same software on models or on a live machine: x86 messages carry the CPU in address bits 19:12. */
function side(machine?: QemuMachine): Side {
  const { plugin } = testRoot(0xfee0_0000, 64, 0x1000);
  const platform = new Platform({
    memory: [{ base: 0, size: 2 ** 26 }],
    ...(machine && { machine: machine }),
  })
    .use(plugin, pciHostQ35({ ecam: { base: ECAM }, windows: WINDOWS }, [at('05.0', edu())]))
    .compose();
  const doorbell = platform.model('root0') as unknown as DoorbellModel | undefined;
  return {
    platform,
    pci: platform.service(PCI),
    arrived: (cpu) =>
      machine
        ? [...lapicState(machine, cpu).requested]
        : [...new Set(doorbell!.writes.filter((w) => w.offset >>> 12 === cpu).map((w) => w.value))].sort(
            (a, b) => a - b,
          ),
  };
}

type Step =
  | readonly ['r', number]
  | readonly ['w', number, number]
  | readonly ['w64', number, number, number]
  | readonly ['wait'];

/**
 * What a script's reads see. Waiting: until neither factorial nor DMA is under way, nor the factorial's interrupt: QEMU's
 * thread raises that a moment after it has cleared COMPUTING (hw/misc/edu.c, edu_fact_thread).
 */
function play({ platform }: Side, bar: BarPort, script: readonly Step[]): number[] {
  const seen: number[] = [];
  let factorial = false;
  const busy = (): boolean => {
    const status = bar.read32(0x20);
    const raises = factorial && (status & 0x80) !== 0 && (bar.read32(0x24) & 1) === 0;
    return raises || (status & 1) !== 0 || (bar.read32(0x98) & 1) !== 0;
  };
  for (const step of script) {
    if (step[0] === 'r') seen.push(bar.read32(step[1]));
    else if (step[0] === 'w64') bar.write64(step[1], step[2], step[3]);
    else if (step[0] === 'w') {
      bar.write32(step[1], step[2]);
      factorial ||= step[1] === 0x08;
    } else {
      platform.waitUntil('edu', () => !busy());
      factorial = false;
    }
  }
  return seen;
}

/** A repeatable mix of register accesses; nothing that makes QEMU's edu end the process (a DMA outside of its buffer). */
function randomScript(seed: number, length: number): Step[] {
  let s = seed;
  const next = (n: number): number => {
    s = (Math.imul(s, 1664525) + 1013904223) >>> 0;
    return (s >>> 8) % n;
  };
  const registers = [0x00, 0x04, 0x08, 0x10, 0x20, 0x24, 0x60, 0x64, 0x80, 0x84, 0x88, 0x90, 0x94, 0x98, 0x9c, 0x100];
  const steps: Step[] = [];
  for (let i = 0; i < length; i++) {
    const at = registers[next(registers.length)]!;
    const value = [next(40), next(2 ** 24) * 256 + next(256), 0x80, 0][next(4)]!;
    if (next(2)) steps.push(['r', at]);
    else if (at === 0x98) steps.push(['w', at, value & ~1]);
    else if (at >= 0x80 && at < 0x98 && next(2) && at % 8 === 0)
      steps.push(['w64', at, next(16), value], ['r', at], ['r', at + 4]);
    // QEMU counts a factorial down one by one: large ones take it seconds.
    else steps.push(['w', at, at === 0x08 ? value % 0x10000 : value], ['wait']);
  }
  return steps;
}

describe.skipIf(!qemu.available)('the same software on a live QEMU', () => {
  let machine: QemuMachine;
  let live: Side;
  let model: Side;
  beforeAll(() => {
    machine = startQ35({ cpus: 2, devices: ['edu,addr=5.0'] });
    cf8Port(machine.cpu).write(0, 0x60, 0); // as before any firmware: no ECAM
    live = side(machine);
    model = side();
  });
  afterAll(() => {
    machine.close();
  });
  const both = () => [live, model].map((s) => ({ s, fn: s.pci.get('00:05.0') }));

  it('programs PCIEXBAR, finds edu and sizes its BAR alike', () => {
    for (const { fn } of both()) {
      expect(fn).toMatchObject({
        vendor: 0x1234,
        deviceId: 0x11e8,
        classCode: 0x00ff00,
        isBridge: false,
        pcieType: -1,
      });
      expect(fn.bars[0]).toMatchObject({ size: 2 ** 20, width: 32, prefetchable: false });
      expect([fn.msiVectors, fn.msixVectors, fn.capability(CapId.msi)]).toEqual([1, 0, 0x40]);
      expect(fn.bar(0).read32(0)).toBe(0x0100_00ed);
    }
    // 00:1f.x of QEMU's chipset: functions of one device without ACS.
    const chipset = live.pci.functions.filter((d) => d.slot === 0x1f);
    expect(chipset.length).toBeGreaterThan(1);
    expect(new Set(chipset.map((d) => d.isolation.group)).size).toBe(1);
    console.info(`QEMU q35: ${live.pci.functions.map((d) => d.name).join(', ')}`);
  });

  it('has the same configuration words, and the same writable bits', () => {
    const words = (fn: PciDevice) => {
      const out: Record<string, number[]> = {};
      for (let o = 0; o < 0x50; o += 4) {
        const before = fn.read(o);
        if (o !== 4) fn.write(o, 0xffff_ffff);
        const after = fn.read(o);
        if (o !== 4) fn.write(o, before);
        const own = o === 0x10 ? [before & 0xf, after] : [before, after];
        out[o.toString(16)] = own.map((w) => w >>> 0);
      }
      return out;
    };
    const [a, b] = both().map(({ fn }) => {
      fn.setCommand(0x407, 0);
      const w = words(fn);
      fn.setCommand(2, 2);
      return w;
    });
    // QEMU 7.2 lets all 32 bits of MSI data be written (hw/pci/msi.c, msi_init); PCI 3.0 §6.8.1.6 has 16.
    expect([a!['4c'], b!['4c']]).toEqual([
      [0, 0xffff_ffff],
      [0, 0xffff],
    ]);
    expect({ ...b, '4c': 0 }).toEqual({ ...a, '4c': 0 });
  });

  it('sees the same from any register script', () => {
    let reads = 0;
    for (const seed of [1, 2, 3, 4, 5]) {
      const [a, b] = both().map(({ s, fn }) => play(s, fn.bar(0), randomScript(seed, 60)));
      expect(b, `seed ${seed}`).toEqual(a);
      reads += a!.length;
    }
    console.info(`edu: ${reads} reads of 5 scripts agree with QEMU`);
    expect(reads).toBeGreaterThan(100);
  });

  it('moves the same bytes by DMA, its address clamped to 28 bits', () => {
    const results = both().map(({ s, fn }) => {
      const bar = fn.bar(0);
      const ram = s.platform.memory;
      fn.setBusMaster(true);
      ram.write32(0x20_0000, 0xcafe_f00d);
      ram.write32(0x20_1008, 0x1111_1111);
      const copied = play(s, bar, [
        ...([
          ['w', 0x64, 0xffff_ffff],
          ['w64', 0x80, 0, 0x20_0000],
          ['w64', 0x88, 0, 0x4_0010],
          ['w64', 0x90, 0, 8],
          ['w64', 0x98, 0, 1],
          ['wait'],
        ] as const),
        // 0xf_0020_1000 is 0x20_1000 to 28 address bits
        ...([
          ['w64', 0x80, 0, 0x4_0010],
          ['w64', 0x88, 0xf, 0x20_1000],
          ['w64', 0x98, 0, 7],
          ['wait'],
          ['r', 0x24],
          ['r', 0x98],
          ['r', 0x88],
        ] as const),
      ]);
      fn.setBusMaster(false);
      return [...copied, ram.read32(0x20_1000), ram.read32(0x20_1004), ram.read32(0x20_1008)];
    });
    expect(results[1]).toEqual(results[0]);
    expect(results[0]).toEqual([0x100, 6, 0x20_1000, 0xcafe_f00d, 0, 0x1111_1111]);
  });

  it('enables the MSI and sees it at the CPU; affinity moves it; disabling puts everything back', () => {
    for (const { s, fn } of both()) {
      fn.bar(0).write32(0x64, 0xffff_ffff);
      const before = Array.from({ length: 20 }, (_, i) => fn.read(4 * i));
      const v = s.pci.allocateVectors(fn, { min: 1, max: 4 });
      expect([v.kind, v.count]).toEqual(['msi', 1]);
      expect(v.message(0)).toEqual({ addressHi: 0, addressLo: 0xfee0_0000, data: 0x40 });
      fn.bar(0).write32(0x60, 1);
      expect(s.arrived(0)).toEqual([0x40]);
      fn.bar(0).write32(0x64, 1);
      expect(v.setAffinity(0, 1).messageChanged).toBe(true);
      fn.bar(0).write32(0x60, 1);
      expect([s.arrived(0), s.arrived(1)]).toEqual([[0x40], [0x40]]);
      fn.bar(0).write32(0x64, 1);
      v.free();
      expect(fn.read(0x40)).toBe(before[16]);
      fn.bar(0).write32(8, 10);
    }
  });
});

describe.skipIf(!qemu.available)('a tree on a live QEMU', () => {
  it('is numbered, its windows open, its MSI-X programmed, its groups derived', () => {
    const machine = startQ35({
      devices: [
        'pcie-root-port,id=rp0,addr=2.0,chassis=1,slot=1',
        'e1000e,bus=rp0,addr=0',
        'pcie-root-port,id=rp1,addr=3.0,chassis=2,slot=2',
        'pcie-pci-bridge,id=br,bus=rp1,addr=0',
        'edu,bus=br,addr=4.0',
        'edu,bus=br,addr=5.0',
        'pcie-root-port,id=rp2,addr=4.0,chassis=3,slot=3',
        'x3130-upstream,id=up,bus=rp2,addr=0',
        'xio3130-downstream,id=d0,bus=up,addr=0,chassis=4,slot=4',
        'xio3130-downstream,id=d1,bus=up,addr=1,chassis=5,slot=5',
        'nvme,serial=one,bus=d1,addr=0',
      ],
    });
    try {
      const { pci } = side(machine);
      const names = pci.functions.map((d) => `${d.name.slice(5)} ${d.pcieType}`);
      expect(names).toEqual(
        expect.arrayContaining([
          '01:00.0 0',
          '02:00.0 7',
          '03:04.0 -1',
          '03:05.0 -1',
          '04:00.0 5',
          '05:00.0 6',
          '05:01.0 6',
          '07:00.0 0',
        ]),
      );
      expect(pci.unplaced).toEqual([]);
      expect(pci.get('03:04.0').bar(0).read32(0)).toBe(0x0100_00ed);
      expect(pci.get('03:05.0').aliases).toEqual([0x0328, 0x0300]);
      expect(pci.get('03:04.0').isolation.group).toBe(pci.get('03:05.0').isolation.group);
      expect(pci.get('01:00.0').isolation.isolated).toBe(true);
      console.info([1, 3, 7].map((b) => pci.functions.find((d) => d.bus === b)!.isolation));
      for (const bdf of ['01:00.0', '07:00.0']) {
        const fn = pci.get(bdf);
        const v = pci.enableMsixRange(fn, 2, 4);
        expect(v.count).toBe(4);
        expect(v.message(3)).toEqual({ addressHi: 0, addressLo: 0xfee0_0000, data: v.message(0).data + 3 });
      }
    } finally {
      machine.close();
    }
  });
});

import { Q35, VIRT } from '@doorbell/qemu';
import { afterEach, describe, expect, it } from 'vitest';
import { op } from '../differential/its/rows.js';
import { AT, send, start, type Side } from '../differential/its/sides.js';
import { Edu } from '../support/edu.js';
import { Served } from './served.js';

const open: Served[] = [];
afterEach(() => {
  for (const s of open.splice(0)) s.close();
});
const serve = (board: string, ...devices: string[]): Served => {
  const s = new Served(board, devices);
  open.push(s);
  return s;
};
/** PCIEXBAR where the recipes have it. */
function q35(...devices: string[]): Served {
  const s = serve('q35-vtd', ...devices);
  s.cpu.out32(0xcf8, 0x8000_0060);
  s.cpu.out32(0xcfc, (Q35.ecam | 1) >>> 0);
  return s;
}
const UNIT = 0xfed9_0000;

/** Root and context tables for 00:05.0 with one page; translation and faults recorded. */
function translate({ cpu, memory }: Served): void {
  memory.write64(0x10_0000, 0, 0x10_1001);
  memory.write64(0x10_1000 + 16 * 0x28, 0, 0x10_2001);
  memory.write64(0x10_1008 + 16 * 0x28, 0, 0x102); // domain 1, 4 levels
  for (const [level, next] of [
    [0x10_2000, 0x10_3003],
    [0x10_3000, 0x10_4003],
    [0x10_4000, 0x10_5003],
  ] as const)
    memory.write64(level, 0, next);
  memory.write64(0x10_5008, 0, 0x20_0003); // IOVA 0x1000
  cpu.write64(UNIT + 0x20, 0, 0x10_0000);
  cpu.write32(UNIT + 0x18, 0x4000_0000);
  cpu.write32(UNIT + 0x18, 0x8000_0000);
}

describe('--events on q35-vtd', () => {
  it('tells of DMA, then of its fault, with the page that the unit recorded', () => {
    const s = q35();
    const edu = new Edu(s.cpu, Q35.ecam + (5 << 15), Q35.bars);
    translate(s);
    s.memory.write32(0x20_0010, 0x1234_5678);
    edu.start('read', 0x1010);
    edu.start('write', 0x1020);
    edu.start('write', 0x2_0000_0004);
    expect(s.memory.read32(0x20_0020)).toBe(0x1234_5678);
    const dma = { event: 'dma', requester: 0x28, size: 4 };
    expect(s.fresh()).toEqual([
      { ...dma, direction: 'read', address: '0x1010', verdict: 'translated', pa: '0x200010', landed: true },
      { ...dma, direction: 'write', address: '0x1020', verdict: 'translated', pa: '0x200020', landed: true },
      { ...dma, direction: 'write', address: '0x200000004', verdict: 'fault', pa: null, landed: false },
      {
        event: 'fault',
        unit: 'dmar0',
        code: '0x5',
        name: 'WRITE_WITHOUT_PERMISSION',
        requester: 0x28,
        address: '0x200000000',
      },
    ]);
    expect(s.cpu.read32(UNIT + 0x34)).toBe(0x2); // FSTS.PPF
  });

  it('delivers MSIs of the function and wired interrupts of the IOAPIC, edge and level', () => {
    const s = q35();
    const edu = new Edu(s.cpu, Q35.ecam + (5 << 15), Q35.bars);
    edu.enableMsi(0xfee0_1000, 0x4045);
    edu.raise();
    const rte = (pin: number, hi: number, lo: number) => {
      for (const [n, v] of [
        [0x11 + 2 * pin, hi],
        [0x10 + 2 * pin, lo],
      ] as const) {
        s.cpu.write32(Q35.ioapic, n);
        s.cpu.write32(Q35.ioapic + 0x10, v);
      }
    };
    rte(9, 0, 0x31);
    rte(21, 0x0100_0000, 0x8032); // level, CPU 1
    expect(s.ask('set_irq_in ioapic unnamed-gpio-in 9 1')).toBe('OK');
    s.cpu.write16(edu.config + 0x40 + 2, 0); // MSI off: INTA of slot 5 is input 21
    edu.raise();
    expect(s.fresh()).toMatchObject([
      { event: 'interrupt', controller: 'apic', vector: 0x45, destination: 1, triggerMode: 'edge', accepted: 1 },
      { vector: 0x31, destination: 0, triggerMode: 'edge' },
      { vector: 0x32, destination: 1, triggerMode: 'level' },
    ]);
  });

  it('takes bridges as QEMU names them: aliases behind a PCIe-to-PCI bridge', () => {
    const s = q35(
      'intel-iommu,aw-bits=39,caching-mode=on',
      'pcie-root-port,id=rp0,chassis=1,addr=2.0',
      'pcie-pci-bridge,id=br0,bus=rp0',
      'edu,bus=br0,addr=3.0',
      'edu,addr=6.0',
    );
    expect(s.cpu.read32(UNIT + 8) & 0x1f80).toBe(0x0280); // SAGAW: 3 levels; caching mode
    const bridge = (config: number, buses: number): void => {
      s.cpu.write32(config + 0x18, buses);
      s.cpu.write32(config + 0x20, 0xe0f0_e000);
      s.cpu.write16(config + 4, 6);
    };
    bridge(Q35.ecam + (2 << 15), 0x0002_0100);
    bridge(Q35.ecam + (1 << 20), 0x0002_0201);
    const edu = new Edu(s.cpu, Q35.ecam + (2 << 20) + (3 << 15), 0xe000_0000);
    expect(s.cpu.read32(edu.bar)).toBe(0x0100_00ed);
    expect(s.cpu.read32(Q35.ecam + (5 << 15))).toBe(0xffff_ffff); // the default edu is not there
    expect(s.cpu.read32(Q35.ecam + (6 << 15))).toBe(0x11e8_1234);
    translate(s);
    edu.start('write', 0x1000);
    expect(s.fresh()).toMatchObject([
      { event: 'dma', requester: 0x218, verdict: 'fault' },
      { event: 'fault', code: '0x1', requester: 0x200, address: '0x1000' },
    ]);
  });
});

describe('--events on virt-smmuv3', () => {
  it('acknowledges LPIs at once; disabled ones give none until they are enabled', () => {
    const s = serve('virt-smmuv3');
    const side: Side = { cpu: s.cpu, memory: s.memory, taken: () => [] };
    start(side);
    for (const c of [op.mapc(0, 0), op.mapc(1, 1), op.mapd(0), op.mapti(0, 0, 8192, 1), op.mapti(0, 1, 8193, 0)])
      send(side, c);
    for (const c of [op.int(0, 0), op.int(0, 0), op.int(0, 1)]) send(side, c);
    const lpi = { event: 'interrupt', controller: 'gicv3-its', deviceId: 0, collection: 1, cpu: 1, enabled: true };
    expect(s.fresh()).toEqual([
      { ...lpi, doorbell: '0x8090040', eventId: 0, intid: 8192 },
      { ...lpi, doorbell: '0x8090040', eventId: 0, intid: 8192 },
    ]);
    s.memory.write8(AT.configuration + 1, 0xa3);
    send(side, op.inv(0, 1));
    expect(s.fresh()).toMatchObject([{ event: 'interrupt', controller: 'gicv3-its', intid: 8193, cpu: 0 }]);
    expect(s.memory.read32(AT.pending + 1024)).toBe(0); // taken
  });

  it('carries the function’s DeviceID beside its MSI, also behind a bridge', () => {
    const s = serve('virt-smmuv3', 'edu,addr=4.0', 'pcie-root-port,id=rp,addr=2.0', 'edu,bus=rp');
    const side: Side = { cpu: s.cpu, memory: s.memory, taken: () => [] };
    start(side);
    const port = VIRT.ecam + (2 << 15);
    s.cpu.write32(port + 0x18, 0x0001_0100);
    s.cpu.write32(port + 0x20, 0x1010_1010);
    s.cpu.write16(port + 4, 6);
    const edus = [
      new Edu(s.cpu, VIRT.ecam + (4 << 15), VIRT.bars),
      new Edu(s.cpu, VIRT.ecam + (1 << 20), VIRT.bars + 0x10_0000),
    ];
    send(side, op.mapc(0, 0));
    for (const [device, lpi] of [
      [0x20, 8192],
      [0x100, 8194],
    ] as const) {
      send(side, op.mapd(device, 3, true, device === 0x20 ? 0 : 1));
      send(side, op.mapti(device, 5, lpi, 0));
    }
    for (const edu of edus) {
      edu.enableMsi(0x0809_0040, 5);
      edu.raise();
    }
    const lpi = { event: 'interrupt', controller: 'gicv3-its', eventId: 5, collection: 0, cpu: 0, enabled: true };
    expect(s.fresh()).toEqual([
      { ...lpi, doorbell: '0x8090040', deviceId: 0x20, intid: 8192 },
      { ...lpi, doorbell: '0x8090040', deviceId: 0x100, intid: 8194 },
    ]);
  });

  it('tells of wired interrupts: the SMMU’s event queue, INTx', () => {
    const s = serve('virt-smmuv3');
    const { cpu } = s;
    cpu.write32(VIRT.gicd, 0x12);
    for (const intid of [106, 35]) {
      const word = 4 * (intid >>> 5);
      for (const array of [0x80, 0x100]) cpu.write32(VIRT.gicd + array + word, 2 ** (intid & 31)); // group 1, enabled
    }
    const edu = new Edu(cpu, VIRT.ecam + (4 << 15), VIRT.bars);
    edu.raise();
    // an SMMU with an empty stream table, event queue interrupt on
    const w = (offset: number, v: number) => cpu.write32(VIRT.smmu + offset, v);
    cpu.write64(VIRT.smmu + 0x80, 0, 0x4400_0000);
    w(0x88, 6);
    cpu.write64(VIRT.smmu + 0xa0, 0, 0x4401_0004);
    w(0x50, 4);
    w(0x20, 5);
    edu.start('read', 0x4000_0000);
    expect(s.fresh()).toEqual([
      { event: 'interrupt', controller: 'gicv3', intid: 35, cpu: 0 },
      {
        event: 'dma',
        requester: 0x20,
        direction: 'read',
        address: '0x40000000',
        size: 4,
        verdict: 'fault',
        pa: null,
        landed: false,
      },
      { event: 'fault', unit: 'smmu0', code: '0x4', name: 'C_BAD_STE', requester: 0x20, address: '0x40000000' },
      { event: 'interrupt', controller: 'gicv3', intid: 106, cpu: 0 },
    ]);
  });
});

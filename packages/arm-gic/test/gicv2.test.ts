import { CPU_INTERFACE, INTERRUPTS, type MsiBlock } from '@doorbell/irqchip';
import { Platform } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { gicv2, gicv2m, gicv3, type Gicv2 } from '../src/index.js';
import { nic } from './devices.js';

const DISTRIBUTOR = 0x0800_0000;
const machine = (cpus = 2): Platform =>
  new Platform({ memory: [{ base: 0x4000_0000, size: 2 ** 28 }] }).use(gicv2({ cpus }), gicv2m()).compose();
const fire = (platform: Platform, block: MsiBlock, index: number): void => {
  const m = block.message(index);
  platform.fabric().write32(0x20, m.addressHi, m.addressLo, m.data);
};

describe('a GICv2 with a GICv2m frame', () => {
  it('delivers an SPI to its CPU, moves it, and masks it', () => {
    const platform = machine();
    const core = platform.service(INTERRUPTS);
    const cpu = platform.get(CPU_INTERFACE);
    const told: unknown[] = [];
    platform.hooks.delivered.tap('test', (d) => told.push(d));
    const block = core.domainFor(nic()).allocate({ count: 2, cpus: [0, 1] });
    expect(block.message(1)).toEqual({ addressHi: 0, addressLo: 0x0802_0040, data: 81 });
    fire(platform, block, 0);
    fire(platform, block, 1);
    expect(told[1]).toEqual({ controller: 'gicv2m', doorbell: '0x8020040', intid: 81, cpu: 1 });
    expect([cpu.acknowledge(0), cpu.acknowledge(1), cpu.acknowledge(1)]).toEqual([80, 81, null]);
    cpu.end(1, 81);
    block.setAffinity(1, 0);
    fire(platform, block, 1);
    expect([cpu.pending(1), cpu.acknowledge(0)]).toEqual([[], 81]);
    cpu.end(0, 81);
    block.mask(1);
    fire(platform, block, 1);
    expect(cpu.pending(0)).toEqual([]);
    block.unmask(1);
    expect(cpu.acknowledge(0)).toBe(81);
    block.free();
  });

  it('has byte-wide targets, which one CPU reads as zero', () => {
    const two = machine(2);
    two.bus.write8(DISTRIBUTOR + 0x800 + 90, 2);
    expect(two.bus.read32(DISTRIBUTOR + 0x800 + 88)).toBe(0x0002_0000);
    two.bus.write8(DISTRIBUTOR + 0x800 + 90, 0xff);
    expect(two.bus.read8(DISTRIBUTOR + 0x800 + 90)).toBe(3);
    const one = machine(1);
    one.bus.write8(DISTRIBUTOR + 0x800 + 90, 1);
    expect(one.bus.read8(DISTRIBUTOR + 0x800 + 90)).toBe(0);
  });

  it('an SPI without a target or with the distributor off stays pending', () => {
    const platform = machine();
    const names: string[] = [];
    platform.hooks.refused.tap('test', (r) => names.push(r.name));
    const block = platform
      .service(INTERRUPTS)
      .domainFor(nic())
      .allocate({ count: 1, cpus: [1] });
    platform.bus.write8(DISTRIBUTOR + 0x800 + 80, 0);
    fire(platform, block, 0);
    platform.bus.write8(DISTRIBUTOR + 0x800 + 80, 2);
    platform.bus.write32(DISTRIBUTOR, 0);
    expect(platform.get(CPU_INTERFACE).acknowledge(1)).toBeNull();
    platform.bus.write32(DISTRIBUTOR, 1);
    expect(platform.get(CPU_INTERFACE).acknowledge(1)).toBe(80);
    expect(names).toEqual(['SPI_DISABLED']);
  });

  it('snapshot and restore bring everything back', () => {
    const platform = machine();
    const gic = platform.model('gic0') as Gicv2;
    const block = platform
      .service(INTERRUPTS)
      .domainFor(nic())
      .allocate({ count: 1, cpus: [1] });
    fire(platform, block, 0);
    const state = structuredClone(gic.snapshot());
    gic.reset();
    expect(gic.pending(1)).toEqual([]);
    gic.restore(state);
    expect(gic.pending(1)).toEqual([80]);
    expect(gic.acknowledge(1)).toBe(80);
  });

  it('takes captured registers, those that clear left aside', () => {
    const gic = machine().model('gic0') as Gicv2;
    const words = { '0x0': 1, '0x4': 0x28, '0x108': 0x1_0000, '0x188': 0x1_0000, '0x850': 2 };
    const missing = gic.restoreCapture({ base: DISTRIBUTOR, words }).problems;
    expect(missing).toEqual([
      'gic0 distributor: GICD_ISENABLER is missing',
      'gic0 distributor: GICD_ITARGETSR is missing',
    ]);
    const all = { ...words, '0x104': 0, '0x820': 0 };
    expect(gic.restoreCapture({ base: DISTRIBUTOR, words: all }).problems).toEqual([]);
    expect(gic.pulse(80)).toBe(true);
    expect(gic.pending(1)).toEqual([80]);
  });
});

it('a GICv3 keeps its enables when a capture has the clearing registers too', () => {
  const platform = new Platform({ memory: [{ base: 0x4000_0000, size: 2 ** 28 }] }).use(gicv3()).compose();
  const gic = platform.model('gic0') as unknown as { restoreCapture(r: unknown): unknown; pulse(n: number): boolean };
  gic.restoreCapture({
    base: DISTRIBUTOR,
    words: { '0x0': 0x53, '0x88': 0xffff_ffff, '0x108': 0x1_0000, '0x188': 0x1_0000 },
  });
  expect(gic.pulse(80)).toBe(true);
});

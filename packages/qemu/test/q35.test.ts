import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lapicState, Q35, qemuAvailable, startQ35, type QemuMachine } from '../src/index.js';
import { Edu } from '../../../test/support/edu.js';

const qemu = qemuAvailable('x86_64');
if (!qemu.available) console.warn(`skipped: q35 on QEMU: ${qemu.reason}`);

describe.skipIf(!qemu.available)('q35 on QEMU', () => {
  let machine: QemuMachine;
  let edu: Edu;
  beforeAll(() => {
    machine = startQ35({ cpus: 2, devices: ['edu,addr=5.0,dma_mask=0xffffffffffffffff'] });
    edu = new Edu(machine.cpu, Q35.ecam + (5 << 15), Q35.bars);
  });
  afterAll(() => {
    machine.close();
  });

  it('shares RAM both ways', () => {
    machine.memory.write64(0x10_0000, 0xfedcba98, 0x76543210);
    expect(machine.cpu.read64(0x10_0000)).toBe(0x76543210);
    expect(machine.cpu.hi).toBe(0xfedcba98);
    machine.cpu.write64(0x10_0008, 0x01234567, 0x89abcdef);
    expect([...machine.readBytes(0x10_0008, 8)]).toEqual([0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01]);
    machine.cpu.write16(0x10_0010, 0x1234);
    expect(machine.memory.read16(0x10_0010)).toBe(0x1234);
    machine.memory.write8(0x10_0012, 0xa5);
    expect(machine.cpu.read32(0x10_0010)).toBe(0x00a51234);
  });

  it('refuses addresses that are not RAM', () => {
    expect(() => machine.memory.read32(64 * 2 ** 20 - 2)).toThrow(expect.objectContaining({ code: 'NOT_RAM' }));
  });

  it('reads the same configuration space through ECAM and CF8/CFC', () => {
    expect(edu.cpu.read32(edu.config)).toBe(0x11e81234);
    for (const offset of [0, 4, 8, 0x10, 0x34]) {
      machine.cpu.out32(0xcf8, (0x8000_0000 | (5 << 11) | offset) >>> 0);
      expect(machine.cpu.in32(0xcfc)).toBe(machine.cpu.read32(edu.config + offset));
    }
    expect(machine.cpu.read32(Q35.ecam + (9 << 15))).toBe(0xffffffff); // nobody there
  });

  it('lets the device read and write RAM', () => {
    expect(machine.cpu.read32(edu.bar)).toBe(0x010000ed);
    machine.memory.write32(0x20_0000, 0xcafef00d);
    edu.start('read', 0x20_0000);
    machine.waitUntil('edu to read', () => !edu.busy);
    edu.start('write', 0x20_1000);
    machine.waitUntil('edu to write', () => !edu.busy);
    expect(machine.memory.read32(0x20_1000)).toBe(0xcafef00d);
  });

  it('shows an MSI in the request register of the CPU that it names, and of no other', () => {
    edu.enableMsi(Q35.lapic, 0x51);
    edu.raise();
    expect(lapicState(machine, 0).requested).toContain(0x51);
    edu.enableMsi(Q35.lapic + (1 << 12), 0x62);
    edu.raise();
    expect(lapicState(machine, 1)).toEqual({ requested: [0x62], inService: [] });
    expect(lapicState(machine, 0).requested).not.toContain(0x62);
  });

  it('ends a wait that never comes true in HARDWARE_TIMEOUT', () => {
    expect(() => machine.waitUntil('a miracle', () => false, 3)).toThrow(
      expect.objectContaining({ code: 'HARDWARE_TIMEOUT' }),
    );
  });

  it('speaks the monitor and QMP', () => {
    expect(machine.monitor('info version')).toMatch(/^7\.2\./);
    expect(machine.qmp('query-status')).toMatchObject({ running: true });
    expect(() => machine.qmp('no-such-command')).toThrow(expect.objectContaining({ code: 'QMP_ERROR' }));
  });

  it('allocates zeroed, aligned pages and takes them back', () => {
    const page = machine.pages.allocate(0x10000);
    expect(page % 0x10000).toBe(0);
    machine.memory.write32(page, 1);
    machine.pages.free(page, 0x10000);
    expect(machine.memory.read32(machine.pages.allocate(0x10000))).toBe(0);
  });

  it('prints what accesses cost', () => {
    const per = (n: number, body: (i: number) => void): number => {
      const t = performance.now();
      for (let i = 0; i < n; i++) body(i);
      return Math.round(((performance.now() - t) * 1e6) / n);
    };
    const costs = {
      'register read': per(2000, () => machine.cpu.read32(Q35.ioapic)),
      'register write': per(2000, () => {
        machine.cpu.write32(edu.bar + 4, 1);
      }),
      'RAM read32': per(20000, (i) => machine.memory.read32(0x10_0000 + 4 * i)),
      'RAM write64': per(20000, (i) => {
        machine.memory.write64(0x10_0000 + 8 * i, 0, i);
      }),
      'DMA of 4 bytes, set up and awaited': per(200, () => {
        edu.start('write', 0x20_1000);
        machine.waitUntil('edu', () => !edu.busy);
      }),
      'LAPIC state': per(50, () => lapicState(machine)),
    };
    console.info('ns per', costs);
    expect(costs['register read']).toBeGreaterThan(0);
  });
});

describe.skipIf(!qemu.available)('a QEMU process', () => {
  it('leaves nothing behind', () => {
    const machine = startQ35({ trace: ['pci_cfg_write'] });
    const { directory } = machine['process'];
    const running = (): boolean => spawnSync('pgrep', ['-f', directory]).status === 0;
    expect(running()).toBe(true);
    machine.cpu.write16(Q35.ecam + 4, 6);
    expect(machine.traceLines().at(-1)).toContain('pci_cfg_write');
    expect(machine.traceLines()).toEqual([]);
    machine.close();
    machine.close();
    expect(running()).toBe(false);
    expect(existsSync(directory)).toBe(false);
  });

  it('says QEMU_GONE when it has died, and QEMU_START_FAILED with its own words when it cannot start', () => {
    const machine = startQ35();
    expect(() => machine.cpu.command('read 0x1000 0')).toThrow(expect.objectContaining({ code: 'QEMU_GONE' }));
    machine.close();
    expect(() => startQ35({ devices: ['no-such-device'] })).toThrow(/is not a valid device model name/);
  });
});

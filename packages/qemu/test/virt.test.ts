import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { acknowledged, qemuAvailable, startVirt, STUB, stubBytes, VIRT, type QemuMachine } from '../src/index.js';
import { Edu } from '../../../test/support/edu.js';

const qemu = qemuAvailable('aarch64');
if (!qemu.available) console.warn(`skipped: virt on QEMU: ${qemu.reason}`);
const assembler = spawnSync('aarch64-linux-gnu-as', ['--version']).status === 0;
if (!assembler) console.warn('skipped: the Arm stub against an assembler: aarch64-linux-gnu-as is not installed');

describe.skipIf(!assembler)('the Arm stub', () => {
  it('has the words that an assembler makes of its text', () => {
    const directory = mkdtempSync(join(tmpdir(), 'doorbell-stub-'));
    try {
      const file = (name: string): string => join(directory, name);
      writeFileSync(file('s'), STUB.map(([, text]) => `${text}\n`).join(''));
      execFileSync('aarch64-linux-gnu-as', ['-o', file('o'), file('s')]);
      execFileSync('aarch64-linux-gnu-objcopy', ['-O', 'binary', file('o'), file('bin')]);
      expect(Buffer.from(stubBytes()).equals(readFileSync(file('bin')))).toBe(true);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe.skipIf(!qemu.available)('virt on QEMU', () => {
  let machine: QemuMachine;
  let edu: Edu;
  beforeAll(() => {
    machine = startVirt({ devices: ['edu,dma_mask=0xffffffffffffffff,addr=4'] });
    edu = new Edu(machine.cpu, VIRT.ecam + (4 << 15), VIRT.bars);
    machine.cpu.write32(VIRT.gicd, 0x12); // GICD_CTLR: ARE, EnableGrp1
  });
  afterAll(() => {
    machine.close();
  });

  it('shares RAM at 1 GiB both ways', () => {
    machine.memory.write32(VIRT.ram + 0x100, 0x12345678);
    expect(machine.cpu.read32(VIRT.ram + 0x100)).toBe(0x12345678);
    machine.cpu.write32(VIRT.ram + 0x104, 0x9abcdef0);
    expect(machine.memory.read32(VIRT.ram + 0x104)).toBe(0x9abcdef0);
  });

  it('logs an SPI on the CPU that it is routed to', () => {
    const spi = 100;
    machine.cpu.write32(VIRT.gicd + 0x80 + 4 * (spi >> 5), 0xffffffff); // GICD_IGROUPRn
    machine.cpu.write64(VIRT.gicd + 0x6000 + 8 * spi, 0, 1); // GICD_IROUTERn: Aff0 = 1
    machine.cpu.write32(VIRT.gicd + 0x100 + 4 * (spi >> 5), 1 << (spi & 31)); // GICD_ISENABLERn
    machine.cpu.write32(VIRT.gicd + 0x200 + 4 * (spi >> 5), 1 << (spi & 31)); // GICD_ISPENDRn
    machine.waitUntil('CPU 1 to acknowledge', () => acknowledged(machine, 1).count === 1);
    expect(acknowledged(machine, 1).intids).toEqual([spi]);
    expect(acknowledged(machine, 0).count).toBe(0);
  });

  it('logs an SGI on each CPU', () => {
    for (const cpu of [0, 1]) {
      const frame = VIRT.gicr + 0x20000 * cpu;
      const before = acknowledged(machine, cpu).count;
      machine.cpu.write32(frame + 0x14, 0); // GICR_WAKER
      machine.cpu.write32(frame + 0x10080, 0xffffffff); // GICR_IGROUPR0
      machine.cpu.write32(frame + 0x10100, 1 << 7); // GICR_ISENABLER0
      machine.cpu.write32(frame + 0x10200, 1 << 7); // GICR_ISPENDR0
      machine.waitUntil('the SGI', () => acknowledged(machine, cpu).count === before + 1);
      expect(acknowledged(machine, cpu).intids.at(-1)).toBe(7);
    }
  });

  it('lets the device read and write RAM while the SMMU is disabled', () => {
    expect(machine.cpu.read32(edu.config)).toBe(0x11e81234);
    machine.memory.write32(VIRT.ram + 0x20_0000, 0xcafef00d);
    edu.start('read', VIRT.ram + 0x20_0000);
    machine.waitUntil('edu to read', () => !edu.busy);
    edu.start('write', VIRT.ram + 0x20_1000);
    machine.waitUntil('edu to write', () => !edu.busy);
    expect(machine.memory.read32(VIRT.ram + 0x20_1000)).toBe(0xcafef00d);
  });

  it('has an SMMU and an ITS where the recipe says', () => {
    expect(machine.cpu.read32(VIRT.smmu)).toBe(0x0d40101a); // SMMU_IDR0
    expect(machine.cpu.read32(VIRT.its + 0xffe8) & 0xf0).toBe(0x30); // GITS_PIDR2.ArchRev = GICv3
  });
});

describe.skipIf(!qemu.available)('virt with GICv2m on QEMU', () => {
  it('has a v2m frame', () => {
    const machine = startVirt({ msi: 'gicv2m', smmu: false });
    try {
      // MSI_TYPER: base SPI 80 in 25:16, 64 of them in 9:0
      expect(machine.cpu.read32(VIRT.gicv2m + 0x8)).toBe((80 << 16) | 64);
    } finally {
      machine.close();
    }
  });
});

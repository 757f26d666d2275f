import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { registerPort, type RegisterPort } from '@doorbell/platform';
import { E500, interruptAcknowledge, qemuAvailable, startPpcE500, type QemuMachine } from '../src/index.js';

const qemu = qemuAvailable('ppc');
if (!qemu.available) console.warn(`skipped: e500 on QEMU: ${qemu.reason}`);

describe.skipIf(!qemu.available)('e500 on QEMU', () => {
  let machine: QemuMachine;
  let ccsr: RegisterPort;
  beforeAll(() => {
    machine = startPpcE500({ cpus: 2, devices: ['edu,addr=2.0'] });
    ccsr = registerPort(machine.cpu, E500.ccsr, 'big');
  });
  afterAll(() => {
    machine.close();
  });

  it('shares RAM both ways, values little-endian though the target is big-endian', () => {
    expect(machine.cpu.endianness).toBe('big');
    machine.memory.write32(0x1000, 0x12345678);
    expect(machine.cpu.read32(0x1000)).toBe(0x12345678);
    expect(machine.cpu.read8(0x1000)).toBe(0x78);
    machine.cpu.write64(0x1008, 0x01020304, 0x05060708);
    expect([...machine.readBytes(0x1008, 8)]).toEqual([8, 7, 6, 5, 4, 3, 2, 1]);
    expect(machine.cpu.read64(0x1008)).toBe(0x05060708);
    expect(machine.cpu.hi).toBe(0x01020304);
    machine.cpu.write16(0x1010, 0xabcd);
    expect(machine.memory.read16(0x1010)).toBe(0xabcd);
  });

  it('reads the MPIC as a big-endian block', () => {
    expect(ccsr.read32(0x41000)).toBe(0x00c30102); // FRR
    expect(ccsr.read32(0x40000)).toBe(0x00400402); // BRR1
  });

  it('delivers a message-signalled interrupt to IACK', () => {
    const source = 0x51c00 + 0x20 * 1; // MSI 1
    ccsr.write32(0x41020, 0x2000_0000); // GCR: mixed mode
    ccsr.write32(source + 0x10, 1); // IDR: CPU 0
    ccsr.write32(source, 0x0008_0025); // IVPR: priority 8, vector 0x25
    ccsr.write32(0x60080, 0); // CTPR of CPU 0
    expect(interruptAcknowledge(machine)).toBe(0xffff);
    ccsr.write32(0x41740, 0x2500_0000); // MSIIR: SRS 1, IBS 5
    expect(ccsr.read32(0x41720)).toBe(2); // MSISR: MSIR1
    expect(interruptAcknowledge(machine)).toBe(0x25);
    expect(ccsr.read32(0x41610)).toBe(1 << 5); // reading MSIR1 clears it
    expect(ccsr.read32(0x41720)).toBe(0);
  });
});

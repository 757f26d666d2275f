import type { CpuPort } from '@doorbell/platform';

/** QEMU's `edu` as the tests drive it: one BAR, one 4 KiB buffer at 0x40000, one MSI. */
export class Edu {
  readonly cpu: CpuPort;
  readonly config: number;
  readonly bar: number;

  /** Assigns BAR0 and turns on memory and bus mastering. */
  constructor(cpu: CpuPort, config: number, bar: number) {
    this.cpu = cpu;
    this.config = config;
    this.bar = bar;
    cpu.write32(config + 0x10, bar);
    cpu.write16(config + 0x04, 0x6);
  }

  /** 4 bytes of the buffer from or to a bus address; returns whether the transfer has ended. */
  start(direction: 'read' | 'write', address: number, length = 4): void {
    const { cpu, bar } = this;
    const [source, target] = direction === 'read' ? [address, 0x40000] : [0x40000, address];
    cpu.write64(bar + 0x80, Math.floor(source / 2 ** 32), source >>> 0);
    cpu.write64(bar + 0x88, Math.floor(target / 2 ** 32), target >>> 0);
    cpu.write64(bar + 0x90, 0, length);
    cpu.write64(bar + 0x98, 0, direction === 'read' ? 1 : 3);
  }

  get busy(): boolean {
    return (this.cpu.read32(this.bar + 0x98) & 1) === 1;
  }

  enableMsi(address: number, data: number): void {
    const at = this.config + (this.cpu.read8(this.config + 0x34) & 0xfc);
    this.cpu.write32(at + 0x04, address >>> 0);
    this.cpu.write32(at + 0x08, Math.floor(address / 2 ** 32));
    this.cpu.write16(at + 0x0c, data);
    this.cpu.write16(at + 0x02, 1);
  }

  /** Sends the MSI. */
  raise(): void {
    this.cpu.write32(this.bar + 0x60, 1);
    this.cpu.write32(this.bar + 0x64, 1);
  }
}

import type { CpuPort } from '@doorbell/platform';
import { Q35 } from '@doorbell/qemu';

const BUFFER = 0x4_0000;

/** QEMU's `edu` in a slot of bus 0, driven through the CPU's accesses: 4-byte DMA and its MSI. */
export class EduPort {
  private readonly config: number;
  private readonly bar: number;

  /** Assigns BAR0 and turns on memory and bus mastering. */
  constructor(
    private readonly cpu: CpuPort,
    slot: number,
    /** Lets a model proceed; live hardware needs nothing. */
    private readonly settle: () => void = () => undefined,
  ) {
    this.config = Q35.ecam + (slot << 15);
    this.bar = Q35.bars + 0x10_0000 * slot;
    cpu.write32(this.config + 0x10, this.bar);
    cpu.write16(this.config + 4, 6);
  }

  /** Moves the word at `offset` of the buffer to or from `address`, and waits. */
  dma(direction: 'read' | 'write', address: number, offset = 0): void {
    const { cpu, bar } = this;
    const buffer = BUFFER + offset;
    const [source, target] = direction === 'read' ? [address, buffer] : [buffer, address];
    cpu.write64(bar + 0x80, Math.floor(source / 2 ** 32), source >>> 0);
    cpu.write64(bar + 0x88, Math.floor(target / 2 ** 32), target >>> 0);
    cpu.write64(bar + 0x90, 0, 4);
    cpu.write64(bar + 0x98, 0, direction === 'read' ? 1 : 3);
    this.settle();
    for (let n = 0; cpu.read32(bar + 0x98) & 1; n++) if (n > 100_000) throw new Error('edu never ends its DMA');
  }

  /** Programs the MSI capability and makes the function send it. */
  fire(address: number, data: number): void {
    const { cpu } = this;
    const at = this.config + (cpu.read8(this.config + 0x34) & 0xfc);
    cpu.write32(at + 4, address >>> 0);
    cpu.write32(at + 8, 0);
    cpu.write16(at + 12, data);
    cpu.write16(at + 2, 1);
    this.again();
  }

  /** Sends the MSI that is programmed. */
  again(): void {
    this.cpu.write32(this.bar + 0x60, 1);
    this.settle();
    this.cpu.write32(this.bar + 0x64, 1);
  }
}

import { DoorbellError, TWO32, type CpuPort } from '@doorbell/platform';
import type { FifoLine } from './fifo.js';

/** Where the bytes of one access lie in the target's word: qtest's `readl` speaks the target's endianness, ports little-endian. */
export type Endianness = 'little' | 'big';

/**
 * The client side of QEMU's qtest protocol as CPU accesses. Each call is one command and one reply.
 *
 * Addresses are numbers below 2^53; values are unsigned and little-endian whatever the target is.
 */
export class QtestClient implements CpuPort {
  readonly endianness: Endianness;
  /** Upper word of the last `read64`. */
  hi = 0;
  private readonly little: boolean;
  private readonly line: FifoLine;

  constructor(line: FifoLine) {
    this.line = line;
    this.endianness = this.command('endianness') === 'big' ? 'big' : 'little';
    this.little = this.endianness === 'little';
  }

  /** Sends one command and returns what follows `OK `. Errors: `QTEST_REFUSED` with the reply. */
  command(text: string): string {
    this.line.send(text);
    for (;;) {
      const reply = this.line.receive();
      if (reply.startsWith('OK')) return reply.slice(3);
      // `IRQ raise N` and `IRQ lower N` come unasked once irq_intercept_in was given.
      if (reply.startsWith('IRQ ')) continue;
      throw new DoorbellError('QTEST_REFUSED', `'${text}' was answered with '${reply}'`, 'look at the command', {
        text,
        reply,
      });
    }
  }

  read8(address: number): number {
    return this.low(`readb 0x${address.toString(16)}`);
  }

  read16(address: number): number {
    const v = this.low(`readw 0x${address.toString(16)}`);
    return this.little ? v : swap16(v);
  }

  read32(address: number): number {
    const v = this.low(`readl 0x${address.toString(16)}`);
    return this.little ? v : swap32(v);
  }

  /** One 64-bit read: returns the lower word and leaves the upper one in `hi`. */
  read64(address: number): number {
    const reply = this.command(`readq 0x${address.toString(16)}`);
    const first = parseInt(reply.slice(2, 10), 16);
    const second = parseInt(reply.slice(10, 18), 16);
    this.hi = this.little ? first : swap32(second);
    return this.little ? second : swap32(first);
  }

  write8(address: number, value: number): void {
    this.command(`writeb 0x${address.toString(16)} 0x${(value & 0xff).toString(16)}`);
  }

  write16(address: number, value: number): void {
    const v = value & 0xffff;
    this.command(`writew 0x${address.toString(16)} 0x${(this.little ? v : swap16(v)).toString(16)}`);
  }

  write32(address: number, value: number): void {
    const v = value >>> 0;
    this.command(`writel 0x${address.toString(16)} 0x${(this.little ? v : swap32(v)).toString(16)}`);
  }

  write64(address: number, hi: number, lo: number): void {
    const first = this.little ? hi >>> 0 : swap32(lo);
    const second = this.little ? lo >>> 0 : swap32(hi);
    this.command(`writeq 0x${address.toString(16)} 0x${word(first)}${word(second)}`);
  }

  in8(port: number): number {
    return this.low(`inb 0x${port.toString(16)}`);
  }

  in16(port: number): number {
    return this.low(`inw 0x${port.toString(16)}`);
  }

  in32(port: number): number {
    return this.low(`inl 0x${port.toString(16)}`);
  }

  out8(port: number, value: number): void {
    this.command(`outb 0x${port.toString(16)} 0x${(value & 0xff).toString(16)}`);
  }

  out16(port: number, value: number): void {
    this.command(`outw 0x${port.toString(16)} 0x${(value & 0xffff).toString(16)}`);
  }

  out32(port: number, value: number): void {
    this.command(`outl 0x${port.toString(16)} 0x${(value >>> 0).toString(16)}`);
  }

  /** Bytes in address order, through the machine's address space (a RAM port is much faster where there is RAM). */
  readBytes(address: number, into: Uint8Array): void {
    if (into.length === 0) return; // QEMU aborts on a length of 0
    const text = this.command(`read 0x${address.toString(16)} 0x${into.length.toString(16)}`);
    Buffer.from(text.slice(2), 'hex').copy(into);
  }

  writeBytes(address: number, from: Uint8Array): void {
    if (from.length === 0) return;
    const data = Buffer.from(from.buffer, from.byteOffset, from.length).toString('hex');
    this.command(`write 0x${address.toString(16)} 0x${from.length.toString(16)} 0x${data}`);
  }

  private low(text: string): number {
    // Memory reads answer with 16 digits, port reads with at least four.
    const reply = this.command(text);
    return parseInt(reply.slice(-8).replace('0x', ''), 16) % TWO32;
  }
}

const word = (v: number): string => v.toString(16).padStart(8, '0');
const swap16 = (v: number): number => ((v & 0xff) << 8) | (v >>> 8);
const swap32 = (v: number): number =>
  (((v & 0xff) << 24) | ((v & 0xff00) << 8) | ((v >>> 8) & 0xff00) | (v >>> 24)) >>> 0;

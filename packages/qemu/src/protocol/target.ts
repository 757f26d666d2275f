import type { Word64 } from '@doorbell/platform';
import type { Endianness } from '../transport/qtest.js';

/** A machine that the qtest protocol can be served from. Synchronous; values are little-endian whatever the target is. */
export interface QtestTarget {
  /** What `endianness` answers; `readl` and its like speak it. */
  readonly endianness: Endianness;
  /** A CPU load of 1, 2, 4 or 8 bytes; where nothing answers, as the machine does (QEMU's memory: 0). Address below 2^52. */
  read(address: number, size: 1 | 2 | 4 | 8, into: Word64): void;
  write(address: number, size: 1 | 2 | 4 | 8, hi: number, lo: number): void;
  /** Bytes in address order. */
  readBytes(address: number, into: Uint8Array): void;
  writeBytes(address: number, from: Uint8Array): void;
  /** Port I/O; a machine without ports reads all ones. */
  in(port: number, size: 1 | 2 | 4): number;
  out(port: number, size: 1 | 2 | 4, value: number): void;
  /** Whether `irq_intercept_in PATH` finds a device. */
  hasDevice(path: string): boolean;
  /** Drives input `pin` of a device (`set_irq_in`). False: there is no such device or pin. */
  setInput?(path: string, pin: number, level: boolean): boolean;
  /** The device whose inputs are reported (`irq_intercept_in`), and to whom. */
  intercept?(path: string, tell: (pin: number, level: boolean) => void): void;
  /** Moves virtual time by so many nanoseconds and returns it (`clock_step`). Absent: as QEMU without `-accel qtest`. */
  advance?(nanoseconds: number): number;
  /** A command failed for a reason that is a defect of ours; its reply says so and the session goes on. */
  failed?(line: string, error: unknown): void;
  /** Before each command: what was started earlier (a device's timed DMA) is complete from here on. */
  beginCommand(): void;
  /** Before the replies to the commands of one packet leave: flush what must be seen first. */
  beforeReply(): void;
}

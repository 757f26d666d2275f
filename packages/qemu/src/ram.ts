import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { DoorbellError, hex, type MemoryPort } from '@doorbell/platform';

/**
 * Guest RAM through the file behind it (`memory-backend-file,share=on`): QEMU and we see the same pages, so a store is
 * visible at once on both sides and costs one system call instead of a protocol round trip.
 *
 * Covers [base, base + size); any other address throws `NOT_RAM`. Values are little-endian.
 */
export class SharedRam implements MemoryPort {
  readonly base: number;
  readonly size: number;
  private readonly fd: number;
  private readonly scratch = Buffer.alloc(8);

  constructor(path: string, base: number, size: number) {
    this.base = base;
    this.size = size;
    this.fd = openSync(path, 'r+');
  }

  read8(address: number): number {
    readSync(this.fd, this.scratch, 0, 1, this.offset(address, 1));
    return this.scratch[0] as number;
  }

  read16(address: number): number {
    readSync(this.fd, this.scratch, 0, 2, this.offset(address, 2));
    return this.scratch.readUInt16LE(0);
  }

  read32(address: number): number {
    readSync(this.fd, this.scratch, 0, 4, this.offset(address, 4));
    return this.scratch.readUInt32LE(0);
  }

  write8(address: number, value: number): void {
    this.scratch[0] = value;
    writeSync(this.fd, this.scratch, 0, 1, this.offset(address, 1));
  }

  write16(address: number, value: number): void {
    this.scratch.writeUInt16LE(value & 0xffff, 0);
    writeSync(this.fd, this.scratch, 0, 2, this.offset(address, 2));
  }

  write32(address: number, value: number): void {
    this.scratch.writeUInt32LE(value >>> 0, 0);
    writeSync(this.fd, this.scratch, 0, 4, this.offset(address, 4));
  }

  write64(address: number, hi: number, lo: number): void {
    this.scratch.writeUInt32LE(lo >>> 0, 0);
    this.scratch.writeUInt32LE(hi >>> 0, 4);
    writeSync(this.fd, this.scratch, 0, 8, this.offset(address, 8));
  }

  readBytes(address: number, into: Uint8Array): void {
    readSync(this.fd, into, 0, into.length, this.offset(address, into.length));
  }

  writeBytes(address: number, from: Uint8Array): void {
    writeSync(this.fd, from, 0, from.length, this.offset(address, from.length));
  }

  fill(address: number, length: number, byte: number): void {
    this.writeBytes(address, Buffer.alloc(length, byte));
  }

  /** System calls are ordered and the pages are shared: there is nothing to wait for. */
  barrier(): void {}

  close(): void {
    closeSync(this.fd);
  }

  private offset(address: number, length: number): number {
    const offset = address - this.base;
    if (offset >= 0 && offset + length <= this.size) return offset;
    throw new DoorbellError(
      'NOT_RAM',
      `${hex(address)} + ${length} is outside RAM ${hex(this.base)}–${hex(this.base + this.size - 1)}`,
      'use the CPU port for registers',
      { address, length, base: this.base, size: this.size },
    );
  }
}

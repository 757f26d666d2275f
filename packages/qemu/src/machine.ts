import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { HardwareTimeout, RangePageAllocator, type Machine, type PageAllocator, type Range } from '@doorbell/platform';
import { SharedRam } from './ram.js';
import type { QemuProcess } from './transport/process.js';
import { QmpClient } from './transport/qmp.js';
import { QtestClient } from './transport/qtest.js';

/** What a recipe knows about the machine that it started. */
export interface QemuLayout {
  /** The machine's name, for messages. */
  readonly name: string;
  /** RAM behind the shared file. */
  readonly ram: { readonly base: number; readonly size: number };
  /** The part of RAM that the page allocator owns; the rest is the caller's. */
  readonly pages: Range;
  /** Physical address of bus 0's configuration space; absent where the machine has no ECAM. */
  readonly ecam?: number;
}

/**
 * A live QEMU as hardware: drivers written for the ports run on it unchanged. Everything is synchronous; a register access
 * costs a protocol round trip (tens of microseconds), a RAM access a system call (well under one).
 *
 * Close it when done: it is also closed when the process exits, and a guard ends QEMU if the process is killed.
 */
export class QemuMachine implements Machine {
  readonly name: string;
  readonly cpu: QtestClient;
  readonly memory: SharedRam;
  readonly pages: PageAllocator;
  readonly layout: QemuLayout;
  private readonly process: QemuProcess;
  private readonly control: QmpClient;
  private traced = 0;
  private closed = false;

  constructor(process: QemuProcess, layout: QemuLayout) {
    this.process = process;
    this.name = layout.name;
    this.layout = layout;
    this.cpu = new QtestClient(process.qtest);
    this.control = new QmpClient(process.monitor);
    this.memory = new SharedRam(join(process.directory, 'ram'), layout.ram.base, layout.ram.size);
    this.pages = new RangePageAllocator(this.memory, layout.pages.first, layout.pages.last - layout.pages.first + 1);
  }

  /**
   * Real hardware proceeds by itself, so `limit` counts polls as elsewhere but the wall clock has a say too: it fails only
   * when both the polls and a second have passed.
   */
  waitUntil(what: string, condition: () => boolean, limit = 1000): void {
    const deadline = performance.now() + 1000;
    for (let polls = 0; !condition(); polls++) {
      if (polls >= limit && performance.now() > deadline) throw new HardwareTimeout(`${what} (on ${this.name})`, polls);
      if (polls > 20) pause(0.1);
    }
  }

  /** A command of QEMU's human monitor and what it printed. */
  monitor(command: string): string {
    return this.control.monitor(command);
  }

  /** A QMP command; its `return` value. Errors: `QMP_ERROR`. */
  qmp(command: string, args?: Readonly<Record<string, unknown>>): unknown {
    return this.control.execute(command, args);
  }

  /** `length` bytes of RAM. */
  readBytes(address: number, length: number): Uint8Array {
    const into = new Uint8Array(length);
    this.memory.readBytes(address, into);
    return into;
  }

  writeBytes(address: number, bytes: Uint8Array): void {
    this.memory.writeBytes(address, bytes);
  }

  /** Trace lines since the last call (the machine was started with `trace`). */
  traceLines(): string[] {
    const text = readFileSync(join(this.process.directory, 'trace.log'), 'latin1');
    const fresh = text.slice(this.traced, text.lastIndexOf('\n') + 1);
    this.traced += fresh.length;
    return fresh.split('\n').filter((line) => line !== '');
  }

  /** Ends QEMU and removes its files. Idempotent. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.memory.close();
    this.process.close();
  }
}

const cell = new Int32Array(new SharedArrayBuffer(4));

/** Sleeps that many milliseconds, giving the processor to QEMU. */
function pause(milliseconds: number): void {
  Atomics.wait(cell, 0, 0, milliseconds);
}

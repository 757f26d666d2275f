import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { MemoryPort } from '@doorbell/platform';
import { FifoLine, QtestClient } from '@doorbell/qemu';

const BIN = fileURLToPath(new URL('../../packages/cli/bin/doorbell.js', import.meta.url));
const CONFIG = fileURLToPath(new URL('../../doorbell.config.js', import.meta.url));
const RELAY = fileURLToPath(new URL('relay.mjs', import.meta.url));

/** One line of `--events`. */
export type ServedEvent = Readonly<Record<string, unknown>> & { readonly event: string };

/** `doorbell serve` in a process of its own, and a synchronous qtest client connected to it: the one written for QEMU. */
export class Served {
  readonly line: FifoLine;
  readonly cpu: QtestClient;
  readonly memory: QtestMemory;
  private readonly directory = mkdtempSync(join(tmpdir(), 'doorbell-serve-'));
  private readonly processes: ChildProcess[] = [];
  private seen = 0;

  constructor(board: string, devices: readonly string[] = []) {
    const [socket, fifo] = [join(this.directory, 'qtest.sock'), join(this.directory, 'fifo')];
    execFileSync('mkfifo', [`${fifo}.in`, `${fifo}.out`]);
    this.processes.push(spawn(process.execPath, [RELAY, socket, fifo], { stdio: 'ignore' }));
    const until = Date.now() + 60_000;
    while (!existsSync(socket) && Date.now() < until) Atomics.wait(cell, 0, 0, 5);
    const options = devices.flatMap((device) => ['--device', device]);
    const args = [BIN, 'serve', board, '--qtest', `unix:${socket}`, '--events', this.events, '--config', CONFIG];
    this.processes.push(spawn(process.execPath, [...args, ...options], { stdio: ['ignore', 'ignore', 'inherit'] }));
    this.line = new FifoLine(fifo);
    this.cpu = new QtestClient(this.line);
    this.memory = new QtestMemory(this.cpu);
  }

  private get events(): string {
    return join(this.directory, 'events.jsonl');
  }

  /** The reply to any line. */
  ask(line: string): string {
    this.line.send(line);
    return this.line.receive();
  }

  /** What happened since the last call, up to the last command: it was flushed before the reply to this one. */
  fresh(): ServedEvent[] {
    this.ask('endianness');
    const text = readFileSync(this.events, 'utf8');
    const lines = text.slice(this.seen).split('\n');
    this.seen = text.length;
    return lines.filter((l) => l !== '').map((l) => JSON.parse(l) as ServedEvent);
  }

  close(): void {
    this.line.close();
    for (const p of this.processes) p.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

const cell = new Int32Array(new SharedArrayBuffer(4));

/** RAM through the protocol. */
export class QtestMemory implements MemoryPort {
  constructor(private readonly cpu: QtestClient) {}
  read8(address: number): number {
    return this.cpu.read8(address);
  }
  read16(address: number): number {
    return this.cpu.read16(address);
  }
  read32(address: number): number {
    return this.cpu.read32(address);
  }
  write8(address: number, value: number): void {
    this.cpu.write8(address, value);
  }
  write16(address: number, value: number): void {
    this.cpu.write16(address, value);
  }
  write32(address: number, value: number): void {
    this.cpu.write32(address, value);
  }
  write64(address: number, hi: number, lo: number): void {
    this.cpu.write64(address, hi, lo);
  }
  readBytes(address: number, into: Uint8Array): void {
    this.cpu.readBytes(address, into);
  }
  writeBytes(address: number, from: Uint8Array): void {
    this.cpu.writeBytes(address, from);
  }
  fill(address: number, length: number, byte: number): void {
    this.cpu.command(`memset 0x${address.toString(16)} 0x${length.toString(16)} 0x${byte.toString(16)}`);
  }
  barrier(): void {}
}

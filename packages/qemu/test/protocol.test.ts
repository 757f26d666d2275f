import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { PhysicalMemory, type Word64 } from '@doorbell/platform';
import {
  qemuAvailable,
  QtestCommands,
  serveQtest,
  startPpcE500,
  startQ35,
  type Endianness,
  type QemuMachine,
  type QtestTarget,
} from '../src/index.js';

const SIZE = 64 * 2 ** 20;

/** RAM and nothing else: 0 where there is none, all ones on ports. */
class RamTarget implements QtestTarget {
  readonly endianness: Endianness;
  readonly ram = new PhysicalMemory([{ base: 0, size: SIZE }]);
  readonly calls: string[] = [];
  constructor(endianness: Endianness = 'little') {
    this.endianness = endianness;
  }
  read(address: number, size: number, into: Word64): void {
    const bytes = Buffer.alloc(8);
    this.readBytes(address, bytes.subarray(0, size));
    into.lo = bytes.readUInt32LE(0);
    into.hi = bytes.readUInt32LE(4);
  }
  write(address: number, size: number, hi: number, lo: number): void {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32LE(lo, 0);
    bytes.writeUInt32LE(hi, 4);
    this.writeBytes(address, bytes.subarray(0, size));
  }
  readBytes(address: number, into: Uint8Array): void {
    const there = Math.max(0, Math.min(into.length, SIZE - address));
    if (there > 0) this.ram.readBytes(address, into.subarray(0, there));
  }
  writeBytes(address: number, from: Uint8Array): void {
    const there = Math.max(0, Math.min(from.length, SIZE - address));
    if (there > 0) this.ram.writeBytes(address, from.subarray(0, there));
  }
  in(_port: number, size: number): number {
    return [0, 0xff, 0xffff, 0, 0xffffffff][size] as number;
  }
  out(): void {}
  hasDevice(path: string): boolean {
    return path === 'ioapic' || path === '/machine';
  }
  beginCommand(): void {
    this.calls.push('begin');
  }
  beforeReply(): void {
    this.calls.push('reply');
  }
}

/** The reply as it stands, OK or not. */
function ask(machine: QemuMachine, line: string): string {
  const { qtest } = machine['process'];
  qtest.send(line);
  for (;;) {
    const reply = qtest.receive();
    if (!reply.startsWith('IRQ ')) return reply;
  }
}

const COMMANDS = `
endianness
writeb 0x1000 0x1ff
writew 0x1002 0x1234
writel 0x1004 0x89abcdef
writeq 0x1008 0xfedcba9876543210
readb 0x1002
readw 0x1002
readl 0x1004
readq 0x1000
readq 0x1004
readq 0x1008
read 0x1000 0x10
read 0x1001 3
b64read 0x1000 16
b64read 0x1001 1
b64read 0x1000 0
write 0x2000 0x4 0xDEADbeef
read 0x2000 6
write 0x2000 4 0xde
read 0x2000 6
write 0x2000 4 0xdea
read 0x2000 6
write 0x2000 3 123456
read 0x2000 6
write 0x2000 3 0xzz1z
read 0x2000 6
write 0x2000 2 0x
write 0x2000 2 0x112233
read 0x2000 4
memset 0x2000 8 0x15a
memset 0x2000 0 0xff
read 0x2000 9
b64write 0x2000 4 AQIDBA==
read 0x2000 9
b64write 0x2000 6 AQIDBA==
read 0x2000 9
b64write 0x2000 2 //8=
read 0x2000 9
b64write 0x2000 2 AA
writel 8192 -1
writel 0x2004 010
readq 0x2000
writel 0x2000 +7
readl 020000
readl 0x2000 extra words
writeq 0x3000 18446744073709551615
readq 0x3000
readl 0x8000000000000000
writel 0xfffffffffffffff0 1
readq 0x3fffffc
inb 0x80
inw 0x9998
inl 0x9998
outb 0x80 0x1ff
clock_step
clock_step 100
clock_set 5
foo bar
READL 0x1000
readl0x1000
rtas a 1 2 3 4
irq_intercept_in nobody
irq_intercept_out nobody
irq_intercept_in ioapic
irq_intercept_in ioapic
irq_intercept_out ioapic
irq_intercept_in /machine/i440fx
`.trim();

const BIG = COMMANDS.split('\n').filter((line) => !/^(in|out|irq_|rtas|readq 0x3fffffc)/.test(line));

const x86 = qemuAvailable('x86_64');
if (!x86.available) console.warn(`skipped: protocol replies against QEMU: ${x86.reason}`);
const ppc = qemuAvailable('ppc');
if (!ppc.available) console.warn(`skipped: big-endian protocol replies against QEMU: ${ppc.reason}`);

describe.skipIf(!x86.available)('the protocol against QEMU', () => {
  it('answers every command as QEMU does', () => {
    const machine = startQ35();
    try {
      const ours = new QtestCommands(new RamTarget());
      for (const line of COMMANDS.split('\n')) expect([line, ours.answer(line)]).toEqual([line, ask(machine, line)]);
    } finally {
      machine.close();
    }
  });
});

describe.skipIf(!ppc.available)('the protocol against a big-endian QEMU', () => {
  it('answers every command as QEMU does', () => {
    const machine = startPpcE500();
    try {
      const ours = new QtestCommands(new RamTarget('big'));
      for (const line of BIG) expect([line, ours.answer(line)]).toEqual([line, ask(machine, line)]);
    } finally {
      machine.close();
    }
  });
});

describe('what QEMU aborts on', () => {
  const answer = (line: string): string => new QtestCommands(new RamTarget()).answer(line);
  it.each([
    '',
    'readl',
    'readl 0x1000z',
    'readl  0x1000',
    'read 0x1000 0',
    'outb 0x10000 1',
    'writel 0',
    'readl 0x1\r',
  ])('answers %j with FAIL', (line) => {
    expect(answer(line)).toMatch(/^FAIL ./);
  });
  it('answers numbers beyond 64 bits and lengths beyond all RAM with FAIL', () => {
    expect(answer('readl 0x10000000000000000')).toMatch(/^FAIL .*64 bits/);
    expect(answer('read 0 0x7fffffffffffffff')).toMatch(/^FAIL .*length/);
  });
});

describe('the server', () => {
  const directory = mkdtempSync(join(tmpdir(), 'doorbell-serve-'));
  afterEach(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  it('connects like QEMU, answers lines in any packets, flushes before it replies, and ends with the client', async () => {
    const path = join(directory, 'qtest.sock');
    const target = new RamTarget();
    const client = new Promise<Socket>((resolve) => {
      const listener = createServer((socket) => {
        listener.close();
        resolve(socket);
      });
      listener.listen(path, () => {
        server = serveQtest(path, target);
      });
    });
    let server = undefined as ReturnType<typeof serveQtest> | undefined;
    const socket = await client;
    let text = '';
    const lines = new Promise<void>((resolve) => {
      socket.on('data', (d) => {
        text += d.toString('latin1');
        if (text.split('\n').length > 3) resolve();
      });
    });
    socket.write('writel 0x10 0x1234');
    await new Promise((resolve) => setTimeout(resolve, 10));
    socket.write('5678\nreadl 0x10\nread 0x10 4\n');
    await lines;
    expect(text).toBe('OK\nOK 0x0000000012345678\nOK 0x78563412\n');
    expect(target.calls).toEqual(['begin', 'begin', 'begin', 'reply']);
    socket.end();
    await server?.closed;
  });

  it('rejects when nobody listens', async () => {
    await expect(serveQtest(join(tmpdir(), 'doorbell-nobody.sock'), new RamTarget()).closed).rejects.toMatchObject({
      code: 'ENOENT',
    });
  });
});

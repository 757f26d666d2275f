import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { serveQ35, serveVirt } from '@doorbell/boards';
import { EventLog, PlatformTarget, qemuAvailable, QtestCommands, startQ35, startVirt } from '@doorbell/qemu';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generator } from '../differential/smmu/random.js';
import { Served } from './served.js';

/** A client of QEMU's: PCIEXBAR, BAR, edu's registers and DMA, its MSI and INTx, IOAPIC, VT-d, bytes and words, places where nothing is. */
const Q35 = `
endianness
outl 0xcf8 0x80000060
inl 0xcf8
inw 0xcfa
outl 0xcfc 0xE0000001
inl 0xcfc
inb 0xcff
inw 0xcfe
readl 0xe0000000
readw 0xe0000002
read 0xe0000060 8
outl 0xcf8 0x80002800
inw 0xcfc
inw 0xcfe
outl 0xcf8 0x80002810
outl 0xcfc 0xfea00000
outl 0xcf8 0x80002804
outw 0xcfc 6
inw 0xcfc
outl 0xcf8 0
inl 0xcfc
inb 0x3f8
readl 0xe0028010
readb 0xe0028034
readl 0xe0028040
read 0xe0028000 64
readl 0xe0028100
readl 0xe0030000
readq 0xe0030000
readl 0xfea00000
readq 0xfea00000
readb 0xfea00000
readw 0xfea00002
readl 0xfea00001
writel 0xfea00004 0x12345678
readl 0xfea00004
writeq 0x4000 0x1122334455667788
writeq 0xfea00080 0x4000
writeq 0xfea00088 0x40010
writeq 0xfea00090 8
readq 0xfea00080
readl 0xfea00084
writeq 0xfea00098 1
WAIT readl 0xfea00098
writeq 0xfea00080 0x40012
writeq 0xfea00088 0x5001
writeq 0xfea00090 5
writeq 0xfea00098 3
WAIT readl 0xfea00098
read 0x5000 8
memset 0x6000 64 0xa5
b64read 0x6000 6
write 0x6003 3 0x010203
readq 0x6000
readq 0x5ffd
readl 0x3fffffe
writeq 0x3fffffc 0xffffffffffffffff
read 0x3fffff8 16
irq_intercept_in ioapic
irq_intercept_in ioapic
irq_intercept_in nobody
set_irq_in ioapic unnamed-gpio-in 9 1
set_irq_in ioapic unnamed-gpio-in 9 1
set_irq_in ioapic unnamed-gpio-in 9 0
set_irq_in nobody unnamed-gpio-in 9 0
writel 0xfea00060 0x10
readl 0xfea00024
writel 0xfea00064 0x10
readl 0xfea00024
readl 0xfec00000
writel 0xfec00000 1
readl 0xfec00010
readq 0xfec00000
readl 0xfed90000
readq 0xfed90008
readq 0xfed90010
readw 0xfed90008
readl 0xfed90009
readl 0xfed90ff0
writel 0xfed90038 0
readl 0xfed90038
readl 0xfee00020
writel 0xfee000f0 0x1ff
readl 0xfee000f0
readl 0xd0000000
writel 0xd0000000 1
readq 0x100000000
readl 0xfffffffffffff000
`;

const VIRT = `
endianness
readl 0x4010000000
readl 0x4010020000
writel 0x4010020010 0x10000000
writew 0x4010020004 6
readl 0x4010020010
readl 0x10000000
read 0x4010020000 64
readl 0x4010020100
writeq 0x44000000 0x1122334455667788
writeq 0x10000080 0x44000000
writeq 0x10000088 0x40000
writeq 0x10000090 8
writeq 0x10000098 1
WAIT readl 0x10000098
writeq 0x10000080 0x40000
writeq 0x10000088 0x44001003
writeq 0x10000090 8
writeq 0x10000098 3
WAIT readl 0x10000098
read 0x44001000 16
readl 0x9050000
readl 0x9050004
readb 0x9050000
readl 0x8000004
readl 0x8000008
readl 0x800ffe8
readb 0x8000400
readl 0x8080004
readq 0x8080008
readl 0x80a0008
readq 0x80a0008
readq 0x80c0008
writeb 0x8000423 0xa0
readl 0x8000420
writeq 0x8000000 0
writel 0x8000000 0x12
readl 0x8000000
readl 0x50000000
readl 0x0
inl 0xcf8
irq_intercept_in nobody
`;

const GARBAGE = [
  ...[
    '',
    ' ',
    'readl',
    'readl zz',
    'readl 0x',
    'writel 1',
    'read 0 0',
    'read 0x1000 -1',
    'memset 0 0xffffffffffffffff 0',
  ],
  ...[
    'write 0 4',
    'b64write 0 4',
    'set_irq_in',
    'set_irq_in ioapic',
    'set_irq_in ioapic x 1 1',
    'clock_step x',
    '\0\xff\x01',
    'OK',
  ],
  ...[
    'set_irq_in ioapic unnamed-gpio-in 99 1',
    'irq_intercept_in',
    'outl 0x10000 1',
    'inl',
    `readl 0x${'f'.repeat(1000)}`,
  ],
  ...['x'.repeat(100_000), 'toString', '__proto__ 1', 'irq_intercept_in __proto__', 'readl 1 2 3 4 5 6'],
];

const lines = (text: string): string[] => text.trim().split('\n');

/** Replies of a session; `WAIT` repeats until the lowest bit is clear. */
function replies(ask: (line: string) => string, script: string): [string, string][] {
  return lines(script).map((line) => {
    if (!line.startsWith('WAIT ')) return [line, ask(line)];
    let reply = ask(line.slice(5));
    for (let n = 0; parseInt(reply.slice(-1), 16) & 1 && n < 100_000; n++) reply = ask(line.slice(5));
    return [line, reply];
  });
}

/** QEMU's replies; `IRQ` lines come before the reply, those of its timers (input 0, 2) are not ours. */
const asker = (machine: ReturnType<typeof startQ35>) => (text: string) => {
  const { qtest } = machine['process'];
  qtest.send(text);
  for (let reply = ''; ; ) {
    const line = qtest.receive();
    if (/^IRQ (raise|lower) [02]$/.test(line)) continue;
    reply += reply === '' ? line : `\n${line}`;
    if (!line.startsWith('IRQ ')) return reply;
  }
};

describe.each([
  [
    'q35-vtd',
    Q35,
    'x86_64',
    () =>
      startQ35({
        cpus: 2,
        iommu: 'intel-iommu,intremap=on,aw-bits=48',
        devices: ['edu,addr=5.0,dma_mask=0xffffffffffffffff'],
      }),
  ],
  ['virt-smmuv3', VIRT, 'aarch64', () => startVirt({ devices: ['edu,addr=4,dma_mask=0xffffffffffffffff'] })],
] as const)('%s: one client, two machines', (board, script, arch, start) => {
  const qemu = qemuAvailable(arch);
  if (!qemu.available) console.warn(`skipped: a qtest client on ${board} and on QEMU: ${qemu.reason}`);
  let served: Served;
  beforeAll(() => {
    served = new Served(board);
  });
  afterAll(() => served.close());
  /** Replies with the `IRQ` lines before them. */
  const ask = (text: string): string => {
    served.line.send(text);
    for (let reply = ''; ; ) {
      const line = served.line.receive();
      reply += reply === '' ? line : `\n${line}`;
      if (!line.startsWith('IRQ ')) return reply;
    }
  };

  it.skipIf(!qemu.available)('gets the same replies', () => {
    const machine = start();
    try {
      const ours = replies(ask, script);
      const theirs = replies(asker(machine), script);
      expect(ours).toEqual(theirs);
    } finally {
      machine.close();
    }
  });

  it('survives garbage with FAIL', () => {
    for (const line of GARBAGE)
      expect([line.slice(0, 40), ask(line)]).toEqual([line.slice(0, 40), expect.stringMatching(/^(FAIL|ERR|OK)/)]);
    for (const line of GARBAGE.slice(0, 9)) expect(ask(line)).toMatch(/^FAIL ./);
    expect(ask('endianness')).toBe('OK little');
  });

  it('answers 20,000 random commands as in process', () => {
    const { platform, acknowledging, ...rest } = (board === 'q35-vtd' ? serveQ35 : serveVirt)([]);
    const write = (): void => undefined;
    const events = new EventLog(platform, { write, ...(acknowledging !== undefined && { acknowledging }) });
    const failed = (line: string, error: unknown) => {
      throw new Error(line, { cause: error });
    };
    const inside = new QtestCommands(new PlatformTarget(platform, { ...rest, events, failed }));
    const pick = generator(7);
    const fresh = new Served(board);
    const batch: string[] = [];
    const places = board === 'q35-vtd' ? Q35_PLACES : VIRT_PLACES;
    for (let n = 0; n < 20_000; n++) {
      const [base, size] = places[pick(places.length)]!;
      const width = 'bwlq'[pick(4)]!;
      const address = `0x${(base + pick(size)).toString(16)}`;
      const value = [0, 0xffff_ffff, pick(2 ** 31), 2 ** pick(32)][pick(4)]!;
      const port = `0x${(0xcf8 + pick(8)).toString(16)}`;
      batch.push(
        ...[
          `read${width} ${address}`,
          `write${width} ${address} 0x${value.toString(16)}`,
          `read ${address} ${1 + pick(20)}`,
          `write ${address} 4 0x${value.toString(16).padStart(8, '0')}`,
          board === 'q35-vtd' ? `in${width === 'q' ? 'l' : width} ${port}` : 'inb 0x70',
          `memset ${address} ${pick(9)} ${pick(256)}`,
        ].slice(n % 6, (n % 6) + 1),
      );
    }
    const started = performance.now();
    try {
      const got: string[] = [];
      // pipelined by hundreds: a FIFO holds 64 KiB
      for (let n = 0; n < batch.length; n += 100) {
        const some = batch.slice(n, n + 100);
        fresh.line.send(some.join('\n'));
        got.push(...some.map(() => fresh.line.receive()));
      }
      const seconds = (performance.now() - started) / 1000;
      console.info(`${board}: ${Math.round(batch.length / seconds)} commands/s`);
      expect(batch.length / seconds).toBeGreaterThan(500);
      batch.forEach((line, n) => expect([n, line, got[n]]).toEqual([n, line, inside.answer(line)]));
    } finally {
      fresh.close();
      platform.dispose();
    }
  });
});

const Q35_PLACES: readonly [number, number][] = [
  ...[
    [0xfed9_0000, 0x240],
    [0xfec0_0000, 0x40],
    [0xfee0_0000, 0x400],
    [0xb000_0000, 0x100],
    [0xb002_8000, 0x100],
  ],
  ...[
    [0xe000_0000, 0x100],
    [0x1000, 0x100],
    [0x3ff_ff00, 0x200],
    [0xfffff000, 0x100],
    [0x1_0000_0000, 0x100],
  ],
] as [number, number][];
const VIRT_PLACES: readonly [number, number][] = [
  ...[
    [0x905_0000, 0x200],
    [0x906_0000, 0x200],
    [0x800_0000, 0x1000],
    [0x80a_0000, 0x200],
    [0x80b_0000, 0x1000],
  ],
  ...[
    [0x808_0000, 0x140],
    [0x809_0040, 0x40],
    [0x40_1002_0000, 0x100],
    [0x1000_0000, 0x100],
    [0x4fff_ff00, 0x200],
  ],
  ...[
    [0x4400_0000, 0x1000],
    [0x0, 0x100],
  ],
] as [number, number][];

describe('the command line', () => {
  const BIN = fileURLToPath(new URL('../../packages/cli/bin/doorbell.js', import.meta.url));
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [BIN, 'serve', ...args], { encoding: 'utf8', timeout: 90_000 });
  const nobody = ['--qtest', 'unix:/nonexistent/doorbell.sock'];
  it.each([
    [['q35-vtd', ...nobody], /ENOENT/],
    [['q35-vtd', '--qtest', 'tcp:1'], /unix:PATH/],
    [['q36', ...nobody], /q35-vtd, virt-smmuv3/],
    [['q35-vtd'], /--qtest/],
    [['q35-vtd', ...nobody, '--device', 'e1000'], /no device e1000/],
    [['q35-vtd', ...nobody, '--device', 'edu,adr=5'], /no property adr/],
    [['q35-vtd', ...nobody, '--device', 'edu,addr=20'], /addr=20/],
    [['q35-vtd', ...nobody, '--device', 'edu,addr=5', '--device', 'edu,addr=05.0'], /taken/],
    [['q35-vtd', ...nobody, '--device', 'edu,bus=rp0'], /no bus rp0/],
    [['q35-vtd', ...nobody, '--device', 'intel-iommu,aw-bits=40'], /aw-bits=40/],
    [['virt-smmuv3', ...nobody, '--device', 'intel-iommu'], /no device intel-iommu/],
  ])('%j is bad usage', (args, why) => {
    const { status, stderr } = run(...args);
    expect(status).toBe(2);
    expect(stderr).toMatch(why);
  });
});

import { closeSync, ftruncateSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DoorbellError } from '@doorbell/platform';
import { qemuAvailable, qemuProgram, type QemuArch } from './available.js';
import { QemuMachine, type QemuLayout } from './machine.js';
import { LOG_READY, LOG_STRIDE, LOG_ADDRESS, STUB_ADDRESS, stubBytes } from './stub-arm.js';
import { makeDirectory, startProcess } from './transport/process.js';

const MIB = 2 ** 20;

export interface LaunchOptions {
  /** RAM in MiB. */
  readonly memory?: number;
  /** Number of CPUs. */
  readonly cpus?: number;
  /** QEMU device strings, as after `-device`, in order. */
  readonly devices?: readonly string[];
  /** Trace events (patterns as after `-trace`), read with `traceLines()`. */
  readonly trace?: readonly string[];
  /** Seconds after which QEMU is ended whatever happens, so that nothing can hang on it; 600 by default. */
  readonly lifetime?: number;
}

export interface Q35Options extends LaunchOptions {
  /** The IOMMU's device string: `intel-iommu,…` or `amd-iommu,…`. */
  readonly iommu?: string;
}

export interface VirtOptions extends LaunchOptions {
  /** Whether there is an SMMUv3 between PCI and memory; true by default. */
  readonly smmu?: boolean;
  /** `its`: GICv3 with an ITS (default). `gicv2m`: GICv2 with a v2m frame, and no stub on the CPUs. */
  readonly msi?: 'its' | 'gicv2m';
}

/** Where the recipes put things. Physical addresses. */
export const Q35 = { ecam: 0xb000_0000, bars: 0xe000_0000, lapic: 0xfee0_0000, ioapic: 0xfec0_0000 } as const;
export const VIRT = {
  ram: 0x4000_0000,
  gicd: 0x0800_0000,
  gicv2m: 0x0802_0000,
  its: 0x0808_0000,
  gicr: 0x080a_0000,
  smmu: 0x0905_0000,
  bars: 0x1000_0000,
  ecam: 0x40_1000_0000,
} as const;
export const E500 = { ccsr: 0xf_e000_0000, bars: 0xc_0000_0000, pciBars: 0xe000_0000 } as const;

/**
 * An x86 machine with PCI Express and halted CPUs. ECAM answers at `Q35.ecam`; BARs are unassigned and bus mastering is off,
 * as no firmware runs. The periodic legacy timers are stopped, so an idle machine uses no processor time, and virtual time
 * jumps to the next deadline.
 */
export function startQ35(options: Q35Options = {}): QemuMachine {
  const memory = options.memory ?? 64;
  const layout: QemuLayout = {
    name: 'QEMU q35',
    ram: { base: 0, size: memory * MIB },
    pages: upperHalf(0, memory),
    ecam: Q35.ecam,
  };
  // Above 2 GiB RAM would be split around the hole below 4 GiB and no longer be one range of the file.
  if (memory > 2048) throw tooMuch(memory, 2048);
  const machine = start('x86_64', layout, options, (file) => [
    ...['-machine', 'q35,memory-backend=ram', '-vga', 'none'],
    ...['-bios', file('halt.rom', haltRom())],
    ...(options.iommu ? ['-device', options.iommu] : []),
  ]);
  const { cpu } = machine;
  cpu.out32(0xcf8, 0x8000_0060); // 0:0.0, PCIEXBAR
  cpu.out32(0xcfc, (Q35.ecam | 1) >>> 0); // 256 MiB, enabled
  cpu.out8(0x43, 0x30); // 8254: counter 0 in mode 0 fires once and no more
  cpu.out8(0x40, 0xff);
  cpu.out8(0x40, 0xff);
  cpu.out8(0x70, 0x0b); // RTC register B: SET halts the updates
  cpu.out8(0x71, 0x82);
  return machine;
}

/**
 * An Arm machine whose CPUs acknowledge every interrupt and log its INTID (`acknowledged`). The distributor, redistributors
 * and ITS are as after reset: the caller enables and routes. BARs are unassigned.
 */
export function startVirt(options: VirtOptions = {}): QemuMachine {
  const memory = options.memory ?? 256;
  const cpus = options.cpus ?? 2;
  const its = (options.msi ?? 'its') === 'its';
  const layout: QemuLayout = {
    name: 'QEMU virt',
    ram: { base: VIRT.ram, size: memory * MIB },
    pages: upperHalf(VIRT.ram, memory),
    ecam: VIRT.ecam,
  };
  const iommu = (options.smmu ?? true) ? ',iommu=smmuv3' : '';
  const machine = start('aarch64', layout, { ...options, cpus }, (file) => [
    ...['-machine', `virt${iommu},gic-version=${its ? '3,its=on' : '2'},memory-backend=ram`, '-cpu', 'cortex-a57'],
    ...(its
      ? [
          ...['-device', `loader,file=${file('stub.bin', stubBytes())},addr=${STUB_ADDRESS},force-raw=on`],
          ...['-device', `loader,addr=${STUB_ADDRESS},cpu-num=0`],
        ]
      : ['-S']),
  ]);
  if (its) {
    for (let cpu = 0; cpu < Math.min(cpus, 2); cpu++) {
      const ready = LOG_ADDRESS + LOG_STRIDE * cpu + LOG_READY;
      machine.waitUntil(`CPU ${cpu} to enable its GIC interface`, () => machine.memory.read32(ready) === 1);
    }
  }
  return machine;
}

/**
 * A PowerPC e500 machine with an MPIC. Its CPU is stopped before the first instruction, so virtual time stands still: MSIs
 * and registers work, timed DMA does not.
 */
export function startPpcE500(options: LaunchOptions = {}): QemuMachine {
  const memory = options.memory ?? 256;
  const layout: QemuLayout = {
    name: 'QEMU ppce500',
    ram: { base: 0, size: memory * MIB },
    pages: upperHalf(0, memory),
  };
  return start('ppc', layout, options, (file) => [
    ...['-machine', 'ppce500,memory-backend=ram', '-cpu', 'e500mc', '-S'],
    ...['-bios', file('branch.elf', branchElf())],
  ]);
}

function start(
  arch: QemuArch,
  layout: QemuLayout,
  options: LaunchOptions,
  recipe: (file: (name: string, bytes: Uint8Array) => string) => readonly string[],
): QemuMachine {
  const { available, reason, version } = qemuAvailable(arch);
  if (!available) {
    throw new DoorbellError('QEMU_UNAVAILABLE', reason, 'install QEMU 7.2, or ask qemuAvailable() and skip', {
      arch,
      version,
    });
  }
  const directory = makeDirectory();
  const ram = join(directory, 'ram');
  const fd = openSync(ram, 'w');
  ftruncateSync(fd, layout.ram.size);
  closeSync(fd);
  const file = (name: string, bytes: Uint8Array): string => {
    writeFileSync(join(directory, name), bytes);
    return join(directory, name);
  };
  const process = startProcess(
    qemuProgram(arch),
    directory,
    [
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-accel', 'tcg', '-icount', 'shift=0,sleep=off'],
      ...['-object', `memory-backend-file,id=ram,size=${layout.ram.size},mem-path=${ram},share=on`],
      ...['-m', `${layout.ram.size / MIB}`, '-smp', `${options.cpus ?? 1}`],
      ...recipe(file),
      ...(options.devices ?? []).flatMap((device) => ['-device', device]),
      ...(options.trace ?? []).flatMap((pattern) => ['-trace', pattern]),
      ...['-D', join(directory, 'trace.log')],
    ],
    options.lifetime ?? 600,
  );
  try {
    return new QemuMachine(process, layout);
  } catch (error) {
    const said = process.stderr().trim();
    process.close();
    if (!(error instanceof DoorbellError) || error.code !== 'QEMU_GONE') throw error;
    throw new DoorbellError(
      'QEMU_START_FAILED',
      `${qemuProgram(arch)} did not start: ${said}`,
      'look at the device strings',
      { arch, said },
      { cause: error },
    );
  }
}

/** The upper half of RAM belongs to the page allocator; the lower is the caller's. */
const upperHalf = (base: number, mebibytes: number): { first: number; last: number } => ({
  first: base + (mebibytes * MIB) / 2,
  last: base + mebibytes * MIB - 1,
});

const tooMuch = (memory: number, most: number): DoorbellError =>
  new DoorbellError('BAD_OPTION', `${memory} MiB of RAM are not one range on this machine`, `ask for at most ${most}`, {
    memory,
  });

/** 64 KiB of HLT; the reset vector (16 bytes below the end) holds `cli; hlt; jmp .-1`. */
function haltRom(): Uint8Array {
  const rom = new Uint8Array(65536).fill(0xf4);
  rom.set([0xfa, 0xf4, 0xeb, 0xfd], 65536 - 16);
  return rom;
}

/** The smallest big-endian PowerPC ELF: one segment at 16 MiB with one endless branch. The board refuses to start without. */
function branchElf(): Uint8Array {
  const entry = 0x0100_0000;
  const bytes = new Uint8Array(52 + 32 + 4);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 1, 2, 1]); // ELF32, big-endian, version 1
  view.setUint16(16, 2); // executable
  view.setUint16(18, 20); // PowerPC
  view.setUint32(20, 1);
  view.setUint32(24, entry);
  view.setUint32(28, 52); // program headers follow
  view.setUint16(40, 52);
  view.setUint16(42, 32);
  view.setUint16(44, 1); // one of them
  [1, 84, entry, entry, 4, 4, 5, 4].forEach((word, i) => view.setUint32(52 + 4 * i, word)); // PT_LOAD, r-x
  view.setUint32(84, 0x4800_0000); // b .
  return bytes;
}

import { DoorbellError } from '@doorbell/platform';
import { E500 } from './launch.js';
import type { QemuMachine } from './machine.js';
import { LOG_ADDRESS, LOG_COUNT, LOG_ENTRIES, LOG_LENGTH, LOG_STRIDE } from './stub-arm.js';

/** What a local APIC holds, as the monitor shows it. Vectors ascending. */
export interface LapicState {
  /** Requested, not yet taken (IRR). */
  readonly requested: readonly number[];
  /** In service (ISR). */
  readonly inService: readonly number[];
}

/** The local APIC of the CPU with that APIC id. The CPUs are halted with interrupts off, so the IRR only grows. */
export function lapicState(machine: QemuMachine, cpu = 0): LapicState {
  const text = machine.monitor(`info lapic ${cpu}`);
  return { requested: vectors(text, 'IRR'), inService: vectors(text, 'ISR') };
}

function vectors(text: string, name: string): number[] {
  const line = new RegExp(`^${name}\\s+(.*)$`, 'm').exec(text)?.[1];
  if (line === undefined) {
    throw new DoorbellError('NO_LAPIC', `the monitor shows no ${name}`, 'ask for a CPU that this machine has', {
      text,
    });
  }
  // `(none)` or `49 80(level)`
  return [...line.matchAll(/\d+/g)].map((m) => Number(m[0]));
}

/** INTIDs that a CPU of `startVirt` has acknowledged, oldest first (the last 512), and how many in all. */
export function acknowledged(machine: QemuMachine, cpu = 0): { count: number; intids: number[] } {
  const page = LOG_ADDRESS + LOG_STRIDE * cpu;
  const count = machine.memory.read32(page + LOG_COUNT);
  const intids: number[] = [];
  for (let i = Math.max(0, count - LOG_LENGTH); i < count; i++) {
    intids.push(machine.memory.read32(page + LOG_ENTRIES + 4 * (i % LOG_LENGTH)));
  }
  return { count, intids };
}

/** Reads IACK of a CPU of `startPpcE500`: the vector that it takes now, 0xffff (spurious) when nothing is pending. */
export function interruptAcknowledge(machine: QemuMachine, cpu = 0): number {
  const bytes = machine.cpu.read32(E500.ccsr + 0x600a0 + 0x1000 * cpu); // big-endian register
  return (((bytes & 0xff) << 24) | ((bytes & 0xff00) << 8) | ((bytes >>> 8) & 0xff00) | (bytes >>> 24)) >>> 0;
}

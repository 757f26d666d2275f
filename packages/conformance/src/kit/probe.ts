import {
  READ,
  Verdict,
  WRITE,
  hi32,
  lo32,
  newOutcome,
  newRequest,
  type Device,
  type Platform,
} from '@doorbell/platform';
import { CPU_INTERFACE, type InterruptCore, type Message } from '@doorbell/irqchip';
import { ConformanceFailure, check, equal } from './assert.js';
import type { Lab } from './subject.js';

/** What becomes of one request: `0x…` translated or passed to that address, `fault NAME`, or `interrupt`. */
export function ask(
  lab: { readonly platform: Platform },
  device: Device,
  iova: number,
  access: number = READ,
  requester = device.requester,
): string {
  const request = newRequest();
  const out = newOutcome();
  request.requester = requester;
  request.hi = hi32(iova);
  request.lo = lo32(iova);
  request.access = access;
  const verdict = lab.platform.fabric(device.segment).translate(request, out);
  if (verdict === Verdict.fault) return `fault ${out.fault}`;
  return verdict === Verdict.interrupt ? 'interrupt' : `0x${out.pa.toString(16)}`;
}

export const at = (physical: number): string => `0x${physical.toString(16)}`;

export function reaches(lab: Lab, device: Device, iova: number, physical: number, access: number = READ): void {
  equal(ask(lab, device, iova, access), at(physical), `${device.name} at ${at(iova)}`);
}

export function faults(lab: Lab, device: Device, iova: number, access: number = READ): void {
  const seen = ask(lab, device, iova, access);
  if (!seen.startsWith('fault'))
    throw new ConformanceFailure(`${device.name} at ${at(iova)}: expected a fault, saw ${seen}`);
}

/** The effective id of a device on the wire. */
export const wire = (device: Device): number => device.aliases[device.aliases.length - 1] ?? device.requester;

/** What a lab of either kit has: a platform whose interrupts can be raised and taken. */
export interface MsiLab {
  readonly platform: Platform;
  readonly interrupts: InterruptCore;
  readonly subject: { readonly devices: readonly Device[]; readonly cpus: readonly number[] };
}

/** `hostileRegisters` are registers, from the first to the last. */
export function haveRegisters(
  { bus }: Platform,
  ranges: readonly { readonly base: number; readonly size: number }[],
): void {
  for (const { base, size } of ranges)
    for (const address of [base, base + size - 4])
      check(!!bus.regionAt(address), `supports.hostileRegisters has ${at(address)}, where no register is`);
}

/** A message as the device would send it: a real 4-byte write. */
export function send(lab: MsiLab, device: Device, message: Message): Verdict {
  return lab.platform.fabric(device.segment).write32(wire(device), message.addressHi, message.addressLo, message.data);
}

/**
 * Takes every pending number off every CPU and says whose they were: `device[index]@cpu`, sorted. A unit's own interrupts (faults, queue errors)
 * are not its devices' and are left out.
 */
export function taken(lab: MsiLab): string[] {
  lab.platform.settle();
  const cpus = lab.platform.get(CPU_INTERFACE);
  const seen: string[] = [];
  for (const cpu of lab.subject.cpus) {
    for (let n = cpus.acknowledge(cpu); n !== null; n = cpus.acknowledge(cpu)) {
      const owner = lab.interrupts.owner(cpu, n);
      const device = owner?.block.device.name;
      if (owner && lab.subject.devices.some((d) => d.name === device)) seen.push(`${device}[${owner.index}]@${cpu}`);
      cpus.end(cpu, n);
    }
  }
  return seen.sort();
}

export const READ_WRITE = READ | WRITE;

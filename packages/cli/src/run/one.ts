import { readMachine, type MachineDescription } from '@doorbell/firmware';
import { PCI } from '@doorbell/pci';
import type { Platform } from '@doorbell/platform';
import { readInput } from '../inputs.js';
import type { Backends } from './backends.js';
import { buildPlatform, type Failure } from './build.js';
import { drive, type DriveOptions, type FunctionReport } from './drive.js';
import { isModule, loadPlatform } from './inputs.js';

/** What `doorbell run --json` prints for one input. */
export interface RunReport {
  readonly input: string;
  readonly platform: string;
  readonly kinds: readonly string[];
  readonly functions: readonly FunctionReport[];
  readonly failures: readonly Failure[];
  readonly notes: readonly string[];
  /** The host bridges' maps: who translates and who takes MSIs. */
  readonly topology: readonly unknown[];
}

/** Builds the platform of one input and drives it. Errors: `InputError`, `FirmwareError`. */
export async function runOne(input: string, backends: Backends, how: DriveOptions = {}): Promise<RunReport> {
  if (isModule(input)) {
    const platform = await loadPlatform(input);
    const { functions, failures } = drive(platform, how);
    const hosts = platform.allNodes.filter((n) => n.iommuMap ?? n.msiMap);
    const kinds = [...new Set(platform.allNodes.map((n) => n.compatible))];
    const all = asked(platform, how, functions, failures);
    return report(input, platform.name, kinds, functions, all, windowNotes(how, functions), hosts);
  }
  const machine = readMachine(readInput(input));
  const vectors = Math.max(how.vectors ?? 4, 1);
  const built = buildPlatform(machine, backends, { name: input, vectors: Math.min(vectors, 2048) });
  const { platform, description, notes, hosts } = built;
  try {
    const { functions, failures } = drive(platform, { ...how, ...built });
    const all = asked(platform, how, functions, [...built.failures, ...failures]);
    const told = [...notes, ...windowNotes(how, functions), ...groupNotes(description.groups, functions)];
    return report(input, description.sources.join(' + '), description.kinds, functions, all, told, hosts);
  } finally {
    platform.dispose();
  }
}

/** A window that was asked for and that nobody needed. */
function windowNotes(how: DriveOptions, functions: readonly FunctionReport[]): string[] {
  const unused = functions.filter((f) => f.msi !== null && f.window?.kind !== 'software');
  if (how.window === undefined || unused.length === 0) return [];
  const whose = unused.length === functions.length ? 'any function' : unused.map((f) => f.bdf).join(', ');
  return [`--window is not used for ${whose}: no page table translates their messages`];
}

/** Where our groups are finer than those of the dump, and why. */
function groupNotes(dumped: MachineDescription['groups'], functions: readonly FunctionReport[]): string[] {
  const groupOf = new Map(functions.map((f) => [f.bdf, f.group]));
  const split = (dumped ?? []).find((g) => new Set(g.flatMap((bdf) => groupOf.get(bdf) ?? [])).size > 1);
  if (split === undefined) return [];
  return [
    `groups are those after ACS was switched on in ports that have it; in the dump ${split.join(', ')} share one`,
  ];
}

/** A run in which nothing could be tried is no success. */
function asked(
  platform: Platform,
  how: DriveOptions,
  functions: readonly FunctionReport[],
  failures: readonly Failure[],
): Failure[] {
  const missing = (code: string, message: string): Failure[] => [...failures, { bdf: null, code, message }];
  if (functions.length > 0) return [...failures];
  if (how.only) return missing('NO_SUCH_FUNCTION', 'there is no such function, or it has neither MSI nor MSI-X');
  if (failures.length > 0) return [...failures];
  return platform.service(PCI).functions.length === 0
    ? missing('NO_MSI_FUNCTION', 'there is no PCI function, and nothing says where one could stand in')
    : missing('NO_MSI_FUNCTION', 'no function has MSI or MSI-X');
}

const report = (
  input: string,
  platform: string,
  kinds: readonly string[],
  functions: readonly FunctionReport[],
  failures: readonly Failure[],
  notes: readonly string[],
  hosts: readonly { name: string; segment?: number; iommuMap?: unknown; msiMap?: unknown }[],
): RunReport => ({
  input,
  platform,
  kinds,
  functions,
  failures,
  notes,
  topology: hosts.map((h) => ({
    host: h.name,
    segment: h.segment ?? 0,
    iommuMap: h.iommuMap ?? [],
    msiMap: h.msiMap ?? [],
  })),
});

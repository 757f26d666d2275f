import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs';
import { describeRead, readMachine, ridToBdf, type MachineDescription } from '@doorbell/firmware';
import {
  Inspector,
  isCapture,
  looksLikeSnapshot,
  openSession,
  type Answer,
  type Knowledge,
  type Question,
  Requesters,
} from '@doorbell/inspect';
import { PCI } from '@doorbell/pci';
import {
  effectiveId,
  type CaptureContribution,
  type IdMapEntry,
  type Platform,
  type PlatformNode,
} from '@doorbell/platform';
import type { DoorbellConfig } from '../config.js';
import { InputError, readInput } from '../inputs.js';
import { Backends } from '../run/backends.js';
import { buildPlatform } from '../run/build.js';
import { drive } from '../run/drive.js';
import { isModule, loadPlatform } from '../run/inputs.js';

/** Something that can be asked. */
export interface Target {
  readonly problems: readonly string[];
  explain(question: Question): Answer;
}

/** What the configured plugins contribute to captures. */
export const contributionsOf = (config: DoorbellConfig): CaptureContribution[] =>
  config.plugins.flatMap((p) => (isContribution(p['capture']) ? [p['capture']] : []));

const isContribution = (x: unknown): x is CaptureContribution =>
  typeof x === 'object' && x !== null && Array.isArray((x as Partial<CaptureContribution>).compatible);

/**
 * A capture directory, a snapshot file, a platform module, or a machine directory (as after `run`). Errors: `InputError`, `FirmwareError`,
 * those of `openSession`.
 */
export async function openTarget(what: string, config: DoorbellConfig): Promise<Target> {
  if (!existsSync(what)) throw new InputError(`${what}: there is no such file or directory`);
  if (isModule(what)) return live(await loadPlatform(what), null, [], [], { remedies: remedies(config) });
  const directory = statSync(what).isDirectory();
  if (directory ? isCapture(what) : looksLikeSnapshot(headOf(what))) return openSession(what, contributionsOf(config));
  const machine = readMachine(readInput(what));
  if (!machine.dmar && !machine.ivrs && !machine.iort && !machine.tree)
    throw new InputError(
      `${what}: nothing in it says whether there is an IOMMU: a DMAR, IVRS or IORT table or a device tree does`,
    );
  const built = buildPlatform(machine, new Backends(config), { name: what });
  drive(built.platform, built);
  const gone = built.failures.flatMap(({ code, unit, compatible }) =>
    code === 'NO_BACKEND' && unit !== undefined && typeof compatible === 'string' ? [{ name: unit, compatible }] : [],
  );
  const unmodelled = new Map(gone.map((n) => [n.name, n]));
  return live(built.platform, describeRead(machine), built.notes, built.hosts, {
    unmodelled,
    remedies: remedies(config),
  });
}

const remedies = (config: DoorbellConfig): Readonly<Record<string, string>> =>
  Object.assign({}, ...contributionsOf(config).map((c) => c.remedies ?? {})) as Record<string, string>;

/** A composed platform, its functions under the ids that they have on the wire. */
function live(
  platform: Platform,
  description: MachineDescription | null,
  problems: readonly string[] = [],
  hosts: readonly PlatformNode[] = [],
  known: Knowledge = {},
): Target {
  const aliases: Record<string, string> = {};
  const functions = platform.service(PCI).functions;
  for (const f of functions) {
    const wire = ridToBdf(f.segment, effectiveId(f));
    if (wire !== f.name) aliases[f.name] = wire;
  }
  const scopes = description?.iommus.flatMap((u) => u.scopes) ?? [];
  const told = scopes.flatMap((s) => (s.kind === 'ioapic' && s.bdf !== null ? [s.bdf] : []));
  const modelled = platform.allNodes.flatMap((n) =>
    typeof n.options?.['requester'] === 'number' ? [n.options['requester']] : [],
  );
  const ioapics = told.length > 0 ? told : modelled.map((id) => ridToBdf(0, id));
  const present = new Set(platform.allNodes.map((n) => n.name));
  const gone = (map: readonly IdMapEntry[] = []) => map.filter((e) => !present.has(e.to));
  const lost = new Map(hosts.map((h) => [h.segment ?? 0, { units: gone(h.iommuMap), controllers: gone(h.msiMap) }]));
  const table = { aliases, buses: {}, functions: functions.map((f) => f.name), ioapics };
  const inspector = new Inspector(platform, { requesters: new Requesters(table), lost, live: true, ...known });
  return { problems, explain: (question) => inspector.explain(question) };
}

function headOf(path: string): Uint8Array {
  const fd = openSync(path, 'r');
  try {
    const head = new Uint8Array(16);
    return head.subarray(0, readSync(fd, head, 0, head.length, 0));
  } finally {
    closeSync(fd);
  }
}

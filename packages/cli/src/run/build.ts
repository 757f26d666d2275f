import { COMPATIBLE, describeRead, platformNodes, type Machine, type MachineDescription } from '@doorbell/firmware';
import { pci, PCI_HOST_ECAM, type Placed } from '@doorbell/pci';
import {
  CompositionError,
  DoorbellError,
  Platform,
  type IdMapEntry,
  type MemoryBank,
  type PlatformNode,
} from '@doorbell/platform';
import type { Backends } from './backends.js';
import { dumpedFunctions, standIns, type SegmentFunctions } from './functions.js';
import { fit, isHost, unique, wide, withApic, withQoriq, withSegments } from './fit.js';
import { AddressSpace } from './space.js';

/** Something that did not work, in the words of CONTRACTS `failures`. */
export interface Failure {
  /** The function concerned; null: the platform as a whole. */
  readonly bdf: string | null;
  readonly code: string;
  readonly message: string;
  /** The node concerned. */
  readonly unit?: string;
  readonly [more: string]: unknown;
}

/** A platform as a machine's firmware describes it, and what of it is missing. */
export interface MachinePlatform {
  readonly platform: Platform;
  readonly description: MachineDescription;
  readonly failures: readonly Failure[];
  /** Names of functions that stand in for unknown ones. */
  readonly standIns: ReadonlySet<string>;
  /** What was assumed, changed or left out. */
  readonly notes: readonly string[];
  /** Controllers that take only what a map sends to them. */
  readonly byMap: ReadonlySet<string>;
  /** By host bridge: who translates and who takes MSIs, also where nobody models them. */
  readonly hosts: readonly PlatformNode[];
}

export interface BuildOptions {
  readonly name?: string;
  /** MSI-X vectors of stand-in functions. Default 4. */
  readonly vectors?: number;
  /** Last changes to the nodes before plugins see them: other options, one more unit. */
  readonly adjust?: (nodes: readonly PlatformNode[]) => readonly PlatformNode[];
}

const RAM = 2 ** 29;
const GIB4 = 2 ** 32;
const MIB = 2 ** 20;
/** Who takes messages where a map says so; local APICs take those of all. */
const BY_MAP = new Set<string>([COMPATIBLE.its, COMPATIBLE.v2m]);
/** Who takes messages. */
const CONTROLLERS = new Set<string>([COMPATIBLE.apic, COMPATIBLE.its, COMPATIBLE.v2m, COMPATIBLE.mpicMsi]);

/** Builds the platform that a machine's tables, tree and dump describe. Never throws for what they hold: that becomes failures and notes. */
export function buildPlatform(machine: Machine, backends: Backends, options: BuildOptions = {}): MachinePlatform {
  const description = describeRead(machine);
  const read = platformNodes(machine, description);
  const failures: Failure[] = [];
  const notes = read.omitted.map((o) => `${o.name}: ${o.why}`);
  const all = (options.adjust ?? ((n) => n))(
    withSegments(
      machine,
      withApic(
        machine,
        withQoriq(machine, description, unique(read.nodes, notes), (n) => backends.models(n), notes),
        notes,
      ),
      notes,
    ),
  );
  const hosts = all.filter(isHost);
  for (const h of hosts)
    if (h.compatible !== PCI_HOST_ECAM) notes.push(`${h.name} (${h.compatible}): a plain host bridge stands in for it`);
  const beside = new AddressSpace();
  for (const n of all) beside.take(...(n.reg ?? []));
  let units = all.filter((n) => !isHost(n)).map((n) => fit(wide(n, hosts), beside, notes));

  // Whatever decides where a request or a message goes cannot be left out unnoticed; wired interrupts can.
  for (const node of units.filter((n) => !backends.models(n))) {
    if (node.compatible === COMPATIBLE.ioapic) notes.push(`${node.name}: no plugin models it`);
    else failures.push(noBackend(node));
  }
  // A damaged size would leave no room for anything else.
  for (const n of units.filter((u) => u.reg?.some((r) => r.size > GIB4))) {
    const message = `${n.name} is left out: its registers would take more than 4 GiB`;
    failures.push({ bdf: null, code: 'UNIT_LEFT_OUT', message, unit: n.name });
    units = units.filter((u) => u !== n);
  }
  for (const u of description.iommus) {
    const same = (n: PlatformNode): boolean => n.name === u.name && n.reg?.[0]?.base === Number(u.base);
    if (units.some(same) || failures.some((f) => f.unit === u.name && f.code === 'UNIT_LEFT_OUT')) continue;
    const why = read.omitted.find((o) => o.name === u.name)?.why ?? 'another table describes the machine';
    const said = notes.indexOf(`${u.name}: ${why}`);
    if (said >= 0) notes.splice(said, 1);
    const where = u.base === null ? '' : ` at ${u.base}`;
    const message = `${u.name} (${u.type}${where}) is left out: ${why}`;
    failures.push({ bdf: null, code: 'UNIT_LEFT_OUT', message, unit: u.name });
  }
  if (!units.some((n) => CONTROLLERS.has(n.compatible)))
    failures.push({
      bdf: null,
      code: 'NO_MSI_CONTROLLER',
      message: `nothing in ${machine.sources.join(', ')} says which interrupt controller takes MSIs`,
      remedy: '`doorbell collect` prints how to gather the tables of a machine',
    });
  units = units.filter((n) => backends.models(n));

  let memory = read.memory;
  for (;;) {
    const plan = plan_(machine, description, hosts, units, memory, options, notes);
    const platform = new Platform({ name: options.name ?? 'machine', memory: plan.memory })
      .use(pci(), ...backends.pluginsFor(units))
      .node(...units, ...plan.hosts);
    try {
      platform.compose();
    } catch (error) {
      if (!(error instanceof DoorbellError)) throw error;
      const problems = error instanceof CompositionError ? error.problems : [error];
      const blamed = new Set(problems.flatMap((p) => namesIn(p, units)));
      if (blamed.size === 0) {
        // Nothing that could be left out: perhaps the RAM of the tree lies on registers.
        if (memory.length === 0) throw error;
        notes.push(`RAM is placed elsewhere: ${problems[0]!.message}`);
        memory = [];
        continue;
      }
      for (const p of problems) {
        const unit = namesIn(p, units)[0];
        // Model and driver of one block may lack the same thing.
        const told = failures.some((f) => f.code === p.code && f.unit === unit);
        if (unit !== undefined && !told)
          failures.push({ bdf: null, code: p.code, message: inWords(p, unit), unit, remedy: p.remedy });
      }
      units = units.filter((n) => !blamed.has(n.name));
      continue;
    }
    const byMap = new Set(units.filter((n) => BY_MAP.has(n.compatible)).map((n) => n.name));
    return { platform, description, failures, standIns: plan.standIns, notes: [...new Set(notes)], hosts, byMap };
  }
}

const noBackend = (node: PlatformNode): Failure => ({
  bdf: null,
  code: 'NO_BACKEND',
  message: `no plugin models ${node.name} (${node.compatible}${node.reg?.[0] ? ` at 0x${node.reg[0].base.toString(16)}` : ''})`,
  remedy: 'use a plugin for it: `doorbell plugins` lists those that are configured, `doorbell new plugin` starts one',
  unit: node.name,
  compatible: node.compatible,
});

/** A composition problem as an owner of the machine sees it. */
const inWords = (problem: DoorbellError, unit: string): string => {
  if (problem.code !== 'MISSING_TOKEN') return problem.message;
  const token = String(problem.details['token']).replace(/^.*:/, '');
  return `${unit} is left out: it needs ${token}, which nothing that is modelled of this machine provides`;
};

/** Units that a composition problem names. */
function namesIn(problem: DoorbellError, units: readonly PlatformNode[]): string[] {
  const { node, nodes, a, b, who } = problem.details as Record<string, unknown>;
  const said = [
    node,
    ...(typeof who === 'string' ? who.split(/[ ()]+/) : []),
    ...(Array.isArray(nodes) ? (nodes as unknown[]) : []),
    b,
    a,
  ].filter((x) => typeof x === 'string');
  const exact = said.filter((s) => units.some((u) => u.name === s));
  // Regions are called after their node: `gic0 redistributor 3`.
  const near = said.flatMap((s) => units.filter((u) => s === u.name || s.startsWith(`${u.name} `)).map((u) => u.name));
  return (exact.length > 0 ? exact : near).slice(0, 1);
}

interface Plan {
  readonly memory: readonly MemoryBank[];
  readonly hosts: readonly PlatformNode[];
  readonly standIns: ReadonlySet<string>;
}

/** Room for RAM, configuration space and BARs, and the host bridges with their functions. */
function plan_(
  machine: Machine,
  description: MachineDescription,
  hosts: readonly PlatformNode[],
  units: readonly PlatformNode[],
  told: readonly MemoryBank[],
  options: BuildOptions,
  notes: string[],
): Plan {
  const space = new AddressSpace();
  for (const u of units) space.take(...(u.reg ?? []));
  const ecams = hosts.map((h) => {
    const e = h.options?.['ecam'] as { base: number; buses: number; firstBus: number } | undefined;
    const bank = e && { base: e.base, size: e.buses * MIB };
    if (!e || !bank || e.base % MIB !== 0 || !(e.buses >= 1) || bank.base + bank.size > 2 ** 52 || !space.isFree(bank))
      return null;
    space.take(bank);
    return e;
  });
  const usable = told.filter((b) => b.base % 8 === 0 && b.size % 8 === 0 && space.isFree(b));
  const large = usable.some((b) => b.size >= 64 * MIB && b.base < GIB4);
  const memory = large ? usable : [space.place(RAM, { align: MIB })];
  if (large) space.take(...memory);
  else if (told.length === 0) notes.push('the input does not say where RAM is: some was put where nothing else is');

  const present = new Set(units.map((u) => u.name));
  const there = (map: readonly IdMapEntry[] | undefined) => (map ?? []).filter((e) => present.has(e.to));
  const nodes: PlatformNode[] = [];
  const names = new Set<string>();
  hosts.forEach((host, h) => {
    const segment = host.segment ?? 0;
    const found: SegmentFunctions =
      machine.pci === null
        ? standIns(host, machine, description, options.vectors ?? 4)
        : dumpedFunctions(machine, segment);
    notes.push(...found.notes);
    for (const id of found.standIns) names.add(`${hex4(segment)}:${bdf(id)}`);
    const ecam = ecams[h];
    found.roots.forEach(({ firstBus, functions }, i) => {
      const end =
        found.roots[i + 1]?.firstBus ??
        (ecam && firstBus < ecam.firstBus + ecam.buses ? ecam.firstBus + ecam.buses : 256);
      const buses = end - firstBus;
      const inside = ecam && firstBus >= ecam.firstBus && end <= ecam.firstBus + ecam.buses;
      const base = inside
        ? ecam.base + (firstBus - ecam.firstBus) * MIB
        : space.place(buses * MIB, { from: 2 ** 40, align: MIB }).base;
      const size = 2 ** Math.ceil(Math.log2(Math.max(need(functions), 16 * MIB)));
      nodes.push({
        name: i === 0 ? host.name : `${host.name} bus ${firstBus.toString(16)}`,
        compatible: PCI_HOST_ECAM,
        segment,
        reg: [{ base, size: buses * MIB }],
        ...(i === 0 && { iommuMap: there(host.iommuMap), msiMap: there(host.msiMap) }),
        options: { ecam: { base, buses, firstBus }, windows: [barWindow(space, size)], functions, enumerate: true },
      });
    });
  });
  return { memory, hosts: nodes, standIns: names };
}

/** 32-bit BARs need room below 4 GiB; where that is full, 64-bit ones may still be reached. */
function barWindow(space: AddressSpace, size: number): MemoryBank {
  for (let bytes = size; bytes >= MIB; bytes /= 2) {
    try {
      return space.place(bytes, { from: MIB, end: GIB4 });
    } catch (error) {
      if (!(error instanceof DoorbellError)) throw error;
    }
  }
  return space.place(size, { from: GIB4 });
}

/** Bytes of BARs, generously: bridges round what is below them up to 1 MiB, twice (prefetchable or not). */
const need = (functions: readonly Placed[]): number =>
  functions.reduce((sum, { definition: d }) => {
    const bars = Object.values(d.bars ?? {}).reduce((s, b) => s + b.size, 0);
    return sum + 2 * bars + ('children' in d ? 4 * MIB + need(d.children) : 0);
  }, 0);

const hex4 = (n: number): string => n.toString(16).padStart(4, '0');
const bdf = (id: number): string =>
  `${(id >>> 8).toString(16).padStart(2, '0')}:${((id >>> 3) & 31).toString(16).padStart(2, '0')}.${id & 7}`;

import { COMPATIBLE } from '@doorbell/firmware';
import {
  API_VERSION,
  CompositionError,
  DoorbellError,
  hex,
  Platform,
  type BlockDefinition,
  type CaptureContribution,
  type IdMapEntry,
  type MemoryBank,
  type PlatformNode,
  type Plugin,
  type Restorable,
} from '@doorbell/platform';
import { withoutRegisters } from './capture/image.js';
import type { Capture } from './capture/open.js';
import { blocksIn } from './capture/registers.js';

import { refuse } from './errors.js';
import { isHost, isIommu, isX86Unit, UNKNOWN } from './kinds.js';
import type { LostIds } from './explain/inspector.js';

/** A platform of models only, in the state of a captured machine. */
export interface Restored {
  readonly platform: Platform;
  /** What it was made of, unmodelled units included. */
  readonly source: readonly PlatformNode[];
  /** Nodes of the platform, host bridges included. */
  readonly nodes: readonly PlatformNode[];
  /** Units that the machine has and nobody models, by name. */
  readonly unmodelled: ReadonlyMap<string, PlatformNode>;
  /** Those of them that have a model whose partner nobody models, by name: what is missing. */
  readonly incomplete: ReadonlyMap<string, string>;
  /** Where the ids of unmodelled units go, by segment. */
  readonly lost: ReadonlyMap<number, LostIds>;
  /** False: nothing says who translates. */
  readonly described: boolean;
  /** By node: what its model could not take over. */
  readonly unitProblems: ReadonlyMap<string, readonly string[]>;
}

/** Everything that can be asked needs these; other nodes (IOAPICs, …) take part in no answer. */
const SPARE = new Set<string>([COMPATIBLE.ioapic]);

/** Makes a platform of a capture and loads it. Errors: `CompositionError`, `BAD_DUMP`. */
export async function restoreCapture(
  capture: Capture,
  contributions: readonly CaptureContribution[],
): Promise<Restored> {
  const nodes = nodesOf(capture, contributions);
  const { image } = capture;
  try {
    return await buildRestored(nodes, image.banks, contributions, capture.registers, async (platform) => {
      capture.missing.push(...(await image.load(platform.memoryModel)));
    });
  } catch (error) {
    if (!(error instanceof DoorbellError) || error.code !== 'BAD_MEMORY_BANK') throw error;
    throw refuse('UNREADABLE_INPUT', `${image.file}: ${error.message}`, '', { file: image.file });
  }
}

/** The part that captures and snapshots share: nodes → models → memory → registers. */
export async function buildRestored(
  nodes: readonly PlatformNode[],
  memory: readonly MemoryBank[],
  contributions: readonly CaptureContribution[],
  registers: unknown,
  load: (platform: Platform) => Promise<void>,
  incomplete: ReadonlyMap<string, string> = new Map(),
): Promise<Restored> {
  const taken = (n: PlatformNode) =>
    !incomplete.has(n.name) && contributions.some((c) => c.compatible.includes(n.compatible));
  const unmodelled = new Map(
    nodes.filter((n) => !taken(n) && !isHost(n) && !SPARE.has(n.compatible)).map((n) => [n.name, n]),
  );
  const blocks = nodes.filter((n) => taken(n) && !SPARE.has(n.compatible));
  const present = new Set(blocks.map((b) => b.name));
  const lost = new Map<number, LostIds>();
  const there = (map: readonly IdMapEntry[]) => map.filter((e) => present.has(e.to));
  const hosts = nodes
    .filter((n) => !taken(n) && isHost(n))
    .map((n): PlatformNode => {
      const segment = n.segment ?? 0;
      const { iommuMap = [], msiMap = [] } = n;
      const gone = (map: readonly IdMapEntry[]) => map.filter((e) => !present.has(e.to));
      const before = lost.get(segment);
      lost.set(segment, {
        units: [...(before?.units ?? []), ...gone(iommuMap)],
        controllers: [...(before?.controllers ?? []), ...gone(msiMap)],
      });
      const { name } = n;
      return { name, compatible: HOST, segment, iommuMap: there(iommuMap), msiMap: there(msiMap) };
    });

  const ram = withoutRegisters(
    memory,
    blocks.flatMap((b) => b.reg ?? []),
  );
  const platform = new Platform({ name: 'capture', ...(ram.length > 0 && { memory: ram }) });
  const used = contributions.filter((c) => blocks.some((b) => c.compatible.includes(b.compatible)));
  const plugins = new Map<string, Plugin>(used.map((c) => c.plugin()).map((p) => [p.name, p]));
  try {
    platform
      .use(hostBridges, ...[...plugins.values()].map(modelsOnly))
      .node(...blocks, ...hosts)
      .compose();
  } catch (error) {
    const more = withoutPartner(error);
    if (more === null) throw error;
    return buildRestored(nodes, memory, contributions, registers, load, new Map([...incomplete, ...more]));
  }
  // What models wrote when they came up is no part of the machine.
  platform.memoryModel.restore([]);
  await load(platform);
  const described = nodes.some((n) => !isHost(n));
  const unitProblems = new Map<string, readonly string[]>();
  for (const { name, compatible } of blocks) {
    const model = platform.model(name) as Partial<Restorable> | undefined;
    if (!model?.restoreCapture) continue;
    const known = blocks.find((b) => b.name === name)!.reg?.[0]?.base;
    const kinds = contributions.flatMap((c) => (c.compatible.includes(compatible) ? (c.kind ?? []) : []));
    const captured = blocksIn(registers).some(
      (b) => Number(b['base']) === known || (b['base'] === undefined && kinds.includes(b['kind'] as string)),
    );
    const restored = model.restoreCapture(registers).problems;
    // Without any register there is nothing to compare.
    const problems = captured ? restored : [`no registers of ${name}${known === undefined ? '' : ` at ${hex(known)}`}`];
    if (problems.length > 0) unitProblems.set(name, problems);
  }
  return {
    platform,
    source: nodes,
    nodes: [...blocks, ...hosts],
    unmodelled,
    incomplete,
    lost,
    described,
    unitProblems,
  };
}

/** Blocks whose partner nobody models (a frame's GIC), by name, with the reason; null: something else is wrong. */
function withoutPartner(error: unknown): ReadonlyMap<string, string> | null {
  if (!(error instanceof CompositionError) || error.problems.length === 0) return null;
  const told = new Map<string, string>();
  for (const { code, details, message } of error.problems) {
    if (code !== 'MISSING_TOKEN' || typeof details['node'] !== 'string') return null;
    told.set(details['node'], message);
  }
  return told;
}

/** Firmware's nodes, made exact by the registers; blocks that only the registers show; who asks whom where firmware does not say. */
function nodesOf(capture: Capture, contributions: readonly CaptureContribution[]): PlatformNode[] {
  const { registers, problems } = capture;
  const found = (n: PlatformNode) => contributions.find((c) => c.compatible.includes(n.compatible));
  const nodes = capture.nodes.nodes.map((n) => found(n)?.node?.(n, registers) ?? n);
  const bare: string[] = [];
  for (const block of blocksIn(registers)) {
    const { kind } = block;
    const c = contributions.find((x) => x.kind !== undefined && x.kind === kind);
    const at = block['base'] === undefined ? null : Number(block['base']);
    const known = nodes.some((n) => (c?.compatible ?? []).includes(n.compatible) || n.reg?.[0]?.base === at);
    if (c?.bare && !known) {
      const first = c.bare(block);
      const node = c.node?.(first, registers) ?? first;
      const taken = isIommu(node) ? 'everybody is taken to be behind it' : 'messages are taken to end there';
      problems.push(`no firmware table describes ${node.name}: ${taken}`);
      nodes.push(node);
      bare.push(node.name);
    } else if (kind !== undefined && !c && registers === block && capture.nodes.nodes.length === 0)
      nodes.push({ name: kind as string, compatible: kind as string, options: UNKNOWN });
  }
  if (nodes.some((n) => isX86Unit(n)) && !nodes.some((n) => n.compatible === COMPATIBLE.apic)) {
    problems.push('there is no APIC table: messages end at one local APIC');
    nodes.push({ name: 'apic', compatible: COMPATIBLE.apic, reg: [{ base: 0xfee0_0000, size: 0x10_0000 }] });
  }
  return withDefaultUnit(nodes, bare);
}

/**
 * Where a segment has one unit, ids that no scope names (functions plugged in later, or gone) are its business too: it is
 * what they would meet. Without any host bridge there is one with segment 0.
 */
function withDefaultUnit(nodes: readonly PlatformNode[], bare: readonly string[]): PlatformNode[] {
  const units = nodes.filter((n) => isIommu(n));
  const hosts = nodes.filter((n) => isHost(n));
  const all = (to: string): IdMapEntry => ({ inputBase: 0, count: 65536, outputBase: 0, to });
  const rest = nodes.filter((n) => !hosts.includes(n));
  const its = nodes.filter((n) => n.compatible === COMPATIBLE.its || n.compatible === COMPATIBLE.v2m);
  if (hosts.length === 0)
    return [
      ...rest,
      {
        name: 'pci0',
        compatible: COMPATIBLE.pciHost,
        segment: 0,
        ...(units[0] && { iommuMap: [all(units[0].name)] }),
        ...(its[0] && { msiMap: [all(its[0].name)] }),
      },
    ];
  return [
    ...rest,
    ...hosts.map((h) => {
      const own = units.filter((u) => !isX86Unit(u) || (u.segment ?? 0) === (h.segment ?? 0));
      const maps = new Set((h.iommuMap ?? []).map((e) => e.to));
      const asked = own.length === 1 && (bare.includes(own[0]!.name) || (isX86Unit(own[0]!) && maps.has(own[0]!.name)));
      const only = asked ? own[0] : undefined;
      return only ? { ...h, iommuMap: [all(only.name), ...(h.iommuMap ?? [])] } : h;
    }),
  ];
}

const HOST = 'doorbell,captured-host';
/** Host bridges of a capture: their maps count, their configuration space is not asked. */
const hostBridges: Plugin = {
  name: 'captured hosts',
  apiVersion: API_VERSION,
  apply: ({ hooks }) =>
    hooks.block.tap('captured hosts', (node) =>
      node.compatible === HOST ? { compatible: [HOST], model: { create: () => ({}) } } : undefined,
    ),
};

/** A plugin's models without its drivers (they would set the hardware up anew) and without the nodes it brings. */
function modelsOnly(plugin: Plugin): Plugin {
  return {
    name: plugin.name,
    apiVersion: plugin.apiVersion,
    apply({ hooks }) {
      const taps: ((node: PlatformNode) => BlockDefinition | undefined)[] = [];
      const block = { ...hooks.block, tap: (_: unknown, fn: (typeof taps)[number]) => void taps.push(fn) };
      plugin.apply({ hooks: { ...hooks, block: block as unknown as typeof hooks.block }, addNode: () => undefined });
      const made = new Map<BlockDefinition, BlockDefinition>();
      for (const fn of taps)
        hooks.block.tap(plugin.name, (node) => {
          const definition = fn(node);
          if (!definition) return undefined;
          const half: { -readonly [K in keyof BlockDefinition]: BlockDefinition[K] } = { ...definition };
          delete half.driver;
          if (!made.has(definition)) made.set(definition, half);
          return made.get(definition);
        });
    },
  };
}

/** For people: every problem of a failed composition in one sentence. */
export const asRefusal = (error: unknown): DoorbellError =>
  error instanceof DoorbellError
    ? error
    : refuse('UNREADABLE_INPUT', error instanceof Error ? error.message : String(error), '');

import { hex, overlaps, rangeOf, showRange } from './address.js';
import type { BlockDefinition, Driver, HalfDefinition, Model } from './block.js';
import { DoorbellError, isPluginFailure, pluginFailed } from './errors.js';
import type { PlatformHooks } from './hooks.js';
import type { PlatformNode } from './node.js';
import { regionOverlap } from './overlap.js';
import type { Platform } from './platform.js';
import { API_VERSION, type Plugin } from './plugin.js';
import { Hardware, Software, tokenName } from './tokens.js';

export interface Block {
  readonly node: PlatformNode;
  readonly definition: BlockDefinition;
  model?: Model;
  driver?: Driver;
}

export type Half = 'model' | 'driver';

/** What will be built, in the order in which it can be. */
export interface Plan {
  readonly nodes: readonly PlatformNode[];
  readonly blocks: readonly Block[];
  readonly models: readonly Block[];
  readonly drivers: readonly Block[];
  readonly problems: DoorbellError[];
}

/** plugins → nodes → definitions → checks → order. Whatever can be known to be wrong before anything is built is looked for here. */
export function plan(platform: Platform, plugins: readonly Plugin[], ownNodes: readonly PlatformNode[]): Plan {
  const problems: DoorbellError[] = [];
  const nodes = [...ownNodes];
  applyPlugins(platform.hooks, plugins, nodes, problems);
  checkNodes(platform, nodes, problems);
  const blocks = findDefinitions(platform.hooks, nodes, problems);
  checkMaps(platform, nodes, blocks, problems);
  const models = platform.machine ? [] : order(blocks, 'model', problems);
  const drivers = platform.driven ? order(blocks, 'driver', problems) : [];
  return { nodes, blocks, models, drivers, problems };
}

function applyPlugins(
  hooks: PlatformHooks,
  plugins: readonly Plugin[],
  nodes: PlatformNode[],
  problems: DoorbellError[],
): void {
  const seen = new Set<string>();
  for (const plugin of plugins) {
    const { name } = plugin;
    if (plugin.apiVersion !== API_VERSION) {
      problems.push(
        new DoorbellError(
          'WRONG_API_VERSION',
          `plugin ${name} is written for API ${plugin.apiVersion}, this is ${API_VERSION}`,
          'use a matching version of the plugin',
          { plugin: name, written: plugin.apiVersion, here: API_VERSION },
        ),
      );
    } else if (seen.has(name)) {
      problems.push(
        new DoorbellError('PLUGIN_TWICE', `plugin ${name} is used twice`, 'use it once; add a second unit as a node', {
          plugin: name,
        }),
      );
    } else {
      seen.add(name);
      try {
        plugin.apply({ hooks, addNode: (node) => void nodes.push(node) });
      } catch (cause) {
        problems.push(isPluginFailure(cause) ? cause : pluginFailed(`plugin ${name}`, 'apply', cause, name));
      }
    }
  }
}

function checkNodes(platform: Platform, nodes: readonly PlatformNode[], problems: DoorbellError[]): void {
  const banks = platform.machine ? [] : platform.memoryModel.banks;
  const taken = banks.map((b) => ({ name: 'RAM', ...rangeOf(b.base, b.size) }));
  const names = new Set<string>();
  for (const { name, reg = [] } of nodes) {
    if (names.has(name)) {
      problems.push(
        new DoorbellError('NODE_TWICE', `two nodes are called ${name}`, 'give each its own name', { node: name }),
      );
    }
    names.add(name);
    for (const { base, size } of reg) {
      const whole = Number.isSafeInteger(base) && Number.isSafeInteger(size);
      if (!whole || base < 0 || size <= 0 || base + size > 2 ** 52) {
        problems.push(
          new DoorbellError(
            'BAD_ADDRESS',
            `${name} has no valid range at ${hex(base)} (${size} bytes)`,
            'addresses have at most 52 bits',
            { node: name, base, size },
          ),
        );
        continue;
      }
      const mine = { name, ...rangeOf(base, size) };
      for (const other of taken) if (overlaps(mine, other)) problems.push(regionOverlap(name, mine, other.name, other));
      taken.push(mine);
    }
  }
}

function findDefinitions(hooks: PlatformHooks, nodes: readonly PlatformNode[], problems: DoorbellError[]): Block[] {
  const blocks: Block[] = [];
  for (const node of nodes) {
    try {
      const definition = hooks.block.call(node);
      if (definition) {
        blocks.push({ node, definition });
        problems.push(...(definition.check?.(node) ?? []));
      } else problems.push(noBackend(node));
    } catch (cause) {
      problems.push(
        isPluginFailure(cause) ? cause : pluginFailed(`the plugin of ${node.name}`, 'check', cause, undefined),
      );
    }
  }
  return blocks;
}

function noBackend(node: PlatformNode): DoorbellError {
  const first = node.reg?.[0];
  const where = first ? `, ${showRange(rangeOf(first.base, first.size))}` : '';
  return new DoorbellError(
    'NO_BACKEND',
    `no plugin models ${node.name} (${node.compatible}${where})`,
    'use a plugin for it',
    { node: node.name, compatible: node.compatible },
  );
}

/** Targets of id maps: nodes of this platform, and for DMA such that have a model. */
function checkMaps(
  platform: Platform,
  nodes: readonly PlatformNode[],
  blocks: readonly Block[],
  problems: DoorbellError[],
): void {
  for (const { name, iommuMap = [], msiMap = [] } of nodes) {
    const targets = (map: typeof iommuMap) => new Set(map.map((entry) => entry.to));
    for (const to of targets(iommuMap)) {
      const block = blocks.find((b) => b.node.name === to);
      // A node that nobody models is a problem of its own, said once.
      const silent = !block && nodes.some((n) => n.name === to);
      if (!silent && !(platform.machine ? block : block?.definition.model))
        problems.push(mapTarget(name, 'iommuMap', to));
    }
    for (const to of targets(msiMap))
      if (!nodes.some((n) => n.name === to)) problems.push(mapTarget(name, 'msiMap', to));
  }
}

/** `BAD_MAP_TARGET`: an id map leads nowhere, or to a block that takes no requests. */
export const mapTarget = (node: string, map: 'iommuMap' | 'msiMap', to: string): DoorbellError =>
  new DoorbellError(
    'BAD_MAP_TARGET',
    `${map} of ${node} names ${to}, which is no ${map === 'iommuMap' ? 'translation unit' : 'node'} here`,
    'name a node of the platform that takes these ids',
    { node, map, to },
  );

/** Tokens that each half has without any block's help. */
const GIVEN: Record<Half, ReadonlySet<symbol>> = {
  model: new Set(Object.values(Hardware)),
  driver: new Set(Object.values(Software)),
};

/** `ACROSS_THE_BORDER`: a half asks for what belongs to the other side. */
export const acrossTheBorder = (half: Half, node: string, t: symbol): DoorbellError =>
  new DoorbellError(
    'ACROSS_THE_BORDER',
    `the ${half} of ${node} asks for ${tokenName(t)}, which belongs to the ${half === 'driver' ? 'hardware' : 'software'} side`,
    'model and driver share nothing but registers and memory',
    { node, token: tokenName(t) },
  );

/** Providers before those who need them. Reports missing and duplicate tokens, cycles, and needs that cross the border. */
function order(blocks: readonly Block[], half: Half, problems: DoorbellError[]): Block[] {
  const definitionOf = (b: Block): HalfDefinition<unknown, never> | undefined => b.definition[half];
  const otherHalf: Half = half === 'model' ? 'driver' : 'model';
  const beyond = new Set([...GIVEN[otherHalf], ...blocks.flatMap((b) => b.definition[otherHalf]?.provides ?? [])]);
  const present = blocks.filter((b) => definitionOf(b));
  const provider = new Map<symbol, Block>();
  for (const block of present) {
    for (const t of definitionOf(block)!.provides ?? []) {
      const other = provider.get(t);
      if (other) {
        problems.push(
          new DoorbellError(
            'DUPLICATE_TOKEN',
            `${other.node.name} and ${block.node.name} both provide ${tokenName(t)} (${half})`,
            'keep one of them',
            { token: tokenName(t), nodes: [other.node.name, block.node.name] },
          ),
        );
      } else provider.set(t, block);
    }
  }
  const missing = (block: Block, t: symbol): DoorbellError =>
    beyond.has(t)
      ? acrossTheBorder(half, block.node.name, t)
      : new DoorbellError(
          'MISSING_TOKEN',
          `${block.node.name} (${half}) needs ${tokenName(t)}, which no block provides`,
          'use a plugin that provides it',
          { node: block.node.name, token: tokenName(t) },
        );
  const done = new Set<Block>();
  const path: Block[] = [];
  const sorted: Block[] = [];
  const visit = (block: Block): void => {
    if (done.has(block)) return;
    if (path.includes(block)) {
      const cycle = [...path.slice(path.indexOf(block)), block].map((b) => b.node.name);
      problems.push(
        new DoorbellError('DEPENDENCY_CYCLE', `${half}s need each other: ${cycle.join(' → ')}`, 'break the circle', {
          cycle,
        }),
      );
      return;
    }
    path.push(block);
    const { needs = [], wants = [] } = definitionOf(block)!;
    for (const t of [...needs, ...wants]) {
      const from = provider.get(t);
      if (from && from !== block) visit(from);
      else if (!from && needs.includes(t) && !GIVEN[half].has(t)) problems.push(missing(block, t));
    }
    path.pop();
    done.add(block);
    sorted.push(block);
  };
  present.forEach(visit);
  return sorted;
}

import { container, type DependencyContainer } from 'tsyringe';
import { hex, overlaps, rangeOf, showRange } from './address.js';
import type {
  BlockContext,
  BlockDefinition,
  Driver,
  HalfDefinition,
  HardwareHost,
  Model,
  Service,
  SoftwareHost,
} from './block.js';
import { regionOverlap } from './overlap.js';
import { CompositionError, DoorbellError } from './errors.js';
import type { TranslationUnit } from './fabric.js';
import type { PlatformNode } from './node.js';
import type { Platform } from './platform.js';
import { API_VERSION, type Plugin } from './plugin.js';
import { registerPort } from './ports.js';
import { Hardware, Software, tokenName, type Token } from './tokens.js';

export interface Block {
  readonly node: PlatformNode;
  readonly definition: BlockDefinition;
  model?: Model;
  driver?: Driver;
}

/** One side of the border: what its blocks provide to each other. */
export class Side<Host> {
  constructor(
    readonly container: DependencyContainer,
    readonly host: Host,
  ) {}

  service<T>(service: Service<T, Host>): T {
    const found = this.get(service.token);
    if (found !== undefined) return found;
    const made = service.create(this.host);
    this.container.register(service.token, { useValue: made });
    return made;
  }

  get<T>(t: Token<T>): T | undefined {
    return this.container.isRegistered(t, true) ? this.container.resolve<T>(t) : undefined;
  }
}

export interface Built {
  readonly blocks: readonly Block[];
  readonly hardware: Side<HardwareHost>;
  readonly software: Side<SoftwareHost>;
  dispose(): void;
}

type Half = 'model' | 'driver';

/**
 * plugins → nodes → definitions → checks → models → drivers. Everything that can be wrong is looked for before anything is built, and reported
 * together.
 */
export function build(platform: Platform, plugins: readonly Plugin[], ownNodes: readonly PlatformNode[]): Built {
  const problems: DoorbellError[] = [];
  const nodes = [...ownNodes];
  applyPlugins(platform, plugins, nodes, problems);
  checkNodes(platform, nodes, problems);
  const blocks = findDefinitions(platform, nodes, problems);
  const models = platform.machine ? [] : order(blocks, 'model', new Set(), problems);
  const drivers = order(blocks, 'driver', new Set(), problems);
  if (problems.length > 0) throw new CompositionError(problems);

  // Siblings: whatever is registered on one side cannot be resolved from the other.
  const root = container.createChildContainer();
  const hardware: Side<HardwareHost> = new Side<HardwareHost>(
    root.createChildContainer(),
    hardwareHost(platform, nodes, (service) => hardware.service(service)),
  );
  const software: Side<SoftwareHost> = new Side<SoftwareHost>(
    root.createChildContainer(),
    softwareHost(platform, nodes, (service) => software.service(service)),
  );
  const children: DependencyContainer[] = [root, hardware.container, software.container];
  const c = hardware.container;
  c.register(Hardware.memory, { useValue: platform.memoryModel });
  c.register(Hardware.bus, { useValue: platform.bus });
  c.register(Hardware.clock, { useValue: platform.clock });
  c.register(Hardware.trace, { useValue: platform.trace });
  c.register(Hardware.diagnostics, { useValue: platform.diagnostics });
  const d = software.container;
  d.register(Software.machine, { useValue: platform });
  d.register(Software.cpu, { useValue: platform.cpu });
  d.register(Software.memory, { useValue: platform.memory });
  d.register(Software.pages, { useValue: platform.pages });
  root.register(Hardware.hooks, { useValue: platform.hooks });

  const dispose = () => {
    for (const b of [...drivers].reverse()) b.driver?.dispose?.();
    for (const b of [...models].reverse()) b.model?.dispose?.();
    for (const child of children.reverse()) void child.dispose();
  };
  try {
    for (const block of models) {
      const context = makeContext(block, 'model', hardware, software, children);
      block.model = create(block, 'model', () => block.definition.model!.create(context));
      for (const region of block.model.regions ?? []) platform.bus.map(region);
      for (const region of block.model.ports ?? []) platform.bus.mapPorts(region);
    }
    if (!platform.machine) routeIds(platform, blocks);
    for (const block of drivers) {
      const context = makeContext(block, 'driver', software, hardware, children, (child) => {
        const reg = block.node.reg?.[0];
        if (reg) child.register(Software.registers, { useValue: registerPort(platform.cpu, reg.base) });
      });
      block.driver = create(block, 'driver', () => block.definition.driver!.create(context));
    }
  } catch (error) {
    dispose();
    throw error;
  }
  return { blocks, hardware, software, dispose };
}

const softwareHost = (
  platform: Platform,
  nodes: readonly PlatformNode[],
  service: SoftwareHost['service'],
): SoftwareHost => ({
  service,
  name: platform.name,
  hooks: platform.hooks,
  nodes,
  cpu: platform.cpu,
  memory: platform.memory,
  pages: platform.pages,
  waitUntil: (what, condition, limit) => platform.waitUntil(what, condition, limit),
});

const hardwareHost = (
  platform: Platform,
  nodes: readonly PlatformNode[],
  service: HardwareHost['service'],
): HardwareHost => ({
  service,
  memoryModel: platform.memoryModel,
  bus: platform.bus,
  clock: platform.clock,
  trace: platform.trace,
  diagnostics: platform.diagnostics,
  hooks: platform.hooks,
  nodes,
  fabric: (segment) => platform.fabric(segment),
});

/** Host bridges' maps become wires: requester ids to translation units and DeviceIDs. Entries later in a map win. */
function routeIds(platform: Platform, blocks: readonly Block[]): void {
  for (const { node } of blocks) {
    const fabric = platform.fabric(node.segment ?? 0);
    for (const entry of node.iommuMap ?? []) {
      const unit = blocks.find((b) => b.node.name === entry.to)?.model;
      if (isUnit(unit)) fabric.claim(unit, entry.inputBase, entry.count, entry.outputBase);
      else throw mapTarget(node.name, 'iommuMap', entry.to);
    }
    for (const entry of node.msiMap ?? []) {
      if (!blocks.some((b) => b.node.name === entry.to)) throw mapTarget(node.name, 'msiMap', entry.to);
      fabric.mapDeviceIds(entry.inputBase, entry.count, entry.outputBase);
    }
  }
}

const isUnit = (model: Model | undefined): model is Model & TranslationUnit =>
  model !== undefined && 'translate' in model && typeof model.translate === 'function';

const mapTarget = (node: string, map: string, to: string): DoorbellError =>
  new DoorbellError(
    'BAD_MAP_TARGET',
    `${map} of ${node} names ${to}, which is no such unit here`,
    'name a node of the platform',
    { node, map, to },
  );

function applyPlugins(
  platform: Platform,
  plugins: readonly Plugin[],
  nodes: PlatformNode[],
  problems: DoorbellError[],
): void {
  const seen = new Set<string>();
  for (const plugin of plugins) {
    if (plugin.apiVersion !== API_VERSION) {
      problems.push(
        new DoorbellError(
          'WRONG_API_VERSION',
          `plugin ${plugin.name} is written for API ${plugin.apiVersion}, this is ${API_VERSION}`,
          'use a matching version of the plugin',
          {
            plugin: plugin.name,
          },
        ),
      );
      continue;
    }
    if (seen.has(plugin.name)) {
      problems.push(
        new DoorbellError(
          'PLUGIN_TWICE',
          `plugin ${plugin.name} is used twice`,
          'use it once; add a second unit as a node',
          { plugin: plugin.name },
        ),
      );
      continue;
    }
    seen.add(plugin.name);
    try {
      plugin.apply({ hooks: platform.hooks, addNode: (node) => nodes.push(node) });
    } catch (cause) {
      problems.push(pluginFailed(plugin.name, 'apply', cause));
    }
  }
}

function checkNodes(platform: Platform, nodes: readonly PlatformNode[], problems: DoorbellError[]): void {
  const ranges: { name: string; first: number; last: number }[] = [];
  const names = new Set<string>();
  for (const node of nodes) {
    if (names.has(node.name))
      problems.push(
        new DoorbellError('NODE_TWICE', `two nodes are called ${node.name}`, 'give each its own name', {
          node: node.name,
        }),
      );
    names.add(node.name);
    for (const reg of node.reg ?? []) {
      if (!Number.isSafeInteger(reg.base) || reg.base < 0 || reg.size <= 0 || reg.base + reg.size > 2 ** 52) {
        problems.push(
          new DoorbellError(
            'BAD_ADDRESS',
            `${node.name} has no valid range at ${hex(reg.base)} (${reg.size} bytes)`,
            'addresses have at most 52 bits',
            { node: node.name },
          ),
        );
        continue;
      }
      const mine = rangeOf(reg.base, reg.size);
      for (const other of ranges)
        if (overlaps(mine, other)) problems.push(regionOverlap(node.name, mine, other.name, other));
      if (!platform.machine) {
        for (const bank of platform.memoryModel.banks) {
          if (overlaps(mine, rangeOf(bank.base, bank.size)))
            problems.push(regionOverlap(node.name, mine, 'RAM', rangeOf(bank.base, bank.size)));
        }
      }
      ranges.push({ name: node.name, ...mine });
    }
  }
}

function findDefinitions(platform: Platform, nodes: readonly PlatformNode[], problems: DoorbellError[]): Block[] {
  const blocks: Block[] = [];
  for (const node of nodes) {
    let definition: BlockDefinition | undefined;
    try {
      definition = platform.hooks.block.call(node);
    } catch (cause) {
      problems.push(pluginFailed('(block hook)', `looking at ${node.name}`, cause));
      continue;
    }
    if (!definition) {
      problems.push(
        new DoorbellError(
          'NO_BACKEND',
          `no plugin models ${node.name} (${node.compatible}${node.reg?.[0] ? `, ${showRange(rangeOf(node.reg[0].base, node.reg[0].size))}` : ''})`,
          'use a plugin for it',
          {
            node: node.name,
            compatible: node.compatible,
          },
        ),
      );
      continue;
    }
    problems.push(...(definition.check?.(node) ?? []));
    blocks.push({ node, definition });
  }
  return blocks;
}

/** Providers before those who need them. Reports missing and duplicate tokens and cycles. */
function order(blocks: readonly Block[], half: Half, given: Set<symbol>, problems: DoorbellError[]): Block[] {
  const definitionOf = (b: Block): HalfDefinition<unknown, never> | undefined => b.definition[half];
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
            {
              token: tokenName(t),
              nodes: [other.node.name, block.node.name],
            },
          ),
        );
      } else provider.set(t, block);
    }
  }
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
    const def = definitionOf(block)!;
    for (const t of [...(def.needs ?? []), ...(def.wants ?? [])]) {
      const from = provider.get(t);
      if (from && from !== block) visit(from);
      else if (!from && def.needs?.includes(t) && !given.has(t)) {
        problems.push(
          new DoorbellError(
            'MISSING_TOKEN',
            `${block.node.name} (${half}) needs ${tokenName(t)}, which no block provides`,
            'use a plugin that provides it',
            {
              node: block.node.name,
              token: tokenName(t),
            },
          ),
        );
      }
    }
    path.pop();
    done.add(block);
    sorted.push(block);
  };
  present.forEach(visit);
  return sorted;
}

function makeContext<Host, Other>(
  block: Block,
  half: Half,
  own: Side<Host>,
  other: Side<Other>,
  children: DependencyContainer[],
  fill?: (c: DependencyContainer) => void,
): BlockContext<Host> {
  const child = own.container.createChildContainer();
  children.push(child);
  child.register(Hardware.node, { useValue: block.node });
  fill?.(child);
  const optional = <T>(t: Token<T>): T | undefined => (child.isRegistered(t, true) ? child.resolve<T>(t) : undefined);
  return {
    node: block.node,
    host: own.host,
    service: (service) => own.service(service),
    optional,
    resolve: <T>(t: Token<T>): T => {
      const found = optional(t);
      if (found !== undefined) return found;
      if (other.container.isRegistered(t, true)) {
        throw new DoorbellError(
          'ACROSS_THE_BORDER',
          `the ${half} of ${block.node.name} asks for ${tokenName(t)}, which belongs to the ${half === 'driver' ? 'hardware' : 'software'} side`,
          'model and driver share nothing but registers and memory',
          { node: block.node.name, token: tokenName(t) },
        );
      }
      throw new DoorbellError(
        'MISSING_TOKEN',
        `the ${half} of ${block.node.name} asks for ${tokenName(t)}, which nobody provides`,
        'list it in `needs`, and use a plugin that provides it',
        {
          node: block.node.name,
          token: tokenName(t),
        },
      );
    },
    provide: <T>(t: Token<T>, value: T): void => {
      if (!block.definition[half]?.provides?.includes(t)) {
        throw new DoorbellError(
          'UNDECLARED_TOKEN',
          `the ${half} of ${block.node.name} provides ${tokenName(t)} without declaring it`,
          'list it in `provides`',
          {
            node: block.node.name,
            token: tokenName(t),
          },
        );
      }
      own.container.register(t, { useValue: value });
    },
  };
}

function create<T>(block: Block, half: Half, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    if (cause instanceof DoorbellError) throw new CompositionError([cause]);
    throw new CompositionError([pluginFailed(block.node.name, half, cause)]);
  }
}

const pluginFailed = (who: string, what: string, cause: unknown): DoorbellError =>
  new DoorbellError(
    'PLUGIN_FAILED',
    `${who} failed in ${what}: ${cause instanceof Error ? cause.message : String(cause)}`,
    'mend the plugin',
    { plugin: who, what },
    { cause },
  );

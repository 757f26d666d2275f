import { container, type DependencyContainer } from 'tsyringe';
import type { BlockContext, HardwareHost, Model, SoftwareHost } from './block.js';
import type { MmioRegion, PortRegion } from './bus.js';
import { CompositionError, DoorbellError, isPluginFailure, pluginFailed } from './errors.js';
import type { TranslationUnit } from './fabric.js';
import type { PlatformNode } from './node.js';
import { acrossTheBorder, mapTarget, plan, type Block, type Half } from './plan.js';
import type { Platform } from './platform.js';
import type { Plugin } from './plugin.js';
import { registerPort } from './ports.js';
import { Side } from './sides.js';
import { Hardware, Software, tokenName, type Token } from './tokens.js';

/** What stands after composition. */
export interface Built {
  readonly blocks: readonly Block[];
  readonly hardware: Side<HardwareHost>;
  readonly software: Side<SoftwareHost>;
  dispose(): void;
}

/** plan → models → id maps → drivers. Each stage reports all of its problems together; a stage with problems is the last. */
export function build(platform: Platform, plugins: readonly Plugin[], ownNodes: readonly PlatformNode[]): Built {
  const { nodes, blocks, models, drivers, problems } = plan(platform, plugins, ownNodes);
  if (problems.length > 0) throw new CompositionError(problems);

  // Siblings: whatever is registered on one side cannot be resolved from the other.
  const root = container.createChildContainer();
  root.register(Hardware.hooks, { useValue: platform.hooks });
  const hardware: Side<HardwareHost> = new Side<HardwareHost>(
    root.createChildContainer(),
    hardwareHost(platform, nodes, (service) => hardware.service(service)),
  );
  const software: Side<SoftwareHost> = new Side<SoftwareHost>(
    root.createChildContainer(),
    softwareHost(platform, nodes, (service) => software.service(service)),
  );
  fillSides(platform, hardware.container, software.container);
  const children: DependencyContainer[] = [root, hardware.container, software.container];
  const mapped: MmioRegion[] = [];
  const mappedPorts: PortRegion[] = [];

  const dispose = () =>
    allOf([
      ...[...drivers].reverse().map((b) => () => b.driver?.dispose?.()),
      ...software.disposals(),
      ...[...models].reverse().map((b) => () => b.model?.dispose?.()),
      ...hardware.disposals(),
      ...mapped.map((region) => () => platform.bus.unmap(region)),
      ...mappedPorts.map((region) => () => platform.bus.unmapPorts(region)),
      ...[...children].reverse().map((child) => () => void child.dispose()),
    ]);
  const stopAtProblems = () => {
    if (problems.length === 0) return;
    attempt(dispose, problems, (cause) => pluginFailed('a block', 'dispose', cause, undefined));
    throw new CompositionError(problems);
  };
  const createAll = (order: readonly Block[], half: Half, make: (block: Block) => void) => {
    const lost = new Set<symbol>();
    for (const block of order) {
      const { needs = [], provides = [] } = block.definition[half]!;
      // Whoever needs what a failed block would have provided is not to blame.
      const failed =
        needs.some((t) => lost.has(t)) ||
        !attempt(
          () => make(block),
          problems,
          (cause) => blame(platform, block, half, cause),
        );
      if (failed) for (const t of provides) lost.add(t);
    }
    stopAtProblems();
  };

  createAll(models, 'model', (block) => {
    const context = makeContext(block, 'model', hardware, software, children);
    const model = (block.model = block.definition.model!.create(context));
    for (const region of model.regions ?? []) {
      platform.bus.map(region);
      mapped.push(region);
    }
    for (const region of model.ports ?? []) {
      platform.bus.mapPorts(region);
      mappedPorts.push(region);
    }
  });
  if (!platform.machine) routeIds(platform, blocks, problems);
  stopAtProblems();
  createAll(drivers, 'driver', (block) => {
    const context = makeContext(block, 'driver', software, hardware, children, (child) => {
      const { reg, endian } = block.node;
      if (reg?.[0])
        child.register(Software.registers, { useValue: registerPort(platform.cpu, reg[0].base, endian ?? 'little') });
    });
    block.driver = block.definition.driver!.create(context);
  });
  return { blocks, hardware, software, dispose };
}

/** Runs a piece of somebody's code; what it throws becomes a problem. */
function attempt(body: () => void, problems: DoorbellError[], wrap: (cause: unknown) => DoorbellError): boolean {
  try {
    body();
    return true;
  } catch (cause) {
    problems.push(wrap(cause));
    return false;
  }
}

/** A typed error speaks for itself; anything else is put into words, with the plugin that took the node. */
function blame(platform: Platform, block: Block, half: Half, cause: unknown): DoorbellError {
  if (cause instanceof DoorbellError) return cause;
  const { node, definition } = block;
  const plugin = platform.hooks.block.taps.find(
    (tap) => (tap.fn as (n: PlatformNode) => unknown)(node) === definition,
  )?.name;
  return pluginFailed(`the ${half} of ${node.name}${plugin ? ` (plugin ${plugin})` : ''}`, 'create', cause, plugin);
}

/** Everything is ended, whatever fails on the way; then the first failure is thrown. */
function allOf(steps: readonly (() => void)[]): void {
  const failures: unknown[] = [];
  for (const step of steps) {
    try {
      step();
    } catch (cause) {
      failures.push(cause);
    }
  }
  if (failures.length > 0)
    throw isPluginFailure(failures[0]) ? failures[0] : pluginFailed('a block', 'dispose', failures[0], undefined);
}

function fillSides(platform: Platform, hardware: DependencyContainer, software: DependencyContainer): void {
  hardware.register(Hardware.memory, { useValue: platform.memoryModel });
  hardware.register(Hardware.bus, { useValue: platform.bus });
  hardware.register(Hardware.clock, { useValue: platform.clock });
  hardware.register(Hardware.trace, { useValue: platform.trace });
  hardware.register(Hardware.diagnostics, { useValue: platform.diagnostics });
  software.register(Software.machine, { useValue: platform });
  software.register(Software.cpu, { useValue: platform.cpu });
  software.register(Software.memory, { useValue: platform.memory });
  software.register(Software.pages, { useValue: platform.pages });
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
function routeIds(platform: Platform, blocks: readonly Block[], problems: DoorbellError[]): void {
  for (const { node } of blocks) {
    if (!node.iommuMap && !node.msiMap) continue;
    const fabric = platform.fabric(node.segment ?? 0);
    const wrong = new Set<string>();
    for (const entry of node.iommuMap ?? []) {
      const unit = blocks.find((b) => b.node.name === entry.to)?.model;
      if (isUnit(unit)) fabric.claim(unit, entry.inputBase, entry.count, entry.outputBase, entry.shared);
      else wrong.add(entry.to);
    }
    problems.push(...[...wrong].map((to) => mapTarget(node.name, 'iommuMap', to)));
    for (const entry of node.msiMap ?? []) fabric.mapDeviceIds(entry.inputBase, entry.count, entry.outputBase);
  }
}

const isUnit = (model: Model | undefined): model is Model & TranslationUnit => typeof model?.translate === 'function';

function makeContext<Host, Other>(
  block: Block,
  half: Half,
  own: Side<Host>,
  other: Side<Other>,
  children: DependencyContainer[],
  fill?: (c: DependencyContainer) => void,
): BlockContext<Host> {
  const { name } = block.node;
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
      if (other.container.isRegistered(t, true)) throw acrossTheBorder(half, name, t);
      throw new DoorbellError(
        'MISSING_TOKEN',
        `the ${half} of ${name} asks for ${tokenName(t)}, which nobody provides`,
        'list it in `needs`, and use a plugin that provides it',
        { node: name, token: tokenName(t) },
      );
    },
    provide: <T>(t: Token<T>, value: T): void => {
      if (!block.definition[half]?.provides?.includes(t)) {
        throw new DoorbellError(
          'UNDECLARED_TOKEN',
          `the ${half} of ${name} provides ${tokenName(t)} without declaring it`,
          'list it in `provides`',
          { node: name, token: tokenName(t) },
        );
      }
      own.container.register(t, { useValue: value });
    },
  };
}

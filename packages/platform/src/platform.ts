import 'reflect-metadata';
import { SystemBus } from './bus.js';
import { Clock, immediate, type CompletionPolicy } from './clock.js';
import type { Driver, HardwareHost, Model, Service, SoftwareHost } from './block.js';
import { build, type Built } from './compose.js';
import { describe, type Description } from './describe.js';
import { Diagnostics } from './diagnostics.js';
import { DoorbellError } from './errors.js';
import { PcieFabric } from './fabric.js';
import { createHooks, type PlatformHooks } from './hooks.js';
import { PhysicalMemory, type MemoryBank, type MemoryState } from './memory.js';
import type { PlatformNode } from './node.js';
import { RangePageAllocator } from './pages.js';
import type { Plugin } from './plugin.js';
import type { CpuPort, Machine, MemoryPort, PageAllocator } from './ports.js';
import type { Token } from './tokens.js';
import { Trace } from './trace.js';

export interface PlatformOptions {
  readonly name?: string;
  /** RAM banks. Default: 1 GiB at 0. */
  readonly memory?: readonly MemoryBank[];
  /** Where drivers take pages for tables and queues. Default: the upper half of the last bank below 4 GiB. */
  readonly pages?: { readonly base: number; readonly size: number };
  /** When hardware completes what it was told. Default: `immediate()`. */
  readonly completion?: CompletionPolicy;
  /** Real or emulated hardware instead of our models: drivers are pointed at it, no model is made. */
  readonly machine?: Machine;
}

/** The whole state, structured-cloneable. Drivers that keep no restorable state are named in `leftOut`. */
export interface PlatformState {
  readonly version: 1;
  readonly memory: MemoryState;
  readonly now: number;
  readonly models: Readonly<Record<string, unknown>>;
  readonly drivers: Readonly<Record<string, unknown>>;
  readonly leftOut: readonly string[];
}

/**
 * A machine put together from plugins. `use` and `node` say what belongs to it, `compose` builds it or throws one
 * `CompositionError` with every problem. Platforms share nothing with each other.
 */
export class Platform implements Machine {
  readonly name: string;
  readonly hooks: PlatformHooks = createHooks();
  readonly trace = new Trace();
  readonly diagnostics = new Diagnostics();
  readonly memoryModel: PhysicalMemory;
  readonly bus: SystemBus;
  readonly clock: Clock;
  readonly machine: Machine | undefined;
  private readonly options: PlatformOptions;
  private readonly plugins: Plugin[] = [];
  private readonly nodes: PlatformNode[] = [];
  private readonly ownPages: PageAllocator;
  private readonly fabrics = new Map<number, PcieFabric>();
  private built: Built | undefined;

  constructor(options: PlatformOptions = {}) {
    this.options = options;
    this.name = options.name ?? 'platform';
    const banks = options.memory ?? [{ base: 0, size: 2 ** 30 }];
    this.memoryModel = new PhysicalMemory(banks);
    this.bus = new SystemBus(this.memoryModel);
    this.clock = new Clock(options.completion ?? immediate());
    this.machine = options.machine;
    const pages = options.pages ?? defaultPages(banks);
    this.ownPages = new RangePageAllocator(this.memoryModel, pages.base, pages.size);
  }

  get cpu(): CpuPort {
    return this.machine?.cpu ?? this.bus;
  }
  get memory(): MemoryPort {
    return this.machine?.memory ?? this.memoryModel;
  }
  get pages(): PageAllocator {
    return this.machine?.pages ?? this.ownPages;
  }
  waitUntil(what: string, condition: () => boolean, limit?: number): void {
    if (this.machine) this.machine.waitUntil(what, condition, limit);
    else this.clock.waitUntil(what, condition, limit);
  }

  /** The upstream side of a PCI segment. */
  fabric(segment = 0): PcieFabric {
    let fabric = this.fabrics.get(segment);
    if (!fabric) this.fabrics.set(segment, (fabric = new PcieFabric(segment, this.bus)));
    return fabric;
  }

  /** Adds a plugin. Mistakes are collected and thrown by `compose`. */
  use(...plugins: Plugin[]): this {
    this.mustBeOpen('use');
    this.plugins.push(...plugins);
    return this;
  }

  /** Adds a node. */
  node(...nodes: PlatformNode[]): this {
    this.mustBeOpen('node');
    this.nodes.push(...nodes);
    return this;
  }

  /** Builds models and drivers. Errors: `CompositionError`; nothing stands then. */
  compose(): this {
    this.mustBeOpen('compose');
    this.built = build(this, this.plugins, this.nodes);
    this.hooks.composed.call();
    return this;
  }

  /** A service that a block provides, or undefined. Software services first, then hardware's. */
  find<T>(t: Token<T>): T | undefined {
    return this.mustBeBuilt().software.get(t) ?? this.mustBeBuilt().hardware.get(t);
  }

  /** A service that a block provides. Errors: `MISSING_TOKEN`. */
  get<T>(t: Token<T>): T {
    const found = this.find(t);
    if (found === undefined) {
      throw new DoorbellError(
        'MISSING_TOKEN',
        `no block of ${this.name} provides ${t.description}`,
        'use a plugin that does',
        { token: t.description },
      );
    }
    return found;
  }

  /** The software side's one instance of a core service (the IOMMU API, the interrupt core, …), made when first asked for. */
  service<T>(service: Service<T>): T {
    return this.mustBeBuilt().software.service(service);
  }
  /** The same on the hardware side. */
  hardwareService<T>(service: Service<T, HardwareHost>): T {
    return this.mustBeBuilt().hardware.service(service);
  }
  get software(): SoftwareHost {
    return this.mustBeBuilt().software.host;
  }

  get allNodes(): readonly PlatformNode[] {
    return this.mustBeBuilt().blocks.map((b) => b.node);
  }
  model(name: string): Model | undefined {
    return this.mustBeBuilt().blocks.find((b) => b.node.name === name)?.model;
  }
  driver(name: string): Driver | undefined {
    return this.mustBeBuilt().blocks.find((b) => b.node.name === name)?.driver;
  }

  /** Lets everything under way complete. */
  settle(): void {
    if (!this.machine) this.clock.settle();
  }

  describe(): Description {
    return describe(this, this.mustBeBuilt());
  }

  /** The whole state. Work under way completes first: closures cannot be saved. */
  snapshot(): PlatformState {
    this.settle();
    const models: Record<string, unknown> = {};
    const drivers: Record<string, unknown> = {};
    const leftOut: string[] = [];
    for (const { node, model, driver } of this.mustBeBuilt().blocks) {
      if (model?.snapshot) models[node.name] = structuredClone(model.snapshot());
      else if (model) leftOut.push(`${node.name} (model)`);
      if (driver?.snapshot) drivers[node.name] = structuredClone(driver.snapshot());
      else if (driver) leftOut.push(`${node.name} (driver)`);
    }
    return { version: 1, memory: this.memoryModel.snapshot(), now: this.clock.now, models, drivers, leftOut };
  }

  restore(state: PlatformState): void {
    this.memoryModel.restore(state.memory);
    this.clock.now = state.now;
    for (const { node, model, driver } of this.mustBeBuilt().blocks) {
      if (node.name in state.models) model?.restore?.(structuredClone(state.models[node.name]));
      if (node.name in state.drivers) driver?.restore?.(structuredClone(state.drivers[node.name]));
    }
  }

  /** An independent platform of the same plugins and nodes in the same state. */
  fork(): Platform {
    const copy = new Platform(this.options)
      .use(...this.plugins)
      .node(...this.nodes)
      .compose();
    copy.restore(this.snapshot());
    return copy;
  }

  /** Ends drivers, then models, in reverse order, and their containers. */
  dispose(): void {
    const built = this.built;
    this.built = undefined;
    built?.dispose();
  }

  private mustBeOpen(call: string): void {
    if (this.built)
      throw new DoorbellError(
        'ALREADY_COMPOSED',
        `${call}() after compose() on ${this.name}`,
        'add plugins and nodes before compose()',
        {},
      );
  }
  private mustBeBuilt(): Built {
    if (!this.built)
      throw new DoorbellError(
        'NOT_COMPOSED',
        `${this.name} is not composed (or was disposed)`,
        'call compose() first',
        {},
      );
    return this.built;
  }
}

function defaultPages(banks: readonly MemoryBank[]): { base: number; size: number } {
  const bank = [...banks]
    .filter((b) => b.base < 2 ** 32)
    .sort((a, b) => a.base - b.base)
    .pop() ??
    banks[0] ?? { base: 0, size: 0 };
  const size = Math.min(Math.floor(bank.size / 2 / 4096) * 4096, 2 ** 30);
  return { base: bank.base + bank.size - size, size };
}

import 'reflect-metadata';
import { hex } from './address.js';
import { SystemBus } from './bus.js';
import { Clock, immediate, type ClockState, type CompletionPolicy } from './clock.js';
import type { Driver, HardwareHost, Model, Service, SoftwareHost } from './block.js';
import { build, type Built } from './compose.js';
import { describe, type Description } from './describe.js';
import { Diagnostics } from './diagnostics.js';
import { CompositionError, DoorbellError, isPluginFailure } from './errors.js';
import { PcieFabric } from './fabric.js';
import { createHooks, type PlatformHooks } from './hooks.js';
import { PhysicalMemory, type MemoryBank, type MemoryState } from './memory.js';
import type { PlatformNode } from './node.js';
import { RangePageAllocator, type PagesState } from './pages.js';
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
  /** False: hardware only. No driver is made, so nothing touches the models but whoever holds `cpu` and `memory`. Default true. */
  readonly software?: boolean;
}

/** The whole state, structured-cloneable. Blocks and services that keep no restorable state are named in `leftOut`. */
export interface PlatformState {
  readonly version: 1;
  readonly memory: MemoryState;
  readonly pages: PagesState;
  readonly clock: ClockState;
  /** By node. */
  readonly models: Readonly<Record<string, unknown>>;
  readonly drivers: Readonly<Record<string, unknown>>;
  /** By token. */
  readonly hardwareServices: Readonly<Record<string, unknown>>;
  readonly softwareServices: Readonly<Record<string, unknown>>;
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
  /** Whether drivers are made. */
  readonly driven: boolean;
  private readonly options: PlatformOptions;
  private readonly plugins: Plugin[] = [];
  private readonly nodes: PlatformNode[] = [];
  private readonly ownPages: RangePageAllocator;
  private readonly fabrics = new Map<number, PcieFabric>();
  private built: Built | undefined;
  private stage: 'open' | 'composed' | 'failed' | 'disposed' = 'open';

  constructor(options: PlatformOptions = {}) {
    this.options = options;
    this.name = options.name ?? 'platform';
    const banks = options.memory ?? [{ base: 0, size: 2 ** 30 }];
    this.memoryModel = new PhysicalMemory(banks);
    this.bus = new SystemBus(this.memoryModel);
    this.clock = new Clock(options.completion ?? immediate());
    this.machine = options.machine;
    this.driven = options.software ?? true;
    const pages = options.pages ?? defaultPages(banks);
    if (options.pages && !this.memoryModel.contains(pages.base, pages.size)) {
      throw new DoorbellError(
        'OUTSIDE_MEMORY',
        `the pages for drivers (${hex(pages.size)} bytes at ${hex(pages.base)}) are not RAM`,
        'put them into a memory bank',
        pages,
      );
    }
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
    if (!fabric) this.fabrics.set(segment, (fabric = new PcieFabric(segment, this.bus, this.trace)));
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

  /** Builds models and drivers, once. Errors: `CompositionError`; nothing stands then. */
  compose(): this {
    this.mustBeOpen('compose');
    // Taps cannot be taken back: a platform that failed stays failed.
    this.stage = 'failed';
    this.built = build(this, this.plugins, this.nodes);
    try {
      this.hooks.composed.call();
    } catch (cause) {
      this.dispose();
      this.stage = 'failed';
      throw isPluginFailure(cause) ? new CompositionError([cause]) : cause;
    }
    this.stage = 'composed';
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
    this.mustOwnHardware('snapshot');
    const { blocks, hardware, software } = this.mustBeBuilt();
    this.settle();
    const models: Record<string, unknown> = {};
    const drivers: Record<string, unknown> = {};
    const leftOut: string[] = [];
    for (const { node, model, driver } of blocks) {
      if (model?.snapshot && model.restore) models[node.name] = structuredClone(model.snapshot());
      else if (model) leftOut.push(`${node.name} (model)`);
      if (driver?.snapshot && driver.restore) drivers[node.name] = structuredClone(driver.snapshot());
      else if (driver) leftOut.push(`${node.name} (driver)`);
    }
    return {
      version: 1,
      memory: this.memoryModel.snapshot(),
      pages: this.ownPages.snapshot(),
      clock: this.clock.snapshot(),
      models,
      drivers,
      hardwareServices: hardware.snapshot('hardware', leftOut),
      softwareServices: software.snapshot('software', leftOut),
      leftOut,
    };
  }

  /**
   * Puts a state back: hardware first, then software. Work under way is dropped; what the state does not name stays as it is.
   * Errors: `STATE_MISMATCH` where it is another platform's.
   */
  restore(state: PlatformState): void {
    this.mustOwnHardware('restore');
    const { blocks, hardware, software } = this.mustBeBuilt();
    const strangers = [...new Set([...Object.keys(state.models), ...Object.keys(state.drivers)])].filter(
      (name) => !blocks.some((b) => b.node.name === name),
    );
    if (state.version !== 1 || strangers.length > 0) {
      throw new DoorbellError(
        'STATE_MISMATCH',
        `the state is not one of ${this.name}: ${strangers.length ? `no node ${strangers.join(', ')}` : `version ${String(state.version)}`}`,
        'restore it into a platform of the same plugins and nodes',
        { strangers, version: state.version },
      );
    }
    this.memoryModel.restore(state.memory);
    this.ownPages.restore(state.pages);
    this.clock.restore(state.clock);
    for (const { node, model } of blocks)
      if (node.name in state.models) model?.restore?.(structuredClone(state.models[node.name]));
    hardware.restore(state.hardwareServices);
    for (const { node, driver } of blocks)
      if (node.name in state.drivers) driver?.restore?.(structuredClone(state.drivers[node.name]));
    software.restore(state.softwareServices);
  }

  /**
   * An independent platform of the same plugins and nodes in the same state. What was tapped from outside the plugins, and listeners
   * of the trace, stay with the original.
   */
  fork(): Platform {
    const state = this.snapshot();
    const built = this.mustBeBuilt();
    const copy = new Platform(this.options)
      .use(...this.plugins)
      .node(...this.nodes)
      .compose();
    copy.mustBeBuilt().hardware.adopt(built.hardware);
    copy.mustBeBuilt().software.adopt(built.software);
    copy.restore(state);
    return copy;
  }

  /** Ends drivers, then models, in reverse order, and their containers; their registers leave the bus. Once is enough, twice is fine. */
  dispose(): void {
    const built = this.built;
    this.built = undefined;
    this.stage = 'disposed';
    this.clock.drop();
    built?.dispose();
  }

  private mustBeOpen(call: string): void {
    if (this.stage !== 'open')
      throw new DoorbellError(
        'ALREADY_COMPOSED',
        `${call}() on ${this.name}, which ${this.stage === 'failed' ? 'failed to compose' : `is ${this.stage}`}`,
        'add plugins and nodes before compose(), and compose once',
        { call, stage: this.stage },
      );
  }
  private mustOwnHardware(call: string): void {
    if (this.machine)
      throw new DoorbellError(
        'FOREIGN_HARDWARE',
        `${call}() of ${this.name}, whose hardware is not ours`,
        'only platforms of models have a state that can be saved',
        { call },
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

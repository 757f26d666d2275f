import type { MmioRegion, PortRegion } from './bus.js';
import type { DoorbellError } from './errors.js';
import type { PlatformNode } from './node.js';
import type { Clock } from './clock.js';
import type { Diagnostics } from './diagnostics.js';
import type { PcieFabric, TranslationUnit } from './fabric.js';
import type { PlatformHooks } from './hooks.js';
import type { PhysicalMemory } from './memory.js';
import type { SystemBus } from './bus.js';
import type { Machine } from './ports.js';
import type { Token } from './tokens.js';
import type { Trace } from './trace.js';

/** Parts that can be saved, put back and thrown away. States are structured-cloneable. */
export interface Stateful {
  snapshot?(): unknown;
  restore?(state: unknown): void;
  dispose?(): void;
}

/** The hardware half of a block. An IOMMU's is a `TranslationUnit` too. */
export interface Model extends Stateful, Partial<TranslationUnit> {
  readonly regions?: readonly MmioRegion[];
  readonly ports?: readonly PortRegion[];
  /** Everything as after power-on. */
  reset?(): void;
}

/** The software half of a block: whatever it provides through tokens. (`object`: it need not have any of `Stateful`.) */
export type Driver = Stateful & object;

/** What software in general may use: the machine's ports, the description of the nodes, the hooks. */
export interface SoftwareHost extends Machine {
  readonly name: string;
  readonly hooks: PlatformHooks;
  /** What firmware describes: every node, also those without a driver. */
  readonly nodes: readonly PlatformNode[];
  /** The software side's one instance, made when first asked for. */
  service<T>(service: Service<T>): T;
}

/** What hardware in general may use. */
export interface HardwareHost {
  readonly memoryModel: PhysicalMemory;
  readonly bus: SystemBus;
  readonly clock: Clock;
  readonly trace: Trace;
  readonly diagnostics: Diagnostics;
  readonly hooks: PlatformHooks;
  readonly nodes: readonly PlatformNode[];
  fabric(segment?: number): PcieFabric;
  /** The hardware side's one instance, made when first asked for. */
  service<T>(service: Service<T, HardwareHost>): T;
}

/** Something that a side has once, made when first asked for: the IOMMU core, the interrupt core, a system-wide bus. */
export interface Service<T, Host = SoftwareHost> {
  readonly token: Token<T>;
  create(host: Host): T;
}

/** How a half of a block resolves what it needs and says what it gives. */
export interface BlockContext<Host = SoftwareHost | HardwareHost> {
  readonly node: PlatformNode;
  readonly host: Host;
  /** The side's one instance, made when first asked for. */
  service<T>(service: Service<T, Host>): T;
  /** Throws `MISSING_TOKEN`, or `ACROSS_THE_BORDER` where a driver asks for what hardware keeps to itself (and back). */
  resolve<T>(token: Token<T>): T;
  /** Like `resolve`; undefined where nobody provides it. */
  optional<T>(token: Token<T>): T | undefined;
  /** Publishes to other blocks of the same side. The token must stand in the definition's `provides`. */
  provide<T>(token: Token<T>, value: T): void;
}

/** How to make one half. `needs` and `provides` order the blocks; cycles and gaps are composition errors. */
export interface HalfDefinition<T, Host> {
  readonly needs?: readonly symbol[];
  /** Waited for where somebody provides it. */
  readonly wants?: readonly symbol[];
  readonly provides?: readonly symbol[];
  create(context: BlockContext<Host>): T;
}

/** Both halves of one kind of block. They meet only in the plugin that holds this definition. */
export interface BlockDefinition {
  /** Node `compatible` strings that it takes. */
  readonly compatible: readonly string[];
  /** Checks a node's options before anything is built. */
  check?(node: PlatformNode): readonly DoorbellError[];
  readonly model?: HalfDefinition<Model, HardwareHost>;
  readonly driver?: HalfDefinition<Driver, SoftwareHost>;
}

import type { CpuPort, Machine, MemoryPort, PageAllocator, RegisterPort } from './ports.js';
import type { SystemBus } from './bus.js';
import type { Clock } from './clock.js';
import type { Diagnostics } from './diagnostics.js';
import type { PhysicalMemory } from './memory.js';
import type { PlatformHooks } from './hooks.js';
import type { PlatformNode } from './node.js';
import type { Trace } from './trace.js';

/** A name in the containers, with the type of what it stands for. */
export type Token<T> = symbol & { readonly __type?: T };

/** The same name gives the same token in every copy of the package. */
export const token = <T>(name: string): Token<T> => Symbol.for(`doorbell:${name}`);

export const tokenName = (t: symbol): string => t.description?.replace(/^doorbell:/, '') ?? String(t);

/** What a model may ask for. */
export const Hardware = {
  node: token<PlatformNode>('node'),
  memory: token<PhysicalMemory>('hardware:memory'),
  bus: token<SystemBus>('hardware:bus'),
  clock: token<Clock>('hardware:clock'),
  trace: token<Trace>('trace'),
  hooks: token<PlatformHooks>('hooks'),
  diagnostics: token<Diagnostics>('diagnostics'),
} as const;

/** What a driver may ask for. */
export const Software = {
  node: token<PlatformNode>('node'),
  /** The node's first register range. */
  registers: token<RegisterPort>('software:registers'),
  machine: token<Machine>('software:machine'),
  cpu: token<CpuPort>('software:cpu'),
  memory: token<MemoryPort>('software:memory'),
  pages: token<PageAllocator>('software:pages'),
  hooks: token<PlatformHooks>('hooks'),
} as const;

import { SyncBailHook, SyncHook } from 'tapable';
import type { BlockDefinition } from './block.js';
import type { Device } from './device.js';
import { isPluginFailure, pluginFailed } from './errors.js';
import type { PlatformNode } from './node.js';

/** An interrupt that reached a CPU interface, in the controller's own words (CONTRACTS: `interrupt`). */
export type Delivery = Readonly<Record<string, unknown>> & { readonly controller: string };

/** An interrupt message that went nowhere. `name` is the specification's. */
export interface Refusal {
  readonly by: string;
  readonly code: number | null;
  readonly name: string;
  readonly recorded: boolean;
}

/** A fault as the hardware recorded it. */
export interface FaultRecord {
  readonly unit: string;
  readonly code: number | null;
  readonly name: string;
  readonly requester: number;
  readonly address: { readonly hi: number; readonly lo: number };
}

/**
 * Composition and rare events. Nothing on a translation's fast path calls a hook; models test `isUsed()` before they build an
 * event.
 */
export interface PlatformHooks {
  /** Which definition takes a node: the first tap that returns one. Decline with `undefined`. */
  readonly block: SyncBailHook<[PlatformNode], BlockDefinition | undefined>;
  /** All blocks stand; PCI enumeration and the like may start. */
  readonly composed: SyncHook<[]>;
  readonly deviceAdded: SyncHook<[Device]>;
  readonly deviceRemoved: SyncHook<[Device]>;
  /** A device's domain changed: device, name of the domain's type or null. */
  readonly attach: SyncHook<[Device, string | null]>;
  readonly delivered: SyncHook<[Delivery]>;
  readonly refused: SyncHook<[Refusal]>;
  readonly fault: SyncHook<[FaultRecord]>;
}

export const createHooks = (): PlatformHooks => {
  const hooks: PlatformHooks = {
    block: new SyncBailHook(['node']),
    composed: new SyncHook(),
    deviceAdded: new SyncHook(['device']),
    deviceRemoved: new SyncHook(['device']),
    attach: new SyncHook(['device', 'domain']),
    delivered: new SyncHook(['delivery']),
    refused: new SyncHook(['refusal']),
    fault: new SyncHook(['fault']),
  };
  for (const [name, hook] of Object.entries(hooks) as [string, Interceptable][]) {
    hook.intercept({ register: (tap) => ({ ...tap, fn: guarded(tap, name) }) });
    // tapable counts interceptors as users; this one is nobody who listens.
    hook.isUsed = () => hook.taps.length > 0 || hook.interceptors.length > 1;
  }
  return Object.freeze(hooks);
};

/** The part of a tap that its guard needs; tapable's own type says `Function`. */
interface AnyTap {
  readonly name: string;
  readonly fn: (...args: unknown[]) => unknown;
}
interface Interceptable {
  readonly taps: readonly unknown[];
  readonly interceptors: readonly unknown[];
  isUsed: () => boolean;
  intercept(interceptor: { register: (tap: AnyTap) => AnyTap }): void;
}

/** What a tap throws comes out as `PLUGIN_FAILED` with the tap's name. The innermost tap is the one to blame. */
const guarded =
  (tap: AnyTap, hook: string) =>
  (...args: unknown[]): unknown => {
    try {
      return tap.fn(...args);
    } catch (cause) {
      throw isPluginFailure(cause) ? cause : pluginFailed(`plugin ${tap.name}`, `hook ${hook}`, cause, tap.name);
    }
  };

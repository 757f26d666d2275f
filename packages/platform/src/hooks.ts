import { SyncBailHook, SyncHook } from 'tapable';
import type { BlockDefinition } from './block.js';
import type { Device } from './device.js';
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
  return Object.freeze(hooks);
};

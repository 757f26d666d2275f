import type { BlockDefinition } from './block.js';
import type { PlatformHooks } from './hooks.js';
import type { PlatformNode } from './node.js';

/** Plugins written for another number are refused. */
export const API_VERSION = 1;

/** What a plugin's `apply` gets: enough to compose, nothing to run. */
export interface PlatformBuilder {
  readonly hooks: PlatformHooks;
  addNode(node: PlatformNode): void;
}

/** As in the tapable world: a name, the API it was written for, and what it does to a platform. */
export interface Plugin {
  readonly name: string;
  readonly apiVersion: number;
  apply(platform: PlatformBuilder): void;
}

/** A plugin that takes the nodes of one kind of block, and brings some of its own if asked. */
export function definePlugin(name: string, block: BlockDefinition, nodes: readonly PlatformNode[] = []): Plugin {
  return {
    name,
    apiVersion: API_VERSION,
    apply(platform) {
      platform.hooks.block.tap(name, (node) => (block.compatible.includes(node.compatible) ? block : undefined));
      for (const node of nodes) platform.addNode(node);
    },
  };
}

import type { PlatformNode, Plugin } from '@doorbell/platform';
import type { DoorbellConfig, PluginEntry } from '../config.js';

/** What `doorbell run --tour` may change about a node, to show what it is good for. */
export interface TourChanges {
  /** The same block without its check of the sender, or one that never had any. */
  readonly unverified?: { readonly node: (node: PlatformNode) => PlatformNode; readonly what: string };
  /** The same block with very little room for messages. */
  readonly small?: { readonly node: (node: PlatformNode) => PlatformNode; readonly what: string };
}

/** A plugin of the configuration that can be put into a platform: its entry has `plugin`, a function that makes it. */
type Usable = PluginEntry & { readonly plugin: () => Plugin; readonly tour?: TourChanges };

const isUsable = (entry: PluginEntry): entry is Usable => typeof entry['plugin'] === 'function';

/** The plugins of a configuration by what they model. Nothing here knows a back-end by name. */
export class Backends {
  private readonly usable: readonly Usable[];

  constructor(config: DoorbellConfig) {
    this.usable = config.plugins.filter(isUsable);
  }

  /** Whether some plugin takes nodes of this kind. */
  models(node: PlatformNode): boolean {
    return this.usable.some((p) => p.compatible.includes(node.compatible));
  }

  /** What a tour may change about a node. */
  tourOf(node: PlatformNode): TourChanges {
    return this.usable.find((p) => p.compatible.includes(node.compatible))?.tour ?? {};
  }

  /** A plugin for each kind among the nodes; they take nodes and bring none of their own. */
  pluginsFor(nodes: readonly PlatformNode[]): Plugin[] {
    const kinds = new Set(nodes.map((n) => n.compatible));
    return this.usable.filter((p) => p.compatible.some((c) => kinds.has(c))).map((p) => claimsOnly(p.plugin()));
  }
}

/** The nodes come from the machine: what a plugin would add by itself is left out. */
const claimsOnly = (plugin: Plugin): Plugin => ({
  name: plugin.name,
  apiVersion: plugin.apiVersion,
  apply: (platform) => plugin.apply({ hooks: platform.hooks, addNode: () => undefined }),
});

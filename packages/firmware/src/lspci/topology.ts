import type { FunctionFacts } from './capabilities.js';
import { formatBdf } from './dump.js';

/** A function and the bridge above it. `above`: null on a root bus, 'missing' where the dump lacks the bridge. */
export interface Placed {
  readonly facts: FunctionFacts;
  readonly above: Placed | null | 'missing';
}
export interface Topology {
  readonly functions: readonly Placed[];
  readonly byBdf: ReadonlyMap<string, Placed>;
  readonly problems: readonly {
    readonly code: 'PCI_BRIDGE_MISSING' | 'PCI_BUS_TWICE' | 'PCI_BUS_ORDER';
    readonly message: string;
    readonly line: number;
  }[];
}

/** Hangs each function below the bridge whose secondary bus it is on. */
export function buildTopology(all: readonly FunctionFacts[]): Topology {
  const problems: Topology['problems'][number][] = [];
  const bridges = new Map<string, FunctionFacts>();
  const key = (domain: number, bus: number): string => `${domain}:${bus}`;
  for (const f of all) {
    if (f.secondary === null || f.secondary === 0) continue; // 0: not configured
    const { domain, bus, bdf, line } = f.source;
    const twin = bridges.get(key(domain, f.secondary));
    if (twin)
      problems.push({
        code: 'PCI_BUS_TWICE',
        message: `${twin.source.bdf} and ${bdf} both lead to bus ${f.secondary.toString(16)}`,
        line,
      });
    else if (f.secondary <= bus)
      problems.push({ code: 'PCI_BUS_ORDER', message: `${bdf} leads to bus ${f.secondary.toString(16)}`, line });
    else bridges.set(key(domain, f.secondary), f);
  }
  const placed = new Map<FunctionFacts, Placed>();
  const missing = new Set<string>();
  const rootBuses = new Set(all.filter((f) => isRootOnly(f)).map((f) => key(f.source.domain, f.source.bus)));
  // Secondary numbers are above their bridge's own bus, so this ends.
  const place = (f: FunctionFacts): Placed => {
    const done = placed.get(f);
    if (done) return done;
    const { domain, bus, line } = f.source;
    const bridge = bridges.get(key(domain, bus));
    const root = bus === 0 || rootBuses.has(key(domain, bus));
    if (!bridge && !root && !missing.has(key(domain, bus))) {
      missing.add(key(domain, bus));
      problems.push({
        code: 'PCI_BRIDGE_MISSING',
        message: `no bridge in the dump leads to bus ${bus.toString(16).padStart(2, '0')} (${f.source.bdf})`,
        line,
      });
    }
    const p: Placed = { facts: f, above: bridge ? place(bridge) : root ? null : 'missing' };
    placed.set(f, p);
    return p;
  };
  const functions = all.map(place);
  return { functions, byBdf: new Map(functions.map((p) => [p.facts.source.bdf, p])), problems };
}

/** Host bridges, root ports, integrated endpoints and event collectors sit on root buses only. */
const isRootOnly = (f: FunctionFacts): boolean =>
  f.class === '0600' || f.pcieType === 4 || f.pcieType === 9 || f.pcieType === 0xa;

export type ResolvedPath =
  | { readonly bdf: string; readonly present: boolean | null }
  | { readonly bdf: null; readonly reason: 'unknown' | 'not-a-bridge'; readonly at: string | null };

/**
 * Follows a DMAR path: all hops but the last are bridges, each leads to its secondary bus. `present`: whether the
 * dump has the function; null without a dump.
 */
export function resolvePath(
  topology: Topology | null,
  segment: number,
  startBus: number,
  path: readonly { readonly device: number; readonly function: number }[],
): ResolvedPath {
  let bus = startBus;
  for (const [i, hop] of path.entries()) {
    const bdf = formatBdf(segment, bus, hop.device, hop.function);
    if (i === path.length - 1) return { bdf, present: topology === null ? null : topology.byBdf.has(bdf) };
    const bridge = topology?.byBdf.get(bdf)?.facts;
    if (bridge === undefined || bridge.layout === null) return { bdf: null, reason: 'unknown', at: bdf };
    if (bridge.secondary === null) return { bdf: null, reason: 'not-a-bridge', at: bdf };
    if (bridge.secondary <= bus) return { bdf: null, reason: 'unknown', at: bdf };
    bus = bridge.secondary;
  }
  return { bdf: null, reason: 'unknown', at: null };
}

import type { FunctionFacts } from './capabilities.js';
import { formatBdf } from './dump.js';
import type { Placed, Topology } from './topology.js';

/**
 * PCI isolation groups as the Linux IOMMU core forms them: requester-id aliases and ACS on the way to the root.
 * Where registers or bridges are unknown the answer is computed for the best and the worst case; if the two differ it
 * is null, because a group that is too small is a security hole and one that is too large is a lie.
 */
export function isolationGroups(topology: Topology): string[][] | null {
  const best = new Grouper(topology, true).run();
  const worst = new Grouper(topology, false).run();
  return JSON.stringify(best) === JSON.stringify(worst) ? best : null;
}

// PCIe Base 7.5.3.2: device/port types.
const ROOT_PORT = 4;
const UPSTREAM = 5;
const DOWNSTREAM = 6;
const PCIE_TO_PCI = 7;
const PCI_TO_PCIE = 8;
const EVENT_COLLECTOR = 0xa;

// PCIe Base 6.12: source validation, request redirect, completion redirect, upstream forwarding.
const REQUIRED = 0b11101;
const EGRESS_CONTROL = 1 << 5;

/** Devices that send requests as another function of their slot (or also as others). */
const ALIAS_QUIRKS: Readonly<Record<string, readonly (readonly [device: number | null, fn: number])[]>> = {
  '1180:e832': [[null, 0]],
  '1180:e476': [[null, 0]],
  '6766:3d40': [[null, 0]],
  '6766:3d41': [[null, 0]],
  '1b4b:9120': [[null, 1]],
  '1b4b:9123': [[null, 1]],
  '8086:2260': [
    [0x10, 0],
    [0x11, 0],
    [0x12, 3],
  ],
  '8086:2264': [
    [0x10, 0],
    [0x11, 0],
    [0x12, 3],
  ],
};
/** Conventional bridges that take (secondary bus, 00.0) like a PCIe-to-PCI bridge, where they hang below a PCIe port. */
const BRIDGE_ALIAS_QUIRKS = new Set(['8086:244e', '1b21:1080', '1283:8892', '10e3:8113']);

class Grouper {
  private readonly groupOf = new Map<Placed, number>();
  private next = 0;
  private readonly siblings = new Map<string, Placed[]>();

  constructor(
    private readonly topology: Topology,
    private readonly best: boolean,
  ) {
    for (const p of topology.functions) {
      const { domain, bus } = p.facts.source;
      const key = `${domain}:${bus}`;
      this.siblings.set(key, [...(this.siblings.get(key) ?? []), p]);
    }
  }

  /** Lists of functions, both in the order of domain, bus, device, function. */
  run(): string[][] {
    const order = [...this.topology.functions].sort(byAddress);
    // Bridges have their groups before what is below them: numbers grow downward.
    for (const p of order) this.groupOf.set(p, this.choose(p));
    if (!this.best) this.mergeOrphans(order);
    const groups = new Map<number, string[]>();
    for (const p of order) {
      const g = this.groupOf.get(p)!;
      const group = groups.get(g) ?? [];
      group.push(p.facts.source.bdf);
      groups.set(g, group);
    }
    return [...groups.values()];
  }

  private choose(p: Placed): number {
    // Step 1: the last function on the way up that lends its requester id.
    let owner = p;
    for (let b = p.above; b !== null && b !== 'missing'; b = b.above) {
      if (!this.lendsId(b.facts)) continue;
      owner = b;
      const group = this.groupOf.get(b);
      if (group !== undefined) return group;
    }
    // Step 2: upward while the path from the bridge to the root does not isolate.
    for (let b = owner.above; b !== null && b !== 'missing'; b = b.above) {
      if (this.pathIsolates(b)) break;
      owner = b;
      const group = this.groupOf.get(b);
      if (group !== undefined) return group;
    }
    return this.aliasGroup(owner, new Set()) ?? this.slotGroup(owner) ?? this.next++;
  }

  /** Step 3: functions on the bus that use each other's requester id. */
  private aliasGroup(owner: Placed, seen: Set<Placed>): number | null {
    seen.add(owner);
    const mine = this.groupOf.get(owner);
    if (mine !== undefined) return mine;
    for (const o of this.onBus(owner)) {
      if (
        seen.has(o) ||
        !(quirkAliases(owner).includes(o.facts.source.bdf) || quirkAliases(o).includes(owner.facts.source.bdf))
      )
        continue;
      const group = this.aliasGroup(o, seen);
      if (group !== null) return group;
    }
    return null;
  }

  /** Step 4: functions of one slot that can reach each other inside the device. */
  private slotGroup(owner: Placed): number | null {
    const f = owner.facts;
    if (!(f.multifunction ?? !this.best) || this.isolates(f)) return null;
    for (const o of this.onBus(owner)) {
      if (o === owner || o.facts.source.device !== f.source.device || this.isolates(o.facts)) continue;
      const group = this.aliasGroup(o, new Set());
      if (group !== null) return group;
    }
    return null;
  }

  private onBus(p: Placed): readonly Placed[] {
    return this.siblings.get(`${p.facts.source.domain}:${p.facts.source.bus}`) ?? [];
  }

  private pathIsolates(from: Placed): boolean {
    for (let p: Placed = from; ; ) {
      if (!this.isolates(p.facts)) return false;
      if (p.above === null) return true;
      if (p.above === 'missing') return this.best;
      p = p.above;
    }
  }

  /** A bridge whose requests from below carry an id of its own making. */
  private lendsId(b: FunctionFacts): boolean {
    if (b.pcieType === null) return !this.best;
    return b.pcieType === -1 || b.pcieType === PCIE_TO_PCI || b.pcieType === PCI_TO_PCIE;
  }

  /** PCIe Base 6.12: can requests of this function reach another without passing the root? */
  private isolates(f: FunctionFacts): boolean {
    if (f.pcieType === null) return this.best;
    switch (f.pcieType) {
      case -1:
      case PCIE_TO_PCI:
      case PCI_TO_PCIE:
      case EVENT_COLLECTOR:
        return false;
      case ROOT_PORT:
      case DOWNSTREAM:
        return this.acsEnabled(f);
      case UPSTREAM:
      default:
        return !(f.multifunction ?? !this.best) || this.acsEnabled(f);
    }
  }

  /** Only what the capability implements is demanded, and it must be switched on. */
  private acsEnabled(f: FunctionFacts): boolean {
    if (f.acs === null) return this.best;
    if (f.acs === false) return false;
    const required = REQUIRED & (f.acs.capability | EGRESS_CONTROL);
    return (f.acs.control & required) === required;
  }

  /** Worst case for a bus without a visible bridge: that bridge isolates nothing. */
  private mergeOrphans(order: readonly Placed[]): void {
    for (const list of this.siblings.values()) {
      const orphans = list.filter((p) => p.above === 'missing');
      const into = orphans.length > 1 ? this.groupOf.get(orphans[0]!)! : null;
      if (into === null) continue;
      const merged = new Set(orphans.map((p) => this.groupOf.get(p)!));
      for (const p of order) if (merged.has(this.groupOf.get(p)!)) this.groupOf.set(p, into);
    }
  }
}

function byAddress(a: Placed, b: Placed): number {
  const [x, y] = [a.facts.source, b.facts.source];
  return x.domain - y.domain || x.bus - y.bus || x.device - y.device || x.function - y.function;
}

function quirkAliases(p: Placed): string[] {
  const { domain, bus, device } = p.facts.source;
  return (ALIAS_QUIRKS[p.facts.id ?? ''] ?? []).map(([d, fn]) => formatBdf(domain, bus, d ?? device, fn));
}

/**
 * The requester ids under which an IOMMU may see a function, its own first (search.c's walk): a PCIe-to-PCI bridge
 * takes over as (secondary bus, 00.0), a conventional bridge as itself.
 */
export function requesterIds(p: Placed): string[] {
  const ids = [p.facts.source.bdf, ...quirkAliases(p)];
  for (let b = p.above; b !== null && b !== 'missing'; b = b.above) {
    const { facts } = b;
    const takesBus =
      facts.pcieType === PCIE_TO_PCI ||
      (facts.pcieType === -1 && BRIDGE_ALIAS_QUIRKS.has(facts.id ?? '') && belowPort(b));
    if (takesBus && facts.secondary !== null) ids.push(formatBdf(facts.source.domain, facts.secondary, 0, 0));
    else if (facts.pcieType === -1 || facts.pcieType === PCI_TO_PCIE) ids.push(facts.source.bdf);
  }
  return [...new Set(ids)];
}

/** On a root bus the same bridges use their own id: a real 82801's does, as traces show. */
function belowPort({ above }: Placed): boolean {
  if (above === null || above === 'missing') return false;
  const type = above.facts.pcieType;
  return type !== null && type >= 0 && type !== PCIE_TO_PCI;
}

import { requesterIds, ridToBdf, type Machine, type MachineDescription, type Placed } from '@doorbell/firmware';
import { parseBdf } from '@doorbell/platform';

/** Under which id a unit sees somebody. */
export interface Requester {
  readonly segment: number;
  readonly id: number;
  /** For people: `0000:03:01.0, seen as 0000:03:00.0`. */
  readonly shown: string;
  /** The id is the unit's own (a StreamID), not one of PCI. */
  readonly raw: boolean;
}

/** Plain data of a capture's requesters: what a snapshot keeps of pci.txt. */
export interface RequesterTable {
  /** Function → the id on the wire, where that is not its own. */
  readonly aliases: Readonly<Record<string, string>>;
  /** `segment:bus` → the id that every function of that bus has on the wire. */
  readonly buses: Readonly<Record<string, string>>;
  /** Functions that exist; null where nobody knows. */
  readonly functions: readonly string[] | null;
  /** IOAPICs, in the order of the table. */
  readonly ioapics: readonly string[];
}

const NOBODY: RequesterTable = { aliases: {}, buses: {}, functions: null, ioapics: [] };

/** Functions, bridges and IOAPICs by the ids that units see. */
export class Requesters {
  constructor(readonly table: RequesterTable = NOBODY) {}

  static ofMachine(machine: Machine, { iommus }: MachineDescription): Requesters {
    const aliases: Record<string, string> = {};
    const buses: Record<string, string> = {};
    const topology = machine.pci;
    for (const p of topology?.functions ?? []) {
      const { bdf, domain } = p.facts.source;
      const last = requesterIds(p).at(-1)!;
      if (last !== bdf) aliases[bdf] = last;
      if (p.facts.secondary) {
        const below = throughBridge(p, domain, p.facts.secondary);
        if (below !== null) buses[`${domain}:${p.facts.secondary}`] = below;
      }
    }
    return new Requesters({
      aliases,
      buses,
      functions: topology?.functions.map((p) => p.facts.source.bdf) ?? null,
      ioapics: iommus.flatMap((u) => u.scopes.flatMap((s) => (s.kind === 'ioapic' && s.bdf !== null ? [s.bdf] : []))),
    });
  }

  /** `04.0`-style text, `ioapic`, or a hex string; null where it is none of them. */
  resolve(text: string): Requester | null {
    if (text === 'ioapic') {
      const first = this.table.ioapics[0];
      const r = first === undefined ? null : parseBdf(first);
      return r && { segment: r.segment, id: r.requester, shown: `IOAPIC, seen as ${first}`, raw: false };
    }
    if (/^0x[0-9a-f]{1,8}$/i.test(text)) return { segment: 0, id: Number(text), shown: text.toLowerCase(), raw: true };
    const own = parseBdf(text);
    if (own === null) return null;
    const bdf = ridToBdf(own.segment, own.requester);
    const wire = this.table.aliases[bdf] ?? this.table.buses[`${own.segment}:${own.requester >>> 8}`] ?? bdf;
    return {
      segment: own.segment,
      id: parseBdf(wire)!.requester,
      shown: wire === bdf ? bdf : `${bdf}, seen as ${wire}`,
      raw: false,
    };
  }

  /** False: the capture shows all functions, and this one is not among them. */
  exists(text: string): boolean | null {
    const own = parseBdf(text);
    if (own === null || this.table.functions === null) return null;
    return this.table.functions.includes(ridToBdf(own.segment, own.requester));
  }
}

/** The id on the wire of a function on a bridge's other side that the dump does not show; null: its own. */
function throughBridge(bridge: Placed, domain: number, bus: number): string | null {
  const bdf = ridToBdf(domain, bus << 8);
  const source = { ...bridge.facts.source, bdf, bus, device: 0, function: 0 };
  const last = requesterIds({ facts: { ...bridge.facts, source, id: null }, above: bridge }).at(-1)!;
  const owned = bridge.facts.pcieType === 7 || bridge.facts.pcieType === 8 || bridge.facts.pcieType === -1;
  return last !== bdf || owned ? last : null;
}

import type { Machine, MachineDescription } from '@doorbell/firmware';
import {
  at,
  definePciFunction,
  functionsFromDump,
  rootPort,
  testFunction,
  type BridgeDefinition,
  type FunctionDefinition,
  type Placed,
} from '@doorbell/pci';
import { mapId, parseBdf, showBdf, type IdMapEntry, type PlatformNode } from '@doorbell/platform';

/** The functions on one root bus. */
export interface RootBus {
  readonly firstBus: number;
  readonly functions: readonly Placed[];
}
export interface SegmentFunctions {
  readonly roots: readonly RootBus[];
  /** Requester ids of functions that stand in for unknown ones. */
  readonly standIns: readonly number[];
  readonly notes: readonly string[];
}

/** The functions that the dump shows on a segment. */
export function dumpedFunctions(machine: Machine, segment: number): SegmentFunctions {
  const dumped = machine
    .pci!.functions.map((p) => p.facts.source)
    .filter((s) => s.domain === segment)
    .map((s) => ({ requester: (s.bus << 8) | (s.device << 3) | s.function, config: s.config }));
  // A dump of some functions only: software finds a device by its function 0, so something is put there.
  const lacking = new Set(dumped.map((d) => d.requester & ~7));
  for (const d of dumped) lacking.delete(d.requester);
  const fillers = [...lacking].map((requester) => ({ requester, config: FUNCTION_0 }));
  const { roots, leftOut } = functionsFromDump([...dumped, ...fillers], segment);
  const notes = [
    ...fillers.map(
      ({ requester }) => `${showBdf(requester, segment)} is not in the dump: a function without use is put there`,
    ),
    ...leftOut
      .filter((l) => !lacking.has(l.requester))
      .map(({ requester, why }) => `${showBdf(requester, segment)} is not modelled: ${why}`),
  ];
  return { roots, standIns: [], notes };
}

/** Configuration space of an unclassified function of a device with several. */
const FUNCTION_0 = Uint8Array.from({ length: 256 }, (_, i) =>
  i < 4 ? [0x36, 0x1b, 0x0f, 0x0d][i]! : i === 0x0b ? 0xff : i === 0x0e ? 0x80 : 0,
);

/**
 * Test functions where the input says that functions may be, but not which: at each endpoint scope and at the first free place from
 * 00:01.0 on under a unit for everything (DMAR, IVRS), at the first id of each mapping (IORT), below a root port of each PCIe controller (device tree).
 */
export function standIns(
  host: PlatformNode,
  machine: Machine,
  d: MachineDescription,
  vectors: number,
): SegmentFunctions {
  const wanted = machine.tree ? belowController(host, d) : machine.iort ? firstOfMappings(host) : behindUnits(host, d);
  const buses = new Map<number, Placed[]>();
  const on = (bus: number): Placed[] => buses.get(bus) ?? buses.set(bus, []).get(bus)!;
  const ids = [...new Set(wanted.map((w) => w.requester))].sort((a, b) => a - b);
  for (const id of ids) {
    const definition = testFunction({ name: 'stand-in', msix: vectors, msi: 1 });
    const port = wanted.find((w) => w.requester === id)!.port;
    if (port === undefined) put(on(id >>> 8), id & 0xff, definition);
    else {
      const buses = { secondary: id >>> 8, subordinate: id >>> 8 };
      put(on(port >>> 8), port & 0xff, rootPort([at('00.0', definition)], { acs: true, buses }));
    }
  }
  const roots = [...buses].sort(([a], [b]) => a - b).map(([firstBus, functions]) => ({ firstBus, functions }));
  return { roots, standIns: ids, notes: [] };
}

interface Wanted {
  readonly requester: number;
  /** The root port above it. */
  readonly port?: number;
}

function behindUnits(host: PlatformNode, d: MachineDescription): Wanted[] {
  const segment = host.segment ?? 0;
  const units = d.iommus.filter((u) => (u.segment ?? 0) === segment);
  const map = host.iommuMap ?? [];
  const out: number[] = [];
  for (const u of units)
    for (const s of u.scopes) {
      const id = s.kind === 'pci-endpoint' && s.bdf !== null ? parseBdf(s.bdf)?.requester : undefined;
      if (id !== undefined && u.type === 'vtd') out.push(id);
    }
  for (const u of units) {
    if (u.type === 'vtd' && !u.includeAll) continue;
    // Function 0 of a device of bus 0 that no other unit names, from 00:01.0 on; else the first such id of the unit.
    const free = (id: number): boolean => mapId(map, id)?.to === u.name && !out.includes(id);
    const id = range(8, 0x100, 8).find(free) ?? range(0x100, 0x10000, 8).find(free);
    if (id !== undefined) out.push(id);
  }
  return out.map((requester) => ({ requester }));
}

function firstOfMappings(host: PlatformNode): Wanted[] {
  const maps: readonly IdMapEntry[] = (host.iommuMap?.length ?? 0) > 0 ? host.iommuMap! : (host.msiMap ?? []);
  return maps.filter((m) => m.inputBase <= 0xffff).map((m) => ({ requester: m.inputBase }));
}

/** On the bus below the controller's root port, if the controller's maps have ids of that bus; else at the first id that they have. */
function belowController(host: PlatformNode, d: MachineDescription): Wanted[] {
  const described = d.pciHosts.find((h) => h.node === host.options?.['node']);
  const first = described?.firstBus ?? 0;
  const last = described?.lastBus ?? 255;
  const maps = [host.iommuMap ?? [], host.msiMap ?? []].filter((m) => m.length > 0);
  const known = (id: number): boolean => maps.every((m) => mapId(m, id) !== null);
  const below = (first + 1) << 8;
  if (last > first && known(below)) return [{ requester: below, port: first << 8 }];
  const lowest = maps.flatMap((m) => m.map((e) => e.inputBase)).filter((id) => id <= 0xffff && known(id));
  return [{ requester: lowest.length > 0 && !known(first << 8) ? Math.min(...lowest) : first << 8 }];
}

/** Places a function; where it is not function 0 of its device, function 0 is put beside it, or software would not look. */
function put(bus: Placed[], devfn: number, definition: FunctionDefinition | BridgeDefinition): void {
  const [slot, fn] = [devfn >>> 3, devfn & 7];
  const filler = bus.findIndex((p) => p.slot === slot && p.fn === fn && p.definition === NOTHING);
  if (filler >= 0) bus.splice(filler, 1);
  bus.push({ slot, fn, definition });
  if (fn !== 0 && !bus.some((p) => p.slot === slot && p.fn === 0)) bus.push({ slot, fn: 0, definition: NOTHING });
}

const NOTHING = definePciFunction({ name: 'function 0', vendor: 0x1b36, device: 0x0d0f, classCode: 0xff0000 });

const range = (from: number, end: number, step: number): number[] =>
  Array.from({ length: Math.ceil((end - from) / step) }, (_, i) => from + i * step);

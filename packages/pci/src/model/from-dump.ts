import { get } from '@doorbell/bits';
import { showBdf } from '@doorbell/platform';
import {
  ACS,
  Acs,
  BAR,
  BAR_64,
  barCount,
  BUS_NUMBERS,
  CapId,
  CLASS,
  DMA_FROM_FUNCTION,
  ExtCapId,
  findCapability,
  ID,
  idKey,
  INTERRUPT,
  MISC,
  MSI,
  MSIX,
  MSIX_ENTRY_SIZE,
  MSIX_PBA,
  MSIX_PLACE,
  MSIX_TABLE,
  PASID,
  pbaBytes,
  PCIE,
  PRI_CAPACITY,
  SUBSYSTEM,
  walkCapabilities,
} from '../spec/index.js';
import {
  definePciFunction,
  type BarDefinition,
  type BridgeDefinition,
  type FunctionDefinition,
  type MsiDefinition,
  type MsixDefinition,
  type Placed,
} from './definition.js';

/** One function of a dump: its bus, device and function, and configuration space from offset 0 (64, 256 or 4096 bytes). */
export interface Dumped {
  readonly requester: number;
  readonly config: Uint8Array;
}

/** What a dump's segment holds: one host bridge per root bus. */
export interface DumpedSegment {
  readonly roots: readonly { readonly firstBus: number; readonly functions: readonly Placed[] }[];
  /** Functions that could not be placed, and why. */
  readonly leftOut: readonly { readonly requester: number; readonly why: string }[];
}

/**
 * Functions that show what those of a dump show: ids, class, messages, port types, ACS, bus numbers. They do nothing by themselves;
 * `PciFunction.fire` makes them send their messages. A dump does not tell BAR sizes: each has a page, or what its MSI-X table needs.
 */
export function functionsFromDump(dumped: readonly Dumped[], segment = 0): DumpedSegment {
  const byBus = new Map<number, Dumped[]>();
  const leftOut: { requester: number; why: string }[] = [];
  const seen = new Set<number>();
  for (const d of dumped) {
    if (seen.has(d.requester)) leftOut.push({ requester: d.requester, why: 'the dump has it twice' });
    else if (d.config.length < 64) leftOut.push({ requester: d.requester, why: 'no configuration space in the dump' });
    else byBus.set(d.requester >>> 8, [...(byBus.get(d.requester >>> 8) ?? []), d]);
    seen.add(d.requester);
  }
  const taken = new Set<number>();
  const place = (bus: number, link: boolean): Placed[] => {
    taken.add(bus);
    const here = byBus.get(bus) ?? [];
    const out: Placed[] = [];
    for (const d of here) {
      const slot = (d.requester >>> 3) & 31;
      const fn = d.requester & 7;
      // Virtual functions and ARI: not reached by the numbers that enumeration knows.
      if (link && slot !== 0) {
        leftOut.push({ requester: d.requester, why: 'a link has device 0 only (virtual function or ARI)' });
        continue;
      }
      if (!here.some((x) => x.requester === (d.requester & ~7))) {
        leftOut.push({ requester: d.requester, why: 'its device has no function 0' });
        continue;
      }
      out.push({ slot, fn, definition: define(d, showBdf(d.requester, segment), taken, place) });
    }
    return out;
  };
  const roots: { firstBus: number; functions: Placed[] }[] = [];
  // Lower buses first: a bus that no bridge below another root leads to is a root bus.
  for (const bus of [...byBus.keys()].sort((a, b) => a - b))
    if (!taken.has(bus)) roots.push({ firstBus: bus, functions: place(bus, false) });
  return { roots, leftOut };
}

type PlaceBus = (bus: number, link: boolean) => Placed[];

function define(d: Dumped, name: string, taken: ReadonlySet<number>, place: PlaceBus): FunctionDefinition {
  const view = new DataView(d.config.buffer, d.config.byteOffset, d.config.byteLength);
  const read = (at: number): number => (at + 4 <= view.byteLength ? view.getUint32(at, true) : 0);
  const capabilities = walkCapabilities(read, d.config.length > 256);
  const at = (id: number) => findCapability(capabilities, id);
  const extended = (id: number) => findCapability(capabilities, id, true);
  const bridge = get(read(MISC.$.at), MISC.HeaderLayout) === 1;
  const [vendor, device] = [get(read(ID.$.at), ID.VendorId), get(read(ID.$.at), ID.DeviceId)];
  const express = at(CapId.pcie);
  const pcie = express ? get(read(express), PCIE.Type) : false;
  const acs = extended(ExtCapId.acs)
    ? get(read(extended(ExtCapId.acs) + ACS.$.at), ACS.Capability) & ~Acs.EC
    : undefined;
  const from = DMA_FROM_FUNCTION[idKey(vendor, device)];
  const common: FunctionDefinition = {
    name,
    vendor,
    device,
    classCode: get(read(CLASS.$.at), CLASS.ClassCode),
    revision: get(read(CLASS.$.at), CLASS.Revision),
    pin: Math.min(get(read(INTERRUPT.$.at), INTERRUPT.Pin), 4) as 0 | 1 | 2 | 3 | 4,
    pcie,
    ...(at(CapId.msi) && { msi: msiOf(read(at(CapId.msi))) }),
    ...(pcie !== false && acs !== undefined && { acs }),
    ...(pcie !== false && extended(ExtCapId.ats) && { ats: true }),
    ...(pcie !== false && extended(ExtCapId.pri) && { pri: { capacity: read(extended(ExtCapId.pri) + PRI_CAPACITY) } }),
    ...(pcie !== false && extended(ExtCapId.pasid) && { pasid: pasidOf(read(extended(ExtCapId.pasid) + PASID.$.at)) }),
    ...(from !== undefined && { dmaAlias: (d.requester & 0xf8) | from }),
  };
  const msix = at(CapId.msix) ? msixOf(read, at(CapId.msix)) : undefined;
  const bars = barsOf(read, bridge ? 1 : 0, msix);
  if (!bridge) {
    const s = read(SUBSYSTEM.$.at);
    const subsystem = { vendor: get(s, SUBSYSTEM.SubsystemVendorId), device: get(s, SUBSYSTEM.SubsystemId) };
    return withMsix({ ...common, subsystem, bars }, msix);
  }
  const numbers = read(BUS_NUMBERS.$.at);
  const secondary = get(numbers, BUS_NUMBERS.Secondary);
  const subordinate = get(numbers, BUS_NUMBERS.Subordinate);
  // A bridge without numbers, or with those of another, leads nowhere here.
  const leads = secondary > d.requester >>> 8 && subordinate >= secondary && !taken.has(secondary);
  const children = leads ? place(secondary, pcie === 4 || pcie === 6 || pcie === 8) : [];
  const definition: BridgeDefinition = {
    ...common,
    bars,
    bridge: true,
    children,
    ...(leads && { buses: { secondary, subordinate } }),
  };
  return withMsix(definition, msix);
}

/** With the table where the dump has it, or, where that cannot be, wherever there is room. */
function withMsix(d: FunctionDefinition, msix: Required<MsixDefinition> | undefined): FunctionDefinition {
  if (!msix) return definePciFunction(d);
  const { vectors, bar, table, pba } = msix;
  const size = d.bars?.[bar]?.size ?? 0;
  const tableEnd = table + vectors * MSIX_ENTRY_SIZE;
  const apart = tableEnd <= pba || pba + pbaBytes(vectors) <= table;
  if (apart && tableEnd <= size && pba + pbaBytes(vectors) <= size) return definePciFunction({ ...d, msix });
  const last = Math.max(0, ...Object.keys(d.bars ?? {}).map(Number));
  const room = { ...d.bars?.[last], size: 2 ** 16 }; // 2,048 entries and their PBA
  return definePciFunction({ ...d, bars: { ...d.bars, [last]: room }, msix: { vectors, bar: last } });
}

const msiOf = (control: number): MsiDefinition => ({
  vectors: (1 << Math.min(get(control, MSI.MultipleMessageCapable), 5)) as MsiDefinition['vectors'],
  address64: get(control, MSI.Address64) === 1,
  perVectorMasking: get(control, MSI.PerVectorMasking) === 1,
});

function msixOf(read: (at: number) => number, at: number): Required<MsixDefinition> {
  const table = read(at + MSIX_TABLE);
  const pba = read(at + MSIX_PBA);
  const vectors = get(read(at), MSIX.TableSize) + 1;
  const bar = get(table, MSIX_PLACE.Bir);
  const offset = (table & MSIX_PLACE.Offset.mask) >>> 0;
  // PBA in another BAR: the model keeps both in one, behind the table.
  const own = get(pba, MSIX_PLACE.Bir) === bar;
  const behind = Math.ceil((offset + vectors * MSIX_ENTRY_SIZE) / 4096) * 4096;
  return { vectors, bar, table: offset, pba: own ? (pba & MSIX_PLACE.Offset.mask) >>> 0 : behind };
}

const pasidOf = (word: number) => ({
  width: get(word, PASID.MaxWidth),
  execute: get(word, PASID.Execute) === 1,
  privileged: get(word, PASID.Privileged) === 1,
});

/** Memory BARs that the dump shows in use, and the one with the MSI-X table. */
function barsOf(
  read: (at: number) => number,
  headerLayout: number,
  msix: Required<MsixDefinition> | undefined,
): Record<number, BarDefinition> {
  const bars: Record<number, BarDefinition> = {};
  const count = barCount(headerLayout);
  for (let n = 0; n < count; n++) {
    const low = read(BAR.$.at + 4 * n);
    const table = msix?.bar === n;
    if (get(low, BAR.Io) || (low === 0 && !table)) continue;
    const width = get(low, BAR.Type) === BAR_64 && n + 1 < count ? 64 : 32;
    const end = table ? Math.max(msix.table + msix.vectors * MSIX_ENTRY_SIZE, msix.pba + pbaBytes(msix.vectors)) : 0;
    const size = Math.max(4096, 2 ** Math.ceil(Math.log2(Math.max(end, 1))));
    bars[n] = { size: Math.min(size, 2 ** 30), width, prefetchable: get(low, BAR.Prefetchable) === 1 };
    if (width === 64) n++;
  }
  return bars;
}

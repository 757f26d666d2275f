import { get, set } from '@doorbell/bits';
import type { CpuPort } from '@doorbell/platform';
import { ABSENT, BUS_NUMBERS, CapId, ID, MISC, MSI, MSIX, PortType } from '../spec/index.js';
import type { ConfigPort } from './config-port.js';
import { PciDevice } from './device.js';

/** What a scan found: devices in scan order, bridges before what is below them. */
export interface Scan {
  readonly devices: PciDevice[];
  /** Children by parent; the root bus's under undefined. */
  readonly children: Map<PciDevice | undefined, PciDevice[]>;
  /** Bridges for which no bus number was left: what is below them stays unseen. */
  readonly unnumbered: PciDevice[];
}

/**
 * Depth-first over all buses. A bridge whose bus numbers make sense keeps them (firmware has run); another gets the next free one.
 */
export function scan(cpu: CpuPort, config: ConfigPort, segment: number, firstBus: number, buses: number): Scan {
  const devices: PciDevice[] = [];
  const children: Scan['children'] = new Map();
  const unnumbered: PciDevice[] = [];
  const lastBus = firstBus + buses - 1;

  /** Returns the highest bus number in use at or below `bus`. */
  const visit = (bus: number, limit: number, parent: PciDevice | undefined, extended: boolean): number => {
    const here = functionsOf(cpu, config, segment, bus, parent, extended);
    children.set(parent, here);
    const kept = new Map<PciDevice, { secondary: number; subordinate: number }>();
    let highest = bus;
    for (const d of here) {
      devices.push(d);
      const numbers = d.isBridge ? configured(d, bus, limit, [...kept.values()]) : null;
      if (numbers) kept.set(d, numbers);
    }
    for (const [d, n] of kept) {
      setNumbers(d, bus, n.secondary, n.subordinate);
      visit(n.secondary, n.subordinate, d, extended && !makesConventional(d));
      highest = Math.max(highest, n.subordinate);
    }
    for (const d of here) {
      if (!d.isBridge || kept.has(d)) continue;
      if (highest >= limit) {
        setNumbers(d, bus, 0, 0);
        unnumbered.push(d);
        continue;
      }
      const secondary = highest + 1;
      // Wide open while what is below is counted, then closed to what was found.
      setNumbers(d, bus, secondary, limit);
      highest = visit(secondary, limit, d, extended && !makesConventional(d));
      setNumbers(d, bus, secondary, highest);
    }
    return highest;
  };
  visit(firstBus, lastBus, undefined, true);
  return { devices, children, unnumbered };
}

/** Every function that answers on a bus. */
function functionsOf(
  cpu: CpuPort,
  config: ConfigPort,
  segment: number,
  bus: number,
  parent: PciDevice | undefined,
  extended: boolean,
): PciDevice[] {
  const found: PciDevice[] = [];
  // A link has device 0 only; a root bus, a switch's inside and conventional buses have 32.
  const link = parent?.pcieType === PortType.rootPort || parent?.pcieType === PortType.downstreamPort;
  for (let slot = 0; slot < (link ? 1 : 32); slot++) {
    for (let fn = 0; fn < 8; fn++) {
      const requester = (bus << 8) | (slot << 3) | fn;
      const vendor = get(config.read(requester, ID.$.at), ID.VendorId);
      if (vendor === (ABSENT & 0xffff) || vendor === 0) {
        if (fn === 0) break; // function 0 must be there (PCI 3.0 §3.2.2.3.4)
        continue;
      }
      found.push(new PciDevice(cpu, config, segment, requester, parent, extended));
      if (fn === 0 && !get(config.read(requester, MISC.$.at), MISC.MultiFunction)) break;
    }
  }
  return found;
}

/** Bus numbers that a bridge already has, if they can stay. */
function configured(
  d: PciDevice,
  bus: number,
  limit: number,
  taken: readonly { secondary: number; subordinate: number }[],
): { secondary: number; subordinate: number } | null {
  const word = d.read(BUS_NUMBERS.$.at);
  const secondary = get(word, BUS_NUMBERS.Secondary);
  const subordinate = get(word, BUS_NUMBERS.Subordinate);
  const clash = taken.some((t) => secondary <= t.subordinate && t.secondary <= subordinate);
  return secondary > bus && subordinate >= secondary && subordinate <= limit && !clash
    ? { secondary, subordinate }
    : null;
}

function setNumbers(d: PciDevice, primary: number, secondary: number, subordinate: number): void {
  let word = d.read(BUS_NUMBERS.$.at);
  word = set(word, BUS_NUMBERS.Primary, primary);
  word = set(word, BUS_NUMBERS.Secondary, secondary);
  d.write(BUS_NUMBERS.$.at, set(word, BUS_NUMBERS.Subordinate, subordinate));
}

/** Whoever ran before may have left messages enabled that mean nothing now. */
export function disableMessages(d: PciDevice): void {
  for (const [id, enable] of [
    [CapId.msi, MSI.Enable],
    [CapId.msix, MSIX.Enable],
  ] as const) {
    const at = d.capability(id);
    const word = at ? d.read(at) : 0;
    if (get(word, enable)) d.write(at, set(word, enable, 0));
  }
}

/** Whether the bus below is conventional PCI. */
export const makesConventional = (d: PciDevice): boolean =>
  d.isBridge && (d.pcieType < 0 || d.pcieType === PortType.pcieToPci);

import { showBdf } from '@doorbell/platform';
import { Acs, ACS, ACS_REQUIRED, ExtCapId, PortType } from '../spec/index.js';
import { aliasesOf } from './aliases.js';
import type { PciDevice } from './device.js';
import { makesConventional } from './enumerate.js';

/** Turns on what isolation needs wherever a function offers it: SV, RR, CR, UF. */
export function enableAcs(devices: readonly PciDevice[]): void {
  for (const d of devices) {
    const at = d.extendedCapability(ExtCapId.acs);
    if (!at) continue;
    const { capability, control } = d.acs();
    const wanted = control | (capability & ACS_REQUIRED);
    if (wanted !== control) d.write(at + ACS.$.at, wanted << 16);
  }
}

/** Whether a function keeps its requests from turning to a peer, and the sentence that shows it (Linux pci_acs_enabled). */
export function acsIsolates(d: PciDevice): { readonly isolates: boolean; readonly why: string } {
  const yes = (why: string) => ({ isolates: true, why });
  const no = (why: string) => ({ isolates: false, why });
  const t = d.pcieType;
  if (t < 0) return no(`${d.name} is conventional PCI`);
  if (t === PortType.pcieToPci || t === PortType.pciToPcie || t === PortType.eventCollector)
    return no(`${d.name} is of a kind that ACS does not cover`);
  const port = t === PortType.rootPort || t === PortType.downstreamPort;
  if (!port && !d.multiFunction) return yes(`${d.name} is the only function of its device`);
  const { present, capability, control } = d.acs();
  if (!present) return no(`${d.name} has no ACS capability`);
  // A bit that is not implemented says that there is no such peer traffic.
  const missing = capability & ACS_REQUIRED & ~control;
  return missing
    ? no(`${d.name} has ACS ${bitNames(missing)} off`)
    : yes(`${d.name} has ACS ${bitNames(control & ACS_REQUIRED) || '(none needed)'} on`);
}

const bitNames = (mask: number): string =>
  Object.entries(Acs)
    .filter(([, bit]) => mask & bit)
    .map(([name]) => name)
    .join(' ');

/**
 * Isolation groups: functions that cannot be told apart by the id on the wire, or that can reach each other without passing the
 * root. Stricter than Linux where its groups are no proof (linux-pci, 'Fix incorrect iommu_groups with PCIe ACS', 2025): one port
 * without ACS joins its whole switch, one function without ACS its whole device.
 */
export function assignGroups(devices: readonly PciDevice[]): void {
  const groups = new Groups(devices);
  const byAlias = new Map<number, PciDevice>();
  const bySlot = new Map<number, PciDevice[]>();
  const below = new Map<PciDevice, PciDevice[]>();
  // Requester ids and slots mean something inside a segment only.
  const inSegment = (d: PciDevice, n: number): number => d.segment * 0x1_0000 + n;
  for (const d of devices) {
    const aliases = aliasesOf(d);
    d.aliases = [...new Set(aliases.map((a) => a.requester))];
    for (const a of aliases) {
      const other = byAlias.get(inSegment(d, a.requester));
      if (other && other !== d)
        groups.join(other, d, `${other.name} and ${d.name} arrive as ${showBdf(a.requester, d.segment)}: ${a.why}`);
      byAlias.set(inSegment(d, a.requester), other ?? d);
    }
    const slot = inSegment(d, d.requester >>> 3);
    bySlot.set(slot, [...(bySlot.get(slot) ?? []), d]);
    for (let b = d.parent; b; b = b.parent) below.set(b, [...(below.get(b) ?? []), d]);
  }
  for (const d of devices) {
    const acs = acsIsolates(d);
    if (makesConventional(d) || d.pcieType === PortType.pciToPcie)
      for (const x of below.get(d) ?? []) groups.join(d, x, `all functions behind ${d.name} share a conventional bus`);
    else if (d.isBridge && d.pcieType !== PortType.upstreamPort && !acs.isolates) {
      for (const x of below.get(d) ?? []) groups.join(d, x, `${acs.why}: requests from below may turn there`);
      const inSwitch = d.parent?.pcieType === PortType.upstreamPort ? below.get(d.parent)! : [];
      for (const x of inSwitch) groups.join(d, x, `${acs.why}: peers in its switch reach what is below it`);
    } else if (d.pcieType === PortType.upstreamPort && !acs.isolates)
      for (const x of below.get(d) ?? []) groups.join(d, x, `${acs.why}: requests from below may turn there`);
    const siblings = bySlot.get(inSegment(d, d.requester >>> 3))!;
    if (d.multiFunction && !acs.isolates)
      for (const x of siblings)
        if (x !== d) groups.join(d, x, `${acs.why}: functions of a device may reach each other`);
  }
  groups.settle();
}

/** Union-find that keeps the sentence of every union. */
class Groups {
  private readonly parent = new Map<PciDevice, PciDevice>();
  private readonly sentences = new Map<PciDevice, Set<string>>();

  constructor(private readonly devices: readonly PciDevice[]) {}

  join(a: PciDevice, b: PciDevice, why: string): void {
    const ra = this.find(a);
    const rb = this.find(b);
    this.note(ra, why);
    if (ra === rb) return;
    this.parent.set(rb, ra);
    for (const s of this.sentences.get(rb) ?? []) this.note(ra, s);
  }

  /** Numbers groups in the order of their first function and tells each device. */
  settle(): void {
    const members = new Map<PciDevice, PciDevice[]>();
    for (const d of this.devices) {
      const root = this.find(d);
      members.set(root, [...(members.get(root) ?? []), d]);
    }
    let group = 0;
    for (const [root, all] of members) {
      const endpoints = all.filter((d) => !d.isBridge);
      const joined = [...(this.sentences.get(root) ?? [])];
      for (const d of all) {
        // A bridge in the group does not use the id of what is below it: software drives it, nobody assigns it.
        const others = endpoints.filter((x) => x !== d);
        const isolated = d.isBridge ? endpoints.length === 0 : others.length === 0;
        d.isolation = { group, isolated, witness: joined.length ? joined : pathProof(d) };
      }
      group++;
    }
  }

  private find(d: PciDevice): PciDevice {
    let at = d;
    for (let up = this.parent.get(at); up; up = this.parent.get(at)) at = up;
    return at;
  }

  private note(root: PciDevice, why: string): void {
    let set = this.sentences.get(root);
    if (!set) this.sentences.set(root, (set = new Set()));
    set.add(why);
  }
}

/** What stands between a lone function and the root. */
function pathProof(d: PciDevice): string[] {
  const out = [`${d.name} alone uses ${showBdf(d.requester, d.segment)}`];
  for (let b = d.parent; b; b = b.parent) out.push(acsIsolates(b).why);
  return out;
}

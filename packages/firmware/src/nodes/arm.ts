import type { IdMapEntry, PlatformNode } from '@doorbell/platform';
import { nodeName, rmrStreams, type IortMapping, type IortNode, type RmrNode } from '../acpi/iort.js';
import type { Machine } from '../machine/read.js';
import type { MachineDescription } from '../machine/types.js';
import { bankOf, COMPATIBLE, placed, type NodeParts, type Omissions } from './parts.js';

/**
 * SMMUs of IORT, GIC, ITSs and frames of MADT; each root complex's ids followed to SMMU and ITS. MSIs that no mapping
 * leads to an ITS go to the first GICv2m frame, if there is one: it takes whatever is written to it.
 */
export function armNodes(machine: Machine, d: MachineDescription, omissions: Omissions): NodeParts {
  const { iort, madt } = machine;
  const units: PlatformNode[] = [];
  const gicd = madt?.gicds[0];
  // Version 0 leaves it to the hardware; redistributors and ITSs begin with GICv3.
  const v3 = gicd && (gicd.version >= 3 || (gicd.version === 0 && madt.gicrs.length + madt.its.length > 0));
  if (gicd && !v3 && madt.msiFrames.length > 0) {
    units.push(...placed({ name: 'gic0', compatible: COMPATIBLE.gicv2, options: {} }, gicd.base, 0x1000n, omissions));
  } else if (v3) {
    const reg = [{ base: Number(gicd.base), size: 0x10000 }];
    for (const r of madt.gicrs) reg.push({ base: Number(r.base), size: r.length });
    units.push({ name: 'gic0', compatible: COMPATIBLE.gicv3, reg, options: { cpus: Math.max(madt.cpus, 1) } });
  }
  const itsName = new Map<number, string>();
  madt?.its.forEach((x, i) => {
    const node = placed({ name: `its${i}`, compatible: COMPATIBLE.its, options: {} }, x.base, 0x20000n, omissions);
    if (node.length > 0) itsName.set(x.id, `its${i}`);
    units.push(...node);
  });
  madt?.msiFrames.forEach((x, i) => {
    const options = {
      ...(x.spiBase !== null && { baseSpi: x.spiBase }),
      ...(x.spiCount !== null && { spis: x.spiCount }),
    };
    units.push(...placed({ name: `v2m${i}`, compatible: COMPATIBLE.v2m, options }, x.base, 0x1000n, omissions));
  });

  const smmuName = new Map<IortNode, string>();
  const nodes = iort?.nodes ?? [];
  const described = d.iommus.filter((u) => (u.type === 'smmuv3' || u.type === 'smmuv2') && u.node === undefined);
  let count = 0;
  for (const n of nodes) {
    if (n.kind !== 'smmuv3' && n.kind !== 'smmuv2') continue;
    const u = described[count++]!;
    smmuName.set(n, u.name);
    const reserved = nodes.flatMap((r) => (r.kind === 'rmr' ? reservedAt(r, n) : []));
    const size = n.kind === 'smmuv3' ? 0x20000n : n.span;
    const compatible = n.kind === 'smmuv3' ? COMPATIBLE.smmuv3 : COMPATIBLE.smmuv2;
    const options = n.kind === 'smmuv3' && reserved.length > 0 ? { reserved } : {};
    units.push(...placed({ name: u.name, compatible, options }, n.base, size, omissions));
  }

  const byOffset = new Map(nodes.map((n) => [n.offset, n]));
  const present = new Set(units.map((u) => u.name));
  const frame = units.find((u) => u.compatible === COMPATIBLE.v2m)?.name;
  const hosts = nodes.flatMap((rc): PlatformNode[] => {
    if (rc.kind !== 'root-complex') return [];
    const iommuMap: IdMapEntry[] = [];
    const msiMap: IdMapEntry[] = [];
    for (const m of rc.mappings) {
      const entry = { inputBase: m.inputBase, count: m.count, outputBase: m.outputBase };
      const target = byOffset.get(m.target);
      if (target?.kind === 'its-group') toIts(entry, target, msiMap);
      else if (target && smmuName.has(target)) {
        iommuMap.push({ ...entry, to: smmuName.get(target)! });
        // The SMMU's own mappings tell which device id a stream has at the ITS.
        for (const next of target.mappings) {
          const part = through(entry, next);
          const end = byOffset.get(next.target);
          if (part !== null && end?.kind === 'its-group') toIts(part, end, msiMap);
        }
      }
    }
    if (msiMap.length === 0 && frame !== undefined) msiMap.push(everything(frame));
    const there = (map: IdMapEntry[]): IdMapEntry[] => map.filter((e) => present.has(e.to));
    const name = nodeName(rc);
    return [
      { name, compatible: COMPATIBLE.pciHost, segment: rc.segment, iommuMap: there(iommuMap), msiMap: there(msiMap) },
    ];
  });

  if (hosts.length === 0 && frame !== undefined) {
    const segments = new Set([0, ...(machine.mcfg?.regions ?? []).map((r) => r.segment)]);
    for (const segment of segments)
      hosts.push({ name: `pci${segment}`, compatible: COMPATIBLE.pciHost, segment, msiMap: [everything(frame)] });
  }

  /** The first ITS of a group: any may serve, and one is enough. */
  function toIts(entry: Omit<IdMapEntry, 'to'>, group: IortNode, into: IdMapEntry[]): void {
    const id = group.kind === 'its-group' ? group.its.find((x) => itsName.has(x)) : undefined;
    if (id === undefined) omissions.add(nodeName(group), 'no MADT entry says where this ITS is');
    else into.push({ ...entry, to: itsName.get(id)! });
  }
  return { units, hosts };
}

const everything = (to: string): IdMapEntry => ({ inputBase: 0, count: 65536, outputBase: 0, to });

/** What a reserved-memory node keeps for streams of this SMMU. */
function reservedAt(rmr: RmrNode, smmu: IortNode) {
  const streams = rmrStreams(rmr).flatMap((s) => (s.target === smmu.offset ? [s.id] : []));
  if (streams.length === 0) return [];
  return rmr.ranges.flatMap((r) => {
    const bank = bankOf(r.base, r.length);
    return bank === null || bank.size === 0
      ? []
      : [{ first: bank.base, last: bank.base + bank.size - 1, streams, why: 'RMR' }];
  });
}

/** The part of `entry` whose outputs `next` takes in, mapped on. */
function through(entry: Omit<IdMapEntry, 'to'>, next: IortMapping): Omit<IdMapEntry, 'to'> | null {
  // DEN 0049: a single mapping is for the node's own interrupts and takes no input id.
  if (next.single) return null;
  const first = Math.max(entry.outputBase, next.inputBase);
  const end = Math.min(entry.outputBase + entry.count, next.inputBase + next.count);
  if (end <= first) return null;
  return {
    inputBase: entry.inputBase + (first - entry.outputBase),
    count: end - first,
    outputBase: next.outputBase + (first - next.inputBase),
  };
}

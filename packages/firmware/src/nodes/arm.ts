import type { IdMapEntry, PlatformNode } from '@doorbell/platform';
import { nodeName, type IortMapping, type IortNode } from '../acpi/iort.js';
import type { Machine } from '../machine/read.js';
import type { MachineDescription } from '../machine/types.js';
import { COMPATIBLE, placed, type NodeParts, type Omissions } from './parts.js';

/** SMMUs of IORT, GIC, ITSs and frames of MADT; each root complex's ids followed to SMMU and ITS. */
export function armNodes(machine: Machine, d: MachineDescription, omissions: Omissions): NodeParts {
  const { iort, madt } = machine;
  const units: PlatformNode[] = [];
  const gicd = madt?.gicds[0];
  if (gicd && gicd.version >= 3) {
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
  let count = 0;
  for (const n of iort!.nodes) {
    if (n.kind !== 'smmuv3' && n.kind !== 'smmuv2') continue;
    const u = d.iommus[count++]!;
    smmuName.set(n, u.name);
    const reserved = d.reserved.flatMap((r) =>
      r.kind === 'rmr' && (r.streamIds?.length ?? 0) > 0 && BigInt(r.last) <= BigInt(Number.MAX_SAFE_INTEGER)
        ? [{ first: Number(BigInt(r.base)), last: Number(BigInt(r.last)), streams: r.streamIds, why: 'RMR' }]
        : [],
    );
    const size = n.kind === 'smmuv3' ? 0x20000n : n.span;
    const compatible = n.kind === 'smmuv3' ? COMPATIBLE.smmuv3 : COMPATIBLE.smmuv2;
    const options = n.kind === 'smmuv3' && reserved.length > 0 ? { reserved } : {};
    units.push(...placed({ name: u.name, compatible, options }, n.base, size, omissions));
  }

  const byOffset = new Map(iort!.nodes.map((n) => [n.offset, n]));
  const present = new Set(units.map((u) => u.name));
  const hosts = iort!.nodes.flatMap((rc): PlatformNode[] => {
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
    const there = (map: IdMapEntry[]): IdMapEntry[] => map.filter((e) => present.has(e.to));
    const name = nodeName(rc);
    return [
      { name, compatible: COMPATIBLE.pciHost, segment: rc.segment, iommuMap: there(iommuMap), msiMap: there(msiMap) },
    ];
  });

  /** The first ITS of a group: any may serve, and one is enough. */
  function toIts(entry: Omit<IdMapEntry, 'to'>, group: IortNode, into: IdMapEntry[]): void {
    const id = group.kind === 'its-group' ? group.its.find((x) => itsName.has(x)) : undefined;
    if (id === undefined) omissions.add(nodeName(group), 'no MADT entry says where this ITS is');
    else into.push({ ...entry, to: itsName.get(id)! });
  }
  return { units, hosts };
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

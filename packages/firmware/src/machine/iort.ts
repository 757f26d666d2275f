import { checkIort } from '../acpi/iort-checks.js';
import { nodeName, rmrStreams, type IortMapping, type IortNode, type IortTable, type RmrNode } from '../acpi/iort.js';
import { hex } from '../bytes.js';
import { ridToBdf } from '../lspci/dump.js';
import type { Machine } from './read.js';
import type { IdMappingDescription, MachineKind, Part, ReservedDescription } from './types.js';

/** SMMUs, id mappings and reserved ranges of an IORT. */
export function describeIort(iort: IortTable, machine: Machine): Part {
  checkIort(iort, machine.madt);
  const byOffset = new Map(iort.nodes.map((n) => [n.offset, n]));
  const smmus = iort.nodes.filter((n) => n.kind === 'smmuv2' || n.kind === 'smmuv3');
  const iommus = smmus.map((s, i) => ({
    name: `smmu${i}`,
    type: s.kind,
    base: hex(s.base),
    segment: null,
    includeAll: false,
    bdf: null,
    scopes: [],
    model: s.model,
  }));
  const idMappings = iort.nodes.flatMap((n) => n.mappings.map((m) => describeMapping(n, m, byOffset.get(m.target))));
  const reserved = iort.nodes.flatMap((n) => (n.kind === 'rmr' ? describeRmr(n, iort) : []));
  const kinds: MachineKind[] = [];
  if (smmus.some((s) => s.kind === 'smmuv3')) kinds.push('arm-smmuv3');
  if (smmus.some((s) => s.kind === 'smmuv2')) kinds.push('arm-smmuv2');
  return { kinds, iommus, idMappings, reserved };
}

function describeMapping(node: IortNode, m: IortMapping, target: IortNode | undefined): IdMappingDescription {
  return {
    from: nodeName(node),
    inputBase: m.inputBase,
    count: m.count,
    outputBase: m.outputBase,
    to: target === undefined ? null : nodeName(target),
    ...(m.single ? { single: true } : {}),
    ...(target?.kind === 'its-group' && target.its.length > 1 ? { its: target.its } : {}),
  };
}

/** A reserved range names stream ids at an SMMU; the functions are those whose root complex maps to them. */
function describeRmr(node: RmrNode, iort: IortTable): ReservedDescription[] {
  const streams = rmrStreams(node);
  const bdfs: (string | null)[] = [];
  for (const { id, target } of streams) {
    for (const rc of iort.nodes) {
      if (rc.kind !== 'root-complex') continue;
      for (const m of rc.mappings) {
        if (m.target !== target || id < m.outputBase || id >= m.outputBase + m.count) continue;
        bdfs.push(ridToBdf(rc.segment, m.inputBase + (id - m.outputBase)));
      }
    }
  }
  return node.ranges.map((r) => ({
    kind: 'rmr',
    base: hex(r.base),
    last: hex(r.length === 0n ? r.base : r.base + r.length - 1n),
    bdfs,
    segment: null,
    flags: node.flags,
    streamIds: streams.map((s) => s.id),
  }));
}

import { hex } from '../bytes.js';
import { findMsiControllers, findSmmus } from '../devicetree/blocks.js';
import { indexTree } from '../devicetree/index.js';
import { findIdMaps, findPciHosts, findStreams } from '../devicetree/maps.js';
import { findPamus } from '../devicetree/pamu.js';
import type { Tree, TreeNode } from '../devicetree/tree.js';
import type { Machine } from './read.js';
import type { IommuDescription, MachineKind, Part } from './types.js';

const hexOrNull = (value: bigint | null): string | null => (value === null ? null : hex(value));

/** SMMUs, PAMUs, MSI controllers and id maps of a device tree. */
export function describeTree(tree: Tree, machine: Machine): Part {
  const index = indexTree(tree, machine.findings);
  const smmus = findSmmus(index);
  const controllers = findMsiControllers(index);
  const pamus = findPamus(index);
  const names = new Map<TreeNode, string>();
  for (const s of smmus) names.set(s.node, `${s.type}@${hexOrNull(s.base) ?? '?'}`);
  for (const c of controllers)
    names.set(c.node, `${c.type === 'gicv3-its' ? 'its' : c.type}@${hexOrNull(c.base) ?? '?'}`);
  const nameOf = (node: TreeNode | null): string | null => (node === null ? null : (names.get(node) ?? node.path));

  const common = { segment: null, includeAll: false, bdf: null, scopes: [] };
  const iommus: IommuDescription[] = [
    ...smmus.map((s, i) => ({ name: `smmu${i}`, type: s.type, base: hexOrNull(s.base), ...common, node: s.node.path })),
    ...pamus.map((p, i) => ({
      name: `pamu${i}`,
      type: 'pamu' as const,
      base: hexOrNull(p.base),
      ...common,
      node: (p.child ?? p.node).path,
      liodns: p.liodns.map((l) => ({ liodn: l.liodn, device: l.device.path })),
    })),
  ];
  const kinds: MachineKind[] = [];
  if (smmus.some((s) => s.type === 'smmuv3')) kinds.push('arm-smmuv3');
  if (smmus.some((s) => s.type === 'smmuv2')) kinds.push('arm-smmuv2');
  if (pamus.length > 0) kinds.push('powerpc-pamu');
  // One of another kind was reported by itself.
  if (kinds.length === 0 && !index.live.some((n) => n.has('#iommu-cells')))
    machine.findings.add('DT_NO_IOMMU', 'the tree has none of SMMU and PAMU', { table: tree.file, offset: null });
  return {
    kinds,
    iommus,
    msiControllers: controllers.map((c) => ({
      type: c.type,
      base: hexOrNull(c.base),
      vectors: c.vectors,
      doorbell: hexOrNull(c.doorbell),
      ...(c.ranges && { ranges: c.ranges }),
      node: c.node.path,
    })),
    idMappings: findIdMaps(index, new Set(names.keys())).map((m) => ({
      from: m.host.path,
      inputBase: m.inputBase,
      count: m.count,
      outputBase: m.outputBase,
      to: nameOf(m.target),
      property: m.property,
      ...(m.mask === 0xffff_ffff ? {} : { mask: m.mask }),
    })),
    pciHosts: findPciHosts(index).map((h) => ({
      node: h.node.path,
      compatible: h.node.strings('compatible'),
      base: hexOrNull(h.base),
      firstBus: h.firstBus,
      lastBus: h.lastBus,
      domain: h.domain,
      msiParents: h.msiParents.map((n) => nameOf(n)!),
    })),
    streams: findStreams(index)
      .filter((s) => names.has(s.target))
      .map((s) => ({ device: s.device.path, to: nameOf(s.target)!, ids: s.ids })),
  };
}

import { hex } from '../bytes.js';
import { readReg } from './address.js';
import { baseOf, type TreeIndex } from './index.js';
import type { TreeNode } from './tree.js';

export type TreeIommuType = 'smmuv3' | 'smmuv2';
/** An SMMU of the tree. */
export interface TreeSmmu {
  readonly node: TreeNode;
  readonly type: TreeIommuType;
  readonly base: bigint | null;
}
/** A controller that receives MSIs. */
export interface TreeMsiController {
  readonly node: TreeNode;
  readonly type: 'mpic-msi' | 'gicv3-its' | 'gicv2m';
  readonly base: bigint | null;
  readonly vectors: number | null;
  /** `fsl,mpic-msi`: the address of MSIIR, which devices write (its alias page where there is one). */
  readonly doorbell: bigint | null;
  /** `fsl,mpic-msi`: pairs of first and count of the numbers that software may use; absent: all. */
  readonly ranges?: readonly (readonly [number, number])[];
}

const SMMU_V2 = [
  'arm,smmu-v1',
  'arm,smmu-v2',
  'arm,mmu-400',
  'arm,mmu-401',
  'arm,mmu-500',
  'cavium,smmu-v2',
  'qcom,smmu-v2',
  'qcom,smmu-500',
  'qcom,adreno-smmu',
  'nvidia,smmu-500',
  'marvell,ap806-smmu-500',
];

/** SMMUs that are on, in the order of the tree; other IOMMUs are findings. */
export function findSmmus(index: TreeIndex): TreeSmmu[] {
  const out: TreeSmmu[] = [];
  for (const node of index.live) {
    const type = node.isCompatible('arm,smmu-v3') ? 'smmuv3' : node.isCompatible(...SMMU_V2) ? 'smmuv2' : null;
    if (type !== null) out.push({ node, type, base: baseOf(node, index) });
    else if (node.has('#iommu-cells')) {
      index.found(
        'DT_IOMMU_UNKNOWN',
        node.offset,
        `${node.path}: ${node.strings('compatible').join(', ') || 'no compatible'}`,
      );
    }
  }
  reportTwins(out, index);
  return out;
}

/** MSI controllers that are on, in the order of the tree. */
export function findMsiControllers(index: TreeIndex): TreeMsiController[] {
  const out: TreeMsiController[] = [];
  for (const node of index.live) {
    if (node.isCompatible('arm,gic-v3-its')) {
      const base = baseOf(node, index);
      out.push({ node, type: 'gicv3-its', base, vectors: null, doorbell: base === null ? null : base + 0x10040n });
    } else if (node.isCompatible('arm,gic-v2m-frame')) {
      const base = baseOf(node, index);
      out.push({
        node,
        type: 'gicv2m',
        base,
        vectors: node.cell('arm,msi-num-spis'),
        doorbell: base === null ? null : base + 0x40n,
      });
    } else if (node.isCompatible('fsl,mpic-msi', 'fsl,mpic-msi-v4.3')) {
      const base = baseOf(node, index);
      const v43 = node.isCompatible('fsl,mpic-msi-v4.3');
      const aliased = (readReg(node)?.length ?? 0) > 1;
      const doorbell = aliased ? baseOf(node, index, 1) : base === null ? null : base + (v43 ? 0x148n : 0x140n);
      out.push({ node, type: 'mpic-msi', base, doorbell, ...numbers(node, index) });
    } else if (node.isCompatible('fsl,vmpic-msi', 'fsl,vmpic-msi-v4.3')) {
      // Made by a hypervisor: no registers, only an address that devices write.
      out.push({ node, type: 'mpic-msi', base: null, doorbell: null, ...numbers(node, index) });
    } else if (isMsiController(node)) {
      const what = node.strings('compatible').join(', ') || 'no compatible';
      index.found('DT_MSI_UNKNOWN', node.offset, `${node.path}: ${what}`);
    }
  }
  reportTwins(out, index);
  return out;
}

/** Nodes of other kinds that take MSIs. A GICv3 counts only with message-based SPIs of its own, without which its ITS does the work. */
function isMsiController(node: TreeNode): boolean {
  if (node.isCompatible('arm,gic-v3')) return node.has('mbi-ranges');
  return node.has('msi-controller') || node.has('#msi-cells') || node.isCompatible('fsl,ipic-msi');
}

/** How many vectors a bank of an MPIC has for software, and which where the tree narrows them. */
function numbers(node: TreeNode, index: TreeIndex): Pick<TreeMsiController, 'vectors' | 'ranges'> {
  // Version 4.3: 32 vectors per MSIR, one interrupt per MSIR, 16 of them.
  if (node.isCompatible('fsl,mpic-msi-v4.3', 'fsl,vmpic-msi-v4.3'))
    return { vectors: 32 * (interruptCount(node) || 16) };
  const ranges = availableRanges(node, index);
  return ranges === null ? { vectors: 256 } : { vectors: ranges.reduce((sum, [, count]) => sum + count, 0), ranges };
}

/** `msi-available-ranges`: pairs <first count> in multiples of 32 within 0–255; null: absent, which means all. */
function availableRanges(node: TreeNode, index: TreeIndex): [number, number][] | null {
  const cells = node.cells('msi-available-ranges');
  if (cells === null) return null;
  const ranges: [number, number][] = [];
  for (let i = 0; i + 1 < cells.length; i += 2) {
    const [first, count] = [cells[i]!, cells[i + 1]!];
    if (first % 32 !== 0 || count % 32 !== 0 || count === 0 || first + count > 256)
      index.found('DT_MSI_RANGES', node.offsetOf('msi-available-ranges'), `${node.path}: <${first} ${count}>`);
    else ranges.push([first, count]);
  }
  return ranges;
}

function interruptCount(node: TreeNode): number | null {
  const cells = node.cells('interrupts');
  return cells === null ? null : Math.floor(cells.length / 4);
}

function reportTwins(
  blocks: readonly { readonly node: TreeNode; readonly base: bigint | null }[],
  index: TreeIndex,
): void {
  blocks.forEach((b, i) => {
    const twin = b.base === null ? undefined : blocks.slice(0, i).find((o) => o.base === b.base);
    if (twin) index.found('DT_BASE_TWICE', b.node.offset, `${twin.node.path} and ${b.node.path} at ${hex(b.base!)}`);
  });
}

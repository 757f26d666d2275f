import { hex } from '../bytes.js';
import { readReg } from './address.js';
import { baseOf, type TreeIndex } from './index.js';
import type { TreeNode } from './tree.js';

/** A device and one of its LIODNs; null where only firmware will know. */
export interface Liodn {
  readonly liodn: number | null;
  readonly device: TreeNode;
}
/** One PAMU: a page of 4 KiB inside the `fsl,pamu` node. */
export interface PamuPage {
  readonly node: TreeNode;
  /** The child that stands for this page; null where the tree has none. */
  readonly child: TreeNode | null;
  readonly base: bigint | null;
  readonly liodns: Liodn[];
}

const PAGE = 0x1000n;
/** `fsl,liodn-bits` is 12 on every SoC. */
const LIODN_LIMIT = 4096;

/** One entry per PAMU page, with the devices whose `fsl,iommu-parent` (own or inherited) it is. */
export function findPamus(index: TreeIndex): PamuPage[] {
  const pages: PamuPage[] = [];
  for (const node of index.live) {
    if (!node.isCompatible('fsl,pamu', 'fsl,pamu-v1.0')) continue;
    const base = baseOf(node, index);
    const size = readReg(node)?.[0]?.size ?? 0n;
    const all = node.children.filter((c) => c.has('reg'));
    const children = all.filter((c) => index.isLive(c));
    const baseIn = (c: TreeNode): bigint | null => readReg(c)?.[0]?.base ?? null;
    const bases = children.map(baseIn);
    const off = all.filter((c) => !index.isLive(c)).map(baseIn);
    if (children.length === 0) index.found('PAMU_NO_PAGES', node.offset, `${node.path} of ${hex(size)} bytes`);
    // P4080 has 5 pages; a few dozen is more than any SoC, and a damaged size must not run away.
    const count = Math.max(Math.min(Number(size / PAGE), 64), 1);
    for (let i = 0; i < count; i++) {
      const at = base === null ? null : base + BigInt(i) * PAGE;
      if (at !== null && off.includes(at)) continue;
      const child = at === null ? (children[i] ?? null) : (children[bases.indexOf(at)] ?? null);
      pages.push({ node, child, base: at, liodns: [] });
    }
  }
  if (pages.length > 0) assignLiodns(pages, index);
  return pages;
}

function assignLiodns(pages: readonly PamuPage[], index: TreeIndex): void {
  const owner = new Map<number, TreeNode>();
  for (const device of index.live) {
    const named = device.has('fsl,liodn') || device.has('fsl,liodn-reg');
    // A device above ports that have LIODNs of their own (a RapidIO controller) speaks through them.
    const through =
      device.has('fsl,iommu-parent') &&
      !named &&
      device.children.some((c) => c.has('fsl,liodn') || c.has('fsl,liodn-reg'));
    if ((!named && !device.has('fsl,iommu-parent')) || through) continue;
    const liodns = device.cells('fsl,liodn');
    const page = pageOf(device, pages, index);
    if (page === null) {
      index.found('PAMU_PARENT_UNKNOWN', device.offset, device.path);
      continue;
    }
    if (liodns === null || liodns.length === 0) {
      index.found('PAMU_LIODN_UNASSIGNED', device.offset, device.path);
      page.liodns.push({ liodn: null, device });
    }
    for (const liodn of liodns ?? []) {
      const other = owner.get(liodn);
      if (other && other !== device)
        index.found(
          'PAMU_LIODN_TWICE',
          device.offsetOf('fsl,liodn'),
          `LIODN ${liodn}: ${other.path} and ${device.path}`,
        );
      if (liodn >= LIODN_LIMIT)
        index.found('PAMU_LIODN_RANGE', device.offsetOf('fsl,liodn'), `LIODN ${liodn} of ${device.path}`);
      owner.set(liodn, device);
      page.liodns.push({ liodn, device });
    }
  }
}

/** The nearest `fsl,iommu-parent` upward. */
function pageOf(device: TreeNode, pages: readonly PamuPage[], index: TreeIndex): PamuPage | null {
  for (let node: TreeNode | null = device; node !== null; node = node.parent) {
    const phandle = node.cell('fsl,iommu-parent');
    if (phandle === null) continue;
    const target = index.byPhandle.get(phandle);
    if (target === undefined) {
      index.found(
        'DT_PHANDLE_MISSING',
        node.offsetOf('fsl,iommu-parent'),
        `${node.path}: fsl,iommu-parent ${hex(phandle)} is no node`,
      );
      return null;
    }
    return pages.find((p) => p.child === target || (p.child === null && p.node === target)) ?? null;
  }
  // One PAMU checks all there is.
  return pages.length === 1 ? pages[0]! : null;
}

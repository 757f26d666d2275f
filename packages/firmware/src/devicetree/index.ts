import { hex } from '../bytes.js';
import type { Findings, TableFindings } from '../findings/index.js';
import { readReg } from './address.js';
import { walk, type Tree, type TreeNode } from './tree.js';

/** A tree with what all interpretations need: phandles, the nodes that are on, and where findings go. */
export interface TreeIndex {
  readonly tree: Tree;
  /** Nodes that are on, and all of whose parents are, in the order of the file. */
  readonly live: readonly TreeNode[];
  readonly isLive: (node: TreeNode) => boolean;
  readonly byPhandle: ReadonlyMap<number, TreeNode>;
  readonly found: TableFindings;
}

/** Findings: disabled nodes, double phandles, interrupt parents that lead nowhere or in a circle. */
export function indexTree(tree: Tree, findings: Findings): TreeIndex {
  const found = findings.at(tree.file);
  const live: TreeNode[] = [];
  const off = new Set<TreeNode>();
  const byPhandle = new Map<number, TreeNode>();
  for (const node of walk(tree.root)) {
    const phandle = node.phandle;
    if (phandle !== null) {
      const other = byPhandle.get(phandle);
      if (other)
        found(
          'DT_PHANDLE_TWICE',
          node.offsetOf('phandle'),
          `phandle ${hex(phandle)} of ${node.path} is also that of ${other.path}`,
        );
      else byPhandle.set(phandle, node);
    }
    if (node.isOff) found('DT_NODE_DISABLED', node.offsetOf('status'), `${node.path}: status "${node.status}"`);
    if (node.isOff || (node.parent !== null && off.has(node.parent))) off.add(node);
    else live.push(node);
  }
  checkInterruptParents(live, byPhandle, found);
  return { tree, live, isLive: (node) => !off.has(node), byPhandle, found };
}

/** An interrupt controller's own parent is the next one up; the root controller names itself or nobody. */
function checkInterruptParents(
  live: readonly TreeNode[],
  byPhandle: ReadonlyMap<number, TreeNode>,
  found: TableFindings,
): void {
  const reported = new Set<TreeNode>();
  for (const node of live) {
    const phandle = node.cell('interrupt-parent');
    if (phandle !== null && !byPhandle.has(phandle)) {
      found(
        'DT_PHANDLE_MISSING',
        node.offsetOf('interrupt-parent'),
        `${node.path}: interrupt-parent ${hex(phandle)} is no node`,
      );
    }
    if (!node.has('interrupt-controller')) continue;
    const seen = new Set<TreeNode>([node]);
    for (let at = interruptParent(node, byPhandle); at !== null; at = interruptParent(at, byPhandle)) {
      if (at === node) {
        if (![...seen].some((n) => reported.has(n))) {
          found(
            'DT_PHANDLE_CYCLE',
            node.offsetOf('interrupt-parent'),
            `interrupt-parent of ${node.path} leads back to it`,
          );
        }
        for (const n of seen) reported.add(n);
      }
      if (seen.has(at)) break;
      seen.add(at);
    }
  }
}

/** The controller that a controller hangs off; null at the top, which inherits or names itself. */
function interruptParent(node: TreeNode, byPhandle: ReadonlyMap<number, TreeNode>): TreeNode | null {
  // Only nodes that raise interrupts of their own have a parent in this sense.
  if (!node.has('interrupts') && !node.has('interrupts-extended')) return null;
  const phandle = node.cell('interrupt-parent');
  const parent = phandle === null ? null : (byPhandle.get(phandle) ?? null);
  return parent === node ? null : parent;
}

/** The translated base of a node's first (or n-th) `reg` entry; findings where there is none. */
export function baseOf(node: TreeNode, index: TreeIndex, entry = 0): bigint | null {
  const reg = readReg(node)?.[entry];
  if (reg === undefined) {
    index.found('DT_REG_MISSING', node.offsetOf('reg'), `${node.path} has no reg entry ${entry}`);
    return null;
  }
  if (reg.base === null)
    index.found('DT_REG_UNTRANSLATED', node.offsetOf('reg'), `${node.path}: reg cannot be translated to a CPU address`);
  return reg.base;
}

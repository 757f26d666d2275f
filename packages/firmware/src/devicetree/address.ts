import type { TreeNode } from './tree.js';

/** One entry of `reg`; `base` is what the CPU puts on its bus, null where no `ranges` leads there. */
export interface RegEntry {
  readonly base: bigint | null;
  readonly size: bigint;
}

/** Devicetree Specification 2.3.5: absent cell counts are 2 and 1. Wider than four cells is no address. */
const cellsOf = (node: TreeNode | null, what: '#address-cells' | '#size-cells'): number =>
  node?.cell(what) ?? (what === '#address-cells' ? 2 : 1);

function join(cells: readonly number[], from: number, count: number): bigint {
  let value = 0n;
  for (let i = 0; i < count; i++) value = (value << 32n) | BigInt(cells[from + i] ?? 0);
  return value;
}

/** The entries of `reg`, translated up to the root. Null if absent or of no whole number of entries. */
export function readReg(node: TreeNode): RegEntry[] | null {
  const cells = node.cells('reg');
  const parent = node.parent;
  const a = cellsOf(parent, '#address-cells');
  const s = cellsOf(parent, '#size-cells');
  if (cells === null || parent === null || a < 1 || a > 4 || s > 4 || cells.length < a + s) return null;
  if (cells.length % (a + s) !== 0) return null;
  const out: RegEntry[] = [];
  for (let i = 0; i < cells.length; i += a + s) {
    out.push({ base: toRoot(join(cells, i, a), parent), size: join(cells, i + a, s) });
  }
  return out;
}

/**
 * Translates an address on `bus` to the root through each `ranges` (Devicetree Specification 2.3.8): an empty one is
 * the identity, an absent one means that there is no way.
 */
export function toRoot(address: bigint, bus: TreeNode): bigint | null {
  for (let node = bus; node.parent !== null; node = node.parent) {
    const ranges = node.cells('ranges');
    if (ranges === null) return null;
    if (ranges.length === 0) continue;
    const child = cellsOf(node, '#address-cells');
    const size = cellsOf(node, '#size-cells');
    const parent = cellsOf(node.parent, '#address-cells');
    if (child < 1 || child > 4 || parent < 1 || parent > 4 || size < 1 || size > 4) return null;
    let moved: bigint | null = null;
    for (let i = 0; i + child + parent + size <= ranges.length && moved === null; i += child + parent + size) {
      const from = join(ranges, i, child);
      const length = join(ranges, i + child + parent, size);
      if (address >= from && address - from < length) moved = join(ranges, i + child, parent) + (address - from);
    }
    if (moved === null) return null;
    address = moved;
  }
  return address;
}

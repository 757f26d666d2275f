import { hex } from '../bytes.js';
import { readReg } from './address.js';
import type { TreeIndex } from './index.js';
import type { TreeNode } from './tree.js';

/** One tuple of `iommu-map` or `msi-map`: ids from `inputBase` on become ids from `outputBase` on at `target`. */
export interface TreeIdMap {
  readonly host: TreeNode;
  readonly property: 'iommu-map' | 'msi-map';
  readonly offset: number;
  readonly inputBase: number;
  readonly count: number;
  readonly outputBase: number;
  readonly target: TreeNode | null;
  /** ANDed with the id first. */
  readonly mask: number;
}
/** `iommus` and `msi-parent` of a device that is no host bridge. */
export interface TreeStream {
  readonly device: TreeNode;
  readonly property: 'iommus' | 'msi-parent';
  readonly target: TreeNode;
  readonly ids: readonly number[];
}
/** A PCI host bridge of the tree. */
export interface TreePciHost {
  readonly node: TreeNode;
  readonly base: bigint | null;
  readonly firstBus: number;
  readonly lastBus: number;
  readonly domain: number | null;
  readonly msiParents: readonly TreeNode[];
}

/** `device_type = "pci"` with buses of its own; the root ports below a host have none of their own maps. */
export function findPciHosts(index: TreeIndex): TreePciHost[] {
  const isPci = (n: TreeNode): boolean => n.strings('device_type').some((t) => t === 'pci' || t === 'pciex');
  return index.live
    .filter((n) => isPci(n) && !(n.parent !== null && isPci(n.parent)))
    .map((node) => {
      const buses = node.cells('bus-range');
      return {
        node,
        base: readReg(node)?.[0]?.base ?? null,
        firstBus: buses?.[0] ?? 0,
        lastBus: buses?.[1] ?? 255,
        domain: node.cell('linux,pci-domain'),
        msiParents: [
          ...references(node, 'msi-parent', '#msi-cells', index),
          // Freescale: keeps a controller's messages to that bank.
          ...references(node, 'fsl,msi', '#msi-cells', index, index.found),
        ].map((r) => r.target),
      };
    });
}

/** Every map of every node that is on. Findings: shapes, missing targets, overlaps. */
export function findIdMaps(index: TreeIndex, known: ReadonlySet<TreeNode>): TreeIdMap[] {
  const out: TreeIdMap[] = [];
  for (const host of index.live) {
    for (const property of ['iommu-map', 'msi-map'] as const) {
      const maps = readMap(host, property, index, known);
      checkOverlaps(maps, out, index);
      out.push(...maps);
    }
  }
  return out;
}

function readMap(
  host: TreeNode,
  property: 'iommu-map' | 'msi-map',
  index: TreeIndex,
  known: ReadonlySet<TreeNode>,
): TreeIdMap[] {
  const cells = host.cells(property);
  if (cells === null) return [];
  const at = host.offsetOf(property);
  const mask = host.cell(`${property}-mask`) ?? 0xffff_ffff;
  const bytes = host.properties.get(property)!.value.length;
  // <id-base phandle output-base length>
  if (bytes % 16 !== 0)
    index.found(
      'DT_BAD_PROPERTY',
      at,
      `${host.path}: ${property} of ${bytes} bytes is no whole number of 4-cell entries`,
    );
  const out: TreeIdMap[] = [];
  for (let i = 0; i + 4 <= cells.length; i += 4) {
    const phandle = cells[i + 1]!;
    const target = index.byPhandle.get(phandle) ?? null;
    const offset = at + 12 + 4 * i;
    const map = {
      host,
      property,
      offset,
      inputBase: cells[i]!,
      count: cells[i + 3]!,
      outputBase: cells[i + 2]!,
      target,
      mask,
    };
    const what = `${host.path}: ${property} ${hex(map.inputBase)}+${map.count}`;
    if (target === null) index.found('DT_PHANDLE_MISSING', offset + 4, `${what}: phandle ${hex(phandle)} is no node`);
    else if (!index.isLive(target))
      index.found('DT_MAP_TARGET_DISABLED', offset + 4, `${what} leads to ${target.path}`);
    else if (!known.has(target)) {
      const other = ['#iommu-cells', '#msi-cells', 'msi-controller'].some((p) => target.has(p));
      index.found(other ? 'DT_MAP_OTHER_KIND' : 'DT_MAP_TARGET', offset + 4, `${what} leads to ${target.path}`);
    }
    if (map.count === 0) index.found('DT_MAP_EMPTY', offset + 12, what);
    out.push(map);
  }
  return out;
}

/** Among the entries of one map, and against those of the hosts before it, which may lead to the same IOMMU or ITS. */
function checkOverlaps(maps: readonly TreeIdMap[], before: readonly TreeIdMap[], index: TreeIndex): void {
  const meets = (a: number, an: number, b: number, bn: number): boolean => a < b + bn && b < a + an;
  const name = (m: TreeIdMap): string => `${m.host.path}: ${m.property} ${hex(m.inputBase)}+${m.count}`;
  maps.forEach((m, i) => {
    for (const o of [...before.filter((b) => b.property === m.property), ...maps.slice(0, i)]) {
      const what = `${name(o)} and ${name(m)}`;
      if (o.host === m.host && meets(o.inputBase, o.count, m.inputBase, m.count))
        index.found('DT_MAP_OVERLAP', m.offset, what);
      else if (o.target !== null && o.target === m.target && meets(o.outputBase, o.count, m.outputBase, m.count))
        index.found('DT_MAP_OUTPUT_OVERLAP', m.offset + 8, what);
    }
  });
}

interface Reference {
  readonly target: TreeNode;
  readonly cells: readonly number[];
}

/** Phandles, each with as many cells as its target's `width` says; ends, with a finding if one listens, where that is unknown. */
function references(
  node: TreeNode,
  property: string,
  width: string,
  index: TreeIndex,
  found: TreeIndex['found'] = () => undefined,
): Reference[] {
  const cells = node.cells(property) ?? [];
  const at = node.offsetOf(property);
  const out: Reference[] = [];
  for (let i = 0; i < cells.length; ) {
    const target = index.byPhandle.get(cells[i]!);
    if (target === undefined) {
      found('DT_PHANDLE_MISSING', at + 12 + 4 * i, `${node.path}: ${property} ${hex(cells[i]!)} is no node`);
      break; // without the target the number of cells is unknown
    }
    const end = i + 1 + (target.cell(width) ?? 0);
    if (end > cells.length) {
      found('DT_BAD_PROPERTY', at, `${node.path}: ${property} ends inside an entry for ${target.path}`);
      break;
    }
    out.push({ target, cells: cells.slice(i + 1, end) });
    i = end;
  }
  return out;
}

/** `iommus` and `msi-parent` of devices: phandle and as many cells as the target's `#iommu-cells` or `#msi-cells`. */
export function findStreams(index: TreeIndex): TreeStream[] {
  return index.live.flatMap((device) =>
    (['iommus', 'msi-parent'] as const).flatMap((property) =>
      references(device, property, property === 'iommus' ? '#iommu-cells' : '#msi-cells', index, index.found)
        .filter(({ target }) => index.isLive(target))
        .map(({ target, cells }) => ({ device, property, target, ids: cells })),
    ),
  );
}

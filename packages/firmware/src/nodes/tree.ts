import type { IdMapEntry, MemoryBank, PlatformNode } from '@doorbell/platform';
import { hex } from '../bytes.js';
import { readReg } from '../devicetree/address.js';
import { walk, type Tree, type TreeNode } from '../devicetree/tree.js';
import type { Machine } from '../machine/read.js';
import type { IdMappingDescription, MachineDescription, PciHostDescription } from '../machine/types.js';
import { bankOf, COMPATIBLE, placed, type NodeParts, type Omissions } from './parts.js';

/** What a device tree describes. Names: `smmu0`, `pamu0`, `its0`, `v2m0`, `msi0`, `gic0`, `mpic0`, `pci0`. */
export function treeNodes(machine: Machine, d: MachineDescription, omissions: Omissions): NodeParts {
  const byPath = new Map<string, TreeNode>([...walk(machine.tree!.root)].map((n) => [n.path, n]));
  const endian = isBig(machine.tree!.root) ? ({ endian: 'big' } as const) : {};
  const units: PlatformNode[] = [];
  /** As `idMappings` spells a target → the node's name. */
  const named = new Map<string, string>();
  const sizeOf = (path: string | undefined, least: bigint): bigint => {
    const size = path === undefined ? undefined : readReg(byPath.get(path)!)?.[0]?.size;
    return size === undefined || size === 0n ? least : size;
  };

  // An older GIC has a say in MSIs only where frames turn them into its wires.
  const banks = d.msiControllers.some((c) => c.type === 'mpic-msi');
  const frames = d.msiControllers.some((c) => c.type === 'gicv2m');
  for (const n of byPath.values()) {
    const kind = n.isCompatible('arm,gic-v3')
      ? 'gicv3'
      : frames && n.isCompatible(...GIC_V2)
        ? 'gicv2'
        : n.isCompatible('fsl,mpic') || (banks && n.isCompatible('chrp,open-pic'))
          ? 'mpic'
          : null;
    if (kind === null || isOff(n)) continue;
    const reg = (readReg(n) ?? []).flatMap((r) => bankOf(r.base, r.size) ?? []);
    const name = kind === 'mpic' ? 'mpic0' : 'gic0';
    if (reg.length === 0) omissions.add(name, `${n.path} has no usable address`);
    else {
      const options = kind === 'gicv3' ? { cpus: cpusOf(machine.tree!) } : {};
      const compatible = kind === 'gicv2' ? n.strings('compatible')[0]! : COMPATIBLE[kind];
      units.push({ name, compatible, reg, ...(kind === 'mpic' ? endian : {}), options });
    }
  }
  const counts: Record<string, number> = {};
  for (const c of d.msiControllers) {
    if (c.node === undefined) continue;
    const [short, compatible] = MSI[c.type];
    const name = `${short}${(counts[short] = (counts[short] ?? -1) + 1)}`;
    named.set(`${c.type === 'gicv3-its' ? 'its' : c.type}@${c.base ?? '?'}`, name);
    const node = byPath.get(c.node)!;
    const spis = node.cell('arm,msi-num-spis');
    const baseSpi = node.cell('arm,msi-base-spi');
    const v2m = { ...(spis !== null && { spis }), ...(baseSpi !== null && { baseSpi }) };
    const mpic = { doorbell: c.doorbell, ...(c.ranges && { ranges: c.ranges }), tree: node.strings('compatible') };
    const options = c.type === 'gicv2m' ? v2m : c.type === 'mpic-msi' ? mpic : {};
    const size = sizeOf(c.node, c.type === 'gicv3-its' ? 0x20000n : 0x1000n);
    const big = c.type === 'mpic-msi' ? endian : {};
    units.push(...placed({ name, compatible, ...big, options }, c.base, size, omissions));
  }
  for (const u of d.iommus) {
    if (u.node === undefined) continue; // another table's
    const compatible =
      u.type === 'pamu' ? COMPATIBLE.pamu : u.type === 'smmuv3' ? COMPATIBLE.smmuv3 : COMPATIBLE.smmuv2;
    if (u.type !== 'pamu') named.set(`${u.type}@${u.base ?? '?'}`, u.name);
    const size = u.type === 'pamu' ? 0x1000n : sizeOf(u.node, 0x20000n);
    const options = u.type === 'pamu' ? { liodns: u.liodns } : {};
    const big = u.type === 'pamu' ? endian : {};
    units.push(...placed({ name: u.name, compatible, ...big, options }, u.base, size, omissions));
  }
  const present = new Set(units.map((u) => u.name));
  const map = (host: PciHostDescription, property: 'iommu-map' | 'msi-map'): IdMapEntry[] =>
    d.idMappings.flatMap((m) => {
      if (m.from !== host.node || m.property !== property) return [];
      const to = m.to === null ? undefined : named.get(m.to);
      if (to === undefined || !present.has(to)) {
        omissions.add(host.node, `${property} leads to ${m.to ?? 'no node'}, which is no node here`);
        return [];
      }
      const entries = masked(m, to);
      const folds = entries.length !== 1 || entries[0]!.shared;
      if (folds && m.mask !== undefined)
        omissions.add(
          host.node,
          `${property}-mask ${hex(m.mask)}: functions that differ only in its zeros share an id`,
        );
      return entries;
    });
  const hosts = d.pciHosts.map((h, i): PlatformNode => {
    const iommuMap = firstWins(map(h, 'iommu-map'));
    const msiMap = firstWins(map(h, 'msi-map'));
    // `msi-parent` without a map: every function, under its requester id.
    const parent = msiMap.length > 0 ? undefined : h.msiParents.map((p) => named.get(p)).find((p) => p !== undefined);
    if (parent !== undefined) msiMap.push({ inputBase: 0, count: 65536, outputBase: 0, to: parent });
    return hostNode(byPath.get(h.node)!, h, i, iommuMap, msiMap);
  });
  return { units, hosts };
}

/** As Linux' irq-gic.c lists them. */
const GIC_V2 = [
  'arm,gic-400',
  'arm,cortex-a15-gic',
  'arm,cortex-a7-gic',
  'arm,cortex-a9-gic',
  'arm,eb11mp-gic',
  'arm,pl390',
  'qcom,msm-qgic2',
];

const MSI = {
  'gicv3-its': ['its', COMPATIBLE.its],
  gicv2m: ['v2m', COMPATIBLE.v2m],
  'mpic-msi': ['msi', COMPATIBLE.mpicMsi],
} as const;

/** Linux' of_map_id takes the first entry that holds an id; of a node's map the last one counts. */
const firstWins = (map: IdMapEntry[]): IdMapEntry[] =>
  map.some((m, i) => map.slice(0, i).some((o) => overlaps(m.inputBase, m.count, o.inputBase, o.count)))
    ? map.reverse()
    : map;
const overlaps = (a: number, an: number, b: number, bn: number): boolean => a < b + bn && b < a + an;

/**
 * The entries of one mapping. A mask is applied before the lookup (`iommu-map-mask`), so ids that differ only in the bits that
 * it clears come out as one: runs of constant or of rising outputs, over the 16 bits of a requester id.
 */
function masked(m: IdMappingDescription, to: string): IdMapEntry[] {
  const { inputBase, count, outputBase, mask = 0xffff } = m;
  if ((mask & 0xffff) === 0xffff) return [{ inputBase, count, outputBase, to }];
  const outputOf = (id: number): number | null => {
    const index = (id & mask) - inputBase;
    return index >= 0 && index < count ? outputBase + index : null;
  };
  const out: IdMapEntry[] = [];
  for (let id = 0; id < 0x10000; ) {
    const first = outputOf(id);
    let end = id + 1;
    if (first !== null) {
      const step = (outputOf(end) ?? -1) - first;
      const shared = step === 0;
      if (shared || step === 1) while (end < 0x10000 && outputOf(end) === first + step * (end - id)) end++;
      out.push({ inputBase: id, count: end - id, outputBase: first, to, ...(shared && { shared }) });
    }
    id = end;
  }
  return out;
}

function hostNode(
  node: TreeNode,
  h: PciHostDescription,
  index: number,
  iommuMap: readonly IdMapEntry[],
  msiMap: readonly IdMapEntry[],
): PlatformNode {
  const generic = node.isCompatible('pci-host-ecam-generic');
  const first = readReg(node)?.[0];
  const bank = first === undefined ? null : bankOf(first.base, first.size);
  const buses = bank === null ? 0 : Math.min(Math.floor(bank.size / 2 ** 20), h.lastBus - h.firstBus + 1);
  return {
    name: `pci${h.domain ?? index}`,
    compatible: generic ? COMPATIBLE.pciHost : (h.compatible[0] ?? 'pci'),
    segment: h.domain ?? index,
    ...(bank && { reg: [bank] }),
    ...(iommuMap.length > 0 && { iommuMap }),
    ...(msiMap.length > 0 && { msiMap }),
    options: {
      ...(generic && bank && buses > 0 && { ecam: { base: bank.base, buses, firstBus: h.firstBus } }),
      windows: memoryWindows(node),
      functions: [],
      node: h.node,
    },
  };
}

/** CPU addresses of the 32- and 64-bit memory windows in a host's `ranges` (IEEE 1275 PCI binding: phys.hi, mid, lo). */
function memoryWindows(node: TreeNode): MemoryBank[] {
  const cells = node.cells('ranges') ?? [];
  const up = node.parent?.cell('#address-cells') ?? 2;
  const sizeCells = node.cell('#size-cells') ?? 2;
  const row = 3 + up + sizeCells;
  const join = (from: number, count: number): bigint =>
    cells.slice(from, from + count).reduce((v, c) => (v << 32n) | BigInt(c), 0n);
  const out: MemoryBank[] = [];
  for (let i = 0; up > 0 && sizeCells > 0 && i + row <= cells.length; i += row) {
    const space = (cells[i]! >>> 24) & 3; // 1: I/O, 2: 32-bit memory, 3: 64-bit memory
    const bank = space < 2 ? null : bankOf(join(i + 3, up), join(i + 3 + up, sizeCells));
    if (bank !== null && bank.size > 0) out.push(bank);
  }
  return out;
}

/** RAM: nodes with device_type "memory". */
export function treeMemory(tree: Tree, omissions: Omissions): MemoryBank[] {
  const out: MemoryBank[] = [];
  for (const n of walk(tree.root)) {
    if (!n.strings('device_type').includes('memory') || isOff(n)) continue;
    for (const r of readReg(n) ?? []) {
      const bank = bankOf(r.base, r.size);
      if (bank === null) omissions.add(n.path, 'RAM without a usable address');
      else if (bank.size > 0) out.push(bank);
    }
  }
  if (out.length === 0) omissions.add('memory', 'the tree leaves the size of RAM to the boot loader');
  return out;
}

const isOff = (n: TreeNode): boolean => n.isOff || (n.parent !== null && isOff(n.parent));
const cpusOf = (tree: Tree): number =>
  Math.max([...walk(tree.root)].filter((n) => n.strings('device_type').includes('cpu') && !n.isOff).length, 1);
/** Registers of PowerPC blocks are big-endian unless a tree says otherwise. */
const isBig = (root: TreeNode): boolean =>
  [...walk(root)].some((n) => n.path.startsWith('/cpus/PowerPC') || n.strings('compatible').includes('fsl,mpic'));

import type { IdMapEntry, MemoryBank, PlatformNode } from '@doorbell/platform';
import { describe } from '../machine/describe.js';
import type { Machine } from '../machine/read.js';
import type { MachineDescription } from '../machine/types.js';
import { armNodes } from './arm.js';
import { bankOf, busesOf, COMPATIBLE, Omissions, type Omission } from './parts.js';
import { treeMemory, treeNodes } from './tree.js';
import { x86Nodes } from './x86.js';

export { COMPATIBLE, type Omission } from './parts.js';

/** A machine in the words of a platform: what `platform.addNode` takes, for plugins to claim by `compatible`. */
export interface MachineNodes {
  /** IOMMUs and interrupt controllers first, then host bridges with their maps. */
  readonly nodes: readonly PlatformNode[];
  /** RAM as a device tree has it; empty where the input does not tell (ACPI tables do not). */
  readonly memory: readonly MemoryBank[];
  /** What could not be made a node, or only in part, and why. */
  readonly omitted: readonly Omission[];
}

/**
 * Nodes for what was read. Host bridges carry `iommuMap` and `msiMap`: DMAR scopes (a bridge stands for itself and all buses
 * below it, where a PCI dump shows them), IVRS device entries, IORT mappings followed to their ends, `iommu-map` and `msi-map`.
 * `description`: the machine's, if it was made already (making it adds findings, so it is made once).
 */
export function platformNodes(machine: Machine, description: MachineDescription = describe(machine)): MachineNodes {
  const omissions = new Omissions();
  const parts =
    machine.tree !== null
      ? treeNodes(machine, description, omissions)
      : machine.iort !== null || isArm(machine)
        ? armNodes(machine, description, omissions)
        : x86Nodes(machine, description, omissions);
  const hosts = machine.tree !== null ? parts.hosts : acpiHosts(machine, description, parts.hosts, omissions);
  return {
    nodes: [...parts.units, ...hosts],
    memory: machine.tree === null ? [] : treeMemory(machine.tree, omissions),
    omitted: omissions.list,
  };
}

/** A MADT of GICs belongs to an Arm machine, with or without an IORT; DMAR and IVRS to an x86. */
const isArm = ({ madt, dmar, ivrs }: Machine): boolean =>
  dmar === null && ivrs === null && madt !== null && madt.gicds.length + madt.its.length + madt.msiFrames.length > 0;

/** One host bridge per segment that MCFG, the dump or a map names; configuration space as MCFG says. */
function acpiHosts(
  machine: Machine,
  description: MachineDescription,
  maps: readonly PlatformNode[],
  omissions: Omissions,
): PlatformNode[] {
  const segments = new Set<number>([
    ...(machine.mcfg?.regions ?? []).map((r) => r.segment),
    // Beyond 16 bits are the numbers that Linux gives to what hangs off a function (Intel's VMD): no host bridge of firmware's.
    ...(machine.pci?.functions ?? []).map((p) => p.facts.source.domain).filter((s) => s <= 0xffff),
    ...description.iommus.flatMap((u) => (u.segment === null ? [] : [u.segment])),
    ...maps.map((m) => m.segment ?? 0),
  ]);
  return [...segments]
    .sort((a, b) => a - b)
    .map((segment): PlatformNode => {
      const name = `pci${segment}`;
      const region = machine.mcfg?.regions.find((r) => r.segment === segment && r.startBus <= r.endBus);
      const bank = region
        ? bankOf(region.base + (BigInt(region.startBus) << 20n), BigInt(busesOf(region)) << 20n)
        : null;
      if (bank === null) omissions.add(name, 'no MCFG entry says where its configuration space is');
      // Several root complexes may share a segment, each with its own buses.
      const found = maps.filter((m) => (m.segment ?? 0) === segment);
      const all = (key: 'iommuMap' | 'msiMap'): IdMapEntry[] => found.flatMap((m) => m[key] ?? []);
      const [iommuMap, msiMap] = [all('iommuMap'), all('msiMap')];
      return {
        name,
        compatible: COMPATIBLE.pciHost,
        segment,
        ...(bank && { reg: [bank] }),
        ...(iommuMap.length > 0 && { iommuMap }),
        ...(msiMap.length > 0 && { msiMap }),
        options: bank
          ? {
              ecam: { base: bank.base, buses: busesOf(region!), firstBus: region!.startBus },
              windows: [],
              functions: [],
            }
          : { windows: [], functions: [] },
      };
    });
}

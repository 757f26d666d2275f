import type { MemoryBank, PlatformNode } from '@doorbell/platform';
import { PCI_HOST_ECAM } from '@doorbell/pci';

/** What nodes are called; plugins claim them by these. Nodes of a device tree keep their first `compatible` if it is none of them. */
export const COMPATIBLE = {
  vtd: 'intel,vtd',
  amdVi: 'amd,iommu',
  smmuv3: 'arm,smmu-v3',
  smmuv2: 'arm,smmu-v2',
  pamu: 'fsl,pamu',
  apic: 'intel,apic',
  ioapic: 'intel,ioapic',
  gicv2: 'arm,gic-400',
  gicv3: 'arm,gic-v3',
  its: 'arm,gic-v3-its',
  v2m: 'arm,gic-v2m-frame',
  mpic: 'fsl,mpic',
  mpicMsi: 'fsl,mpic-msi',
  pciHost: PCI_HOST_ECAM,
} as const;

/** Something that the firmware names and that is no node, or half a node. */
export interface Omission {
  readonly name: string;
  readonly why: string;
}
export class Omissions {
  readonly list: Omission[] = [];
  add(name: string, why: string): void {
    this.list.push({ name, why });
  }
}

/** Units, and host bridges with their maps. */
export interface NodeParts {
  readonly units: readonly PlatformNode[];
  readonly hosts: readonly PlatformNode[];
}

/** A range as platform numbers; null where it has no address or lies beyond 2^53. */
export function bankOf(base: bigint | null, size: bigint): MemoryBank | null {
  if (base === null || base + size > BigInt(Number.MAX_SAFE_INTEGER)) return null;
  return { base: Number(base), size: Number(size) };
}
export const busesOf = (r: { readonly startBus: number; readonly endBus: number }): number => r.endBus - r.startBus + 1;

/** A node with registers, or an omission where it has no address to put them at. */
export function placed(
  node: Omit<PlatformNode, 'reg'>,
  base: bigint | string | null,
  size: bigint,
  omissions: Omissions,
): PlatformNode[] {
  const bank = bankOf(base === null ? null : BigInt(base), size);
  if (bank === null || bank.base === 0) {
    omissions.add(node.name, bank === null ? 'its registers have no usable address' : 'its registers are at address 0');
    return [];
  }
  return [{ ...node, reg: [bank] }];
}

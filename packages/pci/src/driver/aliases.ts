import { BUS_NUMBERS, DMA_FROM_FUNCTION, idKey, PortType, takesOwnership } from '../spec/index.js';
import { get } from '@doorbell/bits';
import type { PciDevice } from './device.js';

/** One id under which a function's requests can arrive, and who made it. */
export interface Alias {
  readonly requester: number;
  readonly by: PciDevice;
  readonly why: string;
}

const key = (d: PciDevice): string => idKey(d.vendor, d.deviceId);

/**
 * Every requester id of a function's requests, from the function up to the root; the last is the effective one on the wire
 * (PCIe to PCI/PCI-X Bridge §2.3; Linux pci_for_each_dma_alias).
 */
export function aliasesOf(d: PciDevice): Alias[] {
  const found: Alias[] = [{ requester: d.requester, by: d, why: 'its own id' }];
  const other = DMA_FROM_FUNCTION[key(d)];
  if (other !== undefined && other !== d.fn) {
    found.push({
      requester: (d.requester & ~7) | other,
      by: d,
      why: `functions ${key(d)} send DMA as function ${other}`,
    });
  }
  for (let b = d.parent; b; b = b.parent) {
    const secondary = get(b.read(BUS_NUMBERS.$.at), BUS_NUMBERS.Secondary) << 8;
    if (b.pcieType === PortType.pcieToPci)
      found.push({
        requester: secondary,
        by: b,
        why: `${b.name} is a PCIe-to-PCI bridge and owns requests from below`,
      });
    else if (b.pcieType === PortType.pciToPcie)
      found.push({ requester: b.requester, by: b, why: `${b.name} is a PCI-to-PCIe bridge and sends as itself` });
    else if (b.pcieType < 0 && takesOwnership(b.vendor, b.deviceId, b.parent?.pcieType))
      found.push({ requester: secondary, by: b, why: `bridges ${key(b)} take ownership as PCIe-to-PCI bridges do` });
    else if (b.pcieType < 0)
      found.push({ requester: b.requester, by: b, why: `${b.name} is a conventional bridge and sends as itself` });
  }
  return found;
}

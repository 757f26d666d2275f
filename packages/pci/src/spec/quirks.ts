import { PortType } from './pcie.js';

/**
 * Functions whose requests carry another requester id than their own, by vendor and device id (Linux drivers/pci/quirks.c). Only
 * entries whose ids were read in that source.
 */

/** All requests of the device come from this function number. */
export const DMA_FROM_FUNCTION: Readonly<Record<string, number>> = {
  '1180:e832': 0,
  '1180:e476': 0,
  '1b4b:9120': 1,
  '1b4b:9123': 1,
};

/** PCIe-to-PCI bridges that carry no PCI Express capability, so that they look like conventional ones. */
const UNDECLARED_PCIE_TO_PCI: ReadonlySet<string> = new Set(['8086:244e', '1b21:1080', '1283:8892', '10e3:8113']);

/**
 * Whether a conventional bridge takes ownership as (secondary bus, 00.0), as PCIe-to-PCI bridges do: one of the list, below a PCIe
 * port. On a root bus the same 82801 is part of the chipset and sends as itself (Linux quirk_use_pcie_bridge_dma_alias).
 */
export const takesOwnership = (vendor: number, device: number, portAbove: number | undefined): boolean =>
  portAbove !== undefined &&
  portAbove >= 0 &&
  portAbove !== PortType.pcieToPci &&
  UNDECLARED_PCIE_TO_PCI.has(idKey(vendor, device));

/** `1b4b:9120`. */
export const idKey = (vendor: number, device: number): string =>
  `${vendor.toString(16).padStart(4, '0')}:${device.toString(16).padStart(4, '0')}`;

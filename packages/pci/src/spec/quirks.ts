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

/** Conventional bridges (no PCI Express capability) that take ownership as (secondary bus, 00.0), as PCIe-to-PCI bridges do. */
export const ALIAS_LIKE_PCIE_BRIDGE: ReadonlySet<string> = new Set(['8086:244e']);

/** `1b4b:9120`. */
export const idKey = (vendor: number, device: number): string =>
  `${vendor.toString(16).padStart(4, '0')}:${device.toString(16).padStart(4, '0')}`;

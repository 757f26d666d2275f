import { bit, bits, layout } from '@doorbell/bits';

/** MSI and MSI-X, PCI 3.0 §6.8 and PCIe Base §6.1.4. Offsets count from the capability's header. */

export const MSI = layout('MSI Message Control', 'PCI 3.0 §6.8.1.3', 0x00, 32, {
  ExtendedDataEnable: bit(26),
  ExtendedDataCapable: bit(25, { access: 'ro' }),
  PerVectorMasking: bit(24, { access: 'ro' }),
  Address64: bit(23, { access: 'ro' }),
  MultipleMessageEnable: bits(22, 20),
  MultipleMessageCapable: bits(19, 17, { access: 'ro' }),
  Enable: bit(16),
  Next: bits(15, 8, { access: 'ro' }),
  Id: bits(7, 0, { access: 'ro' }),
});

/** Where the MSI registers lie; the 64-bit form has one more dword, masking adds two. */
export const msiOffsets = (address64: boolean) => ({
  addressLo: 0x04,
  addressHi: address64 ? 0x08 : -1,
  data: address64 ? 0x0c : 0x08,
  mask: address64 ? 0x10 : 0x0c,
  pending: address64 ? 0x14 : 0x10,
});
/** Bytes of the structure, rounded up to dwords. */
export const msiLength = (address64: boolean, masking: boolean): number =>
  masking ? (address64 ? 0x18 : 0x14) : address64 ? 0x10 : 0x0c;

export const MSIX = layout('MSI-X Message Control', 'PCI 3.0 §6.8.2.3', 0x00, 32, {
  Enable: bit(31),
  FunctionMask: bit(30),
  /** Number of entries minus one. */
  TableSize: bits(26, 16, { access: 'ro' }),
  Next: bits(15, 8, { access: 'ro' }),
  Id: bits(7, 0, { access: 'ro' }),
});
/** BIR and offset of the table (+0x04) and of the pending bits (+0x08). */
export const MSIX_PLACE = layout('MSI-X Table/PBA', 'PCI 3.0 §6.8.2.4', 0x04, 32, {
  Offset: bits(31, 3, { access: 'ro' }),
  Bir: bits(2, 0, { access: 'ro' }),
});
export const MSIX_TABLE = 0x04;
export const MSIX_PBA = 0x08;
export const MSIX_LENGTH = 0x0c;

/** One table entry: 16 bytes in the BAR. */
export const MSIX_ENTRY = layout('MSI-X entry', 'PCI 3.0 §6.8.2.6–9', 0x00, 128, {
  VectorControl: bits(127, 97, { access: 'reserved-preserve' }),
  Mask: bit(96, { reset: 1 }),
  Data: bits(95, 64),
  AddressHi: bits(63, 32),
  AddressLo: bits(31, 2),
});
export const MSIX_ENTRY_SIZE = 16;
/** Byte offsets inside an entry. */
export const ENTRY_ADDRESS_LO = 0;
export const ENTRY_ADDRESS_HI = 4;
export const ENTRY_DATA = 8;
export const ENTRY_CONTROL = 12;
/** Bytes of the pending bit array: whole quadwords. */
export const pbaBytes = (entries: number): number => Math.ceil(entries / 64) * 8;

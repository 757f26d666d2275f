import { bit, bits, layout } from '@doorbell/bits';

/** Configuration header, PCI 3.0 §6.1 and PCI-to-PCI bridge 1.2 §3.2. Every register is declared as the dword that holds it. */
const REF = 'PCI 3.0 §6.1';

/** What an absent function answers. */
export const ABSENT = 0xffff_ffff;

export const ID = layout('ID', REF, 0x00, 32, {
  DeviceId: bits(31, 16, { access: 'ro' }),
  VendorId: bits(15, 0, { access: 'ro' }),
});

/** Command (low half) and Status (high half). Writing the high half as 0 leaves the status alone. */
export const COMMAND = layout('Command/Status', REF, 0x04, 32, {
  DetectedParityError: bit(31, { access: 'w1c' }),
  SignaledSystemError: bit(30, { access: 'w1c' }),
  ReceivedMasterAbort: bit(29, { access: 'w1c' }),
  ReceivedTargetAbort: bit(28, { access: 'w1c' }),
  SignaledTargetAbort: bit(27, { access: 'w1c' }),
  DevselTiming: bits(26, 25, { access: 'ro' }),
  MasterDataParityError: bit(24, { access: 'w1c' }),
  FastBackToBackCapable: bit(23, { access: 'ro' }),
  Capable66MHz: bit(21, { access: 'ro' }),
  CapabilitiesList: bit(20, { access: 'ro' }),
  InterruptStatus: bit(19, { access: 'ro' }),
  InterruptDisable: bit(10),
  // Of parallel buses (PCIe Base §7.5.1.1.3: hardwired to 0), and parity, which nothing here checks.
  FastBackToBackEnable: bit(9, { access: 'ro' }),
  SerrEnable: bit(8),
  ParityErrorResponse: bit(6, { access: 'ro' }),
  VgaPaletteSnoop: bit(5, { access: 'ro' }),
  MemoryWriteInvalidate: bit(4, { access: 'ro' }),
  SpecialCycles: bit(3, { access: 'ro' }),
  BusMaster: bit(2),
  MemorySpace: bit(1),
  IoSpace: bit(0),
});

export const CLASS = layout('Class/Revision', REF, 0x08, 32, {
  ClassCode: bits(31, 8, { access: 'ro' }),
  Revision: bits(7, 0, { access: 'ro' }),
});

export const MISC = layout('BIST/Header/Latency/CacheLine', REF, 0x0c, 32, {
  Bist: bits(31, 24, { access: 'ro' }),
  MultiFunction: bit(23, { access: 'ro' }),
  HeaderLayout: bits(22, 16, { access: 'ro', is: { 0: 'endpoint', 1: 'bridge', 2: 'CardBus' } }),
  LatencyTimer: bits(15, 8, { access: 'ro' }),
  CacheLineSize: bits(7, 0),
});

/** BAR0; the others follow at 4 bytes each: six for header layout 0, two for layout 1. */
export const BAR = layout('BAR', 'PCI 3.0 §6.2.5.1', 0x10, 32, {
  Address: bits(31, 4),
  Prefetchable: bit(3, { access: 'ro' }),
  Type: bits(2, 1, { access: 'ro', is: { 0: '32-bit', 1: 'below 1 MiB', 2: '64-bit' } }),
  Io: bit(0, { access: 'ro' }),
});
export const BAR_64 = 2;
export const barCount = (headerLayout: number): number => (headerLayout === 0 ? 6 : headerLayout === 1 ? 2 : 0);

export const SUBSYSTEM = layout('Subsystem', REF, 0x2c, 32, {
  SubsystemId: bits(31, 16, { access: 'ro' }),
  SubsystemVendorId: bits(15, 0, { access: 'ro' }),
});

export const CAPABILITIES_POINTER = layout('Capabilities Pointer', REF, 0x34, 32, {
  Pointer: bits(7, 0, { access: 'ro' }),
});

export const INTERRUPT = layout('Interrupt', REF, 0x3c, 32, {
  MaxLat: bits(31, 24, { access: 'ro' }),
  MinGnt: bits(23, 16, { access: 'ro' }),
  Pin: bits(15, 8, { access: 'ro', is: { 0: 'none', 1: 'A', 2: 'B', 3: 'C', 4: 'D' } }),
  Line: bits(7, 0),
});

const BRIDGE_REF = 'PCI-to-PCI bridge 1.2 §3.2.5';

export const BUS_NUMBERS = layout('Bus Numbers', BRIDGE_REF, 0x18, 32, {
  SecondaryLatency: bits(31, 24),
  Subordinate: bits(23, 16),
  Secondary: bits(15, 8),
  Primary: bits(7, 0),
});

/** Non-prefetchable window: address bits 31:20. Base above limit: closed. */
export const MEMORY_WINDOW = layout('Memory Base/Limit', BRIDGE_REF, 0x20, 32, {
  Limit: bits(31, 20),
  Base: bits(15, 4),
});

/** Prefetchable window: address bits 31:20, upper words at 0x28 and 0x2C where the type is 1. */
export const PREFETCH_WINDOW = layout('Prefetchable Base/Limit', BRIDGE_REF, 0x24, 32, {
  Limit: bits(31, 20),
  LimitType: bits(19, 16, { access: 'ro', is: { 0: '32-bit', 1: '64-bit' } }),
  Base: bits(15, 4),
  BaseType: bits(3, 0, { access: 'ro', is: { 0: '32-bit', 1: '64-bit' } }),
});
export const PREFETCH_BASE_UPPER = layout('Prefetchable Base Upper', BRIDGE_REF, 0x28, 32, { Upper: bits(31, 0) });
export const PREFETCH_LIMIT_UPPER = layout('Prefetchable Limit Upper', BRIDGE_REF, 0x2c, 32, { Upper: bits(31, 0) });

export const BRIDGE_CONTROL = layout('Bridge Control/Interrupt', BRIDGE_REF, 0x3c, 32, {
  SecondaryBusReset: bit(22),
  MasterAbortMode: bit(21),
  Vga16: bit(20),
  Vga: bit(19),
  Isa: bit(18),
  Serr: bit(17),
  Parity: bit(16),
  Pin: bits(15, 8, { access: 'ro' }),
  Line: bits(7, 0),
});

/** Q35 host bridge (MCH), function 00.0: where the ECAM lies. Disabled after reset; base default as QEMU's. */
export const PCIEXBAR = layout('PCIEXBAR', 'Intel Q35 datasheet §5.1.16; QEMU hw/pci-host/q35.h', 0x60, 64, {
  BaseUpper: bits(35, 32),
  Base: bits(31, 28, { reset: 0xb }),
  Base128: bit(27),
  Base64: bit(26),
  Length: bits(2, 1, { is: { 0: '256 MiB', 1: '128 MiB', 2: '64 MiB', 3: 'reserved' } }),
  Enable: bit(0),
});

/** Configuration mechanism #1 address, PCI 3.0 §3.2.2.3.2: port 0xCF8; the data are at 0xCFC. */
export const CONFIG_ADDRESS = layout('CONFIG_ADDRESS', 'PCI 3.0 §3.2.2.3.2', 0, 32, {
  Enable: bit(31),
  Bus: bits(23, 16),
  Device: bits(15, 11),
  Function: bits(10, 8),
  Register: bits(7, 2),
});
export const CONFIG_ADDRESS_PORT = 0xcf8;
export const CONFIG_DATA_PORT = 0xcfc;

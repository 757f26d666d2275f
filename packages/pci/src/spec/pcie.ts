import { bit, bits, layout } from '@doorbell/bits';

/** PCI Express capability and the extended capabilities that matter to isolation and translation. Offsets count from the header. */

export const CapId = { pm: 0x01, msi: 0x05, vendor: 0x09, pcie: 0x10, msix: 0x11 } as const;
export const ExtCapId = {
  aer: 0x01,
  serial: 0x03,
  acs: 0x0d,
  ari: 0x0e,
  ats: 0x0f,
  sriov: 0x10,
  pri: 0x13,
  pasid: 0x1b,
} as const;

export const CAP_HEADER = layout('Capability', 'PCI 3.0 §6.7', 0x00, 32, {
  Next: bits(15, 8, { access: 'ro' }),
  Id: bits(7, 0, { access: 'ro' }),
});
export const EXT_HEADER = layout('Extended Capability', 'PCIe Base §7.6.3', 0x00, 32, {
  Next: bits(31, 20, { access: 'ro' }),
  Version: bits(19, 16, { access: 'ro' }),
  Id: bits(15, 0, { access: 'ro' }),
});
/** Extended configuration space starts here. */
export const EXTENDED = 0x100;
export const CONFIG_BYTES = 256;
export const EXTENDED_CONFIG_BYTES = 4096;
/** A walk visits at most this many headers: lists of bad hardware and bad dumps loop. */
export const MAX_CAPABILITIES = 48;
export const MAX_EXTENDED_CAPABILITIES = 960;

export const PortType = {
  endpoint: 0,
  legacyEndpoint: 1,
  rootPort: 4,
  upstreamPort: 5,
  downstreamPort: 6,
  pcieToPci: 7,
  pciToPcie: 8,
  integratedEndpoint: 9,
  eventCollector: 10,
} as const;

export const PCIE = layout('PCIe Capabilities', 'PCIe Base §7.5.3.2', 0x00, 32, {
  InterruptMessageNumber: bits(29, 25, { access: 'ro' }),
  SlotImplemented: bit(24, { access: 'ro' }),
  Type: bits(23, 20, {
    access: 'ro',
    is: {
      0: 'endpoint',
      1: 'legacy endpoint',
      4: 'root port',
      5: 'upstream port',
      6: 'downstream port',
      7: 'PCIe-to-PCI bridge',
      8: 'PCI-to-PCIe bridge',
      9: 'integrated endpoint',
      10: 'event collector',
    },
  }),
  Version: bits(19, 16, { access: 'ro' }),
  Next: bits(15, 8, { access: 'ro' }),
  Id: bits(7, 0, { access: 'ro' }),
});
export const PCIE_DEVICE_CAP = layout('Device Capabilities', 'PCIe Base §7.5.3.3', 0x04, 32, {
  Flr: bit(28, { access: 'ro' }),
  RoleBasedErrors: bit(15, { access: 'ro' }),
  ExtendedTag: bit(5, { access: 'ro' }),
  MaxPayload: bits(2, 0, { access: 'ro' }),
});
export const PCIE_DEVICE_CONTROL = layout('Device Control/Status', 'PCIe Base §7.5.3.4', 0x08, 32, {
  TransactionsPending: bit(21, { access: 'ro' }),
  Errors: bits(19, 16, { access: 'w1c' }),
  InitiateFlr: bit(15),
  MaxReadRequest: bits(14, 12, { reset: 2 }),
  NoSnoop: bit(11, { reset: 1 }),
  ExtendedTagEnable: bit(8),
  PayloadSize: bits(7, 5),
  RelaxedOrdering: bit(4, { reset: 1 }),
  ErrorReporting: bits(3, 0),
});
export const PCIE_DEVICE_CAP2 = layout('Device Capabilities 2', 'PCIe Base §7.5.3.15', 0x24, 32, {
  EndEndTlpPrefix: bit(21, { access: 'ro' }),
  AtomicOpRouting: bit(6, { access: 'ro' }),
  AriForwarding: bit(5, { access: 'ro' }),
});
export const PCIE_DEVICE_CONTROL2 = layout('Device Control 2', 'PCIe Base §7.5.3.16', 0x28, 32, {
  EndEndPrefixBlocking: bit(15),
  AriForwardingEnable: bit(5),
});
export const PCIE_LENGTH = 0x3c;

/** Bits of the ACS capability and, 16 bits higher in the dword, of its control. */
export const Acs = { SV: 1, TB: 2, RR: 4, CR: 8, UF: 16, EC: 32, DT: 64 } as const;
/** What isolation needs: no spoofed ids, no peer traffic that turns before the root (Linux REQ_ACS_FLAGS). */
export const ACS_REQUIRED = Acs.SV | Acs.RR | Acs.CR | Acs.UF;

export const ACS = layout('ACS Capability/Control', 'PCIe Base §7.7.8', 0x04, 32, {
  Control: bits(22, 16),
  EgressVectorBits: bits(15, 8, { access: 'ro' }),
  Capability: bits(6, 0, { access: 'ro' }),
});
export const ARI = layout('ARI Capability/Control', 'PCIe Base §7.8.7', 0x04, 32, {
  FunctionGroup: bits(22, 20),
  NextFunction: bits(15, 8, { access: 'ro' }),
  AcsGroups: bit(1, { access: 'ro' }),
  Mfvc: bit(0, { access: 'ro' }),
});
export const ATS = layout('ATS Capability/Control', 'PCIe Base §10.5.1', 0x04, 32, {
  Enable: bit(31),
  Stu: bits(20, 16),
  RelaxedOrdering: bit(7, { access: 'ro' }),
  GlobalInvalidate: bit(6, { access: 'ro' }),
  PageAligned: bit(5, { access: 'ro' }),
  InvalidateQueueDepth: bits(4, 0, { access: 'ro' }),
});
export const PRI = layout('PRI Control/Status', 'PCIe Base §10.5.2', 0x04, 32, {
  PrgResponsePasid: bit(31, { access: 'ro' }),
  Stopped: bit(24, { access: 'ro' }),
  UnexpectedPrgIndex: bit(17, { access: 'w1c' }),
  ResponseFailure: bit(16, { access: 'w1c' }),
  Reset: bit(1),
  Enable: bit(0),
});
export const PRI_CAPACITY = 0x08;
export const PRI_ALLOCATION = 0x0c;
export const PASID = layout('PASID Capability/Control', 'PCIe Base §7.8.9', 0x04, 32, {
  PrivilegedEnable: bit(18),
  ExecuteEnable: bit(17),
  Enable: bit(16),
  MaxWidth: bits(12, 8, { access: 'ro' }),
  Privileged: bit(2, { access: 'ro' }),
  Execute: bit(1, { access: 'ro' }),
});

/** SR-IOV: what is needed to read where the virtual functions lie. */
export const SRIOV_CONTROL = layout('SR-IOV Control/Status', 'PCIe Base §9.3.3.3', 0x08, 32, {
  AriHierarchy: bit(4),
  MemorySpace: bit(3),
  Enable: bit(0),
});
export const SRIOV_COUNTS = layout('SR-IOV VFs', 'PCIe Base §9.3.3.5', 0x0c, 32, {
  TotalVfs: bits(31, 16, { access: 'ro' }),
  InitialVfs: bits(15, 0, { access: 'ro' }),
});
export const SRIOV_NUM = layout('SR-IOV NumVFs', 'PCIe Base §9.3.3.7', 0x10, 32, { NumVfs: bits(15, 0) });
export const SRIOV_PLACE = layout('SR-IOV Offset/Stride', 'PCIe Base §9.3.3.9', 0x14, 32, {
  Stride: bits(31, 16, { access: 'ro' }),
  FirstOffset: bits(15, 0, { access: 'ro' }),
});
/** Requester id of virtual function `n` (from 0): may land on a higher bus. */
export const vfRequester = (pf: number, firstOffset: number, stride: number, n: number): number =>
  (pf + firstOffset + n * stride) & 0xffff;

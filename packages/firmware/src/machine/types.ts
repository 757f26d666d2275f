import type { Finding } from '../findings/index.js';

/** One input file as the caller read it. `name` has no folder in it. */
export interface InputFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

export type MachineKind = 'intel-vtd' | 'amd-vi' | 'arm-smmuv3' | 'arm-smmuv2' | 'powerpc-pamu';
export type IommuType = 'vtd' | 'amd-vi' | 'smmuv3' | 'smmuv2' | 'pamu';
export type ScopeKind = 'pci-endpoint' | 'pci-bridge' | 'ioapic' | 'hpet' | 'namespace';

/** Addresses are lower-case hex strings, functions `0000:00:04.0`; what the input does not tell is null. */
export interface ScopeDescription {
  readonly kind: ScopeKind;
  readonly enumerationId: number;
  readonly bdf: string | null;
  /** ACPI object of a namespace scope. */
  readonly path?: string | null;
}
export interface IommuDescription {
  /** `dmar0`, `ivhd0`, `smmu0`, `pamu0`: counted in the order of the table or tree. */
  readonly name: string;
  readonly type: IommuType;
  readonly base: string | null;
  readonly segment: number | null;
  readonly includeAll: boolean;
  /** AMD: the IOMMU's own function. */
  readonly bdf: string | null;
  readonly scopes: readonly ScopeDescription[];
  /** Device-tree path. */
  readonly node?: string;
  /** SMMUv1/v2: model number of IORT. */
  readonly model?: number;
  /** PAMU. */
  readonly liodns?: readonly { readonly liodn: number | null; readonly device: string }[];
  /** AMD: the block types that describe it, and whose request ids differ from their own. */
  readonly blockTypes?: readonly string[];
  readonly aliases?: readonly { readonly first: string; readonly last: string; readonly alias: string }[];
  readonly acpiDevices?: readonly { readonly hid: string; readonly uid: string | null; readonly bdf: string }[];
}
export interface MsiControllerDescription {
  readonly type: 'mpic-msi' | 'gicv3-its' | 'gicv2m';
  readonly base: string | null;
  readonly vectors: number | null;
  /** The address that devices write, before any translation. */
  readonly doorbell: string | null;
  /** MPIC: pairs of first and count of the numbers that software may use; absent: all. */
  readonly ranges?: readonly (readonly [number, number])[];
  /** MADT id or device-tree path. */
  readonly id?: number;
  readonly node?: string;
}
export interface ReservedDescription {
  readonly kind: 'rmrr' | 'ivmd' | 'rmr';
  readonly base: string;
  /** Inclusive. */
  readonly last: string;
  /** Null elements: a function behind a bridge that the input does not show. */
  readonly bdfs: readonly (string | null)[];
  readonly segment: number | null;
  /** IVMD 22h: the range of functions, beside an empty `bdfs` (`last` above is the range's last address). */
  readonly first?: string;
  readonly functions?: { readonly first: string; readonly last: string };
  /** IVMD: unity, IR, IW, exclusion. RMR: remap permitted, privileged. */
  readonly flags?: number;
  /** RMR: stream ids at its SMMU. */
  readonly streamIds?: readonly number[];
}
export interface IdMappingDescription {
  readonly from: string;
  readonly inputBase: number;
  readonly count: number;
  readonly outputBase: number;
  readonly to: string | null;
  readonly property?: 'iommu-map' | 'msi-map';
  readonly mask?: number;
  readonly single?: boolean;
  /** All ids of an ITS group with several. */
  readonly its?: readonly number[];
}
export interface DeviceDescription {
  readonly bdf: string;
  readonly id: string | null;
  readonly class: string | null;
  readonly msi: number | null;
  readonly msix: number | null;
}
/** A PCI host bridge that a device tree describes. */
export interface PciHostDescription {
  readonly node: string;
  readonly compatible: readonly string[];
  readonly base: string | null;
  readonly firstBus: number;
  readonly lastBus: number;
  readonly domain: number | null;
  readonly msiParents: readonly string[];
}

/** What `doorbell machine --json` prints, without `input`. Plain data. */
export interface MachineDescription {
  readonly kinds: readonly MachineKind[];
  readonly sources: readonly string[];
  readonly interruptRemapping: { readonly supported: boolean | null; readonly x2apicOptOut: boolean | null };
  readonly iommus: readonly IommuDescription[];
  readonly msiControllers: readonly MsiControllerDescription[];
  readonly reserved: readonly ReservedDescription[];
  readonly idMappings: readonly IdMappingDescription[];
  readonly devices: readonly DeviceDescription[] | null;
  readonly groups: readonly (readonly string[])[] | null;
  readonly findings: readonly Finding[];
  readonly ioapics: readonly { readonly id: number; readonly address: string; readonly gsiBase: number }[];
  readonly ecam: readonly {
    readonly segment: number;
    readonly base: string;
    readonly firstBus: number;
    readonly lastBus: number;
  }[];
  readonly pciHosts: readonly PciHostDescription[];
  /** `iommus` and `msi-parent` of device-tree devices other than PCI hosts. */
  readonly streams: readonly { readonly device: string; readonly to: string; readonly ids: readonly number[] }[];
}

/** The parts that one table adds. */
export interface Part {
  readonly kinds?: readonly MachineKind[];
  readonly iommus?: readonly IommuDescription[];
  readonly msiControllers?: readonly MsiControllerDescription[];
  readonly reserved?: readonly ReservedDescription[];
  readonly idMappings?: readonly IdMappingDescription[];
  readonly pciHosts?: readonly PciHostDescription[];
  readonly streams?: MachineDescription['streams'];
}

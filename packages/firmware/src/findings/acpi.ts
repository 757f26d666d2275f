import { kinds } from './types.js';

const FIRMWARE = 'Update the firmware; if the newest one still says so, report it to its maker.';
const COPY_AGAIN = 'Copy the table again from /sys/firmware/acpi/tables, as root.';

/** About any ACPI table, and about MADT, MCFG and VIOT. */
export const acpiKinds = kinds({
  ACPI_CHECKSUM: [
    'error',
    'The table was changed or damaged after it was made; whatever it says may be wrong.',
    COPY_AGAIN,
  ],
  ACPI_TRUNCATED: ['error', 'What stood behind the end of the file is unknown and missing below.', COPY_AGAIN],
  ACPI_TRAILING_BYTES: ['warning', 'The bytes behind the table are ignored.', COPY_AGAIN],
  ACPI_TABLE_TWICE: ['warning', 'Only the first one is used.', 'Keep one file per table in the directory.'],
  SEVERAL_DESCRIPTIONS: [
    'warning',
    'No machine has IOMMUs of several makers: the files are of different machines, or of a boot with ACPI and one without.',
    'Keep the files of one machine in one directory; where both are, `doorbell run` takes the device tree, then IORT, then DMAR.',
  ],
  NO_MADT: [
    'info',
    'The IOAPIC and ITS ids that other tables name cannot be checked.',
    'Copy APIC from /sys/firmware/acpi/tables beside the other tables.',
  ],
  MADT_BAD_LENGTH: ['error', 'Reading stops there: interrupt controllers behind it are missing.', FIRMWARE],
  MADT_IOAPIC_TWICE: ['error', 'An interrupt source with this id cannot be told from the other.', FIRMWARE],
  MADT_ITS_TWICE: ['error', 'An IORT mapping to this id is ambiguous.', FIRMWARE],
  MADT_ITS_BASE: ['error', 'The ITS cannot be where the table puts it, so no MSI reaches it.', FIRMWARE],
  MCFG_BAD_LENGTH: ['error', 'Reading stops there: configuration space behind it is unknown.', FIRMWARE],
  MCFG_BASE: [
    'error',
    'Extended configuration space of this segment cannot be reached (ACS, SR-IOV, ATS are invisible).',
    FIRMWARE,
  ],
  MCFG_BUS_RANGE: ['error', 'The operating system ignores the entry.', FIRMWARE],
  MCFG_OVERLAP: ['error', 'Two buses answer at one address.', FIRMWARE],
  VIOT_UNSUPPORTED: [
    'info',
    'A virtio-iommu is described, which is not decoded here: its devices and mappings are unknown.',
    'Read the table with a newer iasl.',
  ],
});

export const dmarKinds = kinds({
  DMAR_BAD_LENGTH: ['error', 'Reading stops there: units and reserved regions behind it are missing.', FIRMWARE],
  DMAR_UNKNOWN_TYPE: [
    'warning',
    'The structure is skipped, as operating systems do.',
    'Compare with a newer specification.',
  ],
  DMAR_HOST_WIDTH: ['error', 'The host address width is not one that a processor can have.', FIRMWARE],
  DMAR_NO_UNIT: ['error', 'There is no remapping unit to program: DMA and interrupts are not remapped.', FIRMWARE],
  DMAR_UNIT_BASE: [
    'error',
    'The operating system ignores this unit, or the whole table: its devices are not remapped.',
    FIRMWARE,
  ],
  DMAR_UNIT_BASE_UNALIGNED: [
    'error',
    'Registers are mapped by pages, so they are not where the table puts them.',
    FIRMWARE,
  ],
  DMAR_UNIT_BASE_TWICE: ['error', 'Two descriptions drive one unit and overwrite each other.', FIRMWARE],
  DMAR_UNIT_EMPTY: ['warning', 'The unit has no scope and does not include all: it remaps for nobody.', FIRMWARE],
  DMAR_INCLUDE_ALL_SCOPE: [
    'info',
    'A unit that includes all needs no scopes for PCI functions; they say nothing new.',
    'Nothing.',
  ],
  DMAR_SEGMENT_UNKNOWN: [
    'warning',
    'MCFG has no configuration space for the segment of this unit: its functions cannot be reached.',
    FIRMWARE,
  ],
  DMAR_SOURCE_SHARED: [
    'warning',
    'Two interrupt sources send under one id: remapping cannot tell them apart, so each can raise the other’s interrupts.',
    FIRMWARE,
  ],
  DMAR_INCLUDE_ALL_NOT_LAST: [
    'error',
    'A reader that takes the first matching unit gives the devices of later units to this one.',
    FIRMWARE,
  ],
  DMAR_INCLUDE_ALL_TWICE: ['error', 'Devices that no scope names belong to two units.', FIRMWARE],
  DMAR_NO_INCLUDE_ALL: [
    'info',
    'Functions that no scope names have no unit: their DMA is not remapped.',
    'Check that each function in the PCI dump is named by a scope.',
  ],
  DMAR_NO_INTERRUPT_REMAPPING: [
    'warning',
    'Any device that can write to 0xfeexxxxx can raise any interrupt: passthrough is unsafe.',
    'Look for an interrupt-remapping or VT-d setting in the firmware set-up; else do not pass devices to guests that you do not trust.',
  ],
  DMAR_X2APIC_OPT_OUT: [
    'warning',
    'The operating system leaves x2APIC off: destinations have 8 bits, and some kernels keep remapping off with it.',
    'Look for an x2APIC setting in the firmware set-up; Linux: intremap=no_x2apic_optout.',
  ],
  DMAR_RMRR_EMPTY: [
    'error',
    'The region holds no page; a strict operating system taints itself or ignores it.',
    FIRMWARE,
  ],
  DMAR_RMRR_UNALIGNED: [
    'error',
    'Whole pages are mapped, so the device reaches memory beside the region as well.',
    FIRMWARE,
  ],
  DMAR_RMRR_OVERLAP: ['error', 'Devices that share a region can be used as a path between domains.', FIRMWARE],
  DMAR_RMRR_DEVICE: [
    'info',
    'The device keeps using this memory: operating systems refuse to give it to a guest, or let go of the region for graphics and USB only.',
    'Pass another device through; where the firmware set-up has a switch for its pre-boot driver, turn it off.',
  ],
  DMAR_RMRR_BEYOND_WIDTH: [
    'error',
    'The region lies beyond the host address width: no page table can map it.',
    FIRMWARE,
  ],
  DMAR_RMRR_NO_SCOPE: ['warning', 'The region is reserved for nobody and has no effect.', FIRMWARE],
  DMAR_RMRR_OVER_MSI: ['error', 'Writes there are interrupts and never reach memory.', FIRMWARE],
  DMAR_SCOPE_BAD_LENGTH: [
    'error',
    'The rest of this scope list cannot be read: devices in it fall to another unit.',
    FIRMWARE,
  ],
  DMAR_SCOPE_UNKNOWN_TYPE: ['warning', 'The scope is skipped.', 'Compare with a newer specification.'],
  DMAR_SCOPE_UNRESOLVED: [
    'info',
    'The path leads through a bridge whose bus number is not in the table; the function is unknown.',
    'Add pci.txt (lspci -xxxx) to the directory.',
  ],
  DMAR_SCOPE_NOT_A_BRIDGE: [
    'error',
    'The path leads through a function that is no bridge: the scope names nothing.',
    FIRMWARE,
  ],
  DMAR_SCOPE_ABSENT: [
    'warning',
    'The function is not in the PCI dump: hidden, switched off, or a leftover of another board.',
    'Nothing, if the device is switched off in the firmware set-up; else report it to the maker.',
  ],
  DMAR_SCOPE_TWICE: [
    'error',
    'The function belongs to two units; which one translates it depends on the reader.',
    FIRMWARE,
  ],
  DMAR_IOAPIC_MISSING: [
    'error',
    'Linux turns interrupt remapping off when an IOAPIC belongs to no unit.',
    'Update the firmware.',
  ],
  DMAR_IOAPIC_TWICE: ['error', 'The requester id of its interrupts is ambiguous: they may be blocked.', FIRMWARE],
  DMAR_IOAPIC_UNKNOWN: ['warning', 'The scope names an IOAPIC that MADT lacks and is ignored.', FIRMWARE],
  DMAR_NAMESPACE_UNKNOWN: ['error', 'The scope names an ACPI device number that no ANDD structure defines.', FIRMWARE],
  DMAR_NAME_UNTERMINATED: ['error', 'The object name runs to the end of its structure.', FIRMWARE],
  DMAR_RHSA_UNKNOWN_UNIT: ['warning', 'The proximity of a unit that does not exist is ignored.', FIRMWARE],
});

export const ivrsKinds = kinds({
  IVRS_BAD_LENGTH: ['error', 'Reading stops there: IOMMUs and memory blocks behind it are missing.', FIRMWARE],
  IVRS_UNKNOWN_BLOCK: ['warning', 'The block is skipped.', 'Compare with a newer specification.'],
  IVRS_UNKNOWN_ENTRY: ['warning', 'The entry is skipped by its length code.', 'Compare with a newer specification.'],
  IVRS_ENTRY_BAD_LENGTH: [
    'error',
    'The entry runs over the end of its block; the rest of the block is unknown.',
    FIRMWARE,
  ],
  IVRS_NO_IOMMU: ['error', 'There is no IOMMU to program.', FIRMWARE],
  IVRS_BASE: ['error', 'The IOMMU has no usable register address and stays off.', FIRMWARE],
  IVRS_BASE_UNALIGNED: ['error', 'Registers are 16 KiB aligned, so they are not where the table puts them.', FIRMWARE],
  IVRS_BASE_TWICE: ['error', 'Two IOMMUs at one address overwrite each other.', FIRMWARE],
  IVRS_BLOCKS_DISAGREE: ['error', 'What the operating system programs depends on which block type it knows.', FIRMWARE],
  IVRS_SCOPES_DIFFER: [
    'warning',
    'Interrupt sources depend on which block type the operating system knows; it takes the highest.',
    FIRMWARE,
  ],
  IVRS_IOAPIC_MISSING: [
    'error',
    'Linux turns interrupt remapping off when an IOAPIC is in no special-device entry.',
    'Update the firmware; Linux: ivrs_ioapic=ID@BUS:DEV.FN names it by hand.',
  ],
  IVRS_IOAPIC_TWICE: [
    'error',
    'One handle names two sources; Linux takes the first, and interrupts that come as the other are blocked.',
    'Update the firmware; Linux: ivrs_ioapic=ID@BUS:DEV.FN decides.',
  ],
  IVRS_IOAPIC_UNKNOWN: ['warning', 'The entry names an IOAPIC that MADT lacks and is ignored.', FIRMWARE],
  IVRS_SPECIAL_UNKNOWN: [
    'warning',
    'The special device is neither IOAPIC nor HPET and is ignored.',
    'Compare with a newer specification.',
  ],
  IVRS_RANGE_UNTERMINATED: ['error', 'A range starts and never ends: which devices it covers is unknown.', FIRMWARE],
  IVRS_RANGE_END_ALONE: ['error', 'A range ends that never started.', FIRMWARE],
  IVRS_RANGE_REVERSED: ['error', 'A range ends before it starts and covers nothing.', FIRMWARE],
  IVRS_HID_IN_OLD_BLOCK: [
    'error',
    'ACPI device entries belong in blocks of type 40h only; older readers lose their place.',
    FIRMWARE,
  ],
  IVRS_REVISION: [
    'warning',
    'The block type is newer than the table claims to be; a strict reader stops there.',
    FIRMWARE,
  ],
  IVRS_RANGE_OVERLAP: [
    'error',
    'A function belongs to two IOMMUs; which one translates depends on the reader.',
    FIRMWARE,
  ],
  IVRS_IVMD_DEVICE: [
    'info',
    'Devices keep using this memory: it is mapped for them in every domain, or they cannot be given to a guest.',
    'Pass another device through.',
  ],
  IVRS_IVMD_EMPTY: ['error', 'The block holds no memory.', FIRMWARE],
  IVRS_IVMD_UNALIGNED: [
    'error',
    'Whole pages are mapped, so the device reaches memory beside the block as well.',
    FIRMWARE,
  ],
  IVRS_IVMD_OVERLAP: ['error', 'Devices that share a block can be used as a path between domains.', FIRMWARE],
  IVRS_IVMD_OVER_MSI: ['error', 'Writes there are interrupts and never reach memory.', FIRMWARE],
  IVRS_IVMD_RANGE_REVERSED: ['error', 'The range of devices ends before it starts: the block is for nobody.', FIRMWARE],
  IVRS_IOMMU_ABSENT: [
    'warning',
    'The IOMMU is not in the PCI dump: hidden or switched off.',
    'Switch the IOMMU on in the firmware set-up.',
  ],
});

export const iortKinds = kinds({
  IORT_BAD_LENGTH: ['error', 'Reading stops there: nodes behind it are missing.', FIRMWARE],
  IORT_NODE_TOO_SHORT: ['error', 'Fields of the node lie beyond its end and are unknown.', FIRMWARE],
  IORT_NODE_COUNT: [
    'error',
    'The count in the header and the nodes in the table differ; readers disagree about the rest.',
    FIRMWARE,
  ],
  IORT_UNKNOWN_NODE: ['warning', 'The node is skipped.', 'Compare with a newer specification.'],
  IORT_MAPPING_OUT_OF_NODE: ['error', 'The mapping lies outside its node and is ignored.', FIRMWARE],
  IORT_BAD_REFERENCE: [
    'error',
    'The mapping points at no node: requesters in it reach neither SMMU nor ITS.',
    FIRMWARE,
  ],
  IORT_WRONG_TARGET: [
    'error',
    'The mapping points at a node that takes no ids (neither SMMU nor ITS group).',
    FIRMWARE,
  ],
  IORT_CYCLE: ['error', 'Following the mappings never ends; a naive reader hangs.', FIRMWARE],
  IORT_ID_OVERLAP: ['error', 'An id has two translations; which one holds depends on the reader.', FIRMWARE],
  IORT_ID_COUNT_OFF_BY_ONE: [
    'error',
    'The count was stored as N instead of N - 1: the last id spills into a neighbour or beyond the bus.',
    FIRMWARE,
  ],
  IORT_ID_WRAPS: ['error', 'Ids run beyond 32 bits.', FIRMWARE],
  IORT_OUTPUT_OVERLAP: [
    'warning',
    'Two requesters share a stream or device id and cannot be isolated from each other.',
    FIRMWARE,
  ],
  IORT_ITS_UNKNOWN: ['error', 'MSIs are routed to an ITS that MADT does not have: they are lost.', FIRMWARE],
  IORT_NO_ITS: [
    'info',
    'Devices here have no ITS: they use wired interrupts or a GICv2m frame.',
    'Nothing, if that is meant.',
  ],
  IORT_SMMU_BASE: ['error', 'The SMMU cannot be where the table puts it and is ignored.', FIRMWARE],
  IORT_SMMU_BASE_TWICE: ['error', 'Two descriptions drive one SMMU and overwrite each other.', FIRMWARE],
  IORT_SMMU_UNUSED: [
    'info',
    'No mapping leads to this SMMU: it translates for nobody that the table names.',
    'Nothing, if that is meant.',
  ],
  IORT_MSI_INDEX: [
    'error',
    "The index of the SMMU's own MSI mapping is beyond its mappings: its MSIs have no device id.",
    FIRMWARE,
  ],
  IORT_RMR_EMPTY: ['error', 'The region holds no page.', FIRMWARE],
  IORT_RMR_UNALIGNED: ['error', 'Regions are 64 KiB pages; the operating system refuses or rounds this one.', FIRMWARE],
  IORT_RMR_OVERLAP: ['error', 'Devices that share a region can be used as a path between domains.', FIRMWARE],
});

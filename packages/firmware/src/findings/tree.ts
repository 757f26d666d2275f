import { kinds } from './types.js';

const MEND = 'Mend the device tree source, or the boot loader that edits it.';

/** About device trees. */
export const treeKinds = kinds({
  DT_TRAILING_BYTES: ['info', 'The bytes behind the tree are ignored.', 'Nothing.'],
  DT_STUB: ['info', 'The machine boots by ACPI: the tables are read, the tree is not.', 'Nothing.'],
  DT_SEVERAL_TREES: [
    'warning',
    'Only the first tree in the directory is read.',
    'Keep one *.dtb per machine directory, or name the file.',
  ],
  DT_NODE_DISABLED: ['info', 'The node and everything below it is left out.', 'Nothing, if it is meant to be off.'],
  DT_PHANDLE_MISSING: ['error', 'The reference leads nowhere: what it should connect is not connected.', MEND],
  DT_PHANDLE_TWICE: ['error', 'Two nodes answer to one number; references to it are ambiguous.', MEND],
  DT_PHANDLE_CYCLE: ['error', 'Following the references never ends; a naive reader hangs.', MEND],
  DT_BAD_PROPERTY: ['error', 'The length of the property does not fit its meaning; the rest of it is ignored.', MEND],
  DT_REG_MISSING: ['error', 'The node has no usable address: nothing can be programmed there.', MEND],
  DT_REG_UNTRANSLATED: [
    'warning',
    'No `ranges` on the way up covers the address: where the CPU sees it is unknown.',
    MEND,
  ],
  DT_MAP_OVERLAP: ['error', 'An id has two translations; which one holds depends on the reader.', MEND],
  DT_MAP_OUTPUT_OVERLAP: [
    'warning',
    'Two requesters share a stream or device id and cannot be isolated from each other.',
    'Nothing, where the boot loader fills the maps in (Layerscape); else mend the device tree source.',
  ],
  DT_MAP_EMPTY: [
    'warning',
    'The entry maps no id at all.',
    'Nothing, where the boot loader fills it in (Layerscape); else mend the device tree source.',
  ],
  DT_MAP_TARGET: ['warning', 'The map leads to a node that is neither an IOMMU nor an MSI controller.', MEND],
  DT_MAP_OTHER_KIND: [
    'info',
    'The map leads to an IOMMU or MSI controller of a kind that is not described here.',
    'Nothing.',
  ],
  DT_MAP_TARGET_DISABLED: [
    'warning',
    'The map leads to a node that is switched off: requesters go untranslated, or their MSIs are lost.',
    MEND,
  ],
  DT_IOMMU_UNKNOWN: ['info', 'The IOMMU is of a kind that is not described here.', 'Nothing.'],
  DT_MSI_UNKNOWN: [
    'info',
    'The MSI controller is of a kind that is not described here: MSIs that it takes are not followed.',
    'Nothing.',
  ],
  DT_BASE_TWICE: ['error', 'Two nodes drive one block and overwrite each other.', MEND],
  DT_NO_IOMMU: [
    'info',
    'No IOMMU is described (or all are switched off): DMA is not translated.',
    'Nothing, if the machine has none.',
  ],
  DT_MSI_RANGES: [
    'error',
    '`msi-available-ranges` must be multiples of 32 inside 0-255; the bank has fewer vectors than it says.',
    MEND,
  ],
  PAMU_NO_PAGES: [
    'info',
    'The PAMU node has no children: which device hangs off which PAMU is unknown.',
    'Nothing; the board code spreads them.',
  ],
  PAMU_PARENT_UNKNOWN: [
    'info',
    'The device has a LIODN but no `fsl,iommu-parent`: which PAMU checks it is unknown.',
    'Nothing; all PAMUs share one table.',
  ],
  PAMU_LIODN_UNASSIGNED: [
    'info',
    'The LIODN is not in the tree; the boot loader adds `fsl,liodn` before the operating system starts.',
    'Copy the tree from the running system (/sys/firmware/fdt) to see it.',
  ],
  PAMU_LIODN_TWICE: ['error', 'Two devices share one LIODN: the PAMU cannot tell them apart.', MEND],
  PAMU_LIODN_RANGE: ['error', 'The LIODN does not fit the 12 bits that the registers hold.', MEND],
});

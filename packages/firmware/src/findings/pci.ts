import { kinds } from './types.js';

const DUMP = 'Take the dump again: lspci -D -nn -xxxx, as root.';

/** About lspci dumps and what they show. */
export const pciKinds = kinds({
  NO_PCI_DUMP: [
    'info',
    'Devices, their MSI vectors and isolation groups are unknown; scopes behind bridges and absent devices cannot be resolved.',
    'Add pci.txt (lspci -D -nn -xxxx, as root) to the directory.',
  ],
  LSPCI_CUT: ['error', 'The dump ends in the middle of a line: what followed is missing below.', DUMP],
  LSPCI_NO_FINAL_BLANK: [
    'info',
    'lspci ends each function with an empty line; functions behind this one may be missing.',
    DUMP,
  ],
  LSPCI_BAD_LINE: ['error', 'The rest of this function is ignored.', DUMP],
  LSPCI_HOLE: ['error', 'Bytes are missing or repeated; the rest of this function is ignored.', DUMP],
  LSPCI_ORPHAN_DATA: [
    'error',
    'Bytes stand before any function and are ignored: a header line is missing or damaged.',
    DUMP,
  ],
  LSPCI_IGNORED_LINE: ['info', 'The line is neither a header, nor bytes, nor indented text, and is ignored.', DUMP],
  LSPCI_SHORT_CONFIG: ['error', 'A dump of a function has 64, 256 or 4096 bytes; this one was cut.', DUMP],
  LSPCI_NO_BYTES: ['warning', 'Without -x the capabilities are known only from decoded text, if at all.', DUMP],
  LSPCI_SHALLOW: [
    'warning',
    'Capabilities lie beyond the bytes shown: vector counts, ACS and groups are unknown where they matter.',
    DUMP,
  ],
  LSPCI_TEXT_DISAGREES: ['warning', 'The numbers in the header line and the bytes differ; the bytes are taken.', DUMP],
  PCI_FUNCTION_TWICE: ['error', 'Only the first one is used.', DUMP],
  PCI_UNREADABLE: [
    'warning',
    'The function answers with all ones: switched off or asleep. Its capabilities are unknown.',
    'Wake the device, then take the dump again.',
  ],
  PCI_CAPABILITY_LOOP: [
    'error',
    'The capability list runs in a circle; it is followed once.',
    'Report it to the maker of the device.',
  ],
  PCI_CAPABILITY_POINTER: [
    'error',
    'A capability pointer leads into the header or beyond configuration space.',
    'Report it to the maker of the device.',
  ],
  PCI_BRIDGE_MISSING: [
    'warning',
    'The bridge above this bus is not in the dump: paths, aliases and isolation across it are unknown.',
    DUMP,
  ],
  PCI_BUS_TWICE: [
    'error',
    'Two bridges lead to one bus; paths through it are ambiguous.',
    'Let the operating system renumber (Linux: pci=assign-busses).',
  ],
  PCI_BUS_ORDER: [
    'error',
    'A bridge must lead to higher bus numbers than its own; paths through it are not followed.',
    'Let the operating system renumber (Linux: pci=assign-busses).',
  ],
  PCI_GROUPS_UNKNOWN: [
    'warning',
    'Isolation depends on registers or bridges that the dump does not show; groups are not guessed.',
    DUMP,
  ],
  NOT_DESCRIBED: [
    'info',
    'No table or tree describes an IOMMU: either there is none, or it is off, or its table was not copied.',
    'Switch it on in the firmware set-up; copy DMAR, IVRS or IORT.',
  ],
});

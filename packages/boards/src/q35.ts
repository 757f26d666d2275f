import { pciHostQ35, type HostWindow, type Placed } from '@doorbell/pci';
import { API_VERSION, type IdMapEntry, type MemoryBank, type Plugin } from '@doorbell/platform';
import { apic, type CpuOption } from '@doorbell/x86-apic';
import { vtd, type VtdNode } from '@doorbell/x86-vtd';

export interface Q35Options {
  /** How many CPUs, or each of them with its APIC id. Default 2. */
  readonly cpus?: number | readonly CpuOption[];
  /** The VT-d unit between PCI and memory: options, or false for none. */
  readonly vtd?: VtdNode | false;
  /** PCI functions on the root bus and below: `at('04.0', edu())`. */
  readonly functions?: readonly Placed[];
  /** Whether software enumerates PCI when the platform is composed. Default true. */
  readonly enumerate?: boolean;
  /** Ranges for BARs. Default: 0xe0000000 up to the IOAPIC. */
  readonly windows?: readonly HostWindow[];
}

/** RAM of a q35 machine: one bank at 0. Default 256 MiB. */
export const q35Memory = (size = 2 ** 28): MemoryBank[] => [{ base: 0, size }];

/** Requester id of the IOAPIC's interrupt requests, as QEMU's DMAR table has it: bus 0xff, 00.0. */
const IOAPIC_REQUESTER = 0xff00;

/**
 * QEMU's `q35` machine with `intel-iommu,intremap=on`: local APICs and an IOAPIC, a VT-d unit, a PCIe host bridge with CF8/CFC and ECAM;
 * everything at QEMU's addresses. `new Platform({ memory: q35Memory() }).use(q35())`.
 */
export function q35(options: Q35Options = {}): Plugin {
  const { cpus = 2, vtd: unit = {}, functions = [], enumerate = true } = options;
  const windows = options.windows ?? [{ base: 0xe000_0000, size: 0x1ec0_0000 }];
  const all = (to: string): IdMapEntry[] => [{ inputBase: 0, count: 65536, outputBase: 0, to }];
  const parts = [
    apic({ cpus, ioapics: [{ requester: IOAPIC_REQUESTER }] }),
    ...(unit ? [vtd.q35(unit)] : []),
    pciHostQ35(
      {
        ecam: { base: 0xb000_0000 },
        windows,
        enumerate,
        msiMap: all('apic'),
        ...(unit && { iommuMap: all(unit.name ?? 'dmar0') }),
      },
      functions,
    ),
  ];
  return {
    name: 'board:q35',
    apiVersion: API_VERSION,
    apply: (platform) => {
      for (const part of parts) part.apply(platform);
    },
  };
}

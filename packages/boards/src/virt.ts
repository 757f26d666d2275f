import { gicv2m, gicv3, its } from '@doorbell/arm-gic';
import { smmuv3, type SmmuNodeOptions } from '@doorbell/arm-smmuv3';
import { pciHost, type Placed } from '@doorbell/pci';
import { API_VERSION, type IdMapEntry, type MemoryBank, type Plugin } from '@doorbell/platform';

export interface VirtOptions {
  /** Default 2. */
  readonly cpus?: number;
  /** Who takes MSIs: `its` (default) or `gicv2m`. */
  readonly msi?: 'its' | 'gicv2m';
  /** What a command error does to the ITS: `skip` as in QEMU (default), or `stall`. */
  readonly commandErrors?: 'skip' | 'stall';
  /** The SMMU between PCI and memory: options, or false for none. */
  readonly smmu?: SmmuNodeOptions | false;
  /** PCI functions on the root bus and below: `at('04.0', edu())`. */
  readonly functions?: readonly Placed[];
  /** Whether software enumerates PCI when the platform is composed. Default true. */
  readonly enumerate?: boolean;
}

/** RAM of QEMU's virt machine: one bank at 1 GiB. Default 256 MiB. */
export const virtMemory = (size = 2 ** 28): MemoryBank[] => [{ base: 0x4000_0000, size }];

/**
 * QEMU's `virt` machine with `gic-version=3`: GICv3 and ITS (or a v2m frame), an SMMUv3, a PCIe host bridge; everything at QEMU's
 * addresses. `new Platform({ memory: virtMemory() }).use(virt())`.
 */
export function virt(options: VirtOptions = {}): Plugin {
  const { cpus = 2, msi = 'its', commandErrors = 'skip', smmu = {}, functions = [], enumerate = true } = options;
  const all = (to: string): IdMapEntry[] => [{ inputBase: 0, count: 65536, outputBase: 0, to }];
  const parts = [
    gicv3({ cpus }),
    msi === 'its' ? its({ commandErrors }) : gicv2m(),
    ...(smmu ? [smmuv3.virt(smmu)] : []),
    pciHost(
      {
        ecam: { base: 0x40_1000_0000 },
        windows: [{ base: 0x1000_0000, size: 0x2eff_0000 }],
        enumerate,
        msiMap: all(msi === 'its' ? 'its0' : 'v2m0'),
        ...(smmu && { iommuMap: all(smmu.name ?? 'smmu0') }),
      },
      functions,
    ),
  ];
  return {
    name: 'board:virt',
    apiVersion: API_VERSION,
    apply: (platform) => {
      for (const part of parts) part.apply(platform);
    },
  };
}

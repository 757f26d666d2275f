import { pciHost, type Placed } from '@doorbell/pci';
import { API_VERSION, type IdMapEntry, type MemoryBank, type Plugin } from '@doorbell/platform';
import { fslPci, type FslPciNode } from '@doorbell/powerpc-fslpci';
import { mpic } from '@doorbell/powerpc-mpic';
import { pamu, type PamuNode } from '@doorbell/powerpc-pamu';

export interface QoriqOptions {
  /** Default 2. */
  readonly cpus?: number;
  /** MPIC version: 0x0402 (default, P4080 and its like) or 0x0403 (T and B series). */
  readonly mpic?: number;
  /** The PAMU between PCIe and memory: options, or false for none. */
  readonly pamu?: Omit<PamuNode, 'name' | 'base'> | false;
  /** What tells devices apart at the PAMU: their controller (PCIe before IP 2.4: one group), or each function of bus 0 alone. */
  readonly liodns?: 'controller' | 'function';
  /** Functions on the root bus of each PCIe controller, which is a segment of its own. Default: two controllers without any. */
  readonly functions?: readonly (readonly Placed[])[];
  /** Whether software enumerates PCI when the platform is composed. Default true. */
  readonly enumerate?: boolean;
}

/** RAM of a QorIQ board: one bank at 0. Default 256 MiB. */
export const qoriqMemory = (size = 2 ** 28): MemoryBank[] => [{ base: 0, size }];

/** Where P4080DS and its like have CCSR (36-bit addresses). */
const CCSR = 0xf_fe00_0000;
/** PCIe1 of a P4080 has LIODN 193 (fact sheet A9); with one for each function the ids start here. */
const FIRST_LIODN = 193;
const FIRST_FUNCTION_LIODN = 1024;

/**
 * A QorIQ SoC of our own description: MPIC with MSI banks A to C, two PAMUs, PCIe controllers with their windows; each controller's MSIs go to a
 * bank of its own, and all of PCIe is behind `pamu0`. `new Platform({ memory: qoriqMemory() }).use(qoriq())`.
 */
export function qoriq(options: QoriqOptions = {}): Plugin {
  const { cpus = 2, mpic: version = 0x0402, pamu: unit = {}, liodns = 'controller' } = options;
  const { functions = [[], []], enumerate = true } = options;
  const controllers = functions.map((_, segment): FslPciNode => ({ segment, ccsr: CCSR }));
  const liodn = (i: number): IdMapEntry =>
    liodns === 'controller'
      ? { inputBase: 0, count: 65536, outputBase: FIRST_LIODN + i, to: 'pamu0', shared: true }
      : { inputBase: 0, count: 256, outputBase: FIRST_FUNCTION_LIODN + 256 * i, to: 'pamu0' };
  return board('qoriq', [
    mpic({ cpus, version, base: CCSR + 0x4_0000 }),
    ...(unit ? [pamu({ ...unit, base: CCSR + 0x2_0000 }, { ...unit, base: CCSR + 0x2_1000 })] : []),
    fslPci(...controllers),
    ...functions.map((placed, i) =>
      host(i, placed, enumerate, `msi${i % 3}`, unit ? liodn(i) : all(`pcie${i}`), 0xc_4000_0000),
    ),
  ]);
}

export interface E500Options {
  /** Default 2. */
  readonly cpus?: number;
  readonly functions?: readonly Placed[];
  /** Whether software enumerates PCI when the platform is composed. Default true. */
  readonly enumerate?: boolean;
}

/**
 * A board without any IOMMU: the MPIC of QEMU's ppce500 (version 4.2, one bank, no alias pages) and one PCIe controller. Devices reach MSIIR
 * through PEXCSRBAR, and everything else in CCSR too.
 */
export function e500({ cpus = 2, functions = [], enumerate = true }: E500Options = {}): Plugin {
  const ccsr = 0xf_e000_0000;
  return board('e500', [
    mpic({ cpus, sources: 196, base: ccsr + 0x4_0000, banks: [{ bank: 0, doorbell: ccsr + 0x4_1740 }] }),
    fslPci({ ccsr, ccsrSize: 2 ** 20 }),
    host(0, functions, enumerate, 'msi0', all('pcie0'), 0xc_4000_0000),
  ]);
}

const all = (to: string): IdMapEntry => ({ inputBase: 0, count: 65536, outputBase: 0, to });

/** A controller's functions. Real ones have no ECAM: theirs stands in for CONFIG_ADDR and CONFIG_DATA. */
function host(
  segment: number,
  functions: readonly Placed[],
  enumerate: boolean,
  msi: string,
  iommu: IdMapEntry,
  ecam: number,
): Plugin {
  return pciHost(
    {
      segment,
      ecam: { base: ecam + 0x1000_0000 * segment },
      windows: [{ base: 0x8000_0000 + 0x1000_0000 * segment, size: 0x1000_0000 }],
      enumerate,
      msiMap: [all(msi)],
      iommuMap: [iommu],
    },
    functions,
  );
}

const board = (name: string, parts: readonly Plugin[]): Plugin => ({
  name: `board:${name}`,
  apiVersion: API_VERSION,
  apply: (platform) => {
    for (const part of parts) part.apply(platform);
  },
});

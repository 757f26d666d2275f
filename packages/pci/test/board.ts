import { Platform, type PlatformOptions } from '@doorbell/platform';
import { PCI, pciHost, pciHostQ35, PCI_HARDWARE, type PciBus, type PciHostOptions, type Placed } from '../src/index.js';
import { testRoot, type DoorbellModel, type TestRoot } from './root.js';

export const ECAM = 0xb000_0000;
export const LOW = { base: 0xe000_0000, size: 0x1000_0000 };
export const HIGH = { base: 0x80_0000_0000, size: 0x10_0000_0000 };

export interface Board {
  platform: Platform;
  pci: PciBus;
  root: TestRoot;
  doorbell: DoorbellModel;
  hardware: ReturnType<typeof hardwareOf>;
}

const hardwareOf = (platform: Platform) => platform.hardwareService(PCI_HARDWARE).host(0)!;

/** A platform with one segment and a doorbell that records. */
export function board(
  functions: readonly Placed[],
  options: Partial<PciHostOptions> & {
    q35?: boolean;
    vectors?: number;
    doorbell?: number;
    platform?: PlatformOptions;
  } = {},
): Board {
  const { q35, vectors, doorbell, platform: own, ...host } = options;
  const { plugin, root } = testRoot(doorbell, vectors);
  const bridge = { ecam: { base: ECAM }, windows: [LOW, HIGH], ...host };
  const platform = new Platform({ memory: [{ base: 0, size: 2 ** 26 }], ...own })
    .use(plugin, (q35 ? pciHostQ35 : pciHost)(bridge, functions))
    .compose();
  return {
    platform,
    pci: platform.service(PCI),
    root,
    doorbell: platform.model('root0') as unknown as DoorbellModel,
    hardware: hardwareOf(platform),
  };
}

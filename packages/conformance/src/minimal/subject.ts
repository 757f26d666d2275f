import { Platform, definePlugin, type Device } from '@doorbell/platform';
import { pciHost } from '@doorbell/pci';
import { kitFunctions, type PciFactory } from '../kit/pci.js';
import type { IrqchipFactory, IrqchipSupports } from '../kit/irqchip/subject.js';
import type { SubjectFactory, Supports } from '../kit/subject.js';
import type { MinimalIommu } from './model/iommu.js';
import type { MinimalIrqchip } from './model/irqchip.js';
import { minimalIommu, minimalIrqchip } from './plugin.js';

const UNITS = [0xf000_0000, 0xf000_1000];
const BELL = 0xf010_0000;

/** A function that is known by its requester id alone, in a group of its own. */
export const plainDevice = (requester: number): Device => ({
  name: `function ${requester.toString(16)}`,
  kind: 'pci',
  segment: 0,
  requester,
  aliases: [requester],
  dmaBits: 64,
  isolation: { group: requester, isolated: true, witness: [] },
});

/** Two minimal IOMMUs, bus 0 behind the first and bus 1 behind the second, and one minimal interrupt controller with two CPUs. */
export const minimalSubject: SubjectFactory = ({ completion }) => {
  const platform = new Platform({ name: 'minimal', memory: [{ base: 0, size: 2 ** 30 }], completion })
    .use(minimalIommu(), minimalIrqchip(), definePlugin('kit-host', { compatible: ['kit,host'] }))
    .node(
      ...UNITS.map((base, i) => ({ name: `iommu${i}`, compatible: 'minimal,iommu', reg: [{ base, size: 0x1000 }] })),
      { name: 'bell0', compatible: 'minimal,irqchip', reg: [{ base: BELL, size: 0x3000 }], options: { numbers: 64 } },
      {
        name: 'pci0',
        compatible: 'kit,host',
        iommuMap: [
          { inputBase: 0, count: 256, outputBase: 0, to: 'iommu0' },
          { inputBase: 256, count: 256, outputBase: 0, to: 'iommu1' },
        ],
      },
    )
    .compose();
  return {
    platform,
    devices: [plainDevice(0x08), plainDevice(0x10), plainDevice(0x108)],
    data: 0x1000_0000,
    cpus: [0, 1],
    refuse: (k) => {
      for (const name of ['iommu0', 'iommu1', 'bell0'])
        (platform.model(name) as MinimalIommu | MinimalIrqchip).refuseCommand(k);
    },
  };
};

export const minimalSupports: Supports = {
  writeOnly: true,
  readOnly: true,
  faultsInARow: 1,
  anyLayout: true,
  spanningDomain: true,
  identity: true,
  affinity: true,
  softwareWindow: true,
  highWindow: true,
  doorbellPages: 2,
  hostileRegisters: [
    { base: UNITS[0]!, size: 0x40 },
    { base: BELL, size: 0x3000 },
  ],
};

const BELLS = [BELL, BELL + 0x10_0000];

/** Two minimal interrupt controllers with two CPUs and 64 numbers each, bus 0 on the first and bus 1 on the second, and no IOMMU. */
export const minimalIrqchipSubject: IrqchipFactory = ({ completion }) => {
  const platform = new Platform({ name: 'minimal irqchips', memory: [{ base: 0, size: 2 ** 28 }], completion })
    .use(minimalIrqchip(), definePlugin('kit-host', { compatible: ['kit,host'] }))
    .node(
      ...BELLS.map((base, i) => ({
        name: `bell${i}`,
        compatible: 'minimal,irqchip',
        reg: [{ base, size: 0x3000 }],
        options: { first: 64 * i, numbers: 64 },
      })),
      {
        name: 'pci0',
        compatible: 'kit,host',
        msiMap: BELLS.map((_, i) => ({ inputBase: 256 * i, count: 256, outputBase: 256 * i, to: `bell${i}` })),
      },
    )
    .compose();
  return {
    platform,
    devices: [plainDevice(0x08), plainDevice(0x10), plainDevice(0x108)],
    cpus: [0, 1],
    refuse: (k) => BELLS.forEach((_, i) => (platform.model(`bell${i}`) as MinimalIrqchip).refuseCommand(k)),
  };
};

export const minimalIrqchipSupports: IrqchipSupports = {
  affinity: true,
  movesAlone: true,
  masks: true,
  twoControllers: true,
  refusals: true,
  hostileRegisters: BELLS.map((base) => ({ base, size: 0x3000 })),
};

/** The `kitFunctions` behind one minimal IOMMU. */
export const minimalPciPlatform: PciFactory = (completion) =>
  new Platform({ name: 'minimal with PCI', memory: [{ base: 0, size: 2 ** 28 }], completion })
    .use(
      minimalIommu(),
      minimalIrqchip(),
      pciHost(
        {
          ecam: { base: 0xb000_0000 },
          windows: [{ base: 0xe000_0000, size: 0x100_0000 }],
          iommuMap: [{ inputBase: 0, count: 65536, outputBase: 0, to: 'iommu0' }],
          msiMap: [{ inputBase: 0, count: 65536, outputBase: 0, to: 'bell0' }],
        },
        kitFunctions(),
      ),
    )
    .node(
      { name: 'iommu0', compatible: 'minimal,iommu', reg: [{ base: UNITS[0]!, size: 0x1000 }] },
      { name: 'bell0', compatible: 'minimal,irqchip', reg: [{ base: BELL, size: 0x3000 }] },
    )
    .compose();

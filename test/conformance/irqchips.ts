import { gicv2, gicv2m, gicv3, its, itsNode, v2mNode, type Its } from '@doorbell/arm-gic';
import { plainDevice, type IrqchipFactory, type IrqchipSupports } from '@doorbell/conformance';
import { mpic } from '@doorbell/powerpc-mpic';
import { Platform, definePlugin, type PlatformNode, type Plugin } from '@doorbell/platform';
import { apic } from '@doorbell/x86-apic';

/** A controller as the kit meets it: without an IOMMU. */
export interface Irqchip {
  readonly name: string;
  readonly supports: IrqchipSupports;
  readonly factory: IrqchipFactory;
}

/** Bus 0 interrupts through the first controller and bus 1 through the second. */
const bridge = (...msi: readonly [string, string]): Plugin =>
  definePlugin('kit-host', { compatible: ['kit,host'] }, [
    {
      name: 'pci0',
      compatible: 'kit,host',
      msiMap: msi.map((to, i) => ({ inputBase: 256 * i, count: 256, outputBase: 256 * i, to })),
    },
  ]);

const factory =
  (
    plugins: () => readonly Plugin[],
    nodes: readonly PlatformNode[] = [],
    itses: readonly string[] = [],
  ): IrqchipFactory =>
  ({ completion }) => {
    const platform = new Platform({ memory: [{ base: 0x4000_0000, size: 2 ** 28 }], completion })
      .use(...plugins())
      .node(...nodes)
      .compose();
    return {
      platform,
      devices: [plainDevice(0x08), plainDevice(0x10), plainDevice(0x108)],
      cpus: [0, 1, 2],
      refuse: (k) => {
        for (const name of itses) (platform.model(name) as Its).refuseCommand(k);
      },
    };
  };

export const irqchips: readonly Irqchip[] = [
  {
    name: 'x86-apic',
    supports: {
      affinity: true,
      movesAlone: true,
      masks: false, // an edge-triggered vector has no mask in a local APIC
      twoControllers: false, // one range of addresses for all local APICs
      refusals: false, // vectors exist by being named in messages
      hostileRegisters: [{ base: 0xfee0_0000, size: 0x10_0000 }],
    },
    factory: factory(() => [apic({ cpus: 3 }), bridge('apic', 'apic')]),
  },
  {
    name: 'arm-gic ITS',
    supports: {
      affinity: true,
      movesAlone: true,
      masks: true,
      twoControllers: true,
      refusals: true,
      hostileRegisters: [
        { base: 0x0800_0000, size: 0x1000 },
        { base: 0x0808_0000, size: 0x200 },
        { base: 0x080a_0000, size: 0x200 },
        { base: 0x080b_0000, size: 0x1000 },
      ],
    },
    factory: factory(
      () => [
        gicv3({ cpus: 3, redistributors: 0x080a_0000, idBits: 14 }),
        its({ name: 'its0', commandErrors: 'stall' }),
        bridge('its0', 'its1'),
      ],
      [itsNode({ name: 'its1', base: 0x0810_0000, commandErrors: 'stall' })],
      ['its0', 'its1'],
    ),
  },
  {
    name: 'arm-gic GICv2m',
    supports: {
      affinity: true,
      movesAlone: true,
      masks: true,
      twoControllers: true,
      refusals: false, // registers only
      hostileRegisters: [
        { base: 0x0800_0000, size: 0x8000 },
        { base: 0x0802_0000, size: 0x1000 },
      ],
    },
    factory: factory(
      () => [gicv3({ cpus: 3 }), gicv2m({ name: 'v2m0', baseSpi: 80, spis: 64 }), bridge('v2m0', 'v2m1')],
      [v2mNode({ name: 'v2m1', base: 0x0803_0000, baseSpi: 144, spis: 64 })],
    ),
  },
  {
    name: 'arm-gic GICv2 and GICv2m',
    supports: {
      affinity: true,
      movesAlone: true,
      masks: true,
      twoControllers: true,
      refusals: false,
      hostileRegisters: [
        { base: 0x0800_0000, size: 0x1000 },
        { base: 0x0801_0000, size: 0x1000 },
        { base: 0x0802_0000, size: 0x1000 },
      ],
    },
    factory: factory(
      () => [gicv2({ cpus: 3 }), gicv2m({ name: 'v2m0', baseSpi: 80, spis: 64 }), bridge('v2m0', 'v2m1')],
      [v2mNode({ name: 'v2m1', base: 0x0803_0000, baseSpi: 144, spis: 64 })],
    ),
  },
  ...[0x0200, 0x0402, 0x0403].map((version) => ({
    name: `powerpc-mpic ${(version >>> 8).toString()}.${version & 15}`,
    supports: {
      affinity: true,
      movesAlone: false, // an MSIR has one destination for its 32 vectors
      masks: false, // and one mask
      twoControllers: version >= 0x0400, // one bank per register block before
      refusals: false,
      hostileRegisters: [
        { base: 0xfe04_0000, size: 0x2000 },
        { base: 0xfe05_0000, size: 0x4000 },
      ],
    },
    factory: factory(() => [mpic({ cpus: 3, version }), bridge('msi0', version >= 0x0400 ? 'msi1' : 'msi0')]),
  })),
];

import { CPU_INTERFACE, INTERRUPTS, type RootLevel } from '@doorbell/irqchip';
import {
  definePlugin,
  token,
  type BlockContext,
  type PlatformNode,
  type Plugin,
  type SoftwareHost,
} from '@doorbell/platform';
import { GIC, GicDriver } from './driver/gic.js';
import { Gicv2Driver } from './driver/gicv2.js';
import { ItsDriver } from './driver/its.js';
import { SPIS } from './driver/spis.js';
import { V2mDriver } from './driver/v2m.js';
import { Gicv2, type Gicv2Options } from './model/gicv2.js';
import { Gicv3, type Gicv3Options } from './model/gicv3.js';
import { Its, type ItsOptions } from './model/its.js';
import { V2mFrame, type SpiLines, type V2mOptions } from './model/v2m.js';
import { GICD_SIZE, GICR_SIZE, GICV2_GICC_SIZE, GICV2_GICD_SIZE, ITS_SIZE, V2M_SIZE } from './spec/index.js';

/** GICs of version 2, and of version 1 with the same distributor. */
export const GICV2_COMPATIBLES: readonly string[] = [
  'arm,gic-400',
  'arm,cortex-a15-gic',
  'arm,cortex-a7-gic',
  'arm,cortex-a9-gic',
  'arm,pl390',
  'qcom,msm-qgic2',
];
export const GICV3_COMPATIBLE = 'arm,gic-v3';
export const ITS_COMPATIBLE = 'arm,gic-v3-its';
export const V2M_COMPATIBLE = 'arm,gic-v2m-frame';

/** The GIC as other hardware sees it: input lines and redistributors. */
const WIRES = token<Gicv3>('hardware:gic-wires');
/** The same lines, of a GIC of whichever version. */
const SPI_LINES = token<SpiLines>('hardware:gic-spis');

/** Where QEMU's virt machine has them. */
export interface Gicv3NodeOptions extends Gicv3Options {
  readonly name?: string;
  /** Default 0x0800_0000. */
  readonly distributor?: number;
  /** Default 0x080a_0000, 128 KiB per CPU (256 with `virtualLpis`). */
  readonly redistributors?: number;
}
export interface Gicv2NodeOptions extends Gicv2Options {
  readonly name?: string;
  /** Default 0x0800_0000. */
  readonly distributor?: number;
  /** Default 0x0801_0000. */
  readonly cpuInterface?: number;
}
export interface ItsNodeOptions extends ItsOptions {
  readonly name?: string;
  /** Default 0x0808_0000. */
  readonly base?: number;
}
export interface V2mNodeOptions extends V2mOptions {
  readonly name?: string;
  /** Default 0x0802_0000. */
  readonly base?: number;
}

export const gicv3Node = ({
  name = 'gic0',
  distributor,
  redistributors,
  ...options
}: Gicv3NodeOptions = {}): PlatformNode => ({
  name,
  compatible: GICV3_COMPATIBLE,
  reg: [
    { base: distributor ?? 0x0800_0000, size: GICD_SIZE },
    { base: redistributors ?? 0x080a_0000, size: GICR_SIZE * (options.virtualLpis ? 2 : 1) * (options.cpus ?? 1) },
  ],
  options: { ...options },
});
export const gicv2Node = ({
  name = 'gic0',
  distributor = 0x0800_0000,
  cpuInterface = 0x0801_0000,
  ...options
}: Gicv2NodeOptions = {}): PlatformNode => ({
  name,
  compatible: GICV2_COMPATIBLES[0]!,
  reg: [
    { base: distributor, size: GICV2_GICD_SIZE },
    { base: cpuInterface, size: GICV2_GICC_SIZE },
  ],
  options: { ...options },
});
export const itsNode = ({ name = 'its0', base = 0x0808_0000, ...options }: ItsNodeOptions = {}): PlatformNode => ({
  name,
  compatible: ITS_COMPATIBLE,
  reg: [{ base, size: ITS_SIZE }],
  options: { ...options },
});
export const v2mNode = ({ name = 'v2m0', base = 0x0802_0000, ...options }: V2mNodeOptions = {}): PlatformNode => ({
  name,
  compatible: V2M_COMPATIBLE,
  reg: [{ base, size: V2M_SIZE }],
  options: { ...options },
});

/** Takes nodes `arm,gic-v3`; brings one unless told otherwise. Options of a node: `Gicv3Options`. */
export function gicv3(options: Gicv3NodeOptions | null = {}): Plugin {
  return definePlugin(
    pluginName('arm-gicv3', options, 'gic0'),
    {
      compatible: [GICV3_COMPATIBLE],
      model: {
        provides: [WIRES, SPI_LINES, CPU_INTERFACE],
        create: (ctx) => {
          const gic = new Gicv3(ctx.node.name, bases(ctx.node), ctx.host, ctx.node.options ?? {});
          ctx.provide(WIRES, gic);
          ctx.provide(SPI_LINES, gic);
          ctx.provide(CPU_INTERFACE, gic);
          return gic;
        },
      },
      driver: {
        provides: [GIC, SPIS],
        create: (ctx) => {
          const driver = new GicDriver(ctx.host, bases(ctx.node), ctx.node.name);
          ctx.provide(GIC, driver);
          ctx.provide(SPIS, driver);
          return driver;
        },
      },
    },
    options ? [gicv3Node(options)] : [],
  );
}

/** Takes nodes of GICv2s (`GICV2_COMPATIBLES`); brings one unless told otherwise. Options of a node: `Gicv2Options`. */
export function gicv2(options: Gicv2NodeOptions | null = {}): Plugin {
  return definePlugin(
    pluginName('arm-gicv2', options, 'gic0'),
    {
      compatible: GICV2_COMPATIBLES,
      model: {
        provides: [SPI_LINES, CPU_INTERFACE],
        create: (ctx) => {
          const gic = new Gicv2(ctx.node.name, halves(ctx.node), ctx.host, ctx.node.options ?? {});
          ctx.provide(SPI_LINES, gic);
          ctx.provide(CPU_INTERFACE, gic);
          return gic;
        },
      },
      driver: {
        provides: [SPIS],
        create: (ctx) => {
          const driver = new Gicv2Driver(ctx.host, halves(ctx.node));
          ctx.provide(SPIS, driver);
          return driver;
        },
      },
    },
    options ? [gicv2Node(options)] : [],
  );
}

/** Takes nodes `arm,gic-v3-its`; brings one unless told otherwise. Options of a node: `ItsOptions`. */
export function its(options: ItsNodeOptions | null = {}): Plugin {
  return definePlugin(
    pluginName('arm-gicv3-its', options, 'its0'),
    {
      compatible: [ITS_COMPATIBLE],
      model: {
        needs: [WIRES],
        create: (ctx) =>
          new Its(ctx.node.name, ctx.node.reg![0]!.base, ctx.host, ctx.resolve(WIRES), ctx.node.options ?? {}),
      },
      driver: {
        needs: [GIC],
        create: (ctx) => asRoot(ctx, new ItsDriver(parts(ctx, ctx.resolve(GIC)))),
      },
    },
    options ? [itsNode(options)] : [],
  );
}

/** Takes nodes `arm,gic-v2m-frame`; brings one unless told otherwise. Options of a node: `V2mOptions`. */
export function gicv2m(options: V2mNodeOptions | null = {}): Plugin {
  return definePlugin(
    pluginName('arm-gicv2m', options, 'v2m0'),
    {
      compatible: [V2M_COMPATIBLE],
      model: {
        needs: [SPI_LINES],
        create: (ctx) =>
          new V2mFrame(ctx.node.name, ctx.node.reg![0]!.base, ctx.host, ctx.resolve(SPI_LINES), ctx.node.options ?? {}),
      },
      driver: {
        needs: [SPIS],
        create: (ctx) => asRoot(ctx, new V2mDriver(parts(ctx, ctx.resolve(SPIS)))),
      },
    },
    options ? [v2mNode(options)] : [],
  );
}

/** What drivers of what takes messages need, below the GIC's own driver. */
const parts = <G>(ctx: BlockContext<SoftwareHost>, gic: G) => ({
  name: ctx.node.name,
  base: ctx.node.reg![0]!.base,
  host: ctx.host,
  gic,
  interrupts: ctx.service(INTERRUPTS),
});

function asRoot<D extends RootLevel>(ctx: BlockContext<SoftwareHost>, driver: D): D {
  ctx.service(INTERRUPTS).addRoot(ctx.node.name, driver);
  return driver;
}

const halves = (node: PlatformNode) => ({ distributor: node.reg![0]!.base, cpuInterface: node.reg![1]?.base });
const bases = (node: PlatformNode) => ({ distributor: node.reg![0]!.base, redistributors: node.reg![1]!.base });

/** Plugins that bring nodes go by them: two ITSs on one platform are two plugins. */
const pluginName = (name: string, options: { readonly name?: string } | null, node: string): string =>
  options ? `${name}:${options.name ?? node}` : name;

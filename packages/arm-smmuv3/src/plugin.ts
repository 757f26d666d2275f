import { IOMMU } from '@doorbell/iommu';
import { definePlugin, registerPort, token, type PlatformNode, type Plugin } from '@doorbell/platform';
import { SmmuDriver, type SmmuDriverOptions } from './driver/unit.js';
import type { SmmuOptions } from './model/features.js';
import type { Wires } from './model/signals.js';
import { Smmu } from './model/smmu.js';
import { SMMU_SIZE } from './spec/index.js';

/** The GIC's input lines, on the hardware side. */
const WIRES = token<Wires>('hardware:gic-wires');

export const SMMU_COMPATIBLE = 'arm,smmu-v3';

/** Options of a node `arm,smmu-v3`: what the hardware is built with, and how the driver uses it. */
export interface SmmuNodeOptions extends SmmuOptions, SmmuDriverOptions {
  readonly name?: string;
  /** Default 0x0905_0000, as QEMU's virt has it. */
  readonly base?: number;
}

export const smmuv3Node = ({ name = 'smmu0', base = 0x0905_0000, ...options }: SmmuNodeOptions = {}): PlatformNode => ({
  name,
  compatible: SMMU_COMPATIBLE,
  reg: [{ base, size: SMMU_SIZE }],
  options: { ...options },
});

/** Takes nodes `arm,smmu-v3`; brings one unless told otherwise. */
export function smmuv3(options: SmmuNodeOptions | null = {}): Plugin {
  return definePlugin(
    options ? `arm-smmuv3:${options.name ?? 'smmu0'}` : 'arm-smmuv3',
    {
      compatible: [SMMU_COMPATIBLE],
      model: {
        wants: [WIRES],
        create: (ctx) =>
          new Smmu(ctx.node.name, ctx.node.reg![0]!.base, ctx.host, ctx.node.options ?? {}, ctx.optional(WIRES)),
      },
      driver: {
        create: (ctx) => {
          const driver = new SmmuDriver({
            name: ctx.node.name,
            machine: ctx.host,
            registers: registerPort(ctx.host.cpu, ctx.node.reg![0]!.base),
            options: ctx.node.options ?? {},
          });
          ctx.service(IOMMU).addUnit(driver);
          return driver;
        },
      },
    },
    options ? [smmuv3Node(options)] : [],
  );
}

/** The SMMUv3 of QEMU 7.2's virt machine: 0x0905_0000, interrupts 106 (events), 108 (sync), 109 (GERROR). */
smmuv3.virt = (options: SmmuNodeOptions = {}): Plugin =>
  smmuv3({ interrupts: { event: 106, sync: 108, gerror: 109 }, ...options });

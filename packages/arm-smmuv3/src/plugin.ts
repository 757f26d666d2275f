import { definePlugin, token, type PlatformNode, type Plugin } from '@doorbell/platform';
import { Smmu, type Wires } from './model/smmu.js';
import type { SmmuOptions } from './model/features.js';

/** The GIC's input lines, on the hardware side. */
const WIRES = token<Wires>('hardware:gic-wires');

export const SMMU_COMPATIBLE = 'arm,smmu-v3';

/** Takes nodes `arm,smmu-v3`; their options are `SmmuOptions`. */
export function smmuv3(nodes: readonly PlatformNode[] = []): Plugin {
  return definePlugin(
    'arm-smmuv3',
    {
      compatible: [SMMU_COMPATIBLE],
      model: {
        wants: [WIRES],
        create: (ctx) =>
          new Smmu(ctx.node.name, ctx.node.reg![0]!.base, ctx.host, ctx.node.options ?? {}, ctx.optional(WIRES)),
      },
    },
    nodes,
  );
}

/** The SMMUv3 of QEMU 7.2's virt machine: 0x0905_0000, interrupts 106 (events), 108 (sync), 109 (GERROR). */
export const virt = (options: SmmuOptions = {}): PlatformNode => ({
  name: 'smmu0',
  compatible: SMMU_COMPATIBLE,
  reg: [{ base: 0x0905_0000, size: 0x20000 }],
  options: { interrupts: { event: 106, sync: 108, gerror: 109 }, ...options },
});

import { CPU_INTERFACE, INTERRUPTS } from '@doorbell/irqchip';
import { IOMMU } from '@doorbell/iommu';
import {
  Software,
  definePlugin,
  type BlockContext,
  type HardwareHost,
  type Plugin,
  type SoftwareHost,
} from '@doorbell/platform';
import { MinimalIommu } from './model/iommu.js';
import { MinimalIrqchip } from './model/irqchip.js';
import { MinimalUnit } from './driver/iommu.js';
import { MinimalRoot } from './driver/irqchip.js';

/** Takes nodes `minimal,iommu`. */
export const minimalIommu = (): Plugin =>
  definePlugin('minimal-iommu', {
    compatible: ['minimal,iommu'],
    model: { create: ({ node, host }) => new MinimalIommu(node.name, host, node.reg![0]!.base) },
    driver: {
      create: (ctx) => {
        const unit = new MinimalUnit(ctx.node.name, ctx.resolve(Software.registers), ctx.host);
        ctx.service(IOMMU).addUnit(unit);
        return {};
      },
    },
  });

/** Takes nodes `minimal,irqchip`; its range has one page per CPU. Option `numbers`: how many there are. */
export const minimalIrqchip = (): Plugin =>
  definePlugin('minimal-irqchip', {
    compatible: ['minimal,irqchip'],
    model: {
      provides: [CPU_INTERFACE],
      create: (ctx: BlockContext<HardwareHost>) => {
        const { base, size } = ctx.node.reg![0]!;
        const chip = new MinimalIrqchip(ctx.node.name, ctx.host, base, size / 4096);
        ctx.provide(CPU_INTERFACE, chip);
        return chip;
      },
    },
    driver: {
      create: (ctx: BlockContext<SoftwareHost>) => {
        const { base, size } = ctx.node.reg![0]!;
        const numbers = ctx.node.options?.['numbers'] as number | undefined;
        ctx.service(INTERRUPTS).addRoot(ctx.node.name, new MinimalRoot(ctx.node.name, base, size / 4096, numbers));
        return {};
      },
    },
  });

import { INTERRUPTS, joinCpuInterface } from '@doorbell/irqchip';
import { IOMMU } from '@doorbell/iommu';
import {
  Software,
  definePlugin,
  rangeOf,
  type BlockContext,
  type HardwareHost,
  type PlatformNode,
  type Plugin,
  type Range,
  type SoftwareHost,
} from '@doorbell/platform';
import { MinimalIommu } from './model/iommu.js';
import { MinimalIrqchip } from './model/irqchip.js';
import { MinimalUnit } from './driver/iommu.js';
import { MinimalRoot } from './driver/irqchip.js';
import { NUMBERS } from './spec/irqchip.js';

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

/** Takes nodes `minimal,irqchip`: a page per CPU, then the control page. Options `first` and `numbers`: which numbers are its own. */
export const minimalIrqchip = (): Plugin =>
  definePlugin('minimal-irqchip', {
    compatible: ['minimal,irqchip'],
    model: {
      create: (ctx: BlockContext<HardwareHost>) => {
        const { base, cpus, numbers } = shape(ctx.node);
        const chip = new MinimalIrqchip(ctx.node.name, ctx.host, base, cpus, numbers);
        joinCpuInterface(ctx, chip, numbers);
        return chip;
      },
    },
    driver: {
      create: (ctx: BlockContext<SoftwareHost>) => {
        const { base, cpus, numbers } = shape(ctx.node);
        ctx.service(INTERRUPTS).addRoot(ctx.node.name, new MinimalRoot(ctx.node.name, ctx.host, base, cpus, numbers));
        return {};
      },
    },
  });

function shape({ reg, options }: PlatformNode): { base: number; cpus: number; numbers: Range } {
  const { base, size } = reg![0]!;
  const { first = 0, numbers = NUMBERS } = (options ?? {}) as { first?: number; numbers?: number };
  return { base, cpus: size / 4096 - 1, numbers: rangeOf(first, numbers) };
}

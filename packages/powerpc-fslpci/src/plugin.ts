import { definePlugin, type BlockDefinition, type PlatformNode, type Plugin } from '@doorbell/platform';
import { IOMMU } from '@doorbell/iommu';
import { INTERRUPTS } from '@doorbell/irqchip';
import { FslPciDriver, InboundLevel } from './driver/windows.js';
import { FslPciBridge } from './model/bridge.js';
import { checkFslPci, fslPciOptions, type FslPciOptions } from './options.js';
import { FSLPCI_SIZE } from './spec/index.js';

export const FSLPCI_COMPATIBLE = ['fsl,qoriq-pcie', 'fsl,mpc8548-pcie', 'fsl,p4080-pcie'];

/** Inbound memory: all that a PAMU can be given, or the first 2 GiB, above which CCSR and PCI lie on boards without one. */
const BEHIND_PAMU = 2 ** 36;
const WITHOUT_PAMU = 2 ** 31;

export interface FslPciNode extends FslPciOptions {
  /** Default `pcie` and its number. */
  readonly name?: string;
  /** Default: CCSR + 0x20_0000 + 0x1000 for each one before. */
  readonly base?: number;
}

const CONTROLLER: BlockDefinition = {
  compatible: FSLPCI_COMPATIBLE,
  check: checkFslPci,
  model: {
    create: (ctx) => {
      return new FslPciBridge(ctx.node.name, ctx.node.reg![0]!.base, fslPciOptions(ctx.node), ctx.host);
    },
  },
  driver: {
    create: (ctx) => {
      const { node, host } = ctx;
      const { segment, ccsr, ccsrSize, inbound } = fslPciOptions(node);
      const alone = host.nodes.some((n) => (n.segment ?? 0) === segment && n.iommuMap?.some((e) => e.to === node.name));
      const driver = new FslPciDriver(node.name, node.reg![0]!.base, host.cpu, {
        ccsr,
        ccsrSize,
        inbound: inbound ?? (alone ? WITHOUT_PAMU : BEHIND_PAMU),
      });
      // Where the host bridge's map names the controller itself, nothing translates behind it.
      ctx.service(IOMMU).addRegions((d) => (d.kind === 'pci' && d.segment === segment ? driver.reserved : []));
      if (alone) ctx.service(INTERRUPTS).addTranslator(node.name, new InboundLevel(node.name, driver));
      return driver;
    },
  },
};

/** Takes PCIe controllers of Freescale SoCs; brings one node for each argument. The functions are those of the segment. */
export const fslPci = (...controllers: readonly FslPciNode[]): Plugin =>
  definePlugin('powerpc-fslpci', CONTROLLER, controllers.map(fslPciNode));

/** The node of a controller. */
export function fslPciNode({ name, base, ...options }: FslPciNode, i = 0): PlatformNode {
  const at = base ?? (options.ccsr ?? 0xfe00_0000) + 0x20_0000 + FSLPCI_SIZE * i;
  const reg = [{ base: at, size: FSLPCI_SIZE }];
  return { name: name ?? `pcie${i}`, compatible: FSLPCI_COMPATIBLE[0]!, reg, endian: 'big', options };
}

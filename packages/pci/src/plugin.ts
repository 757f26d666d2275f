import { definePlugin, type BlockDefinition, type Plugin } from '@doorbell/platform';
import { INTERRUPTS } from '@doorbell/irqchip';
import { PCI } from './driver/index.js';
import { PCI_HARDWARE, PciHostModel, type Placed } from './model/index.js';
import { checkHost, hostNode, hostOptions, PCI_HOST_ECAM, PCI_HOST_Q35, type PciHostOptions } from './options.js';

const block: BlockDefinition = {
  compatible: [PCI_HOST_ECAM, PCI_HOST_Q35],
  check: checkHost,
  model: {
    create: (context) => new PciHostModel(context.node, context.host, context.service(PCI_HARDWARE)),
  },
  driver: {
    create: (context) => {
      const { node, host } = context;
      const pci = context.service(PCI);
      pci.addHost(node, context.service(INTERRUPTS));
      if (hostOptions(node).enumerate) host.hooks.composed.tap(`pci:${node.name}`, () => void pci.enumerate());
      return {};
    },
  },
};

/** Takes host bridge nodes that stand elsewhere (firmware's, a board's). */
export const pci = (): Plugin => definePlugin('pci', block);

/**
 * A PCI segment: a host bridge with ECAM and the functions on its root bus, enumerated when the platform is composed (unless
 * `enumerate: false`). On a live machine `functions` is ignored: what is there is there.
 */
export const pciHost = (options: PciHostOptions, functions: readonly Placed[] = []): Plugin =>
  withNode(PCI_HOST_ECAM, options, functions);

/** The same as QEMU's q35 has it: CF8/CFC, and the ECAM where PCIEXBAR of 00:00.0 says once software programmed it. */
export const pciHostQ35 = (options: PciHostOptions, functions: readonly Placed[] = []): Plugin =>
  withNode(PCI_HOST_Q35, options, functions);

function withNode(compatible: string, options: PciHostOptions, functions: readonly Placed[]): Plugin {
  const node = hostNode(compatible, options, functions);
  return definePlugin(`pci:${node.name}`, block, [node]);
}

// A platform from what a machine's own firmware says: tables and an lspci dump become nodes, and plugins take them.
import { readdirSync, readFileSync } from 'node:fs';
import { platformNodes, readMachine } from '@doorbell/firmware';
import { IOMMU } from '@doorbell/iommu';
import { functionsFromDump, PCI, pci } from '@doorbell/pci';
import { Platform, type PlatformNode, type Plugin } from '@doorbell/platform';
import { apic } from '@doorbell/x86-apic';
import { vtd } from '@doorbell/x86-vtd';

// `doorbell collect` prints how to fill such a directory on Linux.
const dir = new URL('../machines/q35-vtd/', import.meta.url);
const machine = readMachine(readdirSync(dir).map((name) => ({ name, bytes: readFileSync(new URL(name, dir)) })));
const read = platformNodes(machine);
console.log(`read: ${machine.sources.join(', ')}`);
for (const { name, compatible } of read.nodes) console.log(`  ${name} (${compatible})`);

// The functions are the dump's; the host bridge gets them, and a window for their BARs.
const dumped = machine.pci!.functions.map(({ facts: { source: s } }) => ({
  requester: (s.bus << 8) | (s.device << 3) | s.function,
  config: s.config,
}));
const functions = functionsFromDump(dumped).roots[0]!.functions;
const windows = [{ base: 0xc000_0000, size: 0x1000_0000 }];
const nodes = read.nodes.map(
  (n): PlatformNode => (n.name === 'pci0' ? { ...n, options: { ...n.options, functions, windows } } : n),
);
/** A plugin that takes the nodes of its kind and brings none of its own. */
const claims = (plugin: Plugin): Plugin => ({
  ...plugin,
  apply: ({ hooks }) => plugin.apply({ hooks, addNode: () => undefined }),
});
const platform = new Platform({ name: 'from tables', memory: [{ base: 0, size: 2 ** 27 }] })
  .use(claims(apic()), vtd(), pci())
  .node(...nodes)
  .compose();

const iommu = platform.service(IOMMU);
for (const fn of platform.service(PCI).functions) {
  const { group, isolated } = fn.isolation;
  const vectors =
    fn.msixVectors > 0 ? `MSI-X ${fn.msixVectors}` : fn.msiVectors > 0 ? `MSI ${fn.msiVectors}` : 'no MSI';
  console.log(`${fn.name} behind ${iommu.unitOf(fn)?.name}, group ${group}${isolated ? '' : ' (shared)'}, ${vectors}`);
}

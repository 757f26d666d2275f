import { COMPATIBLE, walk, type Machine, type MachineDescription } from '@doorbell/firmware';
import { PCI_HOST_ECAM } from '@doorbell/pci';
import type { PlatformNode } from '@doorbell/platform';
import type { AddressSpace } from './space.js';

/** Host bridges are the nodes that hold functions. */
export const isHost = (node: PlatformNode): boolean => node.options?.['functions'] !== undefined;

/** Two host bridges of one name or segment, as damaged or unusual trees have them, become two. */
export function unique(nodes: readonly PlatformNode[], notes: string[]): PlatformNode[] {
  const names = new Set<string>();
  const segments = new Set<number>();
  return nodes.map((node) => {
    let { name, segment } = node;
    while (names.has(name)) name += "'";
    names.add(name);
    if (!isHost(node)) return name === node.name ? node : { ...node, name };
    segment ??= 0;
    const wanted = segment;
    while (segments.has(segment)) segment++;
    if (segment !== wanted) notes.push(`${name}: segment ${wanted} has another host bridge, so it is ${segment} here`);
    segments.add(segment);
    return { ...node, name, segment };
  });
}

/** An x86 machine has local APICs, whether its MADT was collected or not. */
export function withApic(machine: Machine, nodes: PlatformNode[], notes: string[]): PlatformNode[] {
  const x86 = machine.tree === null && machine.iort === null && (machine.dmar !== null || machine.ivrs !== null);
  if (!x86 || nodes.some((n) => n.compatible === COMPATIBLE.apic)) return nodes;
  notes.push('there is no APIC table: one CPU is assumed');
  const reg = [{ base: 0xfee0_0000, size: 0x10_0000 }];
  return [{ name: 'apic', compatible: COMPATIBLE.apic, reg, options: { cpus: 1 } }, ...nodes];
}

/**
 * Segments of the dump that no table names have a host bridge too. Not those beyond 16 bits: Linux numbers so what hangs off a
 * function of another segment (Intel's VMD), which sends under that function's id.
 */
export function withSegments(machine: Machine, nodes: PlatformNode[], notes: string[]): PlatformNode[] {
  const have = new Set(nodes.filter(isHost).map((n) => n.segment ?? 0));
  const domains = (machine.pci?.functions ?? []).map((p) => p.facts.source.domain);
  const missing = [...new Set(domains)].filter((s) => !have.has(s));
  for (const segment of missing.filter((s) => s > 0xffff)) {
    const count = domains.filter((d) => d === segment).length;
    notes.push(
      `segment ${segment.toString(16)} (${count} function${count === 1 ? '' : 's'}) is not modelled: it hangs off a function of another segment, as behind Intel's VMD`,
    );
  }
  return [
    ...nodes,
    ...missing
      .filter((s) => s <= 0xffff)
      .map((segment) => ({
        name: `pci${segment}`,
        compatible: PCI_HOST_ECAM,
        segment,
        options: { windows: [], functions: [] },
      })),
  ];
}

/** Units whose ids go beyond the usual 16 bits have as many as the maps to them need. */
export function wide(node: PlatformNode, hosts: readonly PlatformNode[]): PlatformNode {
  const option =
    node.compatible === COMPATIBLE.smmuv3 ? 'sidBits' : node.compatible === COMPATIBLE.its ? 'deviceBits' : null;
  if (option === null) return node;
  const maps = hosts.flatMap((h) => (option === 'sidBits' ? h.iommuMap : h.msiMap) ?? []);
  const last = Math.max(0, ...maps.filter((e) => e.to === node.name).map((e) => e.outputBase + e.count - 1));
  const bits = Math.max(16, Math.ceil(Math.log2(last + 1)));
  return bits > 16 ? { ...node, options: { ...node.options, [option]: bits } } : node;
}

/** What the models of interrupt controllers have to be told beside what firmware's nodes say. */
export function fit(node: PlatformNode, beside: AddressSpace, notes: string[]): PlatformNode {
  if (node.compatible === COMPATIBLE.apic && Array.isArray(node.options?.['cpus'])) {
    const ids = node.options['cpus'] as readonly number[];
    const cpus = ids.filter((id) => id <= 254);
    if (cpus.length < ids.length)
      notes.push(`${node.name}: ${cpus.length} of ${ids.length} CPUs, the others need x2APIC mode`);
    return { ...node, options: { ...node.options, cpus: cpus.length > 0 ? cpus : 1 } };
  }
  if (node.compatible !== COMPATIBLE.gicv3) return node;
  const wanted = (node.options?.['cpus'] as number | undefined) ?? 1;
  const [distributor, told] = node.reg ?? [];
  if (!distributor) return node;
  if (!told) notes.push(`${node.name}: its redistributors are put where nothing else is`);
  const redistributors = told ?? beside.place(wanted * 0x20000, { from: distributor.base, align: 0x10000 });
  // A redistributor takes two 64 KiB frames; GICv4 four.
  const virtualLpis = redistributors.size >= wanted * 0x40000;
  const room = Math.max(1, Math.floor(redistributors.size / (virtualLpis ? 0x40000 : 0x20000)));
  if (room < wanted) notes.push(`${node.name}: ${room} of ${wanted} CPUs, those of its first redistributor region`);
  const options = { ...node.options, cpus: Math.min(room, wanted), spis: 960, virtualLpis };
  const size = options.cpus * (virtualLpis ? 0x40000 : 0x20000);
  // IHI 0069: the distributor's registers are 64 KiB; some trees give it all that is around it, the ITS included.
  const own = { base: distributor.base, size: Math.min(distributor.size, 0x10000) };
  return { ...node, reg: [own, { base: redistributors.base, size }], options };
}

/**
 * What boot firmware adds to a QorIQ's tree, and our board code here: the LIODN of each PCI controller that names a PAMU, and which MSI bank serves
 * it. Banks lie inside their MPIC, so their nodes have an address instead of a range.
 */
export function withQoriq(
  machine: Machine,
  d: MachineDescription,
  nodes: readonly PlatformNode[],
  models: (node: PlatformNode) => boolean,
  notes: string[],
): PlatformNode[] {
  const banks = nodes.filter((n) => n.compatible === COMPATIBLE.mpicMsi);
  if (machine.tree === null || banks.length === 0) return [...nodes];
  const cpus = [...walk(machine.tree.root)].filter((n) => n.strings('device_type').includes('cpu')).length;
  const second = banks.some((b) => (b.options?.['tree'] as readonly string[]).includes('fsl,mpic-msi-v4.3'));
  let next = 1;
  const known = new Set(d.iommus.flatMap((u) => u.liodns ?? []).map((l) => l.liodn));
  const assign = (): number => {
    while (known.has(next)) next++;
    return next++;
  };
  const mpic = nodes.find((n) => n.compatible === COMPATIBLE.mpic)?.reg?.[0]?.base ?? 0;
  const controllers: PlatformNode[] = [];
  let hosts = 0;
  const fitted = nodes.map((n): PlatformNode => {
    if (n.compatible === COMPATIBLE.mpic)
      return { ...n, options: { cpus: Math.min(Math.max(cpus, 1), 32), version: second ? 0x0403 : 0x0402 } };
    if (n.compatible === COMPATIBLE.mpicMsi) {
      const { reg, options, ...rest } = n;
      return { ...rest, options: { at: reg![0]!.base, doorbell: options!['doorbell'], ranges: options!['ranges'] } };
    }
    if (!isHost(n)) return n;
    const path = n.options!['node'];
    const bank = banks[hosts++ % banks.length]!;
    const msiMap = n.msiMap ?? [{ inputBase: 0, count: 65536, outputBase: 0, to: bank.name }];
    if (!n.msiMap && banks.length > 1)
      notes.push(`${n.name}: ${bank.name} is taken for its MSIs, as any bank would do`);
    const controller = controllerOf(n, d, mpic - 0x4_0000);
    const there = controller !== null && models(controller);
    if (there) controllers.push(controller);
    else notes.push(`${n.name} (${n.compatible}): a plain host bridge stands in for it`);
    const host = { ...n, compatible: PCI_HOST_ECAM, msiMap };
    const everything = { inputBase: 0, count: 65536 };
    const pamus = d.iommus.filter((u) => u.type === 'pamu');
    const named = pamus.find((u) => u.liodns?.some((l) => l.device === path));
    // Every controller of a SoC with PAMUs is behind one of them, and all share one table: any will do.
    const unit = named ?? pamus[(hosts - 1) % Math.max(pamus.length, 1)];
    if (unit === undefined) {
      // Without a PAMU the controller's own inbound windows are all there is.
      notes.push(`${n.name}: no PAMU is described: its functions reach all memory, and all of CCSR through PEXCSRBAR`);
      return there ? { ...host, iommuMap: [{ ...everything, outputBase: 0, to: controller.name }] } : host;
    }
    if (named === undefined)
      notes.push(`${n.name}: ${unit.name} is taken, the tree does not say which PAMU serves it (fsl,iommu-parent)`);
    const told = unit.liodns!.find((l) => l.device === path)?.liodn ?? null;
    const liodn = told ?? assign();
    if (told === null)
      notes.push(`${n.name}: LIODN ${liodn} at ${unit.name} is assigned, the tree leaves it to the boot loader`);
    // One LIODN for all that the controller sends.
    return { ...host, iommuMap: [{ ...everything, outputBase: liodn, to: unit.name, shared: true }] };
  });
  return [...controllers, ...fitted];
}

/** The controller's registers as a block beside its host bridge; null for kinds that nobody may model. CCSR: 16 MiB, or 1 MiB on smaller SoCs. */
function controllerOf(host: PlatformNode, d: MachineDescription, ccsr: number): PlatformNode | null {
  const kinds = d.pciHosts.find((h) => h.node === host.options!['node'])?.compatible ?? [host.compatible];
  const qoriq = kinds.some((k) => k.startsWith('fsl,qoriq-pcie'));
  const base = host.reg?.[0]?.base;
  if (base === undefined || ccsr < 0) return null;
  const segment = host.segment ?? 0;
  return {
    name: `pcie${segment}`,
    compatible: qoriq ? 'fsl,qoriq-pcie' : host.compatible,
    reg: [{ base, size: 0x1000 }],
    endian: 'big',
    options: { segment, ccsr, ccsrSize: ccsr % 2 ** 24 === 0 ? 2 ** 24 : 2 ** 20 },
  };
}

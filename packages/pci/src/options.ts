import { DoorbellError, overlaps, rangeOf, type IdMapEntry, type PlatformNode } from '@doorbell/platform';

/** A range of the system's addresses that reaches BARs. */
export interface HostWindow {
  readonly base: number;
  readonly size: number;
}

/** What both halves of a host bridge read from its node's options. */
export interface PciHostNodeOptions {
  /** ECAM of `buses` buses (default as its size says), the first being `firstBus`. The address is that of the first bus. */
  readonly ecam: { readonly base: number; readonly buses: number; readonly firstBus: number };
  readonly windows: readonly HostWindow[];
  /** How software reaches configuration space: `ecam` (default) or `cf8` (ports, 256 bytes). */
  readonly access: 'ecam' | 'cf8';
  /** q35: function 00:00.0 has PCIEXBAR; software programs it. */
  readonly q35: boolean;
  /** Whether software enumerates when the platform is composed. */
  readonly enumerate: boolean;
  /** Whatever the model is told to hold. */
  readonly functions: readonly unknown[];
}

export const PCI_HOST_ECAM = 'doorbell,pci-host-ecam';
export const PCI_HOST_Q35 = 'doorbell,pci-host-q35';

/** Reads and completes a node's options. */
export function hostOptions(node: PlatformNode): PciHostNodeOptions {
  const o = (node.options ?? {}) as Partial<PciHostNodeOptions>;
  const reg = node.reg?.[0];
  const ecam = o.ecam ?? { base: reg?.base ?? 0, buses: Math.floor((reg?.size ?? 0) / 2 ** 20), firstBus: 0 };
  return {
    ecam,
    windows: o.windows ?? (node.reg ?? []).slice(1),
    access: o.access ?? 'ecam',
    q35: node.compatible === PCI_HOST_Q35,
    enumerate: o.enumerate ?? true,
    functions: o.functions ?? [],
  };
}

/** Mistakes of a node's options, found before anything is built. */
export function checkHost(node: PlatformNode): DoorbellError[] {
  const { ecam, windows } = hostOptions(node);
  const out: DoorbellError[] = [];
  const bad = (what: string, remedy: string) =>
    out.push(new DoorbellError('BAD_HOST_BRIDGE', `${node.name} ${what}`, remedy, { node: node.name }));
  if (!(ecam.buses >= 1 && ecam.firstBus >= 0 && ecam.firstBus + ecam.buses <= 256))
    bad(`has ${ecam.buses} buses from ${ecam.firstBus} on`, 'give its ECAM room for 1 to 256 buses, 1 MiB each');
  if (ecam.base % 2 ** 20) bad('has an ECAM that is not aligned to 1 MiB', 'align it');
  for (const [i, w] of windows.entries()) {
    if (w.base % 4096 || w.size % 4096 || !(w.size > 0))
      bad('has a window that is not whole pages', 'align it to 4 KiB');
    for (const x of windows.slice(i + 1))
      if (overlaps(rangeOf(w.base, w.size), rangeOf(x.base, x.size)))
        bad('has windows that overlap', 'keep them apart');
  }
  return out;
}

/** A host bridge for `pciHost`. */
export interface PciHostOptions {
  /** The node's name. Default `pci0`, or `pci` and the segment. */
  readonly name?: string;
  readonly segment?: number;
  readonly ecam: { readonly base: number; readonly buses?: number; readonly firstBus?: number };
  /** Ranges for BARs. */
  readonly windows: readonly HostWindow[];
  readonly access?: 'ecam' | 'cf8';
  readonly enumerate?: boolean;
  readonly iommuMap?: readonly IdMapEntry[];
  readonly msiMap?: readonly IdMapEntry[];
}

/** The node of a host bridge. */
export function hostNode(compatible: string, options: PciHostOptions, functions: readonly unknown[]): PlatformNode {
  const { segment = 0, name = `pci${segment}`, windows, iommuMap, msiMap } = options;
  const ecam = { base: options.ecam.base, buses: options.ecam.buses ?? 256, firstBus: options.ecam.firstBus ?? 0 };
  return {
    name,
    compatible,
    segment,
    reg: [{ base: ecam.base, size: ecam.buses * 2 ** 20 }, ...windows],
    ...(iommuMap && { iommuMap }),
    ...(msiMap && { msiMap }),
    options: { ecam, windows, functions, access: options.access ?? 'ecam', enumerate: options.enumerate ?? true },
  };
}

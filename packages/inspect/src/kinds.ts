import { COMPATIBLE } from '@doorbell/firmware';
import type { PlatformNode } from '@doorbell/platform';

/** Intel's and AMD's units hand interrupt messages to local APICs. */
export const isX86Unit = (n: PlatformNode): boolean => X86.has(n.compatible);
const X86 = new Set<string>([COMPATIBLE.vtd, COMPATIBLE.amdVi]);

/** Blocks that translate. */
export const isIommu = (n: PlatformNode): boolean => IOMMUS.has(n.compatible) || n.options === UNKNOWN;
const IOMMUS = new Set<string>([...X86, COMPATIBLE.smmuv3, COMPATIBLE.smmuv2, COMPATIBLE.pamu]);

/** Options of a block of which only its kind is known: it is taken for an IOMMU, so that nothing is answered past it. */
export const UNKNOWN = { unknown: true } as const;

export const isHost = (n: PlatformNode): boolean =>
  n.compatible === COMPATIBLE.pciHost || n.iommuMap !== undefined || n.msiMap !== undefined;

/** Blocks that take messages. */
export const isController = (n: PlatformNode): boolean => CONTROLLERS.has(n.compatible);
const CONTROLLERS = new Set<string>([COMPATIBLE.apic, COMPATIBLE.its, COMPATIBLE.v2m, COMPATIBLE.mpicMsi]);

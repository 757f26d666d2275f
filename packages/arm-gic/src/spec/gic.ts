import { bit, bits, layout, wide } from '@doorbell/bits';

/** GICv3 distributor and redistributor registers, and the GICv2m frame. */

const ro = { access: 'ro' } as const;

/** CIDR0–3 of every Arm component, at 0xFFF0 of its frame. */
export const CIDR: readonly number[] = [0x0d, 0xf0, 0x05, 0xb1];
/** PIDR4, PIDR0, PIDR1 as QEMU 7.2's GIC shows them: Arm, a part each for distributor, redistributor and ITS. */
export const PIDR = { distributor: 0x92, redistributor: 0x93, its: 0x94, PIDR1: 0xb4, PIDR4: 0x44 } as const;

export const GICD_SIZE = 0x10000;
export const GICR_SIZE = 0x20000;
export const SPURIOUS = 1023;

export const GICD_CTLR = layout('GICD_CTLR', 'IHI0069 §12.9.4', 0x0000, 32, {
  EnableGrp0: bit(0),
  EnableGrp1: bit(1),
  ARE: bit(4, { ...ro, reset: 1 }),
  DS: bit(6, { ...ro, reset: 1 }),
  RWP: bit(31, ro),
});
export const GICD_TYPER = layout('GICD_TYPER', 'IHI0069 §12.9.38', 0x0004, 32, {
  ITLinesNumber: bits(4, 0, ro),
  MBIS: bit(16, ro),
  LPIS: bit(17, ro),
  DVIS: bit(18, ro),
  IDbits: bits(23, 19, ro),
  A3V: bit(24, ro),
  No1N: bit(25, ro),
});
export const GICD_IIDR = layout('GICD_IIDR', 'IHI0069 §12.9.14', 0x0008, 32, { VALUE: bits(31, 0, ro) });
export const GICD_TYPER2 = layout('GICD_TYPER2', 'IHI0069 §12.9.39', 0x000c, 32, { VID: bits(4, 0, ro) });
export const GICD_STATUSR = layout('GICD_STATUSR', 'IHI0069 §12.9.36', 0x0010, 32, { VALUE: bits(3, 0, ro) });
export const GICD_SETSPI_NSR = layout('GICD_SETSPI_NSR', 'IHI0069 §12.9.33', 0x0040, 32, {
  INTID: bits(12, 0, { access: 'wo' }),
});
export const GICD_CLRSPI_NSR = layout('GICD_CLRSPI_NSR', 'IHI0069 §12.9.1', 0x0048, 32, {
  INTID: bits(12, 0, { access: 'wo' }),
});
export const GICD_PIDR2 = layout('GICD_PIDR2', 'IHI0069 §12.9.22', 0xffe8, 32, {
  ArchRev: bits(7, 4, ro),
  DES: bits(3, 0, ro),
});
/** Bitmaps and arrays by INTID: offset of the first, bits per INTID. */
export const GICD_ARRAYS = {
  IGROUPR: 0x0080,
  ISENABLER: 0x0100,
  ICENABLER: 0x0180,
  ISPENDR: 0x0200,
  ICPENDR: 0x0280,
  ISACTIVER: 0x0300,
  ICACTIVER: 0x0380,
  IPRIORITYR: 0x0400,
  ITARGETSR: 0x0800,
  ICFGR: 0x0c00,
  IROUTER: 0x6000,
} as const;

export const GICR_CTLR = layout('GICR_CTLR', 'IHI0069 §12.11.2', 0x0000, 32, {
  EnableLPIs: bit(0),
  CES: bit(1, { ...ro, reset: 1 }),
  RWP: bit(3, ro),
});
export const GICR_IIDR = layout('GICR_IIDR', 'IHI0069 §12.11.10', 0x0004, 32, { VALUE: bits(31, 0, ro) });
export const GICR_TYPER = layout('GICR_TYPER', 'IHI0069 §12.11.35', 0x0008, 64, {
  PLPIS: bit(0, ro),
  VLPIS: bit(1, ro),
  DirectLPI: bit(3, ro),
  Last: bit(4, ro),
  Processor_Number: bits(23, 8, ro),
  CommonLPIAff: bits(25, 24, ro),
  Affinity: bits(63, 32, ro),
});
export const GICR_WAKER = layout('GICR_WAKER', 'IHI0069 §12.11.38', 0x0014, 32, {
  ProcessorSleep: bit(1),
  ChildrenAsleep: bit(2, ro),
});
export const GICR_PROPBASER = layout('GICR_PROPBASER', 'IHI0069 §12.11.27', 0x0070, 64, {
  IDbits: bits(4, 0),
  InnerCache: bits(9, 7),
  Shareability: bits(11, 10),
  PA: wide(51, 12),
  OuterCache: bits(58, 56),
});
export const GICR_PENDBASER = layout('GICR_PENDBASER', 'IHI0069 §12.11.26', 0x0078, 64, {
  InnerCache: bits(9, 7),
  Shareability: bits(11, 10),
  PA: wide(51, 16),
  OuterCache: bits(58, 56),
  PTZ: bit(62, { access: 'wo' }),
});
export const GICR_SYNCR = layout('GICR_SYNCR', 'IHI0069 §12.11.34', 0x00c0, 32, { Busy: bit(0, ro) });
export const GICR_PIDR2 = layout('GICR_PIDR2', 'IHI0069 §12.11.22', 0xffe8, 32, {
  ArchRev: bits(7, 4, ro),
  DES: bits(3, 0, ro),
});
/** The SGI and PPI frame lies 64 KiB above the RD frame. */
export const SGI_FRAME = 0x10000;

export const V2M_SIZE = 0x1000;
export const V2M_MSI_TYPER = layout('MSI_TYPER', 'GICv2m', 0x008, 32, {
  COUNT: bits(9, 0, ro),
  BASE: bits(25, 16, ro),
});
export const V2M_MSI_SETSPI = layout('MSI_SETSPI_NS', 'GICv2m', 0x040, 32, { INTID: bits(31, 0, { access: 'wo' }) });
export const V2M_MSI_IIDR = layout('MSI_IIDR', 'GICv2m', 0xfcc, 32, { VALUE: bits(31, 0, ro) });

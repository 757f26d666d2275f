import { bit, bits, layout } from '@doorbell/bits';

/** GICv2 distributor and CPU interface (IHI 0048): what differs from GICv3. Arrays by INTID are those of `GICD_ARRAYS`. */

const ro = { access: 'ro' } as const;

export const GICV2_GICD_SIZE = 0x1000;
export const GICV2_GICC_SIZE = 0x1000;
/** ITARGETSR has one bit per CPU. */
export const GICV2_MOST_CPUS = 8;

export const GICV2_GICD_CTLR = layout('GICv2 GICD_CTLR', 'IHI0048 §4.3.1', 0x000, 32, { Enable: bit(0) });
export const GICV2_GICD_TYPER = layout('GICv2 GICD_TYPER', 'IHI0048 §4.3.2', 0x004, 32, {
  ITLinesNumber: bits(4, 0, ro),
  CPUNumber: bits(7, 5, ro),
  SecurityExtn: bit(10, ro),
});
export const GICV2_GICD_IIDR = layout('GICv2 GICD_IIDR', 'IHI0048 §4.3.3', 0x008, 32, { VALUE: bits(31, 0, ro) });

export const GICV2_GICC_CTLR = layout('GICv2 GICC_CTLR', 'IHI0048 §4.4.1', 0x000, 32, { Enable: bit(0) });
export const GICV2_GICC_PMR = layout('GICv2 GICC_PMR', 'IHI0048 §4.4.2', 0x004, 32, { Priority: bits(7, 0) });

import { get } from '@doorbell/bits';
import { registerPort, type Driver, type Machine } from '@doorbell/platform';
import { GICD_ARRAYS, GICV2_GICC_CTLR, GICV2_GICC_PMR, GICV2_GICD_CTLR, GICV2_GICD_TYPER } from '../spec/index.js';
import { SpiDriver } from './spis.js';

/** The priority mask lets everything pass that is above idle. */
const LOWEST = 0xf0;

/** Brings up a GICv2: the distributor, and the CPU interface of the CPU that software runs on; the others' are banked and their own business. */
export class Gicv2Driver extends SpiDriver implements Driver {
  readonly cpus: readonly number[];

  constructor(machine: Machine, bases: { readonly distributor: number; readonly cpuInterface: number | undefined }) {
    const d = registerPort(machine.cpu, bases.distributor);
    super(machine, d, bases.distributor);
    d.write32(GICV2_GICD_CTLR.$.at, GICV2_GICD_CTLR.Enable.mask);
    const count = get(d.read32(GICV2_GICD_TYPER.$.at), GICV2_GICD_TYPER.CPUNumber) + 1;
    this.cpus = Array.from({ length: count }, (_, cpu) => cpu);
    if (bases.cpuInterface === undefined) return;
    const c = registerPort(machine.cpu, bases.cpuInterface);
    c.write32(GICV2_GICC_PMR.$.at, LOWEST);
    c.write32(GICV2_GICC_CTLR.$.at, GICV2_GICC_CTLR.Enable.mask);
  }

  /** There is nothing to give back. */
  dispose(): void {}

  routeSpi(intid: number, cpu: number): void {
    this.machine.cpu.write8(this.distributorBase + GICD_ARRAYS.ITARGETSR + intid, 1 << cpu);
  }
}

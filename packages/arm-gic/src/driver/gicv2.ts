import { get } from '@doorbell/bits';
import { registerPort, type Driver, type Machine, type RegisterPort } from '@doorbell/platform';
import { GICD_ARRAYS, GICV2_GICC_CTLR, GICV2_GICC_PMR, GICV2_GICD_CTLR, GICV2_GICD_TYPER } from '../spec/index.js';
import type { SpiSoftware } from './gic.js';

/** Linux's default priority; the priority mask lets everything pass that is above idle. */
const PRIORITY = 0xa0;
const LOWEST = 0xf0;

/** Brings up a GICv2: the distributor, and the CPU interface of the CPU that software runs on; the others' are banked and their own business. */
export class Gicv2Driver implements Driver, SpiSoftware {
  readonly cpus: readonly number[];
  private readonly distributor: RegisterPort;

  constructor(
    private readonly machine: Machine,
    private readonly bases: { readonly distributor: number; readonly cpuInterface: number | undefined },
  ) {
    const d = (this.distributor = registerPort(machine.cpu, bases.distributor));
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

  enableSpi(intid: number, cpu: number): void {
    const d = this.distributor;
    const bit = (1 << (intid & 31)) >>> 0;
    const config = GICD_ARRAYS.ICFGR + 4 * (intid >>> 4);
    d.write32(config, (d.read32(config) | (2 << (2 * (intid & 15)))) >>> 0); // edge
    this.machine.cpu.write8(this.bases.distributor + GICD_ARRAYS.IPRIORITYR + intid, PRIORITY);
    this.routeSpi(intid, cpu);
    d.write32(GICD_ARRAYS.ICPENDR + 4 * (intid >>> 5), bit);
    d.write32(GICD_ARRAYS.ISENABLER + 4 * (intid >>> 5), bit);
  }

  routeSpi(intid: number, cpu: number): void {
    this.machine.cpu.write8(this.bases.distributor + GICD_ARRAYS.ITARGETSR + intid, 1 << cpu);
  }

  disableSpi(intid: number): void {
    this.maskSpi(intid, true);
    this.distributor.write32(GICD_ARRAYS.ICPENDR + 4 * (intid >>> 5), (1 << (intid & 31)) >>> 0);
  }

  maskSpi(intid: number, masked: boolean): void {
    const array = masked ? GICD_ARRAYS.ICENABLER : GICD_ARRAYS.ISENABLER;
    this.distributor.write32(array + 4 * (intid >>> 5), (1 << (intid & 31)) >>> 0);
  }
}

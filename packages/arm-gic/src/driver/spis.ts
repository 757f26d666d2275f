import { token, type Machine, type RegisterPort, type Token } from '@doorbell/platform';
import { GICD_ARRAYS } from '../spec/index.js';

/** What drivers of message frames ask of the GIC's driver. */
export interface SpiSoftware {
  /** CPUs that take interrupts, by processor number. */
  readonly cpus: readonly number[];
  /** Edge-triggered, routed and enabled. */
  enableSpi(intid: number, cpu: number): void;
  routeSpi(intid: number, cpu: number): void;
  /** Disabled and no longer pending. */
  disableSpi(intid: number): void;
  maskSpi(intid: number, masked: boolean): void;
}

export const SPIS: Token<SpiSoftware> = token<SpiSoftware>('software:spis');

/** Linux's default priority. */
const PRIORITY = 0xa0;

/** SPIs of a distributor, as far as versions 2 and 3 have the same registers: routes are each version's own. */
export abstract class SpiDriver implements SpiSoftware {
  abstract readonly cpus: readonly number[];

  constructor(
    protected readonly machine: Machine,
    protected readonly distributor: RegisterPort,
    /** Its address, for registers of a byte per interrupt. */
    protected readonly distributorBase: number,
  ) {}

  abstract routeSpi(intid: number, cpu: number): void;

  enableSpi(intid: number, cpu: number): void {
    const d = this.distributor;
    const config = GICD_ARRAYS.ICFGR + 4 * (intid >>> 4);
    d.write32(config, (d.read32(config) | (2 << (2 * (intid & 15)))) >>> 0); // edge
    this.machine.cpu.write8(this.distributorBase + GICD_ARRAYS.IPRIORITYR + intid, PRIORITY);
    this.routeSpi(intid, cpu);
    this.set(GICD_ARRAYS.ICPENDR, intid);
    this.set(GICD_ARRAYS.ISENABLER, intid);
  }

  disableSpi(intid: number): void {
    this.maskSpi(intid, true);
    this.set(GICD_ARRAYS.ICPENDR, intid);
  }

  maskSpi(intid: number, masked: boolean): void {
    this.set(masked ? GICD_ARRAYS.ICENABLER : GICD_ARRAYS.ISENABLER, intid);
  }

  /** Writes the interrupt's bit alone: in these arrays zeros change nothing. */
  private set(array: number, intid: number): void {
    this.distributor.write32(array + 4 * (intid >>> 5), (1 << (intid & 31)) >>> 0);
  }
}

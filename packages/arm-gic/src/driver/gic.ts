import { NumberSpace } from '@doorbell/irqchip';
import { registerPort, token, type Driver, type Machine, type RegisterPort, type Token } from '@doorbell/platform';
import {
  FIRST_LPI,
  GICD_ARRAYS,
  GICD_CTLR,
  GICD_TYPER,
  GICR_CTLR,
  GICR_PENDBASER,
  GICR_PROPBASER,
  GICR_SIZE,
  GICR_TYPER,
  GICR_WAKER,
} from '../spec/index.js';
import { SpiDriver, type SpiSoftware } from './spis.js';

/** Linux's default priority (0xa0) and RES1; Enable in bit 0. */
const LPI_PRIORITY_BYTE = 0xa2;
/** 16-bit INTIDs are enough: 57,344 LPIs. */
const MAX_ID_BITS = 16;

/** What drivers of ITSs ask besides. */
export interface GicSoftware extends SpiSoftware {
  /** All LPIs, shared by every ITS. */
  readonly lpis: NumberSpace;
  /** Address of the RD frame: RDbase where GITS_TYPER.PTA = 1. */
  redistributor(cpu: number): number;
  /** Writes the LPI's configuration byte. Visible to the hardware after INV and SYNC. */
  configureLpi(intid: number, enabled: boolean): void;
}

export const GIC: Token<GicSoftware> = token<GicSoftware>('software:gic');

/** Brings up a GICv3: distributor, every redistributor, LPI tables. */
export class GicDriver extends SpiDriver implements Driver, GicSoftware {
  readonly cpus: readonly number[];
  readonly lpis: NumberSpace;
  private readonly configuration: number;
  private readonly addresses: number[] = [];

  constructor(
    machine: Machine,
    bases: { readonly distributor: number; readonly redistributors: number },
    name: string,
  ) {
    const d = registerPort(machine.cpu, bases.distributor);
    super(machine, d, bases.distributor);
    d.write32(GICD_CTLR.$.at, GICD_CTLR.ARE.mask | GICD_CTLR.EnableGrp1.mask);
    machine.waitUntil(`${name}: GICD_CTLR.RWP`, () => (d.read32(GICD_CTLR.$.at) & GICD_CTLR.RWP.mask) === 0);
    const typer = d.read32(GICD_TYPER.$.at);
    const idBits = Math.min(((typer >>> GICD_TYPER.IDbits.lsb) & 31) + 1, MAX_ID_BITS);
    const count = 2 ** idBits - FIRST_LPI;
    this.lpis = new NumberSpace(`LPIs of ${name}`, FIRST_LPI, count);
    this.configuration = machine.pages.allocate(count);
    machine.memory.fill(this.configuration, count, LPI_PRIORITY_BYTE);
    for (let at = bases.redistributors, last = false; !last; ) {
      const r = registerPort(machine.cpu, at);
      const typer = r.read32(GICR_TYPER.$.at);
      last = (typer & GICR_TYPER.Last.mask) !== 0;
      this.wake(r, `${name}: redistributor ${this.addresses.length}`, idBits);
      this.addresses.push(at);
      at += GICR_SIZE * (typer & GICR_TYPER.VLPIS.mask ? 2 : 1); // GICv4: two more frames
    }
    this.cpus = this.addresses.map((_, cpu) => cpu);
  }

  /** The machine keeps the tables as long as it runs: there is nothing to give back. */
  dispose(): void {}

  redistributor(cpu: number): number {
    return this.addresses[cpu]!;
  }

  configureLpi(intid: number, enabled: boolean): void {
    this.machine.memory.write8(this.configuration + intid - FIRST_LPI, LPI_PRIORITY_BYTE | (enabled ? 1 : 0));
  }

  /** In group 1, besides. */
  override enableSpi(intid: number, cpu: number): void {
    const group = GICD_ARRAYS.IGROUPR + 4 * (intid >>> 5);
    this.distributor.write32(group, (this.distributor.read32(group) | (1 << (intid & 31))) >>> 0);
    super.enableSpi(intid, cpu);
  }

  routeSpi(intid: number, cpu: number): void {
    this.distributor.write64(GICD_ARRAYS.IROUTER + 8 * intid, 0, cpu); // Aff0
  }

  /** Wakes a redistributor and gives it the LPI tables. */
  private wake(r: RegisterPort, what: string, idBits: number): void {
    const { machine } = this;
    r.write32(GICR_WAKER.$.at, 0);
    machine.waitUntil(`${what}: WAKER`, () => (r.read32(GICR_WAKER.$.at) & GICR_WAKER.ChildrenAsleep.mask) === 0);
    const pending = machine.pages.allocate(2 ** idBits / 8, 0x10000);
    machine.memory.barrier();
    this.base(r, GICR_PROPBASER.$.at, this.configuration, idBits - 1);
    this.base(r, GICR_PENDBASER.$.at, pending, 0, GICR_PENDBASER.PTZ.mask);
    r.write32(GICR_CTLR.$.at, GICR_CTLR.EnableLPIs.mask);
  }

  /** A base register with the table's address, inner write-back cacheable (7) and inner shareable (1). */
  private base(r: RegisterPort, at: number, address: number, low: number, high = 0): void {
    r.write64(at, (Math.floor(address / 2 ** 32) | high) >>> 0, ((address >>> 0) | (1 << 10) | (7 << 7) | low) >>> 0);
  }
}

/** A field of a 64-bit register, read whole. */
export function read64(r: RegisterPort, at: number, into = new Uint32Array(2)): Uint32Array {
  into[0] = r.read32(at);
  into[1] = r.read32(at + 4);
  return into;
}

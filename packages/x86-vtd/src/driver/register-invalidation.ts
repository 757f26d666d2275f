import { HardwareError, type RegisterPort, type SoftwareHost } from '@doorbell/platform';
import { CCMD, Granularity, IOTLB_AT_0 } from '../spec/index.js';
import type { VtdCapabilities } from './capabilities.js';
import type { Invalidation } from './queue.js';

/** Invalidation through CCMD and IOTLB (VT-d §6.5.1), for units without a queue. One command at a time; interrupt entries cannot be reached. */
export class RegisterInvalidation implements Invalidation {
  private readonly iva: number;
  private readonly iotlb: number;

  constructor(
    private readonly name: string,
    private readonly registers: RegisterPort,
    private readonly host: SoftwareHost,
    private readonly unit: VtdCapabilities,
  ) {
    this.iva = unit.iotlbOffset;
    this.iotlb = unit.iotlbOffset + 8;
  }

  contextGlobal(): void {
    this.context(Granularity.global, 0);
  }
  contextDomain(did: number): void {
    this.context(Granularity.domain, did);
  }
  contextDevice(did: number, stream: number): void {
    this.context(Granularity.device, ((stream << 16) | did) >>> 0);
  }
  iotlbGlobal(): void {
    this.pages(Granularity.global, 0);
  }
  iotlbDomain(did: number): void {
    this.pages(Granularity.domain, did);
  }
  iotlbPages(did: number, address: number, am: number): void {
    this.registers.write64(this.iva, Math.floor(address / 2 ** 32), ((address & 0xffff_f000) | am) >>> 0);
    this.pages(Granularity.page, did);
  }
  /** Nothing to do: a unit that remaps interrupts has a queue (§6.5.2). */
  entriesGlobal(): void {}
  entries(): void {}
  /** Each command has been awaited. */
  sync(): void {}

  private context(granularity: number, low: number): void {
    const high = (CCMD.ICC.mask | (granularity << (CCMD.CIRG.lo - 32))) >>> 0;
    this.registers.write64(CCMD.$.at, high, low);
    this.done('CCMD', CCMD.$.at + 4, CCMD.ICC.mask, CCMD.CAIG.lsb);
  }

  private pages(granularity: number, did: number): void {
    const { DR, DW, IVT, IIRG, IAIG } = IOTLB_AT_0;
    const { reads, writes } = this.unit.drain;
    const drain = (reads ? DR.mask : 0) | (writes ? DW.mask : 0);
    this.registers.write64(this.iotlb, (IVT.mask | (granularity << (IIRG.lo - 32)) | drain | did) >>> 0, 0);
    this.done('IOTLB', this.iotlb + 4, IVT.mask, IAIG.lsb);
  }

  /** The start bit falls, and the granularity that was done is not 0: that is a refusal. */
  private done(what: string, at: number, start: number, granularity: number): void {
    const { registers } = this;
    this.host.waitUntil(`${this.name}: ${what} to complete`, () => (registers.read32(at) & start) === 0);
    if (((registers.read32(at) >>> granularity) & 3) !== 0) return;
    throw new HardwareError(
      'INVALIDATION_REFUSED',
      `${this.name} refused an invalidation through ${what}`,
      'what was changed in memory is as before',
      { unit: this.name, what },
    );
  }
}

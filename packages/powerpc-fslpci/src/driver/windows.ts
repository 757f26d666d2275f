import { set } from '@doorbell/bits';
import { hi32, lo32, registerPort, swap32, type CpuPort, type RegisterPort } from '@doorbell/platform';
import type { ChainLevel, Message, Prepared } from '@doorbell/irqchip';
import type { ReservedRegion } from '@doorbell/iommu';
import * as S from '../spec/index.js';

/** What 36 address bits reach. */
const ALL = 2 ** 36;

export interface WindowPlan {
  readonly ccsr: number;
  readonly ccsrSize: number;
  /** Bytes of the inbound memory window, from 0 on. */
  readonly inbound: number;
}

/**
 * Opens a controller for its devices: memory at its own addresses through inbound window 2, and CCSR through PEXCSRBAR just below 4 GiB, as
 * Linux and U-Boot place it (B2).
 */
export class FslPciDriver {
  /** PCI address of CCSR. */
  readonly csrBar: number;
  private readonly registers: RegisterPort;

  constructor(
    readonly name: string,
    base: number,
    cpu: CpuPort,
    private readonly plan: WindowPlan,
  ) {
    const r = (this.registers = registerPort(cpu, base, 'big'));
    const { EN, PF, TRGT, RTT, WTT, IWS } = S.PIWAR;
    const window = S.INBOUND[2];
    r.write32(window + S.PITAR.$.at, 0);
    r.write32(window + S.PIWBAR.$.at, 0);
    r.write32(window + S.PIWBEAR.$.at, 0);
    let attributes = set(set(set(0, EN, 1), PF, 1), TRGT, S.TARGET.memory);
    attributes = set(set(attributes, RTT, S.SNOOP), WTT, S.SNOOP);
    r.write32(window + S.PIWAR.$.at, set(attributes, IWS, Math.log2(plan.inbound) - 1));
    this.writeBar(0xffff_ffff);
    const size = (~this.readBar() + 1) >>> 0;
    this.csrBar = 2 ** 32 - size;
    this.writeBar(this.csrBar);
  }

  /** PCI addresses that lead elsewhere than through the memory window: what a PAMU behind it never sees as they are. */
  get reserved(): ReservedRegion[] {
    const region = (first: number, last: number, why: string): ReservedRegion => ({
      first,
      last,
      kind: 'reserved',
      why,
    });
    const { inbound } = this.plan;
    return [
      region(this.csrBar, 2 ** 32 - 1, `PEXCSRBAR of ${this.name}`),
      ...(inbound < ALL ? [region(inbound, ALL - 1, `past the inbound window of ${this.name}`)] : []),
    ];
  }

  /** Where a device has to write to reach a system address. */
  pciAddress(address: number): number {
    const { ccsr, ccsrSize } = this.plan;
    if (address < ccsr || address >= ccsr + ccsrSize) return address;
    return this.csrBar + (address & S.MSIIR_IN_CCSR);
  }

  private select(): void {
    const { EN, REGISTER } = S.CONFIG_ADDR;
    this.registers.write32(S.CONFIG_ADDR.$.at, set(set(0, EN, 1), REGISTER, S.PEXCSRBAR / 4));
  }
  private readBar(): number {
    this.select();
    return (swap32(this.registers.read32(S.CONFIG_DATA.$.at)) & ~0xf) >>> 0;
  }
  private writeBar(value: number): void {
    this.select();
    this.registers.write32(S.CONFIG_DATA.$.at, swap32(value));
  }
}

/** The last level of chains without a PAMU: the doorbell as the device has to address it through the controller's windows. */
export class InboundLevel implements ChainLevel {
  constructor(
    readonly name: string,
    private readonly driver: FslPciDriver,
  ) {}

  applies(): boolean {
    return true;
  }
  prepare(): Prepared {
    return { targets: [], commit: () => undefined, release: () => undefined, cancel: () => undefined };
  }
  compose(message: Message): Message {
    const address = this.driver.pciAddress(message.addressHi * 2 ** 32 + message.addressLo);
    return { ...message, addressHi: hi32(address), addressLo: lo32(address) };
  }
}

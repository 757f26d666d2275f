import { join64, type RegisterFile, type SystemBus } from '@doorbell/platform';
import {
  EVENTQ_IRQ_CFG0,
  EVENTQ_IRQ_CFG1,
  GERROR,
  GERROR_IRQ_CFG0,
  GERROR_IRQ_CFG1,
  GERRORN,
  IRQ_CTRL,
  IRQ_CTRLACK,
} from '../spec/index.js';
import type { SmmuOptions } from './features.js';

/** Wired interrupts, by INTID: what the GIC's model provides under `hardware:gic-wires`. */
export interface Wires {
  pulse(intid: number): void;
}

export interface SignalParts {
  readonly registers: RegisterFile;
  readonly bus: SystemBus;
  readonly options: SmmuOptions;
  readonly wires: Wires | undefined;
  /** IDR0.MSI. */
  msi(): boolean;
}

/** GERROR and the unit's own interrupts: messages where it has them and an address is set, else wires. */
export class Signals {
  constructor(private readonly parts: SignalParts) {}

  /** GERROR: an error becomes active only while it is inactive. */
  raise(mask: number): void {
    const { registers, options } = this.parts;
    const gerror = registers.get(GERROR.$.at);
    if ((gerror ^ registers.get(GERRORN.$.at)) & mask) return;
    registers.set(GERROR.$.at, (gerror ^ mask) >>> 0);
    const own = mask === GERROR.MSI_GERROR_ABT_ERR.mask ? 0 : GERROR.MSI_GERROR_ABT_ERR.mask;
    this.signal(IRQ_CTRL.GERROR.mask, GERROR_IRQ_CFG0.$.at, GERROR_IRQ_CFG1.$.at, options.interrupts?.gerror, own);
  }

  /** The event queue is no longer empty. */
  event(): void {
    const wire = this.parts.options.interrupts?.event;
    const abort = GERROR.MSI_EVENTQ_ABT_ERR.mask;
    this.signal(IRQ_CTRL.EVENTQ.mask, EVENTQ_IRQ_CFG0.$.at, EVENTQ_IRQ_CFG1.$.at, wire, abort);
  }

  /** §4.7.3, CS = 1: the message if IDR0.MSI and MSIADDR ≠ 0; the wire in any case. */
  sync(address: number, data: number): void {
    const { options, wires } = this.parts;
    if (this.parts.msi() && address !== 0) this.message(address, data, GERROR.MSI_CMDQ_ABT_ERR.mask);
    if (options.interrupts?.sync !== undefined) wires?.pulse(options.interrupts.sync);
  }

  private signal(enable: number, cfg0: number, cfg1: number, wire: number | undefined, abort: number): void {
    const { registers, wires } = this.parts;
    if ((registers.get(IRQ_CTRLACK.$.at) & enable) === 0) return;
    const address = join64(registers.get(cfg0 + 4) & 0xfffff, (registers.get(cfg0) & ~3) >>> 0);
    if (this.parts.msi() && address !== 0) this.message(address, registers.get(cfg1), abort);
    else if (wire !== undefined) wires?.pulse(wire);
  }

  /** `abort`: the error that a message which nothing takes sets; 0: none. */
  private message(address: number, data: number, abort: number): void {
    const { bus, options } = this.parts;
    if (!bus.deviceWrite32(address, data, options.deviceId ?? 0) && abort !== 0) this.raise(abort);
  }
}

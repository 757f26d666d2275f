import { join64, type HardwareHost } from '@doorbell/platform';
import type { InterruptMessages } from '@doorbell/x86-apic/spec';

/** How the unit's own messages leave: not remapped (§5.1.6); to the APICs, or wherever else the address points. */
export class MessagePort {
  constructor(
    private readonly host: HardwareHost,
    private readonly apic: InterruptMessages | undefined,
  ) {}

  send(hi: number, lo: number, data: number): void {
    if (lo >>> 20 === 0xfee && this.apic) return this.apic.message(hi, lo, data);
    this.host.bus.deviceWrite32(join64(hi, lo), data, -2);
  }
}

import type { CpuInterface } from '@doorbell/irqchip';
import type { HardwareHost, MmioRegion, Model } from '@doorbell/platform';
import { DOORBELL, NUMBERS } from '../spec/irqchip.js';

/** One page per CPU: whoever writes a number to its doorbell makes it pending there. */
export class MinimalIrqchip implements Model, CpuInterface {
  readonly regions: readonly MmioRegion[];
  private bits: Uint8Array[];

  constructor(name: string, host: HardwareHost, base: number, cpus: number) {
    this.bits = Array.from({ length: cpus }, () => new Uint8Array(NUMBERS));
    const write = (offset: number, _size: number, value: number) => {
      if (offset % 4096 !== DOORBELL || value >= NUMBERS) {
        if (host.hooks.refused.isUsed())
          host.hooks.refused.call({ by: name, code: null, name: 'NO_SUCH_NUMBER', recorded: false });
        return;
      }
      const cpu = Math.floor(offset / 4096);
      this.bits[cpu]![value] = 1;
      if (host.hooks.delivered.isUsed()) host.hooks.delivered.call({ controller: 'minimal', number: value, cpu });
    };
    this.regions = [{ name, base, size: cpus * 4096, read: () => 0, write }];
  }

  pending(cpu: number): readonly number[] {
    return [...(this.bits[cpu]?.keys() ?? [])].filter((n) => this.bits[cpu]![n]);
  }
  acknowledge(cpu: number): number | null {
    const number = this.bits[cpu]?.indexOf(1) ?? -1;
    if (number < 0) return null;
    this.bits[cpu]![number] = 0;
    return number;
  }
  end(): void {}
  snapshot(): unknown {
    return this.bits;
  }
  restore(state: unknown): void {
    this.bits = state as Uint8Array[];
  }
}

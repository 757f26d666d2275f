import type { CpuInterface } from '@doorbell/irqchip';
import type { RegisterPort } from '@doorbell/platform';
import {
  BANK_BASE,
  BANK_STRIDE,
  EOI,
  IACK,
  MSIR_STRIDE,
  SVR,
  cpuAt,
  fromMsiInterrupt,
  msiInterrupt,
  msirOf,
} from './spec/index.js';

/**
 * A CPU's handler as the controller sees it, through registers alone, so that it works on a live machine too: IACK, then for a shared
 * source one read of its MSIR, whose bits are given out one by one; EOI after the last of them (B3).
 */
export class MpicProbe implements Pick<CpuInterface, 'acknowledge' | 'end'> {
  /** Numbers of a source in service that were not given out yet, by CPU. */
  private readonly waiting: number[][] = [];
  /** Numbers given out and not ended, by CPU. */
  private readonly open: number[][] = [];

  /** `sourceOf` says which source a vector is; default: driver and probe agree that they are equal. */
  constructor(
    private readonly registers: RegisterPort,
    private readonly sourceOf: (vector: number) => number = (vector) => vector,
  ) {}

  acknowledge(cpu: number): number | null {
    const waiting = (this.waiting[cpu] ??= []);
    const number = waiting.shift() ?? this.take(cpu, waiting);
    if (number !== null) (this.open[cpu] ??= []).push(number);
    return number;
  }

  end(cpu: number, number: number): void {
    const open = (this.open[cpu] ??= []);
    const i = open.indexOf(number);
    if (i >= 0) open.splice(i, 1);
    const source = fromMsiInterrupt(number)?.source;
    const same = (n: number): boolean => source !== undefined && fromMsiInterrupt(n)?.source === source;
    if (open.some(same) || this.waiting[cpu]?.some(same)) return;
    this.registers.write32(cpuAt(cpu) + EOI.$.at, 0);
  }

  private take(cpu: number, waiting: number[]): number | null {
    for (;;) {
      const vector = this.registers.read32(cpuAt(cpu) + IACK.$.at);
      if (vector === this.registers.read32(SVR.$.at)) return null;
      const source = this.sourceOf(vector);
      const shared = msirOf(source);
      if (!shared) return vector;
      const bits = this.registers.read32(BANK_BASE + BANK_STRIDE * shared.bank + MSIR_STRIDE * shared.msir);
      for (let bit = 0; bit < 32; bit++) if ((bits >>> bit) & 1) waiting.push(msiInterrupt(source, bit));
      const first = waiting.shift();
      if (first !== undefined) return first;
      this.registers.write32(cpuAt(cpu) + EOI.$.at, 0); // somebody else has read it
    }
  }
}

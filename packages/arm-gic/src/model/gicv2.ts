import type { CpuInterface } from '@doorbell/irqchip';
import {
  capturedBlock,
  RegisterFile,
  type CaptureRestored,
  type Delivery,
  type HardwareHost,
  type Model,
  type Restorable,
} from '@doorbell/platform';
import { GICV2_GICC_CTLR, GICV2_GICC_PMR, GICV2_GICC_SIZE, GICV2_MOST_CPUS } from '../spec/index.js';
import { Gicv2Distributor } from './gicv2-distributor.js';
import type { SpiLines } from './v2m.js';

export interface Gicv2Options {
  /** 1 to 8. Default 1. */
  readonly cpus?: number;
  /** SPIs, a multiple of 32. Default 256, as QEMU's virt has them. */
  readonly spis?: number;
}

/**
 * A GICv2: the distributor's SPIs, and the CPU interfaces as CPUs see them (`CpuInterface`). GICC_CTLR and GICC_PMR are kept and ask
 * nothing; GICC_IAR and GICC_EOIR are what `acknowledge` and `end` do.
 */
export class Gicv2 implements Model, CpuInterface, SpiLines, Restorable {
  readonly distributor: Gicv2Distributor;
  readonly regions: readonly RegisterFile[];
  private readonly cpus: number;
  /** SPIs that were ready at the last look, by CPU: a change delivers. */
  private signalled: Set<number>[];

  constructor(
    readonly name: string,
    bases: { readonly distributor: number; readonly cpuInterface: number | undefined },
    private readonly host: HardwareHost,
    options: Gicv2Options = {},
  ) {
    const { diagnostics } = host;
    const { cpus = 1, spis = 256 } = options;
    this.cpus = Math.min(Math.max(cpus, 1), GICV2_MOST_CPUS);
    this.signalled = Array.from({ length: this.cpus }, () => new Set<number>());
    this.distributor = new Gicv2Distributor({
      name: `${name} distributor`,
      base: bases.distributor,
      cpus: this.cpus,
      spis,
      diagnostics,
      changed: () => this.look(),
    });
    const { cpuInterface: base } = bases;
    const registers = [GICV2_GICC_CTLR, GICV2_GICC_PMR];
    const own = { name: `${name} CPU interface`, size: GICV2_GICC_SIZE, sizes: [4], diagnostics, registers };
    this.regions = [this.distributor, ...(base === undefined ? [] : [new RegisterFile({ ...own, base })])];
  }

  pulse(intid: number, delivery?: Delivery): boolean {
    const { spis, forwards } = this.distributor;
    if (!spis.holds(intid)) return false;
    spis.setPending(intid);
    const cpu = spis.target(intid);
    if (!forwards || !spis.isReady(intid) || cpu >= this.cpus) return false;
    this.signalled[cpu]!.add(intid);
    const { delivered } = this.host.hooks;
    if (delivered.isUsed()) delivered.call(delivery ? { ...delivery, cpu } : { controller: 'gicv2', intid, cpu });
    return true;
  }

  pending(cpu: number): readonly number[] {
    return cpu < this.cpus && this.distributor.forwards ? this.distributor.spis.ready(cpu) : [];
  }

  acknowledge(cpu: number): number | null {
    const { spis, forwards } = this.distributor;
    const best = cpu < this.cpus && forwards ? spis.mostUrgent(cpu) : -1;
    if (best < 0) return null;
    spis.take(best);
    this.signalled[cpu]!.delete(best);
    return best;
  }

  end(_cpu: number, number: number): void {
    if (this.distributor.spis.holds(number)) this.distributor.spis.end(number);
    this.look();
  }

  reset(): void {
    for (const region of this.regions) region.reset();
    for (const set of this.signalled) set.clear();
  }

  snapshot(): unknown {
    return { regions: this.regions.map((r) => r.snapshot()), spis: this.distributor.spis.snapshot() };
  }
  restore(state: unknown): void {
    const s = state as { regions: Uint32Array[]; spis: Uint32Array[] };
    this.regions.forEach((r, i) => r.restore(s.regions[i]!));
    this.distributor.spis.restore(s.spis);
    this.signalled = this.signalled.map((_, cpu) => new Set(this.pending(cpu)));
  }

  restoreCapture(registers: unknown): CaptureRestored {
    this.reset();
    const { distributor } = this;
    const block = capturedBlock(registers, distributor.base);
    const problems = block
      ? [...block.problems, ...distributor.load(block.words)]
      : [`no registers of ${distributor.name} at 0x${distributor.base.toString(16)}`];
    this.signalled = this.signalled.map((_, cpu) => new Set(this.pending(cpu)));
    return { problems };
  }

  /** After a register changed: what is ready now and was not before is delivered. */
  private look(): void {
    const { delivered } = this.host.hooks;
    for (let cpu = 0; cpu < this.cpus; cpu++) {
      const before = this.signalled[cpu]!;
      const now = new Set(this.pending(cpu));
      this.signalled[cpu] = now;
      if (delivered.isUsed())
        for (const intid of now) if (!before.has(intid)) delivered.call({ controller: 'gicv2', intid, cpu });
    }
  }
}

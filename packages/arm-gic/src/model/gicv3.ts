import type { CpuInterface } from '@doorbell/irqchip';
import {
  capturedBlock,
  type CaptureRestored,
  type Delivery,
  type HardwareHost,
  type Model,
  type Restorable,
  type TableExtent,
} from '@doorbell/platform';
import { FIRST_LPI, SPURIOUS } from '../spec/index.js';
import { Distributor } from './distributor.js';
import { IDLE } from './interrupt-bank.js';
import type { Lpis } from './lpis.js';
import { Redistributor, redistributorSize } from './redistributor.js';

export interface Gicv3Options {
  /** Default 1. */
  readonly cpus?: number;
  /** GICv4: redistributors have frames for virtual LPIs (256 KiB each); what is in them is not modelled. Default false. */
  readonly virtualLpis?: boolean;
  /** SPIs, a multiple of 32. Default 224: INTIDs 32 to 255, as QEMU's virt has them. */
  readonly spis?: number;
  /** Bits of INTIDs, 14 to 16. Default 16. */
  readonly idBits?: number;
  /** GICD_SETSPI_NSR makes SPIs pending. Default false. */
  readonly messageSpis?: boolean;
}

/**
 * A GICv3 with one security state: distributor, one redistributor per CPU, and the CPU interfaces as software's system registers see
 * them. Priority masks, running priority and preemption are not modelled: an acknowledge takes the most urgent interrupt.
 */
export class Gicv3 implements Model, CpuInterface, Restorable {
  readonly distributor: Distributor;
  readonly redistributors: readonly Redistributor[];
  readonly regions;
  /** SPIs and private interrupts that were ready at the last look, by CPU: a change delivers. */
  private signalled: Set<number>[];

  constructor(
    readonly name: string,
    bases: { readonly distributor: number; readonly redistributors: number },
    private readonly host: HardwareHost,
    options: Gicv3Options = {},
  ) {
    const { memoryModel: memory, diagnostics } = host;
    const { cpus = 1, spis = 224, idBits = 16, messageSpis = false, virtualLpis = false } = options;
    const size = redistributorSize(virtualLpis);
    const changed = () => this.look();
    this.distributor = new Distributor({
      name: `${name} distributor`,
      base: bases.distributor,
      spis,
      idBits,
      messageSpis,
      diagnostics,
      changed,
      message: (intid, pending) => (pending ? this.pulse(intid) : this.withdraw(intid)),
    });
    this.redistributors = Array.from(
      { length: cpus },
      (_, cpu) =>
        new Redistributor({
          name: `${name} redistributor ${cpu}`,
          base: bases.redistributors + cpu * size,
          virtualLpis,
          cpu,
          last: cpu === cpus - 1,
          idBits,
          memory,
          diagnostics,
          changed,
        }),
    );
    this.regions = [this.distributor, ...this.redistributors];
    this.signalled = this.redistributors.map(() => new Set<number>());
  }

  /** LPIs of the redistributor with that processor number. */
  lpis(processor: number): Lpis | undefined {
    return this.redistributors[processor]?.lpis;
  }

  /** Whether group 1 interrupts reach the CPUs. */
  get forwards(): boolean {
    return this.distributor.forwards;
  }

  /** An edge on a wire. `delivery` replaces what the hook tells (a v2m frame knows its doorbell). */
  pulse(intid: number, delivery?: Delivery): boolean {
    const { spis } = this.distributor;
    if (!spis.holds(intid)) return false;
    spis.setPending(intid);
    if (!this.forwards || !spis.isReady(intid)) return false;
    const cpu = spis.target(intid);
    if (cpu >= this.redistributors.length) return false;
    this.signalled[cpu]!.add(intid);
    const { delivered } = this.host.hooks;
    if (delivered.isUsed()) delivered.call(delivery ? { ...delivery, cpu } : { controller: 'gicv3', intid, cpu });
    return true;
  }

  pending(cpu: number): readonly number[] {
    const r = this.redistributors[cpu];
    if (!r || !this.forwards) return [];
    const lpis = r.lpis.enabled ? r.lpis.pending(true) : [];
    return [...r.private.ready(), ...this.distributor.spis.ready(cpu), ...lpis];
  }

  acknowledge(cpu: number): number | null {
    const r = this.redistributors[cpu];
    if (!r || !this.forwards) return null;
    let best: number = SPURIOUS;
    let priority = IDLE;
    const own = r.private.mostUrgent(cpu);
    if (own >= 0) {
      best = own;
      priority = r.private.priority(own);
    }
    const { spis } = this.distributor;
    const shared = spis.mostUrgent(cpu);
    if (shared >= 0 && spis.priority(shared) < priority) {
      best = shared;
      priority = spis.priority(shared);
    }
    if (r.lpis.priority < priority) return r.lpis.take();
    if (best === SPURIOUS) return null;
    (best < 32 ? r.private : spis).take(best);
    this.signalled[cpu]!.delete(best);
    return best;
  }

  end(cpu: number, number: number): void {
    if (number < 32) this.redistributors[cpu]?.private.end(number);
    else if (this.distributor.spis.holds(number)) this.distributor.spis.end(number);
    this.look();
  }

  reset(): void {
    for (const region of this.regions) region.reset();
    for (const set of this.signalled) set.clear();
  }

  snapshot(): unknown {
    return {
      distributor: this.distributor.snapshot(),
      spis: this.distributor.spis.snapshot(),
      redistributors: this.redistributors.map((r) => ({
        registers: r.snapshot(),
        private: r.private.snapshot(),
        lpis: r.lpis.snapshot(),
      })),
    };
  }

  restore(state: unknown): void {
    const s = state as {
      distributor: Uint32Array;
      spis: Uint32Array[];
      redistributors: { registers: Uint32Array; private: Uint32Array[]; lpis: unknown }[];
    };
    this.distributor.restore(s.distributor);
    this.distributor.spis.restore(s.spis);
    s.redistributors.forEach((from, i) => {
      const r = this.redistributors[i]!;
      r.restore(from.registers);
      r.private.restore(from.private);
      r.lpis.restore(from.lpis);
    });
    this.signalled = this.redistributors.map((r) => new Set(this.ready(r)));
  }

  /** Puts the distributor's and the redistributors' captured registers in place; pending LPIs come from the tables in memory. */
  restoreCapture(registers: unknown): CaptureRestored {
    this.reset();
    const problems: string[] = [];
    for (const region of this.regions) {
      const block = capturedBlock(registers, region.base);
      if (block) problems.push(...block.problems, ...region.load(block.words));
      else problems.push(`no registers of ${region.name} at 0x${region.base.toString(16)}`);
    }
    this.signalled = this.redistributors.map((r) => new Set(this.ready(r)));
    return { problems };
  }

  /** LPI configuration and pending tables of the redistributors that have LPIs on. */
  *extents(): Generator<TableExtent> {
    const seen = new Set<number>();
    for (const { lpis, cpu } of this.redistributors) {
      if (!lpis.enabled || lpis.limit === 0) continue;
      const { propBase, pendBase, limit } = lpis;
      if (!seen.has(propBase)) yield { what: 'LPI configuration table', at: propBase, size: limit - FIRST_LPI };
      seen.add(propBase);
      yield { what: `LPI pending table of CPU ${cpu}`, at: pendBase, size: limit / 8 };
    }
  }

  private withdraw(intid: number): void {
    this.distributor.spis.write(0x280 + 4 * (intid >>> 5), 1 << (intid & 31)); // ICPENDR
    this.look();
  }

  private ready(r: Redistributor): number[] {
    return this.forwards ? [...r.private.ready(), ...this.distributor.spis.ready(r.cpu)] : [];
  }

  /** After a register changed: what is ready now and was not before is delivered. */
  private look(): void {
    if (this.signalled === undefined) return;
    const { delivered } = this.host.hooks;
    for (const r of this.redistributors) {
      const now = new Set(this.ready(r));
      const before = this.signalled[r.cpu]!;
      this.signalled[r.cpu] = now;
      if (!delivered.isUsed()) continue;
      for (const intid of now) if (!before.has(intid)) delivered.call({ controller: 'gicv3', intid, cpu: r.cpu });
    }
  }
}

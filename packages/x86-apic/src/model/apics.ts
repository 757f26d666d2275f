import { CPU, hex, type HardwareHost, type MmioRegion, type Model } from '@doorbell/platform';
import { DELIVERY_NAMES, DeliveryMode, MSI_BASE, MSI_SIZE, type InterruptMessages } from '../spec/index.js';
import { Lapic, type LapicOptions } from './lapic.js';

/** The end of interrupt: IOAPICs compare the vector with their entries. */
export type EoiListener = (vector: number) => void;

/**
 * All local APICs and the range 0xFEE0_0000–0xFEEF_FFFF in front of them. A CPU's access to the first page means its own registers
 * (here: the boot CPU's, since `CpuPort` does not say which CPU it is); every other write is an interrupt message.
 */
export class Apics implements Model, InterruptMessages {
  readonly lapics: readonly Lapic[];
  readonly regions: readonly MmioRegion[];
  private readonly eoiListeners: EoiListener[] = [];
  /** Where the search for a lowest-priority destination starts among equals. */
  private turn = 0;

  constructor(
    readonly name: string,
    cpus: readonly LapicOptions[],
    private readonly host: HardwareHost,
    base = MSI_BASE,
  ) {
    this.lapics = cpus.map(
      (options, cpu) => new Lapic(cpu, options, (vector) => this.eoiListeners.forEach((listen) => listen(vector))),
    );
    this.regions = [
      {
        name,
        base,
        size: MSI_SIZE,
        sizes: [4],
        read: (offset) => this.read(offset),
        write: (offset, _size, value, source) => this.write(base + offset, offset, value, source),
      },
    ];
  }

  onEoi(listener: EoiListener): void {
    this.eoiListeners.push(listener);
  }

  message(hi: number, lo: number, data: number): void {
    const destination = ((lo >>> 12) & 0xff) | (hi & 0xffff_ff00);
    this.deliver(data & 0xff, destination >>> 0, (lo >>> 2) & 1, (data >>> 8) & 7, (data >>> 15) & 1, (lo >>> 3) & 1);
  }

  deliver(vector: number, destination: number, logical: number, delivery: number, level: number, hint: number): void {
    let accepted = 0;
    if (delivery === DeliveryMode.fixed && !hint) {
      for (let i = 0; i < this.lapics.length; i++) {
        const lapic = this.lapics[i]!;
        if (lapic.matches(destination, logical) && lapic.accept(vector, level)) accepted++;
      }
    } else if (delivery === DeliveryMode.fixed || delivery === DeliveryMode.lowestPriority) {
      const lapic = this.lowest(destination, logical);
      if (lapic?.accept(vector, level)) accepted++;
    } else if (delivery === 3 || delivery === DeliveryMode.startUp) {
      return this.refuse(delivery);
    } else {
      for (const lapic of this.lapics) {
        if (!lapic.matches(destination, logical)) continue;
        lapic.special[delivery] = lapic.special[delivery]! + 1;
        accepted++;
      }
    }
    if (accepted === 0) this.host.diagnostics.illegal(this.name, 'message that no local APIC accepted');
    if (this.host.trace.on || this.host.hooks.delivered.isUsed())
      this.tell(vector, destination, logical, delivery, level, accepted);
  }

  private refuse(delivery: number): void {
    const { diagnostics, hooks, trace } = this.host;
    const why = `delivery mode ${delivery} is reserved`;
    diagnostics.illegal(this.name, `message whose ${why}`);
    if (trace.on) trace.step({ by: this.name, what: 'interrupt message', at: null, words: [], decoded: '', why });
    if (hooks.refused.isUsed())
      hooks.refused.call({ by: this.name, code: null, name: 'RESERVED_DELIVERY_MODE', recorded: false });
  }

  /** IRR of a CPU, the CPU interface's own view: vectors, ascending. */
  pending(cpu: number): number[] {
    return this.lapics[cpu]?.pending() ?? [];
  }
  /** The CPU takes its highest interrupt and ends it: the vector, or -1. */
  take(cpu: number): number {
    const lapic = this.lapics[cpu];
    const vector = lapic ? lapic.acknowledge() : -1;
    if (vector >= 0) lapic!.eoi();
    return vector;
  }

  reset(): void {
    this.turn = 0;
    for (const lapic of this.lapics) lapic.reset();
  }
  snapshot(): unknown {
    return { turn: this.turn, lapics: this.lapics.map((l) => l.snapshot()) };
  }
  restore(state: unknown): void {
    const s = state as { turn: number; lapics: unknown[] };
    this.turn = s.turn;
    this.lapics.forEach((l, i) => l.restore(s.lapics[i]));
  }

  /** Among those addressed, the one with the lowest processor priority; equals take turns (SDM vol. 3 §11.6.2.4). */
  private lowest(destination: number, logical: number): Lapic | undefined {
    let best: Lapic | undefined;
    const n = this.lapics.length;
    for (let i = 0; i < n; i++) {
      const lapic = this.lapics[(this.turn + i) % n]!;
      if (lapic.enabled && lapic.matches(destination, logical) && (!best || lapic.ppr < best.ppr)) best = lapic;
    }
    if (best) this.turn = (best.cpu + 1) % n;
    return best;
  }

  private read(offset: number): number {
    const value = offset < 0x1000 ? (this.lapics[0]?.read(offset) ?? -1) : -1;
    if (value === -1) this.host.diagnostics.unimplemented(this.name, `read of ${hex(offset)}`);
    return value === -1 ? 0 : value;
  }

  private write(address: number, offset: number, value: number, source: number): void {
    if (source !== CPU || offset >= 0x1000) return this.message(0, address, value);
    if (!this.lapics[0]?.write(offset, value))
      this.host.diagnostics.unimplemented(this.name, `write of ${hex(offset)}`);
  }

  private tell(vector: number, destination: number, logical: number, delivery: number, level: number, n: number): void {
    const destinationMode = logical ? 'logical' : 'physical';
    const deliveryMode = DELIVERY_NAMES[delivery]!;
    const triggerMode = level ? 'level' : 'edge';
    if (this.host.trace.on) {
      this.host.trace.step({
        by: this.name,
        what: 'interrupt message',
        at: null,
        words: [],
        decoded: `vector ${vector}, ${destinationMode} destination ${hex(destination)}, ${deliveryMode}, ${triggerMode}`,
        why: n === 0 ? 'no local APIC accepts it' : `accepted by ${n} local APIC${n > 1 ? 's' : ''}`,
      });
    }
    if (this.host.hooks.delivered.isUsed()) {
      const controller = 'apic';
      this.host.hooks.delivered.call({
        controller,
        vector,
        destination,
        destinationMode,
        deliveryMode,
        triggerMode,
        accepted: n,
      });
    }
  }
}

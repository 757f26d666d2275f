import { CPU_INTERFACE, type CpuInterface } from '@doorbell/irqchip';
import { hex, hex64, type Delivery, type FaultRecord, type Platform } from '@doorbell/platform';

/** A device's DMA: who, what, and what became of it. */
export interface DmaEvent {
  /** Requester id as the device has it now. */
  readonly requester: number;
  readonly direction: 'read' | 'write';
  readonly address: { readonly hi: number; readonly lo: number };
  /** Bytes. */
  readonly size: number;
}
/** `landed`: something took it; `physical`: where its last page went, null where nowhere. */
export interface DmaResult {
  readonly verdict: 'translated' | 'bypass' | 'fault' | 'interrupt';
  readonly physical: number | null;
  readonly landed: boolean;
}

export interface EventLogOptions {
  /** Takes whole lines, at `flush`. */
  readonly write: (text: string) => void;
  /**
   * CPUs that acknowledge and end every interrupt at once, by number. Default: none, they never take any (as halted CPUs do, and as
   * a level-triggered line that stays asserted needs it).
   */
  readonly acknowledging?: number;
}

/**
 * What happens inside a platform, as one JSON line each: interrupts delivered to a CPU, faults that the hardware recorded, DMA; in
 * the order of their causes (a DMA comes before the faults of its own pages).
 */
export class EventLog {
  private lines: (string | (() => string))[] = [];
  private readonly cpus: CpuInterface | undefined;
  private readonly count: number;
  /** `cpu:number` of what was told of, and of what was taken, since the last `settled`. */
  private readonly told = new Set<string>();
  private readonly taken = new Set<string>();

  constructor(
    platform: Platform,
    private readonly options: EventLogOptions,
  ) {
    this.count = options.acknowledging ?? 0;
    this.cpus = this.count > 0 ? platform.find(CPU_INTERFACE) : undefined;
    platform.hooks.delivered.tap('event log', (d) => this.delivered(d));
    platform.hooks.fault.tap('event log', (f) => this.fault(f));
  }

  /** Starts a DMA's line; the returned function completes it. */
  dma({ requester, direction, address, size }: DmaEvent): (result: DmaResult) => void {
    let result: DmaResult = { verdict: 'fault', physical: null, landed: false };
    this.lines.push(() => {
      const { verdict, physical, landed } = result;
      const pa = physical === null ? null : hex(physical);
      return JSON.stringify({
        ...{ event: 'dma', requester, direction, address: hex64(address.hi, address.lo), size },
        ...{ verdict, pa, landed },
      });
    });
    return (r) => (result = r);
  }

  /** Between commands: CPUs take what has become pending in other ways than by its own message (enabled, read from a table). */
  settled(): void {
    if (!this.cpus) return;
    for (let cpu = 0; cpu < this.count; cpu++) this.take(cpu);
    for (const key of this.taken) {
      if (this.told.has(key)) continue;
      const [cpu, intid] = key.split(':').map(Number) as [number, number];
      const controller = intid < FIRST_LPI ? 'gicv3' : 'gicv3-its';
      this.lines.push(JSON.stringify({ event: 'interrupt', controller, intid, cpu }));
    }
    this.told.clear();
    this.taken.clear();
  }

  flush(): void {
    if (this.lines.length === 0) return;
    const text = this.lines.map((line) => `${typeof line === 'string' ? line : line()}\n`).join('');
    this.lines = [];
    this.options.write(text);
  }

  private delivered(event: Delivery): void {
    this.lines.push(JSON.stringify({ event: 'interrupt', ...event }));
    const { cpu, intid } = event;
    if (!this.cpus || typeof cpu !== 'number' || typeof intid !== 'number') return;
    this.told.add(`${cpu}:${intid}`);
    // An LPI at once, so that the next message of this command is a new interrupt; others when the command is done, since the GIC
    // is telling what is ready just now.
    if (intid >= FIRST_LPI) this.take(cpu);
  }

  private take(cpu: number): void {
    const cpus = this.cpus!;
    for (let n = cpus.acknowledge(cpu); n !== null; n = cpus.acknowledge(cpu)) {
      this.taken.add(`${cpu}:${n}`);
      cpus.end(cpu, n);
    }
  }

  private fault({ unit, code, name, requester, address }: FaultRecord): void {
    const shown = { event: 'fault', unit, code: code === null ? null : hex(code), name, requester };
    this.lines.push(JSON.stringify({ ...shown, address: hex64(address.hi, address.lo) }));
  }
}

const FIRST_LPI = 8192;

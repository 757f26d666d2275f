import type { PhysicalMemory } from '@doorbell/platform';

const journals = new WeakMap<PhysicalMemory, Journal>();

/**
 * Takes back what an asked question writes: event records, pending bits. It stands in front of a memory's three writing methods (all
 * others go through them) and does nothing between `begin` and `undo`.
 */
export class Journal {
  private on = false;
  private readonly olds: { readonly at: number; readonly bytes: Uint8Array }[] = [];

  /** The memory's one journal. */
  static of(memory: PhysicalMemory): Journal {
    let journal = journals.get(memory);
    if (!journal) journals.set(memory, (journal = new Journal(memory)));
    return journal;
  }

  private constructor(private readonly memory: PhysicalMemory) {
    const write32 = memory.write32.bind(memory);
    const writeBytes = memory.writeBytes.bind(memory);
    const fill = memory.fill.bind(memory);
    memory.write32 = (at, value) => {
      this.keep(at, 4);
      write32(at, value);
    };
    memory.write64 = (at, hi, lo) => {
      memory.write32(at, lo);
      memory.write32(at + 4, hi);
    };
    memory.writeBytes = (at, from) => {
      this.keep(at, from.length);
      writeBytes(at, from);
    };
    memory.fill = (at, length, byte) => {
      this.keep(at, length);
      fill(at, length, byte);
    };
  }

  begin(): void {
    this.on = true;
    this.olds.length = 0;
  }

  /** Puts back what was there at `begin`. */
  undo(): void {
    this.on = false;
    for (let i = this.olds.length - 1; i >= 0; i--) this.memory.writeBytes(this.olds[i]!.at, this.olds[i]!.bytes);
    this.olds.length = 0;
  }

  private keep(at: number, length: number): void {
    if (!this.on || !this.memory.contains(at, length)) return;
    const bytes = new Uint8Array(length);
    this.memory.readBytes(at, bytes);
    this.olds.push({ at, bytes });
  }
}

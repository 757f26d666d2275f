import type { PhysicalMemory } from '@doorbell/platform';

/** Reads table entries for the walkers. Says no where there is no RAM, and never throws. */
export class TableReader {
  readonly words = new Uint32Array(4);

  constructor(private readonly memory: PhysicalMemory) {}

  /** 16 bytes at `at` into `words`; `at` is aligned to 16. */
  read128(at: number): boolean {
    const m = this.memory;
    if (!m.has(at)) return false;
    const w = this.words;
    w[0] = m.read32(at);
    w[1] = m.read32(at + 4);
    w[2] = m.read32(at + 8);
    w[3] = m.read32(at + 12);
    return true;
  }
}

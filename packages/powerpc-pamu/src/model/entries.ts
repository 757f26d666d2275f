import { swap32, type PhysicalMemory } from '@doorbell/platform';
import { PAACE_WORDS } from '../spec/index.js';

/**
 * PAACEs as one PAMU reads them: from memory each time while snooping keeps the cache equal to it, else from a direct-mapped cache until
 * `forget`. Entries are numbered by their place in the table.
 */
export class Entries {
  /** The entry's words are here, from `fetch`'s result on. */
  readonly words: Uint32Array;
  private readonly tags: Int32Array;

  constructor(
    private readonly memory: PhysicalMemory,
    private readonly lines: number,
    private readonly coherent: boolean,
  ) {
    // One line more: where an entry that is not cached is read to.
    this.words = new Uint32Array((lines + 1) * PAACE_WORDS);
    this.tags = new Int32Array(lines).fill(-1);
  }

  /** The index in `words` of entry `index` at `address`, or -1 where there is no RAM. Invalid entries are not remembered. */
  fetch(index: number, address: number, cached: boolean): number {
    const line = index & (this.lines - 1);
    const keep = cached && !this.coherent;
    if (keep && this.tags[line] === index) return line * PAACE_WORDS;
    const { memory, words } = this;
    // An aligned entry lies in one piece of memory as a whole.
    const from = memory.locate(address);
    if (from < 0) return -1;
    const { located } = memory;
    let at = this.lines * PAACE_WORDS;
    if (keep && swap32(located[from + 1]!) & 1) {
      at = line * PAACE_WORDS;
      this.tags[line] = index;
    }
    for (let i = 0; i < PAACE_WORDS; i++) words[at + i] = swap32(located[from + i]!);
    return at;
  }

  forget(): void {
    this.tags.fill(-1);
  }
}

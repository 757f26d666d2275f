import type { AnyLayout } from '@doorbell/bits';
import { hex } from '@doorbell/platform';

/** Called after a word was stored: what it holds now and held before. */
export type ConfigHandler = (now: number, before: number) => void;

/**
 * One function's configuration space: words whose access rules come from the layouts placed in it. What no layout names is
 * reserved: it reads 0 and drops writes (PCI 3.0 §6.1).
 */
export class ConfigSpace {
  readonly words: Uint32Array;
  private readonly initial: Uint32Array;
  private readonly writable: Uint32Array;
  private readonly w1c: Uint32Array;
  private readonly taken = new Set<number>();
  private readonly handlers: (ConfigHandler | undefined)[] = [];

  /** `size`: 256, or 4096 with extended capabilities. */
  constructor(readonly size: number) {
    this.words = new Uint32Array(size / 4);
    this.initial = new Uint32Array(size / 4);
    this.writable = new Uint32Array(size / 4);
    this.w1c = new Uint32Array(size / 4);
  }

  /**
   * Puts a register into the space. `values` are what the first words hold after power-on beside the layout's own reset value.
   * A capability's registers count from its header: `at` is header + `$.at`.
   */
  place(layout: AnyLayout, at: number, ...values: number[]): void {
    for (let i = 0; i < layout.$.width / 32; i++) {
      const word = at / 4 + i;
      if (this.taken.has(word) || word >= this.words.length)
        throw new RangeError(
          `${layout.$.name} cannot lie at ${hex(at)} of a configuration space of ${this.size} bytes`,
        );
      this.taken.add(word);
      this.writable[word] = layout.$.writable[i]!;
      this.w1c[word] = layout.$.w1c[i]!;
      this.initial[word] = (layout.$.reset[i]! | (values[i] ?? 0)) >>> 0;
      this.words[word] = this.initial[word]!;
    }
  }

  /** Narrows what software can change of a word: BAR sizes, capability bits that are not there. */
  limit(at: number, writable: number): void {
    this.writable[at / 4] = this.writable[at / 4]! & writable;
  }

  /** Behaviour behind the word at `at`. */
  onWrite(at: number, handler: ConfigHandler): void {
    this.handlers[at / 4] = handler;
  }

  /** The word at a byte offset, as hardware holds it. */
  get(at: number): number {
    return this.words[at >>> 2] ?? 0;
  }
  /** Hardware's own update: no access rules, no handler. */
  set(at: number, value: number): void {
    this.words[at >>> 2] = value;
  }
  /** A read-only value that stays across resets. */
  fix(at: number, value: number): void {
    this.initial[at >>> 2] = value;
    this.words[at >>> 2] = value;
  }

  /** `size` 1, 2 or 4, aligned. */
  read(offset: number, size: number): number {
    const word = this.words[offset >>> 2];
    if (word === undefined) return ones(size);
    return ((word >>> (8 * (offset & 3))) & ones(size)) >>> 0;
  }

  write(offset: number, size: number, value: number): void {
    const word = offset >>> 2;
    const before = this.words[word];
    if (before === undefined) return;
    const shift = 8 * (offset & 3);
    // Byte enables: what they leave out is neither replaced nor cleared.
    const enabled = (ones(size) << shift) >>> 0;
    const written = (value << shift) >>> 0;
    const replaced = this.writable[word]! & enabled;
    const now = ((before & ~replaced & ~(written & this.w1c[word]! & enabled)) | (written & replaced)) >>> 0;
    this.words[word] = now;
    this.handlers[word]?.(now, before);
  }

  reset(): void {
    this.words.set(this.initial);
  }
}

const ones = (size: number): number => (size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff);

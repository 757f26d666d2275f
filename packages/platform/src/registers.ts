import { setAt, written, type Field, type LayoutInfo } from '@doorbell/bits';
import type { MmioRegion } from './bus.js';
import type { Diagnostics } from './diagnostics.js';
import { hex } from './address.js';
import { DoorbellError } from './errors.js';

/** Called after the register's word was stored: its new value, what was written, and who wrote. */
export type WriteHandler = (value: number, written: number, source: number) => void;

export interface RegisterFileOptions {
  readonly name: string;
  readonly base: number;
  readonly size: number;
  readonly endian?: 'little' | 'big';
  readonly sizes?: readonly number[];
  readonly diagnostics: Diagnostics;
  /** The block's registers: layouts with their offsets. */
  readonly registers: readonly { readonly $: LayoutInfo }[];
}

/**
 * A block's registers, declared by layouts: access kinds and reset values come from the tables, behaviour from handlers. A word
 * that neither a layout nor a handler names reads 0, drops writes, and is noted as not modelled.
 */
export class RegisterFile implements MmioRegion {
  readonly name: string;
  readonly base: number;
  readonly size: number;
  readonly endian: 'little' | 'big';
  readonly sizes: readonly number[];
  /** Register words by offset / 4: what reads return, except where a read handler stands. */
  readonly words: Uint32Array;
  private readonly diagnostics: Diagnostics;
  private readonly registers: readonly { readonly $: LayoutInfo }[];
  private readonly owner: ({ readonly $: LayoutInfo } | undefined)[] = [];
  private readonly writers: (WriteHandler | undefined)[] = [];
  private readonly readers: ((() => number) | undefined)[] = [];

  constructor(options: RegisterFileOptions) {
    this.name = options.name;
    this.base = options.base;
    this.size = options.size;
    this.endian = options.endian ?? 'little';
    this.sizes = options.sizes ?? [4, 8];
    this.diagnostics = options.diagnostics;
    this.registers = options.registers;
    this.words = new Uint32Array(options.size / 4);
    for (const r of options.registers) {
      for (let i = 0; i < r.$.width / 32; i++) {
        const word = r.$.at / 4 + i;
        const other = this.owner[word];
        if (other)
          throw this.misplaced('REGISTER_OVERLAP', `${r.$.name} and ${other.$.name} both lie at ${hex(word * 4)}`);
        if (word >= this.words.length)
          throw this.misplaced(
            'REGISTER_OUTSIDE',
            `${r.$.name} at ${hex(r.$.at)} lies outside ${hex(options.size)} bytes`,
          );
        this.owner[word] = r;
      }
    }
    this.reset();
  }

  private misplaced(code: string, what: string): DoorbellError {
    return new DoorbellError(code, `${this.name}: ${what}`, 'correct its offset or the size', { file: this.name });
  }

  reset(): void {
    this.words.fill(0);
    for (const { $ } of this.registers) this.words.set($.reset, $.at / 4);
  }

  /** A word by byte offset. */
  get(offset: number): number {
    return this.words[offset >>> 2]!;
  }

  /** Hardware's own update: no access rules. */
  set(offset: number, value: number): void {
    this.words[offset >>> 2] = value;
  }

  /** The same of named fields, each in one word: `update(FAULT, { CODE: 2, WRITE: 1 })`. For what is rare; `setAt` on `words` allocates nothing. */
  update<R extends { readonly $: LayoutInfo }>(
    register: R,
    fields: Partial<Record<Exclude<keyof R, '$'>, number>>,
  ): void {
    for (const [name, value] of Object.entries(fields) as [keyof R, number][])
      setAt(this.words, register.$.at / 4, register[name] as Field, value);
  }

  /** What a write to the word at `offset` does after it was stored. A 64-bit register has a handler per word. */
  onWrite(offset: number, handler: WriteHandler): void {
    this.writers[offset >>> 2] = handler;
  }

  /** Where a read has an effect or a computed value. */
  onRead(offset: number, handler: () => number): void {
    this.readers[offset >>> 2] = handler;
  }

  read(offset: number, size: number): number {
    const word = offset >>> 2;
    const reader = this.readers[word];
    const owner = this.owner[word];
    if (owner === undefined && reader === undefined)
      this.diagnostics.unimplemented(this.name, `read of ${hex(offset & ~3)}`);
    const value = reader ? reader() : owner ? this.words[word]! & owner.$.readable[word - owner.$.at / 4]! : 0;
    if (size === 4) return value >>> 0;
    return (value >>> this.lane(offset, size)) & (size === 1 ? 0xff : 0xffff);
  }

  write(offset: number, size: number, value: number, source: number): void {
    const word = offset >>> 2;
    const owner = this.owner[word];
    if (owner === undefined) {
      const handler = this.writers[word];
      if (handler) handler(value >>> 0, value >>> 0, source);
      else this.diagnostics.unimplemented(this.name, `write of ${hex(offset & ~3)}`);
      return;
    }
    const old = this.words[word]!;
    if (size < 4) {
      const shift = this.lane(offset, size);
      const mask = (size === 1 ? 0xff : 0xffff) << shift;
      // The other bytes are written as they are; write-1-to-clear bits among them stay.
      value = ((old & ~mask & ~owner.$.w1c[word - owner.$.at / 4]!) | ((value << shift) & mask)) >>> 0;
    }
    const now = written(owner, word - owner.$.at / 4, old, value);
    this.words[word] = now;
    this.writers[word]?.(now, value >>> 0, source);
  }

  /** In address order. Little-endian: low, then high, which holds the start bit; big-endian: the high word comes first. */
  write64(offset: number, hi: number, lo: number, source: number): void {
    const big = this.endian === 'big';
    this.write(offset, 4, big ? hi : lo, source);
    this.write(offset + 4, 4, big ? lo : hi, source);
  }

  /** How far up in its word a byte or halfword lies: big-endian words have byte 0 at the top. */
  private lane(offset: number, size: number): number {
    return 8 * (this.endian === 'big' ? 4 - size - (offset & 3) : offset & 3);
  }

  snapshot(): Uint32Array {
    return this.words.slice();
  }

  restore(words: Uint32Array): void {
    this.words.set(words);
  }
}

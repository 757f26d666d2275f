import { DoorbellError } from '@doorbell/platform';

/** A range of interrupt numbers to give out, lowest first; blocks of a power of two are aligned on request. Deterministic. */
export class NumberSpace {
  private readonly used: Uint8Array;
  private free: number;
  /** All before this index are used: a search need not begin at 0, where thousands of functions that boot have theirs. */
  private lowest = 0;

  constructor(
    readonly what: string,
    readonly first: number,
    readonly count: number,
  ) {
    this.used = new Uint8Array(count);
    this.free = count;
  }

  get available(): number {
    return this.free;
  }

  /** Any `count` numbers. Errors: `IRQ_EXHAUSTED` with `available`; nothing changed then. */
  take(count: number): number[] {
    if (count > this.free) throw this.exhausted(count, this.free);
    const out: number[] = [];
    let i = this.lowest;
    for (; out.length < count; i++) if (!this.used[i]) out.push(i);
    for (const taken of out) this.used[taken] = 1;
    this.free -= count;
    this.lowest = i;
    return out.map((taken) => this.first + taken);
  }

  /** `count` consecutive numbers, the first a multiple of `align`. */
  takeBlock(count: number, align = 1): number {
    let best = 0;
    const start = (align - (this.first % align)) % align;
    for (let i = start; i + count <= this.count; i += align) {
      let n = 0;
      while (n < count && !this.used[i + n]) n++;
      best = Math.max(best, n);
      if (n === count) {
        this.used.fill(1, i, i + count);
        this.free -= count;
        return this.first + i;
      }
    }
    throw this.exhausted(count, best);
  }

  /**
   * What a request takes. For multi-message MSI: a run that begins at a multiple of its power of two, and all of that, because the
   * function may send any of it; the first `count` are the vectors. `give` the whole result back.
   */
  takeFor({ count, contiguous }: { readonly count: number; readonly contiguous: boolean }): number[] {
    if (!contiguous) return this.take(count);
    const size = 2 ** Math.ceil(Math.log2(count));
    const first = this.takeBlock(size, size);
    return Array.from({ length: size }, (_, i) => first + i);
  }

  give(numbers: readonly number[]): void {
    for (const n of numbers) {
      if (this.used[n - this.first]) this.free++;
      this.used[n - this.first] = 0;
      this.lowest = Math.min(this.lowest, n - this.first);
    }
  }

  /** Takes exactly these again, after `give`: an undo. */
  claim(numbers: readonly number[]): void {
    for (const n of numbers) {
      if (!this.used[n - this.first]) this.free--;
      this.used[n - this.first] = 1;
    }
  }

  isUsed(number: number): boolean {
    return this.used[number - this.first] === 1;
  }

  digest(): string {
    let h = 0x811c9dc5;
    for (let i = 0; i < this.used.length; i++) if (this.used[i]) h = Math.imul(h ^ i, 0x01000193);
    return `${this.free}/${(h >>> 0).toString(16)}`;
  }

  private exhausted(needed: number, available: number): DoorbellError {
    return new DoorbellError(
      'IRQ_EXHAUSTED',
      `${this.what}: ${needed} needed, ${available} available`,
      'ask for fewer vectors or free some',
      {
        what: this.what,
        needed,
        available,
      },
    );
  }
}

import { HardwareTimeout } from './errors.js';

/** When hardware finishes what it was told to do: a delay in ticks for the next piece of work. */
export interface CompletionPolicy {
  readonly name: string;
  /** A fresh source of delays; 0 means at once, before the write that started the work returns. */
  delays(): () => number;
}

/** Everything completes before the access that started it returns. */
export const immediate = (): CompletionPolicy => ({ name: 'immediate', delays: () => () => 0 });

/** Everything completes `ticks` ticks later. */
export const after = (ticks: number): CompletionPolicy => ({ name: `after(${ticks})`, delays: () => () => ticks });

/** Delays of 0 to 7 ticks from a seeded generator (xorshift32): the same seed gives the same run. */
export const seeded = (seed: number): CompletionPolicy => ({
  name: `seeded(${seed})`,
  delays: () => {
    let s = (Math.imul(seed, 0x9e3779b9) ^ 0x85ebca6b) | 0 || 1;
    return () => {
      s ^= s << 13;
      s ^= s >>> 17;
      s ^= s << 5;
      return (s >>> 0) & 7;
    };
  },
});

/** Work of one queue or engine: completes in order, by the platform's policy. */
export interface Lane {
  /** Runs `work` now or later, after all earlier work of this lane. */
  run(work: () => void): void;
}

/** Virtual time. It moves when software polls (`waitUntil`) or when a test calls `tick`. */
export class Clock {
  now = 0;
  private readonly delay: () => number;
  private readonly pending: { due: number; work: () => void }[] = [];

  constructor(readonly policy: CompletionPolicy = immediate()) {
    this.delay = policy.delays();
  }

  /** A queue of work that completes in order; lanes overtake each other. */
  lane(): Lane {
    let busyUntil = 0;
    let queued = 0;
    return {
      run: (work) => {
        const ticks = this.delay();
        const due = Math.max(this.now + ticks, busyUntil);
        if (due <= this.now && queued === 0) return work();
        busyUntil = due;
        queued++;
        this.at(due, () => {
          queued--;
          work();
        });
      },
    };
  }

  /** Runs `work` when virtual time reaches `due`. */
  at(due: number, work: () => void): void {
    let i = this.pending.length;
    while (i > 0 && this.pending[i - 1]!.due > due) i--;
    this.pending.splice(i, 0, { due, work });
  }

  /** One tick: whatever is due completes. */
  tick(): void {
    this.now++;
    while (this.pending.length > 0 && this.pending[0]!.due <= this.now) this.pending.shift()!.work();
  }

  /** True while nothing is under way. */
  get idle(): boolean {
    return this.pending.length === 0;
  }

  /** Lets everything under way complete. */
  settle(limit = 1_000_000): void {
    for (let n = 0; !this.idle; n++) {
      if (n >= limit) throw new HardwareTimeout('all pending work', limit);
      this.tick();
    }
  }

  /** Polls a condition, one tick a poll. */
  waitUntil(what: string, condition: () => boolean, limit = 10_000): void {
    for (let n = 0; !condition(); n++) {
      if (n >= limit) throw new HardwareTimeout(what, limit);
      this.tick();
    }
  }
}

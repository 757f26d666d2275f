import { DoorbellError, HardwareTimeout } from './errors.js';

/** When hardware finishes what it was told to do: a delay in ticks for the next piece of work. */
export interface CompletionPolicy {
  readonly name: string;
  /** A fresh source of delays; 0 means at once, before the write that started the work returns. */
  delays(): () => number;
}

/** Everything completes before the access that started it returns. */
export const immediate = (): CompletionPolicy => ({ name: 'immediate', delays: () => () => 0 });

/** Everything completes `ticks` ticks later. Errors: `BAD_DELAY`. */
export function after(ticks: number): CompletionPolicy {
  if (!Number.isSafeInteger(ticks) || ticks < 0)
    throw new DoorbellError('BAD_DELAY', `after(${ticks}) is no delay`, 'give a whole number of ticks', { ticks });
  return { name: `after(${ticks})`, delays: () => () => ticks };
}

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

/** Work of one queue or engine: starts in order, by the platform's policy. Work that a piece of work itself asks for may run inside it. */
export interface Lane {
  /** Runs `work` now or later, after all earlier work of this lane. */
  run(work: () => void): void;
}

/** Where a clock stands, enough to go on the same way. */
export interface ClockState {
  readonly now: number;
  /** Delays taken from the policy so far. */
  readonly drawn: number;
}

/** Virtual time. It moves when software polls (`waitUntil`) or when a test calls `tick`. */
export class Clock {
  now = 0;
  private delay: () => number;
  private drawn = 0;
  /** Grows with each `restore`: lanes forget what they had under way before. */
  private epoch = 0;
  private pending: { due: number; work: () => void }[] = [];

  constructor(readonly policy: CompletionPolicy = immediate()) {
    this.delay = policy.delays();
  }

  /** A queue of work that completes in order; lanes overtake each other. */
  lane(): Lane {
    let busyUntil = 0;
    let queued = 0;
    let epoch = this.epoch;
    return {
      run: (work) => {
        if (epoch !== this.epoch) {
          epoch = this.epoch;
          queued = 0;
        }
        this.drawn++;
        const ticks = this.delay();
        if (queued === 0) {
          if (ticks <= 0) return work();
          busyUntil = 0;
        }
        busyUntil = Math.max(this.now + ticks, busyUntil);
        queued++;
        this.at(busyUntil, () => {
          queued--;
          work();
        });
      },
    };
  }

  snapshot(): ClockState {
    return { now: this.now, drawn: this.drawn };
  }

  /** Forgets what is under way. */
  drop(): void {
    this.pending = [];
    this.epoch++;
  }

  /** Puts time and the policy's delays back; work under way is dropped. */
  restore(state: ClockState): void {
    this.drop();
    this.now = state.now;
    this.delay = this.policy.delays();
    for (this.drawn = 0; this.drawn < state.drawn; this.drawn++) this.delay();
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

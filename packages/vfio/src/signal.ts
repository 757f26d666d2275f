/** A counter that somebody waits for, as an eventfd: `signal` adds one, `take` reads and clears. */
export class Signal {
  private count = 0;
  private readonly listeners = new Set<() => void>();

  signal(): void {
    this.count++;
    for (const listener of this.listeners) listener();
  }

  /** How often it was signalled since the last call. */
  take(): number {
    const { count } = this;
    this.count = 0;
    return count;
  }

  /** Calls back at each signal; the returned function ends it. */
  on(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }
}

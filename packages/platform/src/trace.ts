/**
 * One step of a walk, a route or a delivery. The one interface that `run`'s routes and `explain`'s walks use.
 *
 * `what` names the structure in the specification's words, `at` its physical address (null where there is none), `words`
 * its 32-bit words as read, `decoded` the same for people, `why` the consequence. `by` names the block that took the step.
 */
export interface Step {
  readonly by: string;
  readonly what: string;
  readonly at: number | null;
  readonly words: readonly number[];
  readonly decoded: string;
  readonly why: string;
}

/** Who listens to steps. */
export type StepListener = (step: Step) => void;

/**
 * Where models tell their steps. Off, it costs one property read: models write `if (trace.on) trace.step({…})` on slow paths
 * and choose between a traced and an untraced function on hot ones (`onSwitch`).
 */
export class Trace {
  /** True while somebody listens. */
  on = false;
  private readonly listeners = new Set<StepListener>();
  private readonly switches = new Set<(on: boolean) => void>();

  /** Starts listening; the returned function stops it. */
  listen(listener: StepListener): () => void {
    this.listeners.add(listener);
    this.update();
    return () => {
      this.listeners.delete(listener);
      this.update();
    };
  }

  /** Calls back whenever tracing is switched on or off: the place to swap a translate function. */
  onSwitch(callback: (on: boolean) => void): void {
    this.switches.add(callback);
    callback(this.on);
  }

  step(step: Step): void {
    for (const listener of this.listeners) listener(step);
  }

  /** Runs `body` and returns its result with the steps taken meanwhile. */
  record<T>(body: () => T): { result: T; steps: Step[] } {
    const steps: Step[] = [];
    const stop = this.listen((s) => steps.push(s));
    try {
      return { result: body(), steps };
    } finally {
      stop();
    }
  }

  private update(): void {
    const on = this.listeners.size > 0;
    if (on === this.on) return;
    this.on = on;
    for (const callback of this.switches) callback(on);
  }
}

/** What a `DoorbellError` carries beside its sentence: the values, for programs. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

/**
 * The caller is wrong or a resource ran out. Never used for what hardware would do: a modelled fault is data.
 *
 * `code` is stable and stands in the README of the package that throws it; `remedy` says what to do about it.
 */
export class DoorbellError extends Error {
  readonly code: string;
  readonly details: ErrorDetails;
  readonly remedy: string;

  constructor(code: string, message: string, remedy: string, details: ErrorDetails = {}, options?: ErrorOptions) {
    super(remedy ? `${message} (${remedy})` : message, options);
    this.name = new.target.name;
    this.code = code;
    this.remedy = remedy;
    this.details = details;
  }
}

/** The hardware refused during a commit (CERROR, IQE, ITS stall, time-out). Whatever had been done was compensated. */
export class HardwareError extends DoorbellError {}

/** `HARDWARE_TIMEOUT`: a condition that a driver polled for did not come true within its limit. */
export class HardwareTimeout extends HardwareError {
  constructor(what: string, limit: number) {
    super(
      'HARDWARE_TIMEOUT',
      `${what} did not happen within ${limit} polls`,
      'look at the unit: is it enabled, stalled or in error?',
      {
        what,
        limit,
      },
    );
  }
}

/** Every problem of a composition at once, in the user's terms. */
export class CompositionError extends DoorbellError {
  readonly problems: readonly DoorbellError[];

  constructor(problems: readonly DoorbellError[]) {
    const lines = problems.map((p) => `  - ${p.code}: ${p.message}`).join('\n');
    super('COMPOSITION_FAILED', `the platform cannot be composed:\n${lines}\n`, 'mend each of them', {
      codes: problems.map((p) => p.code),
    });
    this.problems = problems;
  }
}

/** `PLUGIN_FAILED`: somebody's code threw. `who` and `what` are for the sentence, `cause` is what it threw. */
export const pluginFailed = (who: string, what: string, cause: unknown, plugin: string | undefined): DoorbellError =>
  new DoorbellError(
    'PLUGIN_FAILED',
    `${who} failed in ${what}: ${cause instanceof Error ? cause.message : String(cause)}`,
    'mend the plugin',
    { plugin, who, what, causeCode: cause instanceof DoorbellError ? cause.code : undefined },
    { cause },
  );

export const isPluginFailure = (error: unknown): error is DoorbellError =>
  error instanceof DoorbellError && error.code === 'PLUGIN_FAILED';

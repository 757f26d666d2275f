import { DoorbellError, hex } from '@doorbell/platform';

/** A case that does not hold. The message says what was expected and what was seen. */
export class ConformanceFailure extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ConformanceFailure';
  }
}

export function check(condition: boolean, message: string | (() => string)): asserts condition {
  if (!condition) throw new ConformanceFailure(typeof message === 'string' ? message : message());
}

export function equal<T>(seen: T, expected: T, what: string): void {
  if (Object.is(seen, expected)) return;
  throw new ConformanceFailure(`${what}: expected ${show(expected)}, saw ${show(seen)}`);
}

/** The body has to throw a `DoorbellError` with the code; it is returned. */
export function throwsCode(code: string, what: string, body: () => unknown): DoorbellError {
  try {
    body();
  } catch (error) {
    if (error instanceof DoorbellError && error.code === code) return error;
    throw new ConformanceFailure(`${what}: expected ${code}, threw ${String(error)}`);
  }
  throw new ConformanceFailure(`${what}: expected ${code}, nothing was thrown`);
}

/** Runs the body; a case that fails in it is told with the last of what was done before. */
export function telling(done: readonly string[], body: () => void): void {
  try {
    body();
  } catch (error) {
    if (!(error instanceof ConformanceFailure) || done.length === 0) throw error;
    throw new ConformanceFailure(`${error.message}; done before: ${done.slice(-6).join(', ')}`);
  }
}

const show = (value: unknown): string =>
  typeof value === 'number'
    ? value < 10
      ? String(value)
      : `${value} (${hex(value)})`
    : (JSON.stringify(value) ?? String(value));

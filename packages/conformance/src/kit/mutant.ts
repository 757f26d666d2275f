import type { ConformanceCase } from './case.js';

/** A mistake planted in a back-end or in the core. */
export interface Mutant {
  readonly name: string;
  /** Plants it; the result takes it out again. */
  readonly plant: () => () => void;
}

type Methods = Record<string, (...args: never[]) => unknown>;
type Body = (this: never, original: (...args: never[]) => unknown, ...args: never[]) => unknown;

/** Replaces one method of a class; the replacement gets the original, bound. */
export function method(cls: { prototype: unknown }, name: string, body: unknown): () => () => void {
  return () => {
    const prototype = cls.prototype as Methods;
    const original = prototype[name]!;
    prototype[name] = function (this: never, ...args: never[]) {
      return (body as Body).call(this, original.bind(this), ...args);
    };
    return () => void (prototype[name] = original);
  };
}

/** Replaces a getter of a number. */
export function getter(cls: { prototype: object }, name: string, change: (value: number) => number): () => () => void {
  return () => {
    const original = Object.getOwnPropertyDescriptor(cls.prototype, name)!;
    Object.defineProperty(cls.prototype, name, {
      ...original,
      get(this: object) {
        return change(original.get!.call(this) as number);
      },
    });
    return () => void Object.defineProperty(cls.prototype, name, original);
  };
}

/** The name of the first case that fails, or null. */
export function firstFailure(cases: readonly ConformanceCase[]): string | null {
  for (const { name, run } of cases) {
    try {
      run();
    } catch {
      return name;
    }
  }
  return null;
}

/** The same while the mutant is planted: who catches it. */
export function caughtBy({ plant }: Pick<Mutant, 'plant'>, cases: readonly ConformanceCase[]): string | null {
  const takeOut = plant();
  try {
    return firstFailure(cases);
  } finally {
    takeOut();
  }
}

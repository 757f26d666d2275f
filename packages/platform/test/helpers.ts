import { CompositionError, definePlugin, DoorbellError, Platform, Verdict, WRITE } from '../src/index.js';
import type { BlockDefinition, Outcome, Plugin, PlatformNode, PlatformOptions, Request } from '../src/index.js';

/** The error that `body` throws; a test fails where it throws none or another kind. */
export function thrown(body: () => unknown): DoorbellError {
  try {
    body();
  } catch (error) {
    if (error instanceof DoorbellError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** The problems of a composition as `[code, message]`, in order. */
export function problemsOf(platform: Platform): [string, string][] {
  const error = thrown(() => platform.compose());
  if (!(error instanceof CompositionError)) throw error;
  return error.problems.map((p) => [p.code, p.message]);
}

/** A plugin for the nodes that are `compatible` with its name. */
export const plugin = (name: string, block: Omit<BlockDefinition, 'compatible'>, ...nodes: PlatformNode[]): Plugin =>
  definePlugin(name, { compatible: [name], ...block }, nodes);

export const small = (options: PlatformOptions = {}): Platform =>
  new Platform({ name: 'small', memory: [{ base: 0, size: 0x10_0000 }], ...options });

/** A unit that adds `by` to every address and writes down what it was asked. */
export const shifting = (name: string, by: number) => ({
  name,
  seen: [] as Request[],
  translate(request: Request, out: Outcome): Verdict {
    this.seen.push({ ...request });
    if (request.lo === 0xdead_0000) {
      out.fault = 'NOT_HERE';
      return Verdict.fault;
    }
    if ((request.lo >>> 20) >>> 0 === 0xfee) return Verdict.interrupt;
    out.pa = request.lo + by;
    out.permissions = WRITE;
    return Verdict.translated;
  },
});

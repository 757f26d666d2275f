import { readFileSync } from 'node:fs';
import { parseLine, questionOf, type Answer, type Question, type ShownStep } from '@doorbell/inspect';
import { DoorbellError } from '@doorbell/platform';
import { loadConfig } from '../config.js';
import { EXIT } from '../exit.js';
import { openTarget, type Target } from '../explain/target.js';
import { complain, print } from '../output.js';

export interface ExplainOptions {
  readonly write?: boolean;
  readonly execute?: boolean;
  readonly pasid?: string;
  readonly batch?: string;
  readonly json?: boolean;
  readonly config?: string;
}

const USAGE =
  'doorbell explain WHAT dma REQUESTER IOVA [--write] | WHAT msi REQUESTER ADDRESS DATA | WHAT --batch FILE --json';

/** `doorbell explain`: one question, or a file of them. Returns the exit code. */
export async function explain(what: string, words: readonly string[], options: ExplainOptions): Promise<number> {
  const render = options.json ? null : await import('../report/explain.js');
  let question: Question | null;
  try {
    question = options.batch === undefined ? fromWords(words, options) : null;
    if (options.batch !== undefined && words.length > 0) throw new Error(`--batch takes no question: ${USAGE}`);
  } catch (error) {
    complain(messageOf(error));
    if (options.json) print(JSON.stringify({ input: what, error: messageOf(error) }));
    return EXIT.usage;
  }
  let target: Target;
  let lines: string[] = [];
  try {
    // 0: standard input
    if (options.batch !== undefined) lines = linesOf(readFileSync(options.batch === '-' ? 0 : options.batch, 'utf8'));
    target = await openTarget(what, await loadConfig(options.config));
  } catch (error) {
    const message = messageOf(error);
    complain(message.includes(what) ? message : `${what}: ${message}`);
    if (options.json) print(JSON.stringify({ input: what, error: message }));
    return EXIT.usage;
  }
  if (options.batch !== undefined) return batch(target, lines, render);
  for (const problem of options.json ? target.problems : []) complain(`${what}: ${problem}`);
  try {
    const answer = target.explain(question!);
    print(
      render === null
        ? JSON.stringify({ input: what, ...answer })
        : render.renderAnswer(question!, answer, target.problems),
    );
    return answer.verdict === 'fault' || answer.verdict === 'blocked' ? EXIT.failure : EXIT.ok;
  } catch (error) {
    const { error: message, code, steps } = errorObject(error);
    if (render === null) print(JSON.stringify({ input: what, ...errorObject(error) }));
    else if (steps !== undefined) print(render.renderRefusal(question!, code, steps));
    complain(message);
    return codeOf(error) === 'BAD_QUESTION' ? EXIT.usage : EXIT.failure;
  }
}

/** One result line each, in order. 1 if a line could not be answered. */
function batch(target: Target, lines: readonly string[], render: typeof import('../report/explain.js') | null): number {
  let code: number = EXIT.ok;
  for (const problem of target.problems) complain(problem);
  for (const line of lines) {
    try {
      const question = parseLine(line);
      const answer: Answer = target.explain(question);
      print(render === null ? JSON.stringify(answer) : render.renderLine(question, answer));
    } catch (error) {
      code = EXIT.failure;
      print(render === null ? JSON.stringify(errorObject(error)) : `error: ${errorObject(error).error}`);
    }
  }
  return code;
}

/** Empty lines at the end are no questions; one in the middle is malformed. */
const linesOf = (text: string): string[] => {
  const lines = text.replace(/\s+$/, '').split(/\r?\n/);
  return lines.length === 1 && lines[0] === '' ? [] : lines;
};

function fromWords(words: readonly string[], options: ExplainOptions): Question {
  const [kind, requester, first, data] = words;
  if (kind === 'dma' && words.length === 3) {
    const access = options.write ? 'write' : options.execute ? 'execute' : 'read';
    return questionOf({
      dma: { requester, iova: first, access, ...(options.pasid !== undefined && { pasid: options.pasid }) },
    });
  }
  if (kind === 'msi' && words.length === 4) return questionOf({ msi: { requester, address: first, data } });
  throw new Error(`${words.length === 0 ? 'no question' : `no question: ${words.join(' ')}`}; ${USAGE}`);
}

const codeOf = (error: unknown): string | null => (error instanceof DoorbellError ? error.code : null);
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** A refusal as `--json` prints it. */
interface Refusal {
  readonly error: string;
  readonly code: string;
  readonly unit?: unknown;
  readonly missing?: readonly unknown[];
  /** Of a walk that could not be finished: how far it got. */
  readonly steps?: readonly ShownStep[];
}

function errorObject(error: unknown): Refusal {
  const code = codeOf(error) ?? 'INTERNAL';
  const details = error instanceof DoorbellError ? error.details : {};
  const { steps, at, unit } = details;
  return {
    error: `${code}: ${messageOf(error)}`,
    code,
    ...(unit !== undefined && { unit }),
    ...(at !== undefined && { missing: [at] }),
    ...(steps !== undefined && { steps: steps as ShownStep[] }),
  };
}

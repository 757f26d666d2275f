import { arrivalOf, circumstancesOf, type Answer, type Question, type ShownStep } from '@doorbell/inspect';
import { pc } from './colors.js';

/** An answer for people: the verdict, the walk with the deciding word marked, the reason, and what would have to change. */
export function renderAnswer(question: Question, answer: Answer, problems: readonly string[] = []): string {
  const lines = [pc.bold(`${asked(question)}  →  ${verdict(answer)}`), ''];
  lines.push(...walk(answer.steps, answer.deciding, isFailure(answer)));
  lines.push('', `${isFailure(answer) ? pc.red('Why: ') : 'Why: '}${answer.reason}.`);
  if (answer.remedy !== null) lines.push(`${pc.yellow('What would have to change: ')}${answer.remedy}.`);
  for (const at of new Set(answer.missing ?? [])) lines.push(pc.yellow(`There is no memory at ${at} in this input.`));
  if (answer.stale !== undefined)
    lines.push(pc.yellow(`A cache gave this answer; the tables in memory say something else: ${answer.stale}.`));
  if (problems.length > 0) lines.push('', ...problems.map((p) => pc.dim(`note: ${p}`)));
  return lines.join('\n');
}

/** A question that has no answer: how far the walk got; who calls says what is missing. */
export const renderRefusal = (question: Question, code: string, steps: readonly ShownStep[]): string =>
  [pc.bold(`${asked(question)}  →  ${pc.red(code)}`), '', ...walk(steps, null, true), ''].join('\n');

/** One line, for a batch without --json. */
export const renderLine = (question: Question, answer: Answer): string => `${asked(question)}  →  ${verdict(answer)}`;

const isFailure = ({ verdict: v }: Answer): boolean => v === 'fault' || v === 'blocked';

const asked = (q: Question): string =>
  q.kind === 'dma'
    ? `${q.requester} ${VERBS[q.access]} 0x${q.iova.toString(16)}`
    : `${q.requester} sends MSI 0x${q.data.toString(16)} to 0x${q.address.toString(16)}`;

const VERBS = { read: 'reads', write: 'writes', execute: 'fetches from' } as const;

function verdict(a: Answer): string {
  switch (a.verdict) {
    case 'translated':
      return pc.green(`${a.pa}`) + ` (${size(a.pageSize)} page, ${a.permissions})`;
    case 'bypass':
      return pc.green(a.pa) + ' (not translated)';
    case 'interrupt':
      return pc.green('an interrupt request');
    case 'delivered':
      return pc.green('delivered: ') + `${arrivalOf(a.interrupt)} (${circumstancesOf(a.interrupt)})`;
    default: {
      const { code, name } = a.fault;
      const word = a.verdict === 'fault' ? 'FAULT' : 'BLOCKED';
      return (
        pc.red(`${word} ${name}`) + (code === null ? '' : ` (${code})`) + (a.recorded ? ', recorded' : ', not recorded')
      );
    }
  }
}

/** Under the name of each who takes part, every table one deeper than the one that led to it. */
function walk(steps: readonly ShownStep[], deciding: number | null, failed: boolean): string[] {
  const lines: string[] = [];
  let depth = 0;
  let by = '';
  steps.forEach((step, i) => {
    if (step.by !== by) {
      by = step.by;
      lines.push(pc.cyan(by));
      depth = 0;
    }
    lines.push(...shown(step, depth, i === deciding, failed));
    if (step.at !== null) depth++;
  });
  return lines;
}

function shown(s: ShownStep, depth: number, deciding: boolean, failed: boolean): string[] {
  const mark = deciding ? (failed ? pc.red('✗ ') : pc.green('▶ ')) : '  ';
  const indent = '  '.repeat(depth);
  const at = s.at === null ? '' : pc.dim(`  @ ${s.at}`);
  const words = s.at === null ? [...s.words] : quads(s.words);
  const head = `${mark}${indent}${deciding ? pc.bold(s.what) : s.what}${at}`;
  const body = `  ${indent}    `;
  const out = [head + (words.length === 1 ? `  =  ${pc.bold(words[0])}` : '')];
  if (words.length > 1) for (let i = 0; i < words.length; i += 4) out.push(body + words.slice(i, i + 4).join(' '));
  if (s.decoded !== '') out.push(body + s.decoded);
  if (s.why !== '') out.push(`${body}${deciding && failed ? pc.red(s.why) : pc.dim(s.why)}`);
  return out;
}

/** Tables hold quadwords: pairs are shown as one, and zeros at the end not at all. */
function quads(words: readonly string[]): string[] {
  if (words.length < 2 || words.length % 2 === 1) return [...words];
  const out: string[] = [];
  for (let i = 0; i < words.length; i += 2) out.push(words[i + 1]! + words[i]!.slice(2));
  while (out.length > 1 && /^0x0+$/.test(out[out.length - 1]!)) out.pop();
  return out;
}

const size = (bytes: number): string =>
  bytes >= 2 ** 30 ? `${bytes / 2 ** 30} GiB` : bytes >= 2 ** 20 ? `${bytes / 2 ** 20} MiB` : `${bytes / 1024} KiB`;

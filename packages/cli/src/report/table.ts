import Table from 'cli-table3';
import { pc } from './colors.js';

const NONE = [
  'top',
  'top-mid',
  'top-left',
  'top-right',
  'bottom',
  'bottom-mid',
  'bottom-left',
  'bottom-right',
  'left',
  'left-mid',
  'mid',
  'mid-mid',
  'right',
  'right-mid',
];

/** Columns without lines: reads well on a terminal, and in a pipe. */
export const PLAIN = {
  chars: { ...Object.fromEntries(NONE.map((c) => [c, ''])), middle: '  ' },
  style: { 'padding-left': 0, 'padding-right': 0, head: [] as string[], border: [] as string[] },
};

/** Rows under a bold heading, at most `limit` of them; says how many are left out. */
export function section(
  title: string,
  head: readonly string[],
  rows: readonly (readonly string[])[],
  limit: number,
): string {
  const table = new Table({ ...PLAIN, head: head.map((h) => pc.dim(h)) });
  for (const row of rows.slice(0, limit)) table.push([...row]);
  const body = table
    .toString()
    .split('\n')
    .map((l) => `  ${l}`.trimEnd());
  if (rows.length > limit) body.push(pc.dim(`  … and ${rows.length - limit} more (--all shows them)`));
  return [pc.bold(title), ...body].join('\n');
}

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as inspect from '@doorbell/inspect';
import { expect, it, vi } from 'vitest';
import { contributions } from './config.js';

it('runs the example of the README of inspect, on a snapshot', async () => {
  const root = join(import.meta.dirname, '../..');
  const readme = readFileSync(join(root, 'packages/inspect/README.md'), 'utf8');
  const code = /```ts\n([\s\S]*?)```/.exec(readme)![1]!;
  const fixture = join(import.meta.dirname, 'fixtures/x86-vtd-nvme.snapshot.gz');
  const body = code
    .replaceAll(/^import .*\n/gm, '')
    .replace(
      /const session = await openSession\('[^']*'/,
      `const session = await openSession(${JSON.stringify(fixture)}`,
    );
  const config = { plugins: (await contributions()).map((capture) => ({ capture })) };
  const printed: string[] = [];
  const log = vi.spyOn(console, 'log').mockImplementation((...args: unknown[]) => void printed.push(args.join(' ')));
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- the example has no types in it: it is JavaScript
  const example = new Function(
    'api',
    `return (async () => { const { openSession, parseLine, config } = api;\n${body}})()`,
  ) as (api: object) => Promise<void>;
  await example({ ...inspect, config });
  log.mockRestore();
  const promised = /console\.log.*\/\/ (.*) …$/m.exec(body)![1]!.replace(', ', ' ');
  expect(printed).toHaveLength(1);
  expect(printed[0]).toContain(promised);
});

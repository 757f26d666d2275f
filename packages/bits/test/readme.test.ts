import { readFileSync } from 'node:fs';
import { expect, it, vi } from 'vitest';
import * as bits from '../src/index.js';

it('runs the README example, which prints what it says it prints', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const code = /```ts\n([\s\S]*?)```/.exec(readme)![1]!;
  const [, names, body] = /^import \{(.*?)\} from '@doorbell\/bits';\n([\s\S]*)$/.exec(code)!;
  const printed: string[] = [];
  const log = vi.spyOn(console, 'log').mockImplementation((...args: unknown[]) => void printed.push(args.join(' ')));
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- the example has no types in it: it is JavaScript
  const example = new Function('api', `const {${names}} = api;\n${body}`) as (api: typeof bits) => void;
  example(bits);
  log.mockRestore();
  expect(printed).toEqual([...body!.matchAll(/console\.log.*\/\/ (.*)$/gm)].map((m) => m[1]));
  expect(printed).toHaveLength(2);
});

import { readFileSync } from 'node:fs';
import { expect, it, vi } from 'vitest';
import * as platform from '../src/index.js';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

it('runs the README example, which prints what it says it prints', () => {
  const code = /```ts\n([\s\S]*?)```/.exec(readme)![1]!;
  const [, names, body] = /^import \{(.*?)\} from '@doorbell\/platform';\n([\s\S]*)$/.exec(code)!;
  const printed: string[] = [];
  const log = vi.spyOn(console, 'log').mockImplementation((...args: unknown[]) => void printed.push(args.join(' ')));
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- the example has no types in it: it is JavaScript
  const example = new Function('api', `const {${names}} = api;\n${body}`) as (api: typeof platform) => void;
  example(platform);
  log.mockRestore();
  expect(printed).toEqual([...body!.matchAll(/console\.log.*\/\/ (.*)$/gm)].map((m) => m[1]));
  expect(printed).toHaveLength(3);
});

it('lists every hook', () => {
  for (const hook of Object.keys(platform.createHooks())) expect(readme).toContain(`\`${hook}\``);
});

import { readFileSync } from 'node:fs';
import * as irqchip from '@doorbell/irqchip';
import * as platform from '@doorbell/platform';
import * as own from '../src/index.js';
import { expect, it } from 'vitest';

it('runs the README example', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const body = /```ts\n([\s\S]*?)```/.exec(readme)![1]!.replaceAll(/^import .*\n/gm, '');
  const api = { ...platform, ...irqchip, ...own };
  const names = Object.keys(api).filter((name) => /^[A-Za-z_]\w*$/.test(name));
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- the example has no types in it: it is JavaScript
  const example = new Function(
    'api',
    `const { ${names.join(', ')} } = api;\n${body}\nreturn platform.get(CPU_INTERFACE).pending(1);`,
  ) as (a: typeof api) => unknown;
  expect(example(api)).toEqual([]);
});

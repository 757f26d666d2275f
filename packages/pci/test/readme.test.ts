import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import * as irqchip from '@doorbell/irqchip';
import * as platform from '@doorbell/platform';
import { expect, it, vi } from 'vitest';
import * as pci from '../src/index.js';

it('runs the README example, which prints what it says it prints', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const code = /```ts\n([\s\S]*?)```/.exec(readme)![1]!;
  const body = code.replace(/^import \{(.*?)\} from '@doorbell\/(.*)';$/gm, 'const {$1} = $2_;');
  const printed: string[] = [];
  const show = (v: unknown): string => (typeof v === 'string' ? v : inspect(v));
  const log = vi
    .spyOn(console, 'log')
    .mockImplementation((...a: unknown[]) => void printed.push(a.map(show).join(' ')));
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- the example has no types in it: it is JavaScript
  const example = new Function('platform_', 'irqchip_', 'pci_', `{${body}}`) as (...packages: object[]) => void;
  example(platform, irqchip, pci);
  log.mockRestore();
  expect(printed.sort()).toEqual([...body.matchAll(/console\.log.*\/\/ (.*)$/gm)].map((m) => m[1]).sort());
  expect(printed).toHaveLength(3);
});

import { readFileSync } from 'node:fs';
import * as irqchip from '@doorbell/irqchip';
import * as platform from '@doorbell/platform';
import { expect, it, vi } from 'vitest';
import * as own from '../src/index.js';
import { device } from './machine.js';

it('runs the README example, which prints what it says it prints', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const code = /```ts\n([\s\S]*?)```/.exec(readme)![1]!;
  const body = code.replaceAll(/^import .*\n/gm, '');
  const api = { ...platform, ...irqchip, ...own, nic: device(0x20) };
  const names = 'Platform, INTERRUPTS, CPU_INTERFACE, apic, nic';
  const printed: string[] = [];
  const log = vi.spyOn(console, 'log').mockImplementation((...args: unknown[]) => void printed.push(args.join(' ')));
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- the example has no types in it: it is JavaScript
  const example = new Function('api', `const { ${names} } = api;\n${body}`) as (a: typeof api) => void;
  example(api);
  log.mockRestore();
  expect(printed).toEqual([...body.matchAll(/console\.log.*\/\/ (.*)$/gm)].map((m) => m[1]));
  expect(printed).toHaveLength(1);
});

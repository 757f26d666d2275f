import { readFileSync } from 'node:fs';
import * as irqchip from '@doorbell/irqchip';
import * as platform from '@doorbell/platform';
import { expect, it, vi } from 'vitest';
import * as armGic from '../src/index.js';
import { nic } from './devices.js';

it('runs the README example, which prints what it says it prints', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const code = /```ts\n([\s\S]*?)```/.exec(readme)![1]!;
  const body = code.replace(
    /^import \{(.*?)\} from '@doorbell\/(.*)';$/gm,
    (_, names: string, from: string) => `const {${names}} = packages['${from}'];`,
  );
  const printed: string[] = [];
  const log = vi
    .spyOn(console, 'log')
    .mockImplementation((...a: unknown[]) => void printed.push(a.map(String).join(' ')));
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- the example has no types in it: it is JavaScript
  const example = new Function('packages', 'nic', body) as (packages: object, device: object) => void;
  example({ irqchip, platform, 'arm-gic': armGic }, nic());
  log.mockRestore();
  expect(printed).toEqual([/console\.log.*\/\/ (.*)$/m.exec(body)![1]]);
});

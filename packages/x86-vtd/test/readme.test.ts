import { readFileSync } from 'node:fs';
import * as iommu from '@doorbell/iommu';
import * as platform from '@doorbell/platform';
import * as apic from '@doorbell/x86-apic';
import { expect, it, vi } from 'vitest';
import * as own from '../src/index.js';
import { device } from './machine.js';

it('runs the README example, which prints what it says it prints', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const code = /```ts\n([\s\S]*?)```/.exec(readme)![1]!;
  const body = code.replaceAll(/^import .*\n/gm, '');
  const host: platform.Plugin = {
    name: 'host',
    apiVersion: 1,
    apply: (builder) => {
      builder.hooks.block.tap('host', (node) => (node.compatible === 'test' ? { compatible: ['test'] } : undefined));
      const iommuMap = [{ inputBase: 0, count: 65536, outputBase: 0, to: 'dmar0' }];
      builder.addNode({ name: 'pci0', compatible: 'test', iommuMap });
    },
  };
  const api = { ...platform, ...iommu, ...apic, ...own, host, nic: device(0x20) };
  const names = 'Platform, READ, WRITE, IOMMU, apic, vtd, host, nic';
  const printed: string[] = [];
  const log = vi.spyOn(console, 'log').mockImplementation((...args: unknown[]) => void printed.push(args.join(' ')));
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- the example has no types in it: it is JavaScript
  const example = new Function('api', `const { ${names} } = api;\n${body}`) as (a: typeof api) => void;
  example(api);
  log.mockRestore();
  expect(printed).toEqual([...body.matchAll(/console\.log.*\/\/ (.*)$/gm)].map((m) => m[1]));
  expect(printed).toHaveLength(1);
});

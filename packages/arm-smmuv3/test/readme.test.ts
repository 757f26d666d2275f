import { readFileSync } from 'node:fs';
import * as iommu from '@doorbell/iommu';
import * as platform from '@doorbell/platform';
import { gicv3, its } from '@doorbell/arm-gic';
import { expect, it, vi } from 'vitest';
import * as smmu from '../src/index.js';
import { device, hostBridge } from './machine.js';

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
  const parts = [gicv3(), its(), ...hostBridge()];
  const host: platform.Plugin = {
    name: 'host',
    apiVersion: platform.API_VERSION,
    apply: (builder) => parts.forEach((part) => part.apply(builder)),
  };
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- the example has no types in it: it is JavaScript
  const example = new Function('packages', 'nic', 'host', body) as (
    packages: object,
    nic: object,
    host: object,
  ) => void;
  example({ iommu, platform, 'arm-smmuv3': smmu }, device(0x20), host);
  log.mockRestore();
  expect(printed).toEqual([/console\.log.*\/\/ (.*)$/m.exec(body)![1]]);
});

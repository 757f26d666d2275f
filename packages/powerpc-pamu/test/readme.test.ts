import { readFileSync } from 'node:fs';
import * as boards from '@doorbell/boards';
import * as iommu from '@doorbell/iommu';
import * as pci from '@doorbell/pci';
import * as platform from '@doorbell/platform';
import { expect, it } from 'vitest';

it('runs the README example', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const body = /```ts\n([\s\S]*?)```/.exec(readme)![1]!.replaceAll(/^import .*\n/gm, '');
  const api = { ...boards, ...iommu, ...pci, ...platform };
  const names = Object.keys(api).filter((name) => /^[A-Za-z_]\w*$/.test(name));
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- the example has no types in it: it is JavaScript
  const example = new Function(
    'api',
    `const { ${names.join(', ')} } = api;\n${body}\nreturn platform.service(PCI).vectorsOf(fn).message(0).addressLo;`,
  ) as (a: typeof api) => unknown;
  expect(example(api)).toEqual(0x800_0140);
});

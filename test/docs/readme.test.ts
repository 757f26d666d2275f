import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DoorbellConfig } from '@doorbell/cli';
import { expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const text = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const readme = text('README.md');

it('the platform in the README is an example, which runs', () => {
  const [, block] = /```ts\n([^]*?)```/.exec(readme)!;
  const example = text('examples/02-custom-platform.ts');
  for (const part of block!.split('\n\n')) expect(example).toContain(part.trim());
});

it('the table of plugins is that of doorbell.config.js', async () => {
  const file = '../../doorbell.config.js';
  const { plugins } = ((await import(file)) as { default: DoorbellConfig }).default;
  const rows = [...readme.matchAll(/^\| `([a-z0-9-]+)` \((@doorbell\/[a-z0-9-]+)\) \| (.+) \| (.+) \|$/gm)];
  expect(rows.map((row) => row.slice(1))).toEqual(
    plugins.map((p) => [p.name, p.package, p.compatible.join(', '), p.judgedBy.join(', ')]),
  );
});

it.each(['README.md', 'docs/plugin-guide.md', 'docs/errors.md', 'docs/glossary.md'])(
  'every link of %s leads somewhere',
  (file) => {
    const links = [...text(file).matchAll(/\]\(([^)#:]+)\)/g)].map(([, to]) => to!);
    const dead = links.filter((to) => !existsSync(join(ROOT, file, '..', to)));
    expect(dead).toEqual([]);
  },
);

it('what the README shows of npm start is what it prints', () => {
  const machines = ['q35-vtd', 'virt-smmuv3', 'qoriq-pamu'].map((name) => join(ROOT, 'examples/machines', name));
  const bin = join(ROOT, 'packages/cli/bin/doorbell.js');
  const r = spawnSync(process.execPath, [bin, 'run', '--tour', ...machines], { cwd: ROOT, encoding: 'utf8' });
  const [, shown] = /```\n( {24}q35-vtd[^]*?)```/.exec(readme)!;
  // `…` stands for what the README leaves out.
  for (const part of shown!.split('\n').flatMap((line) => line.split('…'))) expect(r.stdout).toContain(part.trim());
});

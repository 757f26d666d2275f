import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

// A missing dependency works here, where npm links every workspace, and fails where somebody installs one package.
const packages = resolve(import.meta.dirname, '../../packages');
const read = (file: string) => JSON.parse(readFileSync(join(packages, file), 'utf8')) as unknown;

const imported = (name: string) => {
  const src = join(packages, name, 'src');
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.ts'));
  const found = files.flatMap((f) => {
    const text = readFileSync(join(src, f), 'utf8');
    return [...text.matchAll(/^(?:import|export|\}).*?from '@doorbell\/([^/']+)|^import '@doorbell\/([^/']+)/gm)];
  });
  return [...new Set(found.map((m) => m[1] ?? m[2]!))].filter((other) => other !== name).sort();
};

describe.each(readdirSync(packages))('%s', (name) => {
  it('declares the packages that its sources import, as dependencies and as references', () => {
    const { dependencies = {} } = read(`${name}/package.json`) as { dependencies?: Record<string, string> };
    const { references = [] } = read(`${name}/tsconfig.json`) as { references?: { path: string }[] };
    const referenced = references.map((r) => r.path.replace('../', ''));
    for (const other of imported(name)) {
      expect(dependencies, `packages/${name}/package.json`).toHaveProperty([`@doorbell/${other}`]);
      expect(referenced, `packages/${name}/tsconfig.json`).toContain(other);
    }
  });
});

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Codes that sources of packages throw: the first argument of an error's constructor, and the `code` of a failure of `doorbell run`. */
function codes(): Map<string, string> {
  const found = new Map<string, string>();
  for (const pkg of readdirSync(join(ROOT, 'packages'))) {
    const src = join(ROOT, 'packages', pkg, 'src');
    for (const file of readdirSync(src, { recursive: true, encoding: 'utf8' })) {
      if (!file.endsWith('.ts')) continue;
      const text = readFileSync(join(src, file), 'utf8');
      const patterns = [/(?:new \w*Error|super|misplaced)\(\s*'([A-Z][A-Z0-9_]{3,})'/g];
      if (pkg === 'cli') patterns.push(/\bcode: '([A-Z][A-Z0-9_]{3,})'/g);
      for (const pattern of patterns)
        for (const [, code] of text.matchAll(pattern)) found.set(code!, `packages/${pkg}/src/${file}`);
    }
  }
  return found;
}

const documented = [
  ...readFileSync(join(ROOT, 'docs/errors.md'), 'utf8').matchAll(/^\| `([A-Z0-9_]+)` \| (.+) \| (.+) \| (.+) \|$/gm),
];

it('docs/errors.md has every code, with an example and a remedy', () => {
  const there = new Set(documented.map(([, code]) => code!));
  const missing = [...codes()].filter(([code]) => !there.has(code)).map(([code, file]) => `${code} (${file})`);
  expect(missing).toEqual([]);
  for (const [, code, when, example, remedy] of documented) {
    expect(when!.trim(), code).not.toBe('');
    expect(example!.length, code).toBeGreaterThan(8);
    expect(remedy!.trim(), code).not.toBe('');
  }
});

it('docs/errors.md has no code that nobody throws', () => {
  const sources = readdirSync(join(ROOT, 'packages')).flatMap((pkg) => {
    const src = join(ROOT, 'packages', pkg, 'src');
    return readdirSync(src, { recursive: true, encoding: 'utf8' })
      .filter((f) => f.endsWith('.ts'))
      .map((f) => readFileSync(join(src, f), 'utf8'));
  });
  const text = sources.join('\n');
  expect(documented.map(([, code]) => code!).filter((code) => !text.includes(`'${code}'`))).toEqual([]);
});

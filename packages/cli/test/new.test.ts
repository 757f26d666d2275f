import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const BIN = fileURLToPath(new URL('../bin/doorbell.js', import.meta.url));
const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const CORE = ['bits', 'platform', 'irqchip', 'iommu', 'pci', 'conformance'];
const run = (cwd: string, ...args: string[]) => spawnSync(process.execPath, args, { cwd, encoding: 'utf8' });

let outside = '';
let inside = '';
beforeAll(() => {
  outside = mkdtempSync(join(tmpdir(), 'doorbell-new-'));
  inside = mkdtempSync(join(ROOT, 'node_modules/.doorbell-new-'));
  const tarballs = join(outside, 'tarballs');
  mkdirSync(tarballs);
  execFileSync(
    'npm',
    ['pack', '--silent', '--pack-destination', tarballs, ...CORE.flatMap((c) => ['-w', `@doorbell/${c}`])],
    {
      cwd: ROOT,
      stdio: 'ignore',
    },
  );
});
afterAll(() => [outside, inside].forEach((dir) => rmSync(dir, { recursive: true, force: true })));

/** What `npm install` does with the tarballs, without a network: they are unpacked, and other packages are the repository's. */
function install(dir: string): void {
  const modules = join(dir, 'node_modules');
  mkdirSync(join(modules, '@doorbell'), { recursive: true });
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')) as Record<
    'dependencies' | 'devDependencies',
    Record<string, string>
  >;
  for (const [name, from] of Object.entries({ ...dependencies, ...devDependencies })) {
    if (!name.startsWith('@doorbell/')) continue;
    expect(from).toMatch(/^file:.*\.tgz$/);
    mkdirSync(join(modules, name));
    execFileSync('tar', [
      'xzf',
      join(dir, from.slice('file:'.length)),
      '-C',
      join(modules, name),
      '--strip-components=1',
    ]);
  }
  for (const entry of readdirSync(join(ROOT, 'node_modules')))
    if (entry !== '@doorbell' && !entry.startsWith('.'))
      symlinkSync(join(ROOT, 'node_modules', entry), join(modules, entry));
}

describe.each(['plugin', 'irqchip'] as const)('doorbell new %s', (kind) => {
  const buildAndTest = (dir: string): void => {
    const built = run(dir, join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', '.');
    expect(built.stdout + built.stderr).toBe('');
    expect(existsSync(join(dir, 'dist/index.d.ts'))).toBe(true);
    const tested = run(dir, join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run', '--root', dir);
    expect(tested.status, tested.stdout + tested.stderr).toBe(0);
    expect(tested.stdout).toContain('left out of the kit: nothing');
    expect(tested.stdout).not.toMatch(/failed|skipped/);
  };

  it('outside the repository, from tarballs: builds and conforms before the first edit', () => {
    const made = run(outside, BIN, 'new', kind, `my-${kind}`, '--from', 'tarballs');
    expect(made.stderr).toBe('');
    expect(made.status).toBe(0);
    const dir = join(outside, `my-${kind}`);
    install(dir);
    buildAndTest(dir);
  });

  it('inside the repository', () => {
    const made = run(inside, BIN, 'new', kind, `second-${kind}`);
    expect(made.status).toBe(0);
    buildAndTest(join(inside, `second-${kind}`));
  });

  it('a bad name, a directory in use, a missing source: exit code 2, one line, nothing written', () => {
    mkdirSync(join(outside, `taken-${kind}`));
    writeFileSync(join(outside, `taken-${kind}/file`), '');
    for (const args of [['My_Plugin'], [`taken-${kind}`], ['x', '--from', 'nowhere']]) {
      const made = run(outside, BIN, 'new', kind, ...args);
      expect(made.status).toBe(2);
      expect(made.stderr.trim().split('\n')).toHaveLength(1);
    }
    expect(readdirSync(join(outside, `taken-${kind}`))).toEqual(['file']);
    expect(existsSync(join(outside, 'x'))).toBe(false);
  });
});

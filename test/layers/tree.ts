import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '../..');
const bin = (name: string) => join(root, 'node_modules/.bin', name);

/** Packages of the miniature repository, with what their package.json declares. */
const packages = [
  ...[
    'bits',
    'platform',
    'irqchip',
    'pci',
    'iommu',
    'vfio',
    'conformance',
    'boards',
    'firmware',
    'qemu',
    'inspect',
    'cli',
  ],
  ...['x86-vtd', 'x86-paging', 'arm-gic', 'powerpc-fslpci'],
];
const backends = ['x86-vtd', 'x86-paging', 'arm-gic', 'powerpc-fslpci'];

/** A clean repository in the shape of this one: every arrow that is allowed is drawn. */
const clean: Record<string, string> = {
  'packages/bits/src/index.ts': 'export const bit = 1;\n',
  'packages/platform/src/index.ts': "export { bit } from '@doorbell/bits';\n",
  'packages/irqchip/src/index.ts': "export { bit } from '@doorbell/platform';\n",
  'packages/pci/src/index.ts': "export { bit } from '@doorbell/irqchip';\n",
  'packages/iommu/src/index.ts': "export { bit } from '@doorbell/irqchip';\n",
  'packages/vfio/src/index.ts': "export { bit } from '@doorbell/iommu';\nexport { bit as pci } from '@doorbell/pci';\n",
  'packages/conformance/src/index.ts': "export { bit } from '@doorbell/iommu';\n",
  'packages/firmware/src/index.ts': "export { bit } from '@doorbell/platform';\nimport 'node:fs';\n",
  'packages/qemu/src/index.ts': "export { bit } from '@doorbell/platform';\n",
  'packages/inspect/src/index.ts': "export { bit } from '@doorbell/firmware';\n",
  'packages/cli/src/index.ts':
    "export { bit } from '@doorbell/inspect';\nexport { bit as vfio } from '@doorbell/vfio';\n",
  'packages/boards/src/index.ts':
    "export { vtd } from '@doorbell/x86-vtd';\nexport { spec } from '@doorbell/arm-gic';\n",
  'packages/x86-vtd/src/spec/index.ts': "export { spec } from './table.js';\n",
  'packages/x86-vtd/src/spec/table.ts': "import { bit } from '@doorbell/bits';\nexport const spec = bit;\n",
  'packages/x86-vtd/src/model/index.ts':
    "import { spec } from '../spec/index.js';\nimport { spec as paging } from '@doorbell/x86-paging/spec';\nexport const model = spec + paging;\n",
  'packages/x86-vtd/src/driver/index.ts':
    "import { spec } from '../spec/index.js';\nimport { bit } from '@doorbell/iommu';\nexport const driver = spec + bit;\n",
  'packages/x86-vtd/src/plugin.ts':
    "import { model } from './model/index.js';\nimport { driver } from './driver/index.js';\nexport const vtd = model + driver;\n",
  'packages/x86-vtd/src/index.ts':
    "export { vtd } from './plugin.js';\nexport { model } from './model/index.js';\nexport { driver } from './driver/index.js';\n",
  'packages/x86-vtd/test/vtd.ts':
    "import { model } from '../src/model/index.js';\nimport '@doorbell/conformance';\nvoid model;\n",
  'examples/01.ts': "import { vtd } from '@doorbell/x86-vtd';\nimport '@doorbell/boards';\nvoid vtd;\n",
};
for (const name of backends) {
  clean[`packages/${name}/src/spec/index.ts`] ??= 'export const spec = 2;\n';
  clean[`packages/${name}/src/index.ts`] ??= "export { spec } from './spec/index.js';\n";
}

const manifest = (name: string) => {
  const entry = (file: string) => ({ '@doorbell/source': `./src/${file}.ts`, default: `./dist/${file}.js` });
  const exports = { '.': entry('index'), ...(backends.includes(name) ? { './spec': entry('spec/index') } : {}) };
  return JSON.stringify({ name: `@doorbell/${name}`, type: 'module', exports });
};

export interface Run {
  readonly status: number;
  readonly out: string;
}

/**
 * Writes the miniature repository, with `planted` files over it, to a new directory in which the repository's own lint
 * configuration applies. `remove()` it afterwards.
 */
export function tree(planted: Record<string, string>) {
  const dir = mkdtempSync(join(tmpdir(), 'layers-'));
  const write = (file: string, text: string) => {
    mkdirSync(dirname(join(dir, file)), { recursive: true });
    writeFileSync(join(dir, file), text);
  };
  write('package.json', '{ "name": "layers", "private": true, "type": "module" }');
  mkdirSync(join(dir, 'node_modules/@doorbell'), { recursive: true });
  for (const name of packages) {
    write(`packages/${name}/package.json`, manifest(name));
    symlinkSync(join('../../packages', name), join(dir, 'node_modules/@doorbell', name));
  }
  for (const name of ['tapable', 'typescript', 'typescript-eslint', '@types'])
    symlinkSync(join(root, 'node_modules', name), join(dir, 'node_modules', name));
  for (const file of ['.dependency-cruiser.cjs', 'eslint.config.js', 'tsconfig.base.json', 'test/tsconfig.json']) {
    mkdirSync(dirname(join(dir, file)), { recursive: true });
    copyFileSync(join(root, file), join(dir, file));
  }
  for (const [file, text] of Object.entries({ ...clean, ...planted })) write(file, text);

  const run = (tool: string, args: string[]): Run => {
    try {
      return { status: 0, out: execFileSync(bin(tool), args, { cwd: dir, encoding: 'utf8', stdio: 'pipe' }) };
    } catch (e) {
      const { status, stdout } = e as { status: number | null; stdout: string };
      return { status: status ?? -1, out: stdout };
    }
  };
  return {
    dir,
    depcruise: (reporter: 'json' | 'err' = 'json') =>
      run('depcruise', ['--config', '.dependency-cruiser.cjs', '-T', reporter, 'packages', 'examples', 'test']),
    eslint: () => run('eslint', ['.', '--format', 'json']),
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}

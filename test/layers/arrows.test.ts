import { createRequire } from 'node:module';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tree, type Run } from './tree.js';

interface Violation {
  readonly rule: { readonly name: string };
  readonly from: string;
  readonly to: string;
}

const violations = (run: Run): Violation[] =>
  (JSON.parse(run.out) as { summary: { violations: Violation[] } }).summary.violations;

/** Each planted file, and the rules it must break: those and no others. */
const planted: { what: string; file: string; text: string; breaks: string[] }[] = [];
const plant = (what: string, file: string, imports: string | string[], ...breaks: string[]) => {
  const text = [imports].flat().map((from) => (from.startsWith('import') ? from : `import '${from}';`));
  planted.push({ what, file, text: text.join('\n') + '\n', breaks });
};

plant('bits imports platform', 'packages/bits/src/x.ts', '@doorbell/platform', 'bits-stands-alone');
plant('platform imports irqchip', 'packages/platform/src/x.ts', '@doorbell/irqchip', 'platform-on-bits');
plant('irqchip imports pci', 'packages/irqchip/src/x.ts', '@doorbell/pci', 'irqchip-on-platform');
plant('pci imports iommu', 'packages/pci/src/x.ts', '@doorbell/iommu', 'pci-and-iommu-apart');
plant('iommu imports pci', 'packages/iommu/src/x.ts', '@doorbell/pci', 'pci-and-iommu-apart');
plant(
  'pci imports a type of iommu',
  'packages/pci/src/t.ts',
  "import type { bit } from '@doorbell/iommu';",
  'pci-and-iommu-apart',
);
plant('vfio imports a back-end', 'packages/vfio/src/x.ts', '@doorbell/x86-vtd', 'clients-on-core');
plant('vfio imports firmware', 'packages/vfio/src/y.ts', '@doorbell/firmware', 'clients-on-core');
plant('conformance imports a spec', 'packages/conformance/src/x.ts', '@doorbell/x86-vtd/spec', 'clients-on-core');
plant('a back-end imports another', 'packages/arm-gic/src/x.ts', '@doorbell/x86-vtd', 'backend-on-core-and-specs');
plant('a back-end imports vfio', 'packages/arm-gic/src/y.ts', '@doorbell/vfio', 'backend-on-core-and-specs');
plant(
  'a bridge imports firmware',
  'packages/powerpc-fslpci/src/x.ts',
  '@doorbell/firmware',
  'backend-on-core-and-specs',
);
plant('firmware imports a back-end', 'packages/firmware/src/x.ts', '@doorbell/x86-vtd', 'tools-name-no-backend');
plant('qemu imports a spec', 'packages/qemu/src/x.ts', '@doorbell/arm-gic/spec', 'tools-name-no-backend');
plant('inspect imports a back-end', 'packages/inspect/src/x.ts', '@doorbell/powerpc-fslpci', 'tools-name-no-backend');
plant('the command line imports the boards', 'packages/cli/src/x.ts', '@doorbell/boards', 'tools-name-no-backend');
plant('a board imports the command line', 'packages/boards/src/x.ts', '@doorbell/cli', 'cli-on-top');
plant(
  'a model imports its driver',
  'packages/x86-vtd/src/model/x.ts',
  '../driver/index.js',
  ...['model-reaches-no-driver', 'only-plugin-sees-driver'],
);
plant('a driver imports its model', 'packages/x86-vtd/src/driver/x.ts', '../model/index.js', 'driver-reaches-no-model');
plant('a helper sees the driver', 'packages/x86-vtd/src/helper.ts', './driver/index.js', 'only-plugin-sees-driver');
plant(
  'a model reaches the driver through a helper',
  'packages/x86-vtd/src/model/y.ts',
  '../helper.js',
  'model-reaches-no-driver',
);
plant('a helper that sees the model', 'packages/x86-vtd/src/capture.ts', './model/index.js');
plant(
  'a driver reaches the model through it',
  'packages/x86-vtd/src/driver/y.ts',
  '../capture.js',
  'driver-reaches-no-model',
);
plant('a file imports its own entry', 'packages/pci/src/own.ts', './index.js', 'not-own-entry');
plant('a spec imports platform', 'packages/x86-vtd/src/spec/x.ts', '@doorbell/platform', 'spec-on-bits');
plant('a spec imports another spec', 'packages/x86-vtd/src/spec/y.ts', '@doorbell/x86-paging/spec', 'spec-on-bits');
plant('a spec imports a builtin', 'packages/x86-vtd/src/spec/z.ts', 'node:fs', 'spec-on-bits');
for (const name of ['bits', 'platform', 'irqchip', 'pci', 'iommu', 'vfio', 'conformance'])
  plant(`${name} imports node:fs`, `packages/${name}/src/node.ts`, 'node:fs', 'core-without-node');
plant('core imports a builtin without its prefix', 'packages/iommu/src/node2.ts', 'crypto', 'core-without-node');
plant('an example looks behind an entry', 'examples/02.ts', '../packages/x86-vtd/src/model/index.js', 'no-deep-import');
plant('a test looks behind an entry', 'packages/arm-gic/test/x.ts', '../../x86-vtd/src/plugin.js', 'no-deep-import');
plant('core looks behind an entry', 'packages/pci/src/deep.ts', '../../bits/src/x.js', 'no-deep-import');
plant('a package uses what it does not declare', 'packages/platform/src/npm.ts', 'tapable', 'declared-dependencies');
plant('one half of a cycle', 'packages/iommu/src/a.ts', './b.js', 'no-circular');
plant('the other half, reported with the first', 'packages/iommu/src/b.ts', './a.js');
plant(
  'types that name each other, half',
  'packages/iommu/src/c.ts',
  "import type * as d from './d.js';\nexport type D = typeof d;",
);
plant('and half', 'packages/iommu/src/d.ts', "import type * as c from './c.js';\nexport type C = typeof c;");
plant('an import of nothing', 'examples/03.ts', './missing.js', 'not-to-unresolvable');

describe('a clean tree', () => {
  it('breaks no rule', () => {
    const t = tree({});
    const run = t.depcruise();
    t.remove();
    expect(violations(run)).toEqual([]);
    expect(run.status).toBe(0);
  });
});

describe('a planted violation', () => {
  let run: Run;
  let t: ReturnType<typeof tree>;
  beforeAll(() => {
    t = tree(Object.fromEntries(planted.map((p) => [p.file, p.text])));
    run = t.depcruise();
  });
  afterAll(() => t.remove());

  it('makes the linter fail, and the linter names every rule', () => {
    const text = t.depcruise('err');
    expect(text.status).not.toBe(0);
    for (const rule of new Set(planted.flatMap((p) => p.breaks))) expect(text.out).toContain(`error ${rule}: `);
  });
  for (const p of planted) {
    it(`${p.what}: ${p.breaks.join(', ') || 'allowed'}`, () => {
      const found = violations(run).filter((v) => v.from === p.file);
      expect([...new Set(found.map((v) => v.rule.name))].sort()).toEqual([...p.breaks].sort());
    });
  }
  it('is the only cause of a violation', () => {
    const files = planted.map((p) => p.file);
    expect(violations(run).filter((v) => !files.includes(v.from))).toEqual([]);
  });
  it('exists for every rule', () => {
    const config = createRequire(import.meta.url)('../../.dependency-cruiser.cjs') as { forbidden: { name: string }[] };
    const broken = new Set(planted.flatMap((p) => p.breaks));
    expect(config.forbidden.map((r) => r.name).filter((name) => !broken.has(name))).toEqual([]);
  });
});

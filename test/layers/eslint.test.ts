import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tree } from './tree.js';

interface Result {
  readonly filePath: string;
  readonly messages: readonly { readonly ruleId: string | null; readonly message: string }[];
}

/** What ESLint holds besides the arrows; each line with the rule that must report it. */
const planted: [what: string, file: string, text: string, rule: string][] = [
  ['an unfinished note', 'packages/pci/src/x.ts', '// TO' + 'DO later\nexport {};\n', 'no-warning-comments'],
  [
    'a test that is left out',
    'packages/pci/test/x.ts',
    'declare const it: { skip: () => void };\nit.skip();\n',
    'no-restricted-syntax',
  ],
  ['a Node global in core', 'packages/iommu/src/x.ts', 'export const env = process.env;\n', 'no-restricted-globals'],
  [
    'an untyped value in a test',
    'packages/iommu/test/x.ts',
    "const v = JSON.parse('{}');\nexport const w = v.x + 1;\n",
    '@typescript-eslint/no-unsafe-member-access',
  ],
  [
    'a promise that nobody awaits',
    'packages/qemu/src/x.ts',
    'export function f(p: Promise<void>) {\n  p;\n}\n',
    '@typescript-eslint/no-floating-promises',
  ],
  [
    'an import that would stay for its side effects',
    'packages/pci/src/y.ts',
    "import { type T } from './z.js';\nexport type U = T;\n",
    '@typescript-eslint/no-import-type-side-effects',
  ],
  ['a file that is too long', 'packages/pci/src/z.ts', 'export type T = 1;\n' + 'void 0;\n'.repeat(500), 'max-lines'],
];

describe('ESLint', () => {
  let t: ReturnType<typeof tree>;
  let status: number;
  let results: Result[];
  beforeAll(() => {
    t = tree(Object.fromEntries(planted.map(([, file, text]) => [file, text])));
    const run = t.eslint();
    status = run.status;
    results = JSON.parse(run.out) as Result[];
  });
  afterAll(() => t.remove());

  const rules = (file: string) => results.find((r) => r.filePath.endsWith(file))?.messages.map((m) => m.ruleId);

  it('fails', () => expect(status).toBe(1));
  for (const [what, file, , rule] of planted) it(`reports ${what}: ${rule}`, () => expect(rules(file)).toContain(rule));
  it('reports nothing in files that are clean', () => {
    const files = planted.map(([, file]) => file);
    const others = results.filter((r) => !files.some((f) => r.filePath.endsWith(f)) && r.messages.length > 0);
    expect(others.map((r) => [r.filePath, r.messages])).toEqual([]);
  });
});

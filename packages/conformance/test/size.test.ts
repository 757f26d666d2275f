import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { check } from 'prettier';
import { expect, it } from 'vitest';

const LIMIT = 150;
const PARTS = ['spec/iommu.ts', 'model/iommu.ts', 'driver/iommu.ts'];
const COMMENT = /^\s*(\/\/|\/\*|\*)/;

/** Lines that are neither blank nor comment, as prettier sets them at 120 columns. */
async function codeLines(part: string): Promise<number> {
  const text = readFileSync(fileURLToPath(new URL(`../src/minimal/${part}`, import.meta.url)), 'utf8');
  const style = { parser: 'typescript', singleQuote: true, printWidth: 120 };
  expect(await check(text, style), `${part} is not formatted`).toBe(true);
  return text.split('\n').filter((line) => line.trim() !== '' && !COMMENT.test(line)).length;
}

it(`the minimal IOMMU is under ${LIMIT} lines: spec, model and driver`, async () => {
  const counts = await Promise.all(PARTS.map(codeLines));
  const total = counts.reduce((a, b) => a + b, 0);
  console.log(`the minimal IOMMU: ${total} lines (${PARTS.map((p, i) => `${p} ${counts[i]}`).join(', ')})`);
  expect(total).toBeLessThan(LIMIT);
});

import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const EXAMPLES = fileURLToPath(new URL('../../examples', import.meta.url));
const names = readdirSync(EXAMPLES)
  .filter((f) => /^\d\d-.*\.ts$/.test(f))
  .map((f) => f.replace(/\.ts$/, ''));
/** `UPDATE_GOLDEN=1 npx vitest run test/examples` writes the texts anew: look at the difference before you commit it. */
const update = process.env['UPDATE_GOLDEN'] === '1';

/** What the built example prints; `npm test` builds first. */
const output = (name: string): Promise<string> =>
  new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [join(EXAMPLES, 'dist', `${name}.js`)],
      { encoding: 'utf8' },
      (error, stdout, stderr) => {
        if (error) reject(new Error(`${name}: ${stderr || error.message}`));
        else resolve(stdout);
      },
    );
  });

describe('examples print what their golden texts say', () => {
  it.concurrent.each(names)('%s', async (name) => {
    const golden = join(EXAMPLES, 'golden', `${name}.txt`);
    const printed = await output(name);
    if (update) writeFileSync(golden, printed);
    expect(printed).toBe(readFileSync(golden, 'utf8'));
  });

  it('every golden text has its example, and numbers are used once', () => {
    const texts = readdirSync(join(EXAMPLES, 'golden')).map((f) => f.replace(/\.txt$/, ''));
    expect(texts.sort()).toEqual([...names].sort());
    expect(new Set(names.map((n) => n.slice(0, 2))).size).toBe(names.length);
    for (const name of names) expect(existsSync(join(EXAMPLES, `${name}.ts`))).toBe(true);
  });
});

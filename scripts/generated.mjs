import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

export const root = resolve(import.meta.dirname, '..');

/**
 * Writes generated pages, or with `--check` on the command line says which committed ones are stale and makes the
 * process fail. `pages` maps a path inside the repository to its text; `remake` is the command that brings them up to date;
 * in `folder`, if given, nothing else may lie.
 */
export function generated(pages, remake, folder) {
  const check = process.argv.includes('--check');
  let stale = 0;
  for (const [path, text] of pages) {
    const file = join(root, path);
    let old = '';
    try {
      old = readFileSync(file, 'utf8');
    } catch {
      // not written yet: stale
    }
    if (old === text) continue;
    stale++;
    if (check) {
      console.error(`${relative(root, file)} is stale: run \`${remake}\``);
    } else {
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
      console.log(`wrote ${relative(root, file)}`);
    }
  }
  for (const name of folder ? readdirSync(join(root, folder)) : []) {
    const path = join(folder, name);
    if (pages.has(path)) continue;
    stale++;
    if (check) console.error(`${path} describes nothing any more: run \`${remake}\``);
    else rmSync(join(root, path));
  }
  if (check && stale > 0) process.exitCode = 1;
  console.log(`${pages.size} pages, ${stale} ${check ? 'stale' : 'written'}`);
}

/** Every package's manifest, by folder name, in order of the alphabet. */
export function manifests(folders) {
  return folders.sort().map((folder) => ({
    folder,
    manifest: JSON.parse(readFileSync(join(root, 'packages', folder, 'package.json'), 'utf8')),
  }));
}

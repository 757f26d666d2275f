import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeMachine, type InputFile, type MachineDescription } from '@doorbell/firmware';

const ROOT = fileURLToPath(new URL('../../../..', import.meta.url));
/** Real tables, trees and dumps that are not part of the project. */
export const SHARED = resolve(ROOT, process.env['DOORBELL_SHARED'] ?? '../shared');
export const hasShared = existsSync(join(SHARED, 'machines'));

/** Whether a program is there; if data or program is missing the skip is said aloud, once per file. */
export function needs(what: string, tool: string | null, flag = '-v'): boolean {
  const missing: string[] = [];
  if (!hasShared) missing.push(`${SHARED} (set DOORBELL_SHARED)`);
  if (tool !== null) {
    try {
      execFileSync(tool, [flag], { stdio: 'ignore' });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') missing.push(`the program ${tool}`);
    }
  }
  if (missing.length > 0) console.warn(`SKIPPED: ${what}: ${missing.join(' and ')} missing`);
  return missing.length === 0;
}

const list = (dir: string): string[] =>
  existsSync(dir)
    ? readdirSync(dir)
        .sort()
        .map((n) => join(dir, n))
    : [];

/** All files called `name` one or two levels below machines/ and captures/. */
export function filesNamed(pattern: RegExp): string[] {
  const out: string[] = [];
  for (const top of [...list(join(SHARED, 'machines')), ...list(join(SHARED, 'captures'))]) {
    if (!statSync(top).isDirectory()) continue;
    for (const file of [...list(top), ...list(join(top, 'acpi'))]) {
      if (statSync(file).isDirectory()) out.push(...list(file).filter((f) => pattern.test(basename(f))));
      else if (pattern.test(basename(file))) out.push(file);
    }
  }
  return [...new Set(out)];
}

export const input = (path: string): InputFile => ({ name: basename(path), bytes: readFileSync(path) });
export const describeFiles = (...paths: readonly string[]): MachineDescription => describeMachine(paths.map(input));
/** `…/intel/NAME/DMAR.dat` → `NAME/DMAR.dat`. */
export const shortName = (path: string): string => path.split('/').slice(-2).join('/');

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { InputFile } from '@doorbell/firmware';

/** What of a directory is worth reading: tables, trees and dumps by their names. */
const WANTED = /^(?:(?:DMAR|IVRS|IORT|APIC|MCFG|VIOT)(?:\.(?:dat|bin|aml))?|.*\.dtb|pci\.txt|lspci\.txt)$/i;
/** Far more than any table, tree or dump; a limit against a disk image given by mistake. */
const MAX_BYTES = 64 << 20;

/** An input that cannot be opened; the message names it. */
export class InputError extends Error {}

/**
 * The files of one argument: a directory's tables (in it or in its `acpi/`), or a single file.
 * Errors: `InputError` naming the path.
 */
export function readInput(path: string): InputFile[] {
  try {
    if (!statSync(path).isDirectory()) return [readOne(path)];
    return [path, join(path, 'acpi')].flatMap((dir, i) => {
      if (i > 0 && !statSync(dir, { throwIfNoEntry: false })?.isDirectory()) return [];
      const names = readdirSync(dir).filter((name) => WANTED.test(name));
      return names.sort().flatMap((name) => (statSync(join(dir, name)).isFile() ? [readOne(join(dir, name))] : []));
    });
  } catch (error) {
    if (error instanceof InputError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    const why: Record<string, string> = { ENOENT: 'there is no such file or directory', EACCES: 'permission denied' };
    throw new InputError(`${(error as NodeJS.ErrnoException).path ?? path}: ${why[code] ?? code}`);
  }
}

function readOne(path: string): InputFile {
  const { size } = statSync(path);
  if (size > MAX_BYTES)
    throw new InputError(`${path}: byte ${MAX_BYTES}: ${size} bytes are more than any table, tree or dump has`);
  return { name: basename(path), bytes: readFileSync(path) };
}

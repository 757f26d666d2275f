import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { kindOf, type InputFile } from '@doorbell/firmware';

/** What of a directory is read whatever else is in it: tables, trees and dumps by their names, gzipped or not. */
const WANTED =
  /^(?:(?:DMAR|IVRS|IORT|APIC|MCFG|VIOT)(?:\.(?:dat|bin|aml))?|.*\.dtb|(?:ls)?pci\.txt|acpidump(?:\.(?:txt|out|log|dat))?)(?:\.gz)?$/i;
/** Other files that may be a dump of PCI functions, if there is none by its usual name. */
const MAYBE_DUMP = /pci[^/]*\.(?:txt|log|out)$|^lspci[^.]*$/i;
/** Far more than any table, tree or dump; a limit against a disk image given by mistake. */
const MAX_BYTES = 64 << 20;

/** An input that cannot be opened; the message names it. */
export class InputError extends Error {}

/**
 * The files of one argument: a directory's tables (in it or in its `acpi/`), or a single file. Files of other names are taken for
 * what their first bytes say, if nothing of that kind is there by name.
 * Errors: `InputError` naming the path.
 */
export function readInput(path: string): InputFile[] {
  try {
    if (!statSync(path).isDirectory()) return [readOne(path)];
    const dirs = [path, join(path, 'acpi')].filter((d) => statSync(d, { throwIfNoEntry: false })?.isDirectory());
    const all = dirs.flatMap((dir) =>
      readdirSync(dir)
        .sort()
        .map((name) => join(dir, name)),
    );
    const wanted = (p: string): boolean => WANTED.test(basename(p));
    const files = all.filter((p) => wanted(p) && statSync(p).isFile()).map(readOne);
    const kinds = new Set(files.map(kindOf));
    for (const p of all) {
      if (wanted(p) || !statSync(p, { throwIfNoEntry: false })?.isFile()) continue;
      const kind = kindOf({ name: basename(p), bytes: headOf(p) });
      if (kind === null || kinds.has(kind) || (kind === 'dump' && !MAYBE_DUMP.test(basename(p)))) continue;
      files.push(readOne(p));
    }
    if (files.length === 0) throw new InputError(nothingIn(path, all));
    return files;
  } catch (error) {
    if (error instanceof InputError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    const why: Record<string, string> = { ENOENT: 'there is no such file or directory', EACCES: 'permission denied' };
    throw new InputError(`${(error as NodeJS.ErrnoException).path ?? path}: ${why[code] ?? code}`);
  }
}

function readOne(path: string): InputFile {
  const { size } = statSync(path);
  const large = `${path}: byte ${MAX_BYTES}: more than any table, tree or dump has`;
  if (size > MAX_BYTES) throw new InputError(`${large} (${size} bytes)`);
  const bytes = readFileSync(path);
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return { name: basename(path), bytes };
  try {
    return { name: basename(path), bytes: gunzipSync(bytes, { maxOutputLength: MAX_BYTES }) };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new InputError(code === 'ERR_BUFFER_TOO_LARGE' ? large : `${path}: damaged gzip file: ${message}`);
  }
}

function headOf(path: string): Uint8Array {
  const file = openSync(path, 'r');
  try {
    const bytes = new Uint8Array(0x2000);
    return bytes.subarray(0, readSync(file, bytes));
  } finally {
    closeSync(file);
  }
}

/** What is there instead, and where the user may have meant to look. */
function nothingIn(path: string, names: readonly string[]): string {
  const here = names.length === 0 ? 'the directory is empty' : `there are ${shortList(names.map((n) => basename(n)))}`;
  const machines = names.filter((n) => {
    const isDirectory = statSync(n, { throwIfNoEntry: false })?.isDirectory();
    return isDirectory && readdirSync(n).some((name) => WANTED.test(name));
  });
  const hint =
    machines.length > 1
      ? `several machines are in it: name ${machines[0]!}, or all as ${join(path, '*')}`
      : machines.length === 1
        ? `name the machine itself: ${machines[0]!}`
        : '`doorbell collect` prints how to gather a machine directory';
  return `${path}: no ACPI table, device tree or pci.txt: ${here} (${hint})`;
}

const shortList = (names: readonly string[]): string =>
  names.length > 6 ? `${names.slice(0, 6).join(', ')} and ${names.length - 6} more` : names.join(', ');

/** An error about an input as one sentence that names the input once. */
export function problemWith(input: string, error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  if (message.startsWith(input)) return message;
  const file = basename(input);
  return message.startsWith(`${file}: `) ? `${input}${message.slice(file.length)}` : `${input}: ${message}`;
}

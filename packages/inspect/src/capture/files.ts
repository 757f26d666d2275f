import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { InputFile } from '@doorbell/firmware';
import { refuse } from '../errors.js';

/** A file that holds memory. */
export interface ImageFile {
  readonly path: string;
  readonly name: string;
  readonly size: number;
  readonly gzipped: boolean;
  readonly format: 'elf' | 'sparse' | 'raw';
  /** From its name: `memory@0x40000000.raw`, `ram-40000000.bin`. */
  readonly base: number | null;
}

/** What of a directory takes part in a capture. */
export interface CaptureFiles {
  readonly directory: string;
  /** ACPI tables, device trees, lspci dumps: what `readMachine` takes. */
  readonly firmware: readonly InputFile[];
  /** Parsed JSON files that hold registers. */
  readonly registers: readonly { readonly name: string; readonly value: unknown }[];
  readonly images: readonly ImageFile[];
  readonly problems: readonly string[];
}

const FIRMWARE = /^(?:(?:DMAR|IVRS|IORT|APIC|MCFG|VIOT)(?:\.(?:dat|bin|aml))?|.*\.dtb|pci\.txt|lspci\.txt)$/i;
const MEMORY_NAME = /(?:mem|ram|dump|core|vmcore)/i;
const RAW_NAME = /\.(?:raw|bin|img|mem|dd)(?:\.gz)?$/i;
const BASE_IN_NAME = /(?:@(?:0x)?|[@_-]0x|[_-](?=[0-9a-f]{4}))([0-9a-f]{1,16})(?:\.[a-z]+)+$/i;
/** Tables and listings are far smaller. */
const MAX_SMALL = 64 << 20;

/** Looks through a directory and its folders, one level down. Errors: `UNREADABLE_INPUT`. */
export function findFiles(directory: string): CaptureFiles {
  const problems: string[] = [];
  const firmware: InputFile[] = [];
  const registers: { name: string; value: unknown }[] = [];
  const images: ImageFile[] = [];
  for (const path of listed(directory)) {
    const name = basename(path);
    const { size } = statSync(path);
    if (FIRMWARE.test(name) && size <= MAX_SMALL) firmware.push({ name, bytes: readFileSync(path) });
    else if (/^registers?.*\.json$/i.test(name) && size <= MAX_SMALL) {
      try {
        registers.push({ name, value: JSON.parse(readFileSync(path, 'utf8')) });
      } catch (error) {
        problems.push(`${name}: no JSON: ${error instanceof Error ? error.message : String(error)}`);
      }
    } else if (!/\.(?:json|txt|md|log|dat|dtb|dts)(?:\.gz)?$/i.test(name)) {
      const image = imageOf(path, size);
      if (image) images.push(image);
    }
  }
  images.sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1));
  return { directory, firmware, registers, images, problems };
}

const rank = (i: ImageFile): number => (i.format === 'elf' ? 0 : i.format === 'sparse' ? 1 : 2);

function listed(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .flatMap((e) => {
        const path = join(directory, e.name);
        if (statSync(path).isFile()) return [path];
        if (!statSync(path).isDirectory()) return [];
        return readdirSync(path)
          .sort()
          .map((n) => join(path, n))
          .filter((p) => statSync(p).isFile());
      });
  } catch (error) {
    const { path = directory, code = String(error) } = error as NodeJS.ErrnoException;
    const why: Record<string, string> = { ENOENT: 'there is no such file or directory', EACCES: 'permission denied' };
    throw refuse('UNREADABLE_INPUT', `${relative('', path) || path}: ${why[code] ?? code}`, 'check the path', { path });
  }
}

/** By content: ELF and sparse files; raw ones can only be known by their name. */
function imageOf(path: string, size: number): ImageFile | null {
  const name = basename(path);
  let head = headOf(path);
  const gzipped = head[0] === 0x1f && head[1] === 0x8b;
  if (gzipped) head = unpackedHead(head);
  const elf = head[0] === 0x7f && head[1] === 0x45 && head[2] === 0x4c && head[3] === 0x46;
  const sparse = Buffer.from(head.subarray(0, 8)).toString('latin1') === 'DBSPARS1';
  const raw = MEMORY_NAME.test(name) && (RAW_NAME.test(name) || /\.(?:elf|core)(?:\.gz)?$/i.test(name));
  if (!elf && !sparse && !raw) return null;
  const base = BASE_IN_NAME.exec(name)?.[1];
  return {
    path,
    name,
    size,
    gzipped,
    // A file that calls itself ELF and is none is opened as one, so that its error names it.
    format: elf || (/\.elf(?:\.gz)?$/i.test(name) && !sparse) ? 'elf' : sparse ? 'sparse' : 'raw',
    base: base === undefined ? null : parseInt(base, 16),
  };
}

function headOf(path: string): Uint8Array {
  const fd = openSync(path, 'r');
  try {
    const head = new Uint8Array(4096);
    return head.subarray(0, readSync(fd, head, 0, head.length, 0));
  } finally {
    closeSync(fd);
  }
}

/** The beginning of a gzip stream whose end is cut off. */
function unpackedHead(head: Uint8Array): Uint8Array {
  try {
    return gunzipSync(head, { finishFlush: 2 /* Z_SYNC_FLUSH: what is there, without the end */ });
  } catch {
    return new Uint8Array(0);
  }
}

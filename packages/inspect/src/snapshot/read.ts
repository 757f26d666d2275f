import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { hex, type CaptureContribution } from '@doorbell/platform';
import { refuse } from '../errors.js';
import { buildRestored, type Restored } from '../platform.js';
import { Requesters } from '../requesters.js';
import { FORMAT, VERSION, type SnapshotFile } from './format.js';

/** A snapshot that was read, before a platform is made of it. */
export interface Snapshot {
  readonly file: SnapshotFile;
  readonly requesters: Requesters;
  readonly problems: readonly string[];
  /** Whether an address is RAM of the machine whose content the snapshot does not have. */
  lacks(address: number): boolean;
  restore(contributions: readonly CaptureContribution[]): Promise<Restored>;
}

/** Whether a file may be a snapshot: gzipped or plain JSON. */
export const looksLikeSnapshot = (bytes: Uint8Array): boolean =>
  (bytes[0] === 0x1f && bytes[1] === 0x8b) || bytes[0] === 0x7b;

/** Reads a snapshot file. Errors: `UNREADABLE_INPUT` naming the file and the place, `WRONG_VERSION`. */
export function openSnapshot(path: string): Snapshot {
  let bytes: Uint8Array = readFileSync(path);
  const bad = (why: string): Error =>
    refuse('UNREADABLE_INPUT', `${path}: ${why}`, '`doorbell snapshot CAPTURE -o FILE` writes one', { path });
  if (!looksLikeSnapshot(bytes)) throw bad('byte 0: neither gzip nor JSON, so no snapshot');
  let value: unknown;
  try {
    if (bytes[0] === 0x1f) bytes = gunzipSync(bytes);
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (error) {
    throw bad(error instanceof Error ? error.message : String(error));
  }
  const file = value as Partial<SnapshotFile> | null;
  if (file?.format !== FORMAT) throw bad(`format is ${JSON.stringify(file?.format ?? null)}, not ${FORMAT}`);
  if (file.version !== VERSION)
    throw refuse(
      'WRONG_VERSION',
      `${path}: snapshot version ${String(file.version)}, this is ${VERSION}`,
      'take the snapshot again from the capture',
      { path, version: file.version },
    );
  for (const field of ['nodes', 'banks', 'extents', 'problems', 'leftOut'] as const)
    if (!Array.isArray(file[field])) throw bad(`${field} is missing`);
  for (const field of ['pages', 'requesters'] as const)
    if (typeof file[field] !== 'object' || file[field] === null) throw bad(`${field} is missing`);
  const whole = file as SnapshotFile;
  return {
    file: whole,
    requesters: new Requesters(whole.requesters),
    problems: whole.problems,
    lacks: unknownTo(whole),
    restore: (contributions) =>
      buildRestored(whole.nodes, whole.banks, contributions, whole.registers, async (platform) => {
        const { memoryModel: memory } = platform;
        for (const [at, text] of Object.entries(whole.pages)) {
          const page = Buffer.from(text, 'hex');
          if (!/^0x[0-9a-f]+$/.test(at) || page.length * 2 !== text.length) throw bad(`page ${at} is damaged`);
          if (!memory.contains(Number(at), page.length)) throw bad(`page ${at} is no RAM of this machine`);
          memory.writeBytes(Number(at), page);
        }
      }),
  };
}

/** Extents are sorted: the last one that begins at or below the address, or one of the few before it, holds it. */
function unknownTo({ banks, extents }: SnapshotFile): (address: number) => boolean {
  const sorted = [...extents].sort((a, b) => a.at - b.at);
  // Merged, so that one look decides.
  const runs: { first: number; end: number }[] = [];
  for (const e of sorted) {
    const last = runs[runs.length - 1];
    if (last && e.at <= last.end) last.end = Math.max(last.end, e.at + e.size);
    else runs.push({ first: e.at, end: e.at + e.size });
  }
  return (address) => {
    if (!banks.some((b) => address >= b.base && address < b.base + b.size)) return false;
    let low = 0;
    let high = runs.length - 1;
    while (low <= high) {
      const mid = (low + high) >> 1;
      const run = runs[mid]!;
      if (address < run.first) high = mid - 1;
      else if (address >= run.end) low = mid + 1;
      else return false;
    }
    return true;
  };
}

/** For people: `12 extents, 48 pages`. */
export const sizeOf = ({ extents, pages }: SnapshotFile): string =>
  `${extents.length} tables, ${Object.keys(pages).length} pages with content, first at ${hex(extents[0]?.at ?? 0)}`;

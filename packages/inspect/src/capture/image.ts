import { createReadStream } from 'node:fs';
import { Gunzip, createGunzip } from 'node:zlib';
import {
  hex,
  loadSparse,
  readElfCore,
  type ElfSegment,
  type MemoryBank,
  type PhysicalMemory,
  type Range,
} from '@doorbell/platform';
import { refuse } from '../errors.js';
import type { ImageFile } from './files.js';

/** A memory dump before it is loaded: which RAM it needs, and how its bytes get there. */
export interface Image {
  readonly file: string;
  readonly banks: readonly MemoryBank[];
  /** Streams the file into memory. Returns what the file promised and does not hold. */
  load(memory: PhysicalMemory): Promise<Range[]>;
}

const PAGE = 4096;
/** Bytes read or unpacked at once. */
const PIECE = 1 << 20;
const ZERO = new Uint8Array(PIECE);
/** Headers of a core lie in the first bytes; more than this is no core that anybody writes. */
const MAX_HEAD = 1 << 22;

/** The file's bytes, unpacked where it is gzipped, in pieces. A damaged gzip stream ends early and says so in `damage`. */
async function* pieces(file: ImageFile, damage: string[]): AsyncGenerator<Uint8Array> {
  const raw = createReadStream(file.path, { highWaterMark: PIECE });
  let unpacked: Gunzip | null = null;
  try {
    if (!file.gzipped) yield* raw as AsyncIterable<Uint8Array>;
    else yield* raw.pipe((unpacked = createGunzip({ chunkSize: PIECE }))) as AsyncIterable<Uint8Array>;
  } catch (error) {
    damage.push(`${file.name}: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    raw.destroy();
    unpacked?.destroy();
  }
}

/** Reads the headers. Errors: `UNREADABLE_INPUT`, `BAD_DUMP` naming the file. */
export async function openImage(file: ImageFile, base: number | null, problems: string[]): Promise<Image> {
  if (file.format === 'raw') return openRaw(file, base, problems);
  if (file.format === 'sparse') return openSparse(file, problems);
  const damage: string[] = [];
  const head: Uint8Array[] = [];
  let size = 0;
  let failure: unknown = null;
  for await (const piece of pieces(file, damage)) {
    head.push(piece);
    size += piece.length;
    try {
      const { segments } = readElfCore(Buffer.concat(head));
      const some = segments.filter((s) => s.size > 0);
      return { file: file.name, banks: banksOf(some), load: (memory) => loadElf(file, some, memory, problems) };
    } catch (error) {
      failure = error;
      if (size > MAX_HEAD) break;
    }
  }
  const why = damage[0] ?? (failure instanceof Error ? failure.message : 'the file is empty');
  throw refuse('UNREADABLE_INPUT', why.startsWith(file.name) ? why : `${file.name}: ${why}`, '', { file: file.name });
}

/** Raw files that say where they begin are parts of one memory (below and above 4 GiB); of other kinds the first is taken. */
export async function openImages(files: readonly ImageFile[], base: number | null, problems: string[]): Promise<Image> {
  const [first, ...others] = files;
  const isPart = (f: ImageFile): boolean => f.format === 'raw' && f.base !== null;
  const parts = isPart(first!) ? files.filter(isPart) : [first!];
  for (const f of others)
    if (!parts.includes(f)) problems.push(`${f.name} is not read: ${parts.map((p) => p.name).join(', ')} is`);
  const images: Image[] = [];
  for (const p of parts) images.push(await openImage(p, base, problems));
  if (images.length === 1) return images[0]!;
  return {
    file: images.map((i) => i.file).join(', '),
    banks: banksOf(images.flatMap((i) => i.banks.map((b) => ({ address: b.base, size: b.size })))),
    async load(memory) {
      const missing: Range[] = [];
      for (const i of images) missing.push(...(await i.load(memory)));
      return missing;
    },
  };
}

/** Every piece goes to the segments that it belongs to; memory never holds the file. */
async function loadElf(
  file: ImageFile,
  segments: readonly ElfSegment[],
  memory: PhysicalMemory,
  problems: string[],
): Promise<Range[]> {
  const damage: string[] = [];
  let position = 0;
  for await (const piece of pieces(file, damage)) {
    const end = position + piece.length;
    for (const s of segments) {
      const first = Math.max(position, s.offset);
      const last = Math.min(end, s.offset + s.fileSize);
      if (first < last)
        store(memory, s.address + (first - s.offset), piece.subarray(first - position, last - position));
    }
    position = end;
  }
  const missing: Range[] = [];
  for (const s of segments) {
    const there = Math.min(Math.max(0, position - s.offset), s.fileSize);
    if (there < s.fileSize) missing.push({ first: s.address + there, last: s.address + s.fileSize - 1 });
  }
  problems.push(...damage);
  if (missing.length > 0) {
    const ranges = missing.map((r) => `${hex(r.first)}–${hex(r.last)}`).join(', ');
    problems.push(`${file.name} ends after ${position} bytes: memory ${ranges} is not in it`);
  }
  return missing;
}

/** Pages of zeros stay unallocated; large pieces of nothing cost one comparison. */
function store(memory: PhysicalMemory, address: number, bytes: Uint8Array): void {
  if (bytes.length <= PIECE && Buffer.compare(bytes, ZERO.subarray(0, bytes.length)) === 0) return;
  for (let done = 0; done < bytes.length; ) {
    const n = Math.min(bytes.length - done, PAGE - ((address + done) % PAGE));
    const page = bytes.subarray(done, done + n);
    // Where registers lie, a flat image has something that is no memory.
    if (Buffer.compare(page, ZERO.subarray(0, n)) !== 0 && memory.contains(address + done, n))
      memory.writeBytes(address + done, page);
    done += n;
  }
}

/** Segments, joined, in whole pages. */
function banksOf(segments: readonly { readonly address: number; readonly size: number }[]): MemoryBank[] {
  const banks: { base: number; size: number }[] = [];
  for (const s of [...segments].sort((a, b) => a.address - b.address)) {
    const base = Math.floor(s.address / PAGE) * PAGE;
    const end = Math.ceil((s.address + s.size) / PAGE) * PAGE;
    const last = banks[banks.length - 1];
    if (last && base <= last.base + last.size) last.size = Math.max(last.size, end - last.base);
    else banks.push({ base, size: end - base });
  }
  return banks;
}

/** Bytes as they lie in memory. Its length is known only at its end, so it is read twice where it is gzipped. */
async function openRaw(file: ImageFile, base: number | null, problems: string[]): Promise<Image> {
  const start = file.base ?? base;
  if (start === null) problems.push(`${file.name}: nothing says where this memory begins; 0 is taken`);
  const from = start ?? 0;
  const damage: string[] = [];
  let size = file.size;
  if (file.gzipped) {
    size = 0;
    for await (const piece of pieces(file, damage)) size += piece.length;
  }
  problems.push(...damage);
  return {
    file: file.name,
    banks: banksOf([{ address: from, size }]),
    async load(memory) {
      let at = from;
      for await (const piece of pieces(file, [])) {
        store(memory, at, piece);
        at += piece.length;
      }
      return [];
    },
  };
}

/** Doorbell's own format says nothing about banks: one from the first page to the last. */
async function openSparse(file: ImageFile, problems: string[]): Promise<Image> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces(file, problems)) all.push(piece);
  const bytes = Buffer.concat(all);
  let last = PAGE;
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = bytes.readUInt32LE(at + 8);
    if (length === 0) break;
    last = Math.max(last, Number(bytes.readBigUInt64LE(at)) + length);
    at += 12 + length;
  }
  return {
    file: file.name,
    banks: banksOf([{ address: 0, size: last }]),
    async load(memory) {
      loadSparse(memory, bytes);
      return [];
    },
  };
}

/** Banks without the pages where registers lie: flat images and damaged tables may have both in one place. */
export function withoutRegisters(
  banks: readonly MemoryBank[],
  registers: readonly { readonly base: number; readonly size: number }[],
): MemoryBank[] {
  let left = [...banks];
  for (const r of registers) {
    const first = Math.floor(r.base / PAGE) * PAGE;
    const end = Math.ceil((r.base + r.size) / PAGE) * PAGE;
    left = left.flatMap((b) => {
      const top = b.base + b.size;
      if (end <= b.base || first >= top) return [b];
      return [
        { base: b.base, size: first - b.base },
        { base: end, size: top - end },
      ].filter((piece) => piece.size > 0);
    });
  }
  return left;
}

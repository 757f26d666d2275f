import { hex, join64, TWO32 } from '../address.js';
import { DoorbellError } from '../errors.js';
import type { MemoryBank, PhysicalMemory } from '../memory.js';
import { saveRaw } from './raw.js';
import { badDump, ByteReader, type Bytes } from './stream.js';

/** One PT_LOAD segment: `fileSize` bytes of the file from `offset` on are memory at `address`; the rest up to `size` is zero. */
export interface ElfSegment {
  readonly address: number;
  readonly size: number;
  readonly offset: number;
  readonly fileSize: number;
}

/** What an ELF core says of itself (System V gABI, chapters 4 and 5). */
export interface ElfCore {
  readonly bits: 32 | 64;
  readonly endian: 'little' | 'big';
  /** e_machine: 62 x86-64, 183 AArch64, 21 PowerPC64. */
  readonly machine: number;
  readonly segments: readonly ElfSegment[];
}

const ET_CORE = 4;
const PT_LOAD = 1;
/** e_phnum where the number of segments is in section header 0 (sh_info). */
const PN_XNUM = 0xffff;

/** Offsets within the headers of the two classes: [header sizes], fields. */
const CLASS = {
  32: { header: 52, phoff: 28, phentsize: 42, phnum: 44, entry: 32, offset: 4, paddr: 12, filesz: 16, memsz: 20 },
  64: { header: 64, phoff: 32, phentsize: 54, phnum: 56, entry: 56, offset: 8, paddr: 24, filesz: 32, memsz: 40 },
} as const;

/**
 * Loads an ELF core, such as QEMU's dump-guest-memory and kdump write: every PT_LOAD goes to its physical address. 32 and 64 bits, either byte
 * order (memory is bytes: nothing is swapped). The file is read once, front to back.
 * Errors: `BAD_DUMP`; `OUTSIDE_MEMORY` naming every segment that is not RAM here, with nothing changed.
 */
export function loadElfCore(memory: PhysicalMemory, bytes: Bytes): ElfCore {
  const reader = new ByteReader(bytes);
  const core = readHeaders(reader);
  const outside = core.segments.filter((s) => s.size > 0 && !memory.contains(s.address, s.size));
  if (outside.length > 0) {
    const named = outside.map((s) => `${hex(s.size)} bytes at ${hex(s.address)}`).join(', ');
    throw new DoorbellError(
      'OUTSIDE_MEMORY',
      `the dump has content where there is no RAM: ${named}`,
      'give the platform the banks that elfBanks() finds',
      {
        segments: outside,
      },
    );
  }
  for (const s of [...core.segments].sort((a, b) => a.offset - b.offset)) {
    const what = `the segment for ${hex(s.address)}`;
    if (s.fileSize > 0) {
      if (s.offset < reader.position)
        throw badDump(`${what} shares bytes of the file with another or with the headers`, 'dump without paging', {
          segment: s,
        });
      reader.skipTo(s.offset, what);
      reader.into(memory, s.address, s.fileSize, what);
    }
    memory.fill(s.address + s.fileSize, s.size - s.fileSize, 0);
  }
  return core;
}

/** The banks of RAM that a platform needs to hold a core: its segments, joined, in whole pages. Reads the headers only. */
export function elfBanks(bytes: Bytes): MemoryBank[] {
  const banks: { base: number; size: number }[] = [];
  const segments = readHeaders(new ByteReader(bytes)).segments.filter((s) => s.size > 0);
  for (const s of [...segments].sort((a, b) => a.address - b.address)) {
    const base = Math.floor(s.address / 4096) * 4096;
    const end = Math.ceil((s.address + s.size) / 4096) * 4096;
    const last = banks[banks.length - 1];
    if (last && base <= last.base + last.size) last.size = Math.max(last.size, end - last.base);
    else banks.push({ base, size: end - base });
  }
  return banks;
}

/** What the headers of a core say; the beginning of the file is enough. Errors: `BAD_DUMP`. */
export const readElfCore = (bytes: Bytes): ElfCore => readHeaders(new ByteReader(bytes));

function readHeaders(reader: ByteReader): ElfCore {
  const ident = reader.take(16, 'the ELF identification');
  if (ident[0] !== 0x7f || ident[1] !== 0x45 || ident[2] !== 0x4c || ident[3] !== 0x46)
    throw badDump(
      'the file does not begin with 7f 45 4c 46, so it is no ELF file',
      'load it as raw or sparse, or convert it',
    );
  const bits = ident[4] === 1 ? 32 : ident[4] === 2 ? 64 : undefined;
  const endian = ident[5] === 1 ? 'little' : ident[5] === 2 ? 'big' : undefined;
  if (!bits || !endian)
    throw badDump(`ELF class ${ident[4]} or data ${ident[5]} is unknown`, 'only 32 and 64 bits exist');
  const at = CLASS[bits];
  const header = new DataView(reader.take(at.header - 16, 'the ELF header').buffer);
  const little = endian === 'little';
  const u16 = (offset: number) => header.getUint16(offset - 16, little);
  const long = (view: DataView, offset: number): number =>
    bits === 32
      ? view.getUint32(offset, little)
      : join64(view.getUint32(offset + (little ? 4 : 0), little), view.getUint32(offset + (little ? 0 : 4), little));
  if (u16(16) !== ET_CORE) throw badDump(`the ELF file has type ${u16(16)}, not 4 (core)`, 'give a memory dump');
  const count = u16(at.phnum);
  const entry = u16(at.phentsize);
  if (count === PN_XNUM) throw badDump('the core has 65535 segments or more', 'dump without paging');
  if (entry < at.entry) throw badDump(`program headers of ${entry} bytes are too short`, 'the file is damaged');
  const phoff = long(header, at.phoff - 16);
  if (phoff < reader.position) throw badDump('the program headers lie within the ELF header', 'the file is damaged');
  reader.skipTo(phoff, 'the program headers');
  const table = new DataView(reader.take(count * entry, 'the program headers').buffer);
  const segments: ElfSegment[] = [];
  for (let i = 0; i < count; i++) {
    const ph = new DataView(table.buffer, i * entry, entry);
    if (ph.getUint32(0, little) !== PT_LOAD) continue;
    const fileSize = long(ph, at.filesz);
    const segment = { address: long(ph, at.paddr), size: long(ph, at.memsz), offset: long(ph, at.offset), fileSize };
    // A size below what the file holds is not in the gABI, yet no reason to lose bytes.
    segments.push({ ...segment, size: Math.max(segment.size, fileSize) });
  }
  return { bits, endian, machine: u16(18), segments };
}

/** How a core is written. */
export interface ElfCoreOptions {
  /** e_machine: 62 x86-64, 183 AArch64, 21 PowerPC64. */
  readonly machine: number;
  /** Byte order of the headers; memory is bytes. Default: little. */
  readonly endian?: 'little' | 'big';
}

/**
 * All of RAM as a 64-bit ELF core with physical addresses. Memory that was never written takes no room in the file: it is the zero
 * end of a segment (p_memsz beyond p_filesz).
 */
export function* saveElfCore(
  memory: PhysicalMemory,
  { machine, endian = 'little' }: ElfCoreOptions,
): Generator<Uint8Array> {
  const runs = contentRuns(memory);
  if (runs.length >= PN_XNUM)
    throw badDump(`${runs.length} separate pieces of memory do not fit a core`, 'save it as sparse');
  const at = CLASS[64];
  const little = endian === 'little';
  const head = new DataView(new ArrayBuffer(at.header + runs.length * at.entry));
  const long = (offset: number, value: number) => {
    head.setUint32(offset + (little ? 4 : 0), Math.floor(value / TWO32), little);
    head.setUint32(offset + (little ? 0 : 4), value >>> 0, little);
  };
  new Uint8Array(head.buffer).set([0x7f, 0x45, 0x4c, 0x46, 2, little ? 1 : 2, 1]);
  head.setUint16(16, ET_CORE, little);
  head.setUint16(18, machine, little);
  head.setUint32(20, 1, little); // e_version
  long(at.phoff, at.header);
  head.setUint16(52, at.header, little); // e_ehsize
  head.setUint16(at.phentsize, at.entry, little);
  head.setUint16(at.phnum, runs.length, little);
  let offset = head.byteLength;
  runs.forEach((run, i) => {
    const ph = at.header + i * at.entry;
    head.setUint32(ph, PT_LOAD, little);
    long(ph + at.offset, offset);
    long(ph + at.paddr, run.base);
    long(ph + at.filesz, run.content);
    long(ph + at.memsz, run.size);
    offset += run.content;
  });
  yield new Uint8Array(head.buffer);
  for (const run of runs) if (run.content > 0) yield* saveRaw(memory, run.base, run.content);
}

/** Each bank cut so that every piece begins with its content and ends with what was never written. */
function contentRuns(memory: PhysicalMemory): { base: number; size: number; content: number }[] {
  const runs: { base: number; size: number; content: number }[] = [];
  const chunks = [...memory.chunks()].map(({ address, words }) => ({ base: address, end: address + words.byteLength }));
  let c = 0;
  for (const bank of memory.banks) {
    const end = bank.base + bank.size;
    let run = { base: bank.base, size: bank.size, content: 0 };
    while (c < chunks.length && chunks[c]!.end <= bank.base) c++;
    for (let i = c; i < chunks.length && chunks[i]!.base < end; i++) {
      const first = Math.max(chunks[i]!.base, bank.base);
      const last = Math.min(chunks[i]!.end, end);
      if (first > run.base + run.content) {
        runs.push({ ...run, size: first - run.base });
        run = { base: first, size: end - first, content: 0 };
      }
      run.content = last - run.base;
    }
    runs.push(run);
  }
  return runs;
}

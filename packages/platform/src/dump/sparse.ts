import { hex, join64, TWO32 } from '../address.js';
import { DoorbellError } from '../errors.js';
import type { PhysicalMemory } from '../memory.js';
import { badDump, ByteReader, isZero, type Bytes } from './stream.js';

/*
 * The sparse format, all little-endian: 8 bytes of magic, then records of { address u64, length u32, bytes } for runs of pages that
 * are not all zero, in ascending order; then { the number of bytes in all records u64, 0 u32 }.
 */
const MAGIC = Uint8Array.from('DBSPARS1', (c) => c.charCodeAt(0));
const PAGE = 4096;
const RECORD = 12;

/** All content, without its pages of zeros. Pieces are views of memory: use each before memory changes. */
export function* saveSparse(memory: PhysicalMemory): Generator<Uint8Array> {
  yield MAGIC.slice();
  let total = 0;
  for (const { address, words } of memory.chunks()) {
    const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
    for (let at = 0; at < bytes.length; ) {
      let end = at;
      while (end < bytes.length && !isZero(bytes.subarray(end, end + PAGE))) end += PAGE;
      if (end > at) {
        yield record(address + at, end - at);
        yield bytes.subarray(at, end);
        total += end - at;
      }
      at = end + PAGE;
    }
  }
  yield record(total, 0);
}

/** Makes memory's content that of the file: what the file does not name is zero. Errors: `BAD_DUMP`, `OUTSIDE_MEMORY`. */
export function loadSparse(memory: PhysicalMemory, bytes: Bytes): void {
  const reader = new ByteReader(bytes);
  const magic = reader.take(MAGIC.length, 'the magic');
  if (!magic.every((b, i) => b === MAGIC[i]))
    throw badDump('the file does not begin with DBSPARS1', 'load it as raw or as an ELF core');
  memory.restore([]);
  for (let total = 0; ; ) {
    const head = new DataView(reader.take(RECORD, 'a record’s head').buffer);
    const address = join64(head.getUint32(4, true), head.getUint32(0, true));
    const length = head.getUint32(8, true);
    if (length === 0) {
      if (address !== total)
        throw badDump(`the file has ${total} bytes of content and says ${address}`, 'copy the whole file');
      return;
    }
    load(memory, reader, address, length);
    total += length;
  }
}

/** A bank may end within a page: the saved page then has zeros beyond it, which go nowhere. */
function load(memory: PhysicalMemory, reader: ByteReader, address: number, length: number): void {
  const what = `the record for ${hex(address)}`;
  if (memory.contains(address, length)) return reader.into(memory, address, length, what);
  for (let done = 0; done < length; done += PAGE) {
    const page = reader.take(Math.min(PAGE, length - done), what);
    for (let i = 0; i < page.length; i += 8) {
      const eight = page.subarray(i, i + 8);
      if (isZero(eight)) continue;
      const at = address + done + i;
      if (!memory.contains(at, eight.length)) {
        throw new DoorbellError(
          'OUTSIDE_MEMORY',
          `the dump has content where there is no RAM: ${hex(at)}`,
          'give the platform that memory bank',
          {
            address: at,
          },
        );
      }
      memory.writeBytes(at, eight);
    }
  }
}

function record(address: number, length: number): Uint8Array {
  const head = new DataView(new ArrayBuffer(RECORD));
  head.setUint32(0, address >>> 0, true);
  head.setUint32(4, Math.floor(address / TWO32), true);
  head.setUint32(8, length, true);
  return new Uint8Array(head.buffer);
}

import { hex } from '../address.js';
import { DoorbellError } from '../errors.js';
import type { PhysicalMemory } from '../memory.js';
import { ByteReader, put, type Bytes } from './stream.js';

const BLOCK = 2 ** 16;

/**
 * Bytes as they lie in memory, from `base` on. Returns how many there were. Errors: `OUTSIDE_MEMORY`, with what came before
 * already in place.
 */
export function loadRaw(memory: PhysicalMemory, base: number, bytes: Bytes): number {
  const reader = new ByteReader(bytes);
  for (;;) {
    const at = base + reader.position;
    const piece = reader.some(Infinity);
    if (piece.length === 0) return reader.position;
    put(memory, at, piece);
  }
}

/** [base, base + size) as a file, in pieces of at most 64 KiB, each a copy. Errors: `OUTSIDE_MEMORY`. */
export function* saveRaw(memory: PhysicalMemory, base: number, size: number): Generator<Uint8Array> {
  if (!memory.contains(base, size)) {
    throw new DoorbellError(
      'OUTSIDE_MEMORY',
      `no RAM at ${hex(base)} (${size} bytes)`,
      'save a range that lies within the platform’s banks',
      { base, size },
    );
  }
  for (let done = 0; done < size; ) {
    const piece = new Uint8Array(Math.min(BLOCK, size - done));
    memory.readBytes(base + done, piece);
    yield piece;
    done += piece.length;
  }
}

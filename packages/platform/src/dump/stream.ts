import { DoorbellError } from '../errors.js';
import type { PhysicalMemory } from '../memory.js';

/** A file's content: at once, or piece by piece, so that a large one never lies in memory as a whole. */
export type Bytes = Uint8Array | Iterable<Uint8Array>;

/** `BAD_DUMP`: the file is not what it should be. */
export const badDump = (what: string, remedy: string, details: Record<string, unknown> = {}): DoorbellError =>
  new DoorbellError('BAD_DUMP', what, remedy, details);

const PAGE = 4096;

/** Reads a file front to back, in pieces that are views of the chunks that come in. */
export class ByteReader {
  /** Position in the file of the next byte. */
  position = 0;
  private readonly chunks: Iterator<Uint8Array>;
  private rest: Uint8Array = new Uint8Array(0);

  constructor(bytes: Bytes) {
    this.chunks = (bytes instanceof Uint8Array ? [bytes] : bytes)[Symbol.iterator]();
  }

  /** At most `limit` bytes, as many as are at hand; empty at the end of the file. Valid until the next call. */
  some(limit: number): Uint8Array {
    while (this.rest.length === 0) {
      const next = this.chunks.next();
      if (next.done) return this.rest;
      this.rest = next.value;
    }
    const piece = this.rest.subarray(0, limit);
    this.rest = this.rest.subarray(piece.length);
    this.position += piece.length;
    return piece;
  }

  /** Exactly `length` bytes, copied. Errors: `BAD_DUMP` at the end of the file. */
  take(length: number, what: string): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const piece = this.some(length - done);
      if (piece.length === 0) throw this.ends(what);
      bytes.set(piece, done);
      done += piece.length;
    }
    return bytes;
  }

  /** Moves on to a later position. Errors: `BAD_DUMP` at the end of the file. */
  skipTo(position: number, what: string): void {
    while (this.position < position) if (this.some(position - this.position).length === 0) throw this.ends(what);
  }

  /** Passes `length` bytes straight into memory. Errors: `BAD_DUMP` at the end of the file. */
  into(memory: PhysicalMemory, address: number, length: number, what: string): void {
    for (let done = 0; done < length; ) {
      const piece = this.some(length - done);
      if (piece.length === 0) throw this.ends(what);
      put(memory, address + done, piece);
      done += piece.length;
    }
  }

  private ends(what: string): DoorbellError {
    return badDump(`the file ends after ${this.position} bytes, within ${what}`, 'copy the whole file', {
      position: this.position,
    });
  }
}

/** Writes bytes so that pages of zeros stay unallocated. */
export function put(memory: PhysicalMemory, address: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) {
    const n = Math.min(bytes.length - done, PAGE - ((address + done) % PAGE));
    const piece = bytes.subarray(done, done + n);
    if (isZero(piece)) memory.fill(address + done, n, 0);
    else memory.writeBytes(address + done, piece);
    done += n;
  }
}

/** Whether all bytes are 0. */
export function isZero(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return true;
}

import { getAddress, getAt, setAddress, setAt } from '@doorbell/bits';
import type { SoftwareHost } from '@doorbell/platform';
import { CONTEXT_ENTRY, ROOT_ENTRY, TranslationType } from '../spec/index.js';

/** A context entry as four words. */
export type ContextWords = Uint32Array;

/** Translates by tables at `table`. */
export function translatedContext(did: number, levels: number, table: number): ContextWords {
  const w = new Uint32Array(4);
  setAt(w, 0, CONTEXT_ENTRY.P, 1);
  setAt(w, 0, CONTEXT_ENTRY.TT, TranslationType.untranslated);
  setAddress(w, 0, CONTEXT_ENTRY.SLPTPTR, table);
  setAt(w, 0, CONTEXT_ENTRY.AW, levels - 2);
  setAt(w, 0, CONTEXT_ENTRY.DID, did);
  return w;
}

/** Passes requests through unchanged. AW is the largest that the unit has (§9.3). */
export function passThroughContext(did: number, levels: number): ContextWords {
  const w = translatedContext(did, levels, 0);
  setAt(w, 0, CONTEXT_ENTRY.TT, TranslationType.passThrough);
  return w;
}

/** Blocks: not present. */
export const ABSENT_CONTEXT: ContextWords = new Uint32Array(4);

/** Domain id of an entry. */
export const didOf = (w: ContextWords): number => getAt(w, 0, CONTEXT_ENTRY.DID);
export const isPresent = (w: ContextWords): boolean => getAt(w, 0, CONTEXT_ENTRY.P) === 1;

/** Root table and context tables in legacy mode. Context tables appear with the first stream of their bus. */
export class ContextTables {
  /** Physical address of the root table. */
  readonly root: number;
  private readonly words = new Uint32Array(4);

  constructor(private readonly host: SoftwareHost) {
    this.root = host.pages.allocate(4096);
  }

  /** A copy of the stream's entry; all zero while its bus has no table. */
  read(stream: number): ContextWords {
    const out = new Uint32Array(4);
    const at = this.entry(stream);
    if (at >= 0) for (let i = 0; i < 4; i++) out[i] = this.host.memory.read32(at + 4 * i);
    return out;
  }

  /** Makes the table of the stream's bus if there is none. True: it was made. Errors: `OUT_OF_MEMORY`. */
  ensure(stream: number): boolean {
    if (this.entry(stream) >= 0) return false;
    const { memory, pages } = this.host;
    const table = pages.allocate(4096);
    this.words.fill(0);
    setAt(this.words, 0, ROOT_ENTRY.P, 1);
    setAddress(this.words, 0, ROOT_ENTRY.CTP, table);
    memory.barrier();
    memory.write64(this.rootEntry(stream), this.words[1]!, this.words[0]!);
    memory.barrier();
    return true;
  }

  /** Takes a bus's table away again. The caller has invalidated, or nothing was ever present in it. */
  remove(stream: number): void {
    const at = this.entry(stream);
    if (at < 0) return;
    this.host.memory.write64(this.rootEntry(stream), 0, 0);
    this.host.memory.barrier();
    this.host.pages.free(at - (stream & 0xff) * 16, 4096);
  }

  /** Not present, in one store: a concurrent fetch sees the old entry or none. */
  clear(stream: number): void {
    const at = this.entry(stream);
    if (at < 0) return;
    this.host.memory.write64(at, 0, 0);
    this.host.memory.write64(at + 8, 0, 0);
    this.host.memory.barrier();
  }

  /** Into a cleared entry: the half with P comes last. */
  write(stream: number, w: ContextWords): void {
    const at = this.entry(stream);
    if (at < 0) return;
    this.host.memory.write64(at + 8, w[3]!, w[2]!);
    this.host.memory.barrier();
    this.host.memory.write64(at, w[1]!, w[0]!);
    this.host.memory.barrier();
  }

  private rootEntry(stream: number): number {
    return this.root + (stream >>> 8) * 16;
  }

  /** Physical address of the stream's context entry, or -1. */
  private entry(stream: number): number {
    const at = this.rootEntry(stream);
    const w = this.words;
    w[0] = this.host.memory.read32(at);
    w[1] = this.host.memory.read32(at + 4);
    if (getAt(w, 0, ROOT_ENTRY.P) === 0) return -1;
    return getAddress(w, 0, ROOT_ENTRY.CTP) + (stream & 0xff) * 16;
  }
}

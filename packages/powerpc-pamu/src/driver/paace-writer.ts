import { getAt, setAt } from '@doorbell/bits';
import { hi32, lo32, swap32, type MemoryPort } from '@doorbell/platform';
import * as S from '../spec/index.js';
import type { Extent, Geometry } from './geometry.js';

/** Composes and stores entries so that a walker never sees half of one. */
export class PaaceWriter {
  private readonly words = new Uint32Array(S.PAACE_WORDS);

  constructor(private readonly memory: MemoryPort) {}

  /** A valid primary entry: window, and what sub-window 0 (or the whole window) maps. */
  primary(at: number, geometry: Geometry, fspi: number, piece: Extent | null): void {
    const { words } = this;
    words.fill(0);
    setAt(words, 0, S.PPAACE.WBAH, hi32(geometry.base));
    setAt(words, 0, S.PPAACE.WBAL, lo32(geometry.base) >>> 12);
    setAt(words, 0, S.PPAACE.WSE, S.encodeSize(geometry.size));
    if (geometry.count > 1) {
      setAt(words, 0, S.PPAACE.MW, 1);
      setAt(words, 0, S.PPAACE.WCE, S.encodeCount(geometry.count));
      setAt(words, 0, S.PPAACE.FSPI, fspi);
    }
    this.target(piece);
    setAt(words, 0, S.PPAACE.V, 1);
    this.store(at);
  }

  /** The whole address space unchanged. */
  identity(at: number, size: number): void {
    this.words.fill(0);
    setAt(this.words, 0, S.PPAACE.WSE, S.encodeSize(size));
    setAt(this.words, 0, S.PPAACE.AP, S.AP.all);
    setAt(this.words, 0, S.PPAACE.V, 1);
    this.store(at);
  }

  secondary(at: number, liodn: number, piece: Extent | null): void {
    if (piece === null) return this.invalidate(at);
    this.words.fill(0);
    setAt(this.words, 0, S.SPAACE.LIODN, liodn);
    setAt(this.words, 0, S.SPAACE.PT, 1);
    this.target(piece);
    setAt(this.words, 0, S.SPAACE.V, 1);
    this.store(at);
  }

  /** V = 0, seen before anything that follows. */
  invalidate(at: number): void {
    if (this.memory.read32(at + 4 * S.ADDRESS_WORD) === 0) return;
    this.memory.write32(at + 4 * S.ADDRESS_WORD, 0);
    this.memory.barrier();
  }

  /** An entry as it is, for `put`. */
  copy(at: number): Uint32Array {
    return Uint32Array.from({ length: S.PAACE_WORDS }, (_, i) => swap32(this.memory.read32(at + 4 * i)));
  }
  put(at: number, entry: Uint32Array): void {
    this.words.set(entry);
    this.store(at);
  }

  private target(piece: Extent | null): void {
    const { words } = this;
    if (piece === null) return; // AP = denied
    setAt(words, 0, S.PPAACE.AP, piece.permissions & S.AP.all);
    setAt(words, 0, S.PPAACE.ATM, S.ATM.window);
    setAt(words, 0, S.PPAACE.TWBAH, hi32(piece.physical));
    setAt(words, 0, S.PPAACE.TWBAL, lo32(piece.physical) >>> 12);
    setAt(words, 0, S.PPAACE.SWSE, S.encodeSize(piece.size));
  }

  /**
   * The word with V and AP comes last. Before the others change, it denies access, as LIBOS retargets: V stays where the window does, since the
   * other sub-windows depend on it.
   */
  private store(at: number): void {
    const { memory, words } = this;
    const now = this.copy(at);
    if (REST.some((i) => now[i] !== words[i])) {
      if (sameWindow(now, words)) this.deny(at, now);
      else this.invalidate(at);
      for (const i of REST) memory.write32(at + 4 * i, swap32(words[i]!));
      memory.barrier();
    }
    memory.write32(at + 4 * S.ADDRESS_WORD, swap32(words[S.ADDRESS_WORD]!));
    memory.barrier();
  }

  /** AP = denied, seen before anything that follows. */
  private deny(at: number, entry: Uint32Array): void {
    setAt(entry, 0, S.PPAACE.AP, S.AP.denied);
    this.memory.write32(at + 4 * S.ADDRESS_WORD, swap32(entry[S.ADDRESS_WORD]!));
    this.memory.barrier();
  }
}

/** Every word but the one with V and AP. */
const REST = [0, 2, 3, 4, 5, 6, 7];

/** Whether two entries are valid and differ in nothing that other sub-windows are found by. */
const sameWindow = (a: Uint32Array, b: Uint32Array): boolean =>
  WINDOW.every((field) => getAt(a, 0, field) === getAt(b, 0, field));
const { V, PT, WBAH, WBAL, WSE, MW, WCE, FSPI } = S.PPAACE;
const WINDOW = [V, PT, WBAH, WBAL, WSE, MW, WCE, FSPI];

import { setAt } from '@doorbell/bits';
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

  /** The word with V and AP goes out of the way first and comes back last (LIBOS retargets in that order). */
  private store(at: number): void {
    const { memory, words } = this;
    const rest = [0, 2, 3, 4, 5, 6, 7];
    if (rest.some((i) => swap32(memory.read32(at + 4 * i)) !== words[i])) {
      this.invalidate(at);
      for (const i of rest) memory.write32(at + 4 * i, swap32(words[i]!));
      memory.barrier();
    }
    memory.write32(at + 4 * S.ADDRESS_WORD, swap32(words[S.ADDRESS_WORD]!));
    memory.barrier();
  }
}

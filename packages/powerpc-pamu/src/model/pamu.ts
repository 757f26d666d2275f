import { get, getAt, set } from '@doorbell/bits';
import {
  READ,
  RegisterFile,
  Verdict,
  WRITE,
  hex,
  hex64,
  hi32,
  join64,
  lo32,
  type HardwareHost,
  type Model,
  type Outcome,
  type Request,
} from '@doorbell/platform';
import * as S from '../spec/index.js';
import { Entries } from './entries.js';
import type { Bypass } from './guts.js';
import type { PamuConfig } from './options.js';

/** What a PAMU is wired to. */
export interface PamuWires {
  readonly bypass: Bypass | undefined;
  /** `asserted` may have changed. */
  interrupt(): void;
}

const { VIOLATION } = S;

/** One PAMU: primary PAACE by LIODN, sub-window by address, translation, violation capture (A7; the order of checks is unverified). */
export class Pamu implements Model {
  readonly regions: readonly RegisterFile[];
  private readonly file: RegisterFile;
  private readonly primaries: Entries;
  private readonly secondaries: Entries;
  /** Where the violation function finds its words. */
  private violation: S.Violation = VIOLATION.window;
  private untilRefusal = -1;
  private readonly physicalLimit: number;

  constructor(
    readonly name: string,
    base: number,
    private readonly config: PamuConfig,
    private readonly host: HardwareHost,
    private readonly wires: PamuWires,
  ) {
    this.file = new RegisterFile({
      name,
      base,
      size: S.PAMU_SIZE,
      endian: 'big',
      sizes: [4],
      diagnostics: host.diagnostics,
      registers: S.REGISTERS,
    });
    this.regions = [this.file];
    this.physicalLimit = 2 ** config.addressBits;
    this.primaries = new Entries(host.memoryModel, config.cacheLines[0], config.coherent);
    this.secondaries = new Entries(host.memoryModel, config.cacheLines[1], config.coherent);
    this.identify();
    // Writing a base is meant to invalidate what was cached of that table (A8).
    this.file.onWrite(S.PPBAL.$.at, () => this.baseWritten());
    this.file.onWrite(S.SPBAL.$.at, () => this.secondaries.forget());
    this.file.onWrite(S.PICS.$.at, () => wires.interrupt());
  }

  /** Whether it asserts its access violation interrupt; and at which MPIC source. */
  get asserted(): boolean {
    const pics = this.file.get(S.PICS.$.at);
    return (pics & S.PICS.AVICS.mask) !== 0 && (pics & S.PICS.AVIE.mask) !== 0;
  }
  get source(): number {
    return this.config.source;
  }

  /** Test control: the k-th write of the primary base from now ends in an operation error and invalidates nothing; -1: none. */
  refuseCommand(k: number): void {
    this.untilRefusal = k;
  }

  translate(request: Request, out: Outcome): Verdict {
    const { wires } = this;
    if (wires.bypass?.bypassed(this.config.index)) {
      out.pa = join64(request.hi, request.lo);
      out.pageSize = 0;
      out.permissions = READ | WRITE;
      return Verdict.bypass;
    }
    const pa = this.walk(request);
    if (pa < 0) return this.refuse(request, out);
    out.pa = pa;
    return Verdict.translated;
  }

  reset(): void {
    this.file.reset();
    this.identify();
    this.primaries.forget();
    this.secondaries.forget();
    this.wires.interrupt();
  }
  snapshot(): Uint32Array {
    return this.file.snapshot();
  }
  restore(words: unknown): void {
    this.file.restore(words as Uint32Array);
    this.primaries.forget();
    this.secondaries.forget();
  }

  /** The physical address, or -1 with the cause in `violation`. */
  private walk(request: Request): number {
    const control = this.file.get(S.PC.$.at);
    // What passes with PE = 0 is unverified: nothing does here.
    if (control & S.PC.PGC.mask || !(control & S.PC.PE.mask)) return this.no(VIOLATION.gateClosed);
    const liodn = request.stream;
    const base = this.pair(S.PPBAH.$.at);
    const at = base + S.PAACE_SIZE * liodn;
    if (at + S.PAACE_SIZE > this.pair(S.PPLAH.$.at)) return this.no(VIOLATION.liodnOutside);
    const { words } = this.primaries;
    const p = this.primaries.fetch(liodn, at, (control & S.PC.PPCC.mask) !== 0);
    if (p < 0) return this.no(VIOLATION.liodnOutside);
    const { trace } = this.host;
    if (trace.on) this.tell(`primary PAACE of LIODN ${liodn}`, at, words, p);
    if (!getAt(words, p, S.PPAACE.V) || getAt(words, p, S.PPAACE.PT)) return this.no(VIOLATION.liodnInvalid);

    const address = join64(request.hi, request.lo);
    const window = S.sizeOf(getAt(words, p, S.PPAACE.WSE));
    const first = join64(getAt(words, p, S.PPAACE.WBAH), (getAt(words, p, S.PPAACE.WBAL) << 12) >>> 0);
    // The base is naturally aligned, so the comparison is one of the upper bits.
    if (Math.floor(address / window) * window !== first) return this.no(VIOLATION.window);
    if (!getAt(words, p, S.PPAACE.MW)) return this.through(request, words, p, address - first, window, address);

    const slot = window / S.countOf(getAt(words, p, S.PPAACE.WCE));
    const n = Math.floor((address - first) / slot);
    const offset = address - first - n * slot;
    if (n === 0) return this.through(request, words, p, offset, this.mapped(words, p), address);
    const index = getAt(words, p, S.PPAACE.FSPI) + n - 1;
    const sAt = this.pair(S.SPBAH.$.at) + S.PAACE_SIZE * index;
    if (sAt + S.PAACE_SIZE > this.pair(S.SPLAH.$.at)) return this.no(VIOLATION.subWindowOutside);
    const s = this.secondaries.fetch(index, sAt, (control & S.PC.SPCC.mask) !== 0);
    if (s < 0) return this.no(VIOLATION.subWindowOutside);
    const own = this.secondaries.words;
    if (trace.on) this.tell(`secondary PAACE ${index}, sub-window ${n}`, sAt, own, s);
    if (!getAt(own, s, S.SPAACE.V) || !getAt(own, s, S.SPAACE.PT)) return this.no(VIOLATION.subWindowInvalid);
    if (getAt(own, s, S.SPAACE.LIODN) !== liodn) return this.no(VIOLATION.subWindowForeign);
    return this.through(request, own, s, offset, this.mapped(own, s), address);
  }

  private mapped(words: Uint32Array, at: number): number {
    return S.sizeOf(getAt(words, at, S.PPAACE.SWSE));
  }

  /** Permissions, size, operation and address of the (sub-)window that the request falls into. */
  private through(
    request: Request,
    words: Uint32Array,
    at: number,
    offset: number,
    size: number,
    address: number,
  ): number {
    const ap = getAt(words, at, S.PPAACE.AP);
    if ((request.access & ~ap & (READ | WRITE)) !== 0) return this.no(VIOLATION.access);
    if (offset >= size) return this.no(VIOLATION.subWindowTail);
    if (!this.operation(request, words, at)) return this.no(VIOLATION.operation);
    const atm = getAt(words, at, S.PPAACE.ATM);
    if (atm === S.ATM.none) return address;
    if (atm !== S.ATM.window) {
      this.host.diagnostics.unimplemented(this.name, 'translation by pages (ATM 2 and 3)');
      return this.no(VIOLATION.pageMode);
    }
    const translated = join64(getAt(words, at, S.PPAACE.TWBAH), (getAt(words, at, S.PPAACE.TWBAL) << 12) >>> 0);
    // TWBA | offset: the base has zeros where the offset has bits; what it has above the SoC's address width is lost.
    const base = Math.floor(translated / size) * size;
    const pa = base + offset;
    return pa < this.physicalLimit ? pa : pa % this.physicalLimit;
  }

  /** Whether the operation is mapped to one that is valid (A6). What it becomes does not matter to RAM and registers. */
  private operation(request: Request, words: Uint32Array, at: number): boolean {
    const mode = getAt(words, at, S.PPAACE.OTM);
    if (mode === S.OTM.none) return true;
    const ioe = request.access & WRITE ? S.IOE.write : S.IOE.read;
    if (mode === S.OTM.immediate) {
      const a = getAt(words, at, S.PPAACE.OPERATION_A);
      const b = getAt(words, at, S.PPAACE.OMI);
      return [a, b].some((pair) => ((pair >>> 8) & 0x7f) === ioe && (pair & S.OPERATION_VALID) !== 0);
    }
    if (mode !== S.OTM.indexed) return false;
    const ome = this.pair(S.OBAH.$.at) + S.OME_SIZE * getAt(words, at, S.PPAACE.OMI) + ioe;
    const { memoryModel } = this.host;
    if (ome >= this.pair(S.OLAH.$.at) || !memoryModel.has(ome)) return false;
    return (memoryModel.read8(ome) & S.OPERATION_VALID) !== 0;
  }

  private no(violation: S.Violation): number {
    this.violation = violation;
    return -1;
  }

  /** One capture register: what comes while it is full is lost (A8). */
  private refuse(request: Request, out: Outcome): Verdict {
    const { file, violation } = this;
    const { hooks, trace } = this.host;
    out.code = violation.word & 0x7fff;
    out.fault = violation.name;
    out.recorded = !get(file.get(S.AVS1.$.at), S.AVS1.AV);
    if (trace.on) {
      const { name, why } = violation;
      trace.step({ by: this.name, what: `violation ${name}`, at: null, words: [violation.word], decoded: '', why });
    }
    if (out.recorded) {
      file.set(S.AVS1.$.at, set(violation.word, S.AVS1.LIODN, request.stream));
      file.set(S.AVS2.$.at, set(0, S.AVS2.UPDATE, request.access & WRITE ? 1 : 0));
      file.set(S.AVAH.$.at, request.hi);
      file.set(S.AVAL.$.at, request.lo);
      file.set(S.PICS.$.at, set(file.get(S.PICS.$.at), S.PICS.AVICS, 1));
      this.wires.interrupt();
    }
    if (hooks.fault.isUsed())
      hooks.fault.call({
        unit: this.name,
        code: out.code,
        name: out.fault,
        requester: request.requester,
        address: { hi: request.hi, lo: request.lo },
      });
    return Verdict.fault;
  }

  private baseWritten(): void {
    const { file } = this;
    const refused = this.untilRefusal >= 0 && this.untilRefusal-- === 0;
    if (!refused) return this.primaries.forget();
    const base = this.pair(S.PPBAH.$.at);
    file.set(S.POES1.$.at, 1);
    file.set(S.POEAH.$.at, hi32(base));
    file.set(S.POEAL.$.at, lo32(base));
    file.set(S.PICS.$.at, set(file.get(S.PICS.$.at), S.PICS.POEICS, 1));
  }

  private identify(): void {
    const { subWindows, maxLiodn } = this.config;
    this.file.set(S.PR1.$.at, set(0, S.PR1.VERSION, 0x100));
    this.file.set(S.PC2.$.at, set(0, S.PC2.MLIODN, maxLiodn));
    this.file.set(S.PC3.$.at, set(0, S.PC3.MWCE, S.encodeCount(subWindows)));
  }

  private pair(offset: number): number {
    return join64(this.file.get(offset), this.file.get(offset + 4));
  }

  private tell(what: string, at: number, words: Uint32Array, index: number): void {
    const v = getAt(words, index, S.PPAACE.V);
    const twba = hex64(getAt(words, index, S.PPAACE.TWBAH), (getAt(words, index, S.PPAACE.TWBAL) << 12) >>> 0);
    const size = hex(this.mapped(words, index));
    this.host.trace.step({
      by: this.name,
      what,
      at,
      words: Array.from(words.subarray(index, index + S.PAACE_WORDS)),
      decoded: `V ${v}, AP ${getAt(words, index, S.PPAACE.AP)}, TWBA ${twba}, mapped size ${size}`,
      why: v ? 'valid' : 'not valid',
    });
  }
}

import { getAt, setAt } from '@doorbell/bits';
import { RegisterFile, TranslationCache, Verdict, WRITE, join64 } from '@doorbell/platform';
import type { HardwareHost, Model, Outcome, Request } from '@doorbell/platform';
import * as S from '../spec/iommu.js';

// Constants of this module, which the engine folds; it loads an import at each use.
const { READABLE, WRITABLE, BYPASS, TABLE } = S;
const STREAMS = S.STREAMS.$.at / 4;
const STATUS = S.STATUS.$.at / 4;

/** The hardware: walks the tables that memory holds, remembers translations until it is told to forget them, records one fault. */
export class MinimalIommu extends RegisterFile implements Model {
  readonly regions = [this];
  private readonly cache = new TranslationCache();
  /** Refuses the command after so many more; -1: none. */
  private untilRefusal = -1;

  constructor(
    name: string,
    private readonly host: HardwareHost,
    base: number,
  ) {
    const registers = [S.STREAMS, S.COMMAND, S.STATUS, S.FAULT];
    super({ name, base, size: 0x1000, diagnostics: host.diagnostics, registers });
    const lane = host.clock.lane();
    this.onWrite(S.COMMAND.$.at, () => {
      setAt(this.words, STATUS, S.STATUS.BUSY, 1);
      lane.run(this.forget);
    });
  }

  /** Test control: the hardware refuses its k-th command from now. */
  refuseCommand(k: number): void {
    this.untilRefusal = k;
  }

  translate(request: Request, out: Outcome): Verdict {
    const { cache } = this;
    const { memoryModel: memory } = this.host;
    const n = memory.locate(this.words[STREAMS]! * 4096 + request.stream * 8);
    const lo = n < 0 ? 0 : memory.located[n]! | 0;
    const hi = n < 0 ? 0 : memory.located[n + 1]! & 0xfffff;
    out.pa = join64(request.hi, request.lo);
    if (lo & BYPASS) return Verdict.bypass;
    if (!(lo & TABLE)) return this.fault(request, out, 1);
    const page = request.hi * 2 ** 20 + (request.lo >>> 12);
    let slot = cache.find(join64(hi, lo & ~0xfff), page);
    if (slot < 0) slot = this.walk(hi, lo & ~0xfff, page);
    if (slot < 0) return this.fault(request, out, 2);
    const rights = cache.rights[slot]!;
    if (!(rights & (request.access & WRITE ? WRITABLE : READABLE))) return this.fault(request, out, 3);
    out.pa = cache.physical[slot]! + (request.lo & 0xfff);
    out.pageSize = 4096;
    out.permissions = rights;
    return Verdict.translated;
  }

  override restore(words: Uint32Array): void {
    super.restore(words);
    this.cache.clear();
  }

  /** The cache's slot with what the tables say of a page, or -1: nothing. */
  private walk(rootHi: number, rootLo: number, page: number): number {
    const { memoryModel: memory, trace } = this.host;
    for (let shift = page < 2 ** 27 ? 18 : -1, hi = rootHi | 0, lo = rootLo | 0; shift >= 0; shift -= 9) {
      const entry = (lo & ~0xfff) | (((page >>> shift) & 511) * 8);
      const at = join64(hi, entry);
      const n = memory.locate64(hi, entry);
      lo = n < 0 ? 0 : memory.located[n]! | 0;
      hi = n < 0 ? 0 : memory.located[n + 1]! & 0xfffff;
      const rights = lo & (READABLE | WRITABLE);
      if (trace.on) {
        const why = shift > 0 ? 'next table' : rights ? 'page' : 'no page';
        trace.step({ by: this.name, what: `entry, level ${shift / 9}`, at, words: [lo >>> 0, hi], decoded: '', why });
      }
      if (shift === 0 && rights) return this.cache.store(join64(rootHi, rootLo), page, join64(hi, lo & ~0xfff), rights);
      if (!(lo & TABLE)) return -1;
    }
    return -1;
  }

  private readonly forget = (): void => {
    const refused = this.untilRefusal >= 0 && this.untilRefusal-- === 0;
    if (refused) setAt(this.words, STATUS, S.STATUS.REFUSED, 1);
    else this.cache.forget(this.get(S.COMMAND.$.at) * 4096);
    setAt(this.words, STATUS, S.STATUS.BUSY, 0);
  };

  /** Recorded where no earlier fault waits to be taken. */
  private fault(request: Request, out: Outcome, code: number): Verdict {
    out.code = code;
    out.fault = S.FAULTS[code]!;
    out.recorded = !getAt(this.words, STATUS, S.STATUS.FAULT);
    if (!out.recorded) return Verdict.fault;
    const write = request.access & WRITE ? 1 : 0;
    this.update(S.FAULT, { STREAM: request.stream, CODE: code, WRITE: write, LO: request.lo, HI: request.hi });
    setAt(this.words, STATUS, S.STATUS.FAULT, 1);
    return Verdict.fault;
  }
}

import { getAt, setAt } from '@doorbell/bits';
import { RegisterFile, TranslationCache, Verdict, WRITE, join64 } from '@doorbell/platform';
import type { HardwareHost, Model, Outcome, Request } from '@doorbell/platform';
import * as S from '../spec/iommu.js';

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
    const { memoryModel } = this.host;
    const stream = this.get(S.STREAMS.$.at) * 4096 + request.stream * 8;
    const flags = memoryModel.has(stream) ? memoryModel.read32(stream) : 0;
    out.pa = join64(request.hi, request.lo);
    if (flags & S.BYPASS) return Verdict.bypass;
    if (!(flags & S.TABLE)) return this.fault(request, out, 1);
    const root = join64(memoryModel.read32(stream + 4) & 0xfffff, flags & ~0xfff);
    const page = Math.floor(out.pa / 4096);
    let slot = cache.find(root, page);
    if (slot < 0) slot = this.walk(root, page);
    if (slot < 0) return this.fault(request, out, 2);
    const rights = cache.rights[slot]!;
    if (!(rights & (request.access & WRITE ? S.WRITABLE : S.READABLE))) return this.fault(request, out, 3);
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
  private walk(root: number, page: number): number {
    const { memoryModel, trace } = this.host;
    let table = root;
    for (let level = page < 2 ** 27 ? 2 : -1, span = 2 ** 18; level >= 0; level--, span /= 512) {
      const at = table + ((page / span) & 511) * 8;
      const n = memoryModel.locate(at);
      const lo = n < 0 ? 0 : memoryModel.located[n]!;
      const hi = n < 0 ? 0 : memoryModel.located[n + 1]! & 0xfffff;
      const rights = lo & (S.READABLE | S.WRITABLE);
      const why = level > 0 ? 'next table' : rights ? 'page' : 'no page';
      if (trace.on) trace.step({ by: this.name, what: `entry, level ${level}`, at, words: [lo, hi], decoded: '', why });
      table = join64(hi, lo & ~0xfff);
      if (level === 0 && rights) return this.cache.store(root, page, table, rights);
      if (!(lo & S.TABLE)) return -1;
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

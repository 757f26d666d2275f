import {
  Clock,
  RegisterFile,
  Verdict,
  WRITE,
  join64,
  type HardwareHost,
  type MmioRegion,
  type Model,
  type Outcome,
  type Request,
} from '@doorbell/platform';
import * as S from '../spec/index.js';

const SLOTS = 64;

/** The hardware: walks the tables that memory holds, remembers translations until it is told to forget them, records one fault. */
export class MinimalIommu implements Model {
  readonly regions: readonly MmioRegion[];
  private readonly file: RegisterFile;
  private readonly lane: ReturnType<Clock['lane']>;
  private readonly pages = new Float64Array(SLOTS).fill(-1);
  private readonly roots = new Float64Array(SLOTS);
  private readonly entries = new Float64Array(SLOTS);
  private readonly rights = new Uint8Array(SLOTS);
  /** Refuses the command after so many more; -1: none. */
  private untilRefusal = -1;

  constructor(
    readonly name: string,
    private readonly host: HardwareHost,
    base: number,
  ) {
    const { diagnostics, clock } = host;
    this.file = new RegisterFile({ name, base, size: 0x1000, diagnostics, registers: S.REGISTERS });
    this.regions = [this.file];
    this.lane = clock.lane();
    this.file.onWrite(S.COMMAND.$.at, (root) => {
      this.file.set(S.STATUS.$.at, this.file.get(S.STATUS.$.at) | 1);
      this.lane.run(() => this.forget(root));
    });
  }

  /** Test control: the hardware refuses its k-th command from now. */
  refuseCommand(k: number): void {
    this.untilRefusal = k;
  }

  translate(request: Request, out: Outcome): Verdict {
    const { memoryModel } = this.host;
    const stream = this.file.get(S.STREAMS.$.at) * 4096 + request.stream * 8;
    const flags = memoryModel.has(stream) ? memoryModel.read32(stream) : 0;
    out.pa = join64(request.hi, request.lo);
    if (flags & S.BYPASS) return Verdict.bypass;
    if (!(flags & S.TABLE)) return this.fault(request, out, 1);
    const root = join64(memoryModel.read32(stream + 4) & 0xfffff, flags & ~0xfff);
    const page = Math.floor(out.pa / 4096);
    const slot = page % SLOTS;
    if (this.pages[slot] !== page || this.roots[slot] !== root) {
      if (!this.walk(root, page, slot)) return this.fault(request, out, 2);
    }
    const needs = request.access & WRITE ? S.WRITABLE : S.READABLE;
    if (!(this.rights[slot]! & needs)) return this.fault(request, out, 3);
    out.pa = this.entries[slot]! + (request.lo & 0xfff);
    out.pageSize = 4096;
    out.permissions = this.rights[slot]!;
    return Verdict.translated;
  }

  snapshot(): Uint32Array {
    return this.file.snapshot();
  }
  restore(words: unknown): void {
    this.file.restore(words as Uint32Array);
    this.pages.fill(-1);
  }

  private walk(root: number, page: number, slot: number): boolean {
    const { memoryModel, trace } = this.host;
    let table = root;
    let rights = 0;
    for (let level = page < 2 ** 27 ? 2 : -1; level >= 0; level--) {
      const at = table + (Math.floor(page / 512 ** level) % 512) * 8;
      const lo = memoryModel.has(at) ? memoryModel.read32(at) : 0;
      const hi = lo === 0 ? 0 : memoryModel.read32(at + 4) & 0xfffff;
      const why = level ? 'next table' : `page rights ${lo & 3}`;
      if (trace.on) trace.step({ by: this.name, what: `entry, level ${level}`, at, words: [lo, hi], decoded: '', why });
      if (level ? !(lo & S.TABLE) : !(lo & 3)) return false;
      table = join64(hi, lo & ~0xfff);
      rights = lo & 3;
    }
    if (rights === 0) return false;
    this.pages[slot] = page;
    this.roots[slot] = root;
    this.entries[slot] = table;
    this.rights[slot] = rights;
    return true;
  }

  private forget(root: number): void {
    const refused = this.untilRefusal >= 0 && this.untilRefusal-- === 0;
    for (let i = 0; i < SLOTS && !refused; i++) if (root === 0 || this.roots[i] === root * 4096) this.pages[i] = -1;
    this.file.set(S.STATUS.$.at, (this.file.get(S.STATUS.$.at) & ~1) | (refused ? 2 : 0));
  }

  private fault(request: Request, out: Outcome, code: number): Verdict {
    out.code = code;
    out.fault = S.FAULTS[code]!;
    const status = this.file.get(S.STATUS.$.at);
    out.recorded = (status & 4) === 0;
    if (!out.recorded) return Verdict.fault;
    this.file.set(S.FAULT.$.at, (request.stream | (code << 16) | (request.access & WRITE ? 0x8000_0000 : 0)) >>> 0);
    this.file.set(S.FAULT.$.at + 4, request.lo);
    this.file.set(S.FAULT.$.at + 8, request.hi);
    this.file.set(S.STATUS.$.at, status | 4);
    return Verdict.fault;
  }
}

import { decode } from '@doorbell/bits';
import { hex, type HardwareHost } from '@doorbell/platform';
import { CONTEXT_ENTRY, FaultReason, ROOT_ENTRY, TranslationType } from '../spec/index.js';
import { Cached, type ContextCache } from './context-cache.js';
import { TableReader } from './memory.js';
import type { VtdConfig } from './options.js';

const TWO32 = 0x1_0000_0000;
/** Context entry hi: bits 7 and 31:24 of its low word, all of its high word. */
const CONTEXT_RESERVED_2 = 0xff00_0080;

/** Address bits above HAW in the high word of an entry. */
export const aboveHaw = (hostAddressWidth: number): number => ~(2 ** (hostAddressWidth - 32) - 1) >>> 0;

/** Reads and checks root and context entries (VT-d §3.4, §9.1, §9.3). */
export class ContextFetcher {
  private readonly reader: TableReader;
  private readonly aboveHaw: number;
  private readonly widths: number;
  private readonly cm: boolean;

  constructor(
    private readonly name: string,
    private readonly host: HardwareHost,
    private readonly config: VtdConfig,
    private readonly contexts: ContextCache,
  ) {
    this.reader = new TableReader(host.memoryModel);
    this.aboveHaw = aboveHaw(config.hostAddressWidth);
    this.widths = config.sagaw;
    this.cm = config.cachingMode;
  }

  /** FPD of the context entry that `fetch` refused. */
  fpd = 0;

  /** Root and context entry of a source id into the cache. Returns a fault reason or 0. */
  fetch(root: number, sid: number): number {
    const { reader } = this;
    const w = reader.words;
    const trace = this.host.trace.on;
    this.fpd = 0;
    const rootAt = root + (sid >>> 8) * 16;
    if (!reader.read128(rootAt)) return this.why('root entry', rootAt, FaultReason.rootTableRead, 'no memory there');
    const rootWords = trace ? Array.from(w) : [];
    if ((w[0]! & ROOT_ENTRY.P.mask) === 0) {
      if (this.cm) this.contexts.fillAbsent(sid, Cached.rootNotPresent);
      if (trace) this.step('root entry', rootAt, rootWords, decode(ROOT_ENTRY, w), `bus ${hex(sid >>> 8)}: P = 0`);
      return FaultReason.rootNotPresent;
    }
    if (w[0]! & 0xffe || w[1]! & this.aboveHaw || w[2]! || w[3]!) {
      if (trace) this.step('root entry', rootAt, rootWords, decode(ROOT_ENTRY, w), 'reserved bits are set');
      return FaultReason.rootReserved;
    }
    const at = w[1]! * TWO32 + ((w[0]! & 0xffff_f000) >>> 0) + (sid & 0xff) * 16;
    if (trace)
      this.step(
        'root entry',
        rootAt,
        rootWords,
        decode(ROOT_ENTRY, w),
        `bus ${hex(sid >>> 8)}: context table of this bus`,
      );
    if (!reader.read128(at)) return this.why('context entry', at, FaultReason.contextTableRead, 'no memory there');
    const reason = this.check(sid, w);
    if (trace) this.step('context entry', at, Array.from(w), decode(CONTEXT_ENTRY, w), CONTEXT_WHY[reason] ?? 'valid');
    return reason;
  }

  /** Check order: P, reserved bits, translation type and width (§9.3). */
  private check(sid: number, w: Uint32Array): number {
    const lo = w[0]!;
    const fpd = (lo >>> 1) & 1;
    this.fpd = fpd;
    if ((lo & CONTEXT_ENTRY.P.mask) === 0) {
      if (this.cm) this.contexts.fillAbsent(sid, fpd ? Cached.notPresentFpd : Cached.notPresent);
      return FaultReason.contextNotPresent;
    }
    const type = (lo >>> 2) & 3;
    const table = w[1]! * TWO32 + ((lo & 0xffff_f000) >>> 0);
    const pass = type === TranslationType.passThrough;
    if (lo & 0xff0 || (!pass && w[1]! & this.aboveHaw) || w[2]! & CONTEXT_RESERVED_2 || w[3]!)
      return FaultReason.contextReserved;
    if (
      type === 3 ||
      (pass && !this.config.passThrough) ||
      (type === TranslationType.deviceTlb && !this.config.deviceTlb)
    )
      return FaultReason.contextInvalid;
    const aw = w[2]! & 7;
    if (((this.widths >>> aw) & 1) === 0 || (pass && this.widths >>> (aw + 1) !== 0)) return FaultReason.contextInvalid;
    this.contexts.fill(sid, (w[2]! >>> 8) & 0xffff, type, aw + 2, fpd, table);
    return 0;
  }

  private why(what: string, at: number, reason: number, why: string): number {
    if (this.host.trace.on) this.step(what, at, [], '', why);
    return reason;
  }

  private step(what: string, at: number | null, words: readonly number[], decoded: string, why: string): void {
    this.host.trace.step({ by: this.name, what, at, words, decoded, why });
  }
}

const CONTEXT_WHY: Readonly<Record<number, string>> = {
  [FaultReason.contextNotPresent]: 'P = 0',
  [FaultReason.contextReserved]: 'reserved bits are set',
  [FaultReason.contextInvalid]: 'TT or AW is not supported',
};

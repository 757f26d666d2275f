import { decode } from '@doorbell/bits';
import { hex, WRITE, type HardwareHost, type Outcome, type Request } from '@doorbell/platform';
import type { InterruptMessages } from '@doorbell/x86-apic/spec';
import {
  FaultReason,
  handleOf,
  IRTE,
  IRTE_RESERVED,
  REMAPPABLE_ADDRESS,
  SourceValidation,
  SQ_IGNORES,
} from '../spec/index.js';
import type { FaultRecorder } from './faults.js';
import { TableReader } from './memory.js';
import type { VtdConfig } from './options.js';

const Slot = { empty: 0, present: 1, absent: 2 } as const;

/** Interrupt remapping (VT-d ch. 5) with its interrupt entry cache. */
export class InterruptRemapper {
  /** GSTS.IRES and GSTS.CFIS. */
  enabled = false;
  compatibility = false;
  /** Latched by SIRTP. */
  table = -1;
  entries = 0;
  extended = false;
  /** Entries that do not lie above HAW. */
  private reachable = 0;

  private readonly reader: TableReader;
  /** Cached entries, four words each, by index. */
  private cache = new Uint32Array(0);
  private state = new Uint8Array(0);

  constructor(
    private readonly name: string,
    private readonly host: HardwareHost,
    private readonly config: VtdConfig,
    private readonly faults: FaultRecorder,
    private readonly apic: InterruptMessages | undefined,
  ) {
    this.reader = new TableReader(host.memoryModel);
  }

  /** SIRTP. What is cached stays, until software invalidates it (§6.5.2.7). */
  setTable(table: number, entries: number, extended: boolean): void {
    this.table = table;
    this.reachable = Math.min(entries, Math.max(0, (2 ** this.config.hostAddressWidth - table) / 16));
    this.extended = extended;
    if (entries !== this.entries) {
      const cache = new Uint32Array(entries * 4);
      const state = new Uint8Array(entries);
      cache.set(this.cache.subarray(0, entries * 4));
      state.set(this.state.subarray(0, entries));
      this.cache = cache;
      this.state = state;
      this.entries = entries;
    }
  }

  /** A DWORD write to 0xFEEx_xxxx. True: it left as a message (§8.4 of the processing order). */
  request(request: Request, out: Outcome): boolean {
    const { lo, data } = request;
    const trace = this.host.trace.on;
    if (!this.enabled) {
      if (trace) this.step('interrupt request', null, [lo, data], '', 'GSTS.IRES = 0: passed unchanged');
      return this.pass(request);
    }
    if ((lo & REMAPPABLE_ADDRESS.FORMAT.mask) === 0) {
      if (this.extended || !this.compatibility) {
        if (trace)
          this.step(
            'interrupt request',
            null,
            [lo, data],
            '',
            `compatibility format, ${this.extended ? 'EIME = 1' : 'CFIS = 0'}: blocked`,
          );
        return this.block(FaultReason.compatibilityBlocked, request, 0, 0, out);
      }
      if (trace)
        this.step('interrupt request', null, [lo, data], '', 'compatibility format, CFIS = 1: passed unchanged');
      return this.pass(request);
    }
    const shv = (lo >>> 3) & 1;
    if (trace)
      this.step(
        'interrupt request',
        null,
        [lo, data],
        decode(REMAPPABLE_ADDRESS, Uint32Array.of(lo)),
        'remappable format',
      );
    if (shv && data >>> 16) {
      if (trace) this.step('message data', null, [data], '', 'SHV = 1: bits 31:16 must be zero');
      return this.block(FaultReason.requestReserved, request, 0, 0, out);
    }
    const index = handleOf(lo) + (shv ? data & 0xffff : 0);
    if (index >= this.reachable) {
      if (trace) this.step('interrupt index', null, [index], '', `beyond the ${this.reachable} entries of IRTA`);
      return this.block(FaultReason.indexBeyondTable, request, index, 0, out);
    }

    const at = index * 4;
    if (this.state[index] !== Slot.present) {
      const reason = this.fetch(index, at);
      if (reason !== 0) return this.block(reason, request, index, this.fpd, out);
    } else if (trace) this.step(`IRTE ${index}`, null, this.words(at), this.show(at), 'from the interrupt entry cache');
    const w0 = this.cache[at]!;
    const w1 = this.cache[at + 1]!;
    const w2 = this.cache[at + 2]!;
    if (!sourceAllowed(w2, request.stream) && this.config.mutant !== 'no-source-check') {
      if (trace)
        this.step(`source check of IRTE ${index}`, null, [request.stream], '', sourceRefusal(w2, request.stream));
      return this.block(FaultReason.irteSourceId, request, index, (w0 >>> 1) & 1, out);
    }
    this.apic?.deliver(
      (w0 >>> 16) & 0xff,
      this.extended ? w1 : (w1 >>> 8) & 0xff,
      (w0 >>> 2) & 1,
      (w0 >>> 5) & 7,
      (w0 >>> 4) & 1,
      (w0 >>> 3) & 1,
    );
    return true;
  }

  /** Global, or the 2^im entries that hold `index`. */
  invalidate(index: number, im: number): void {
    const size = 2 ** im;
    const first = Math.floor(index / size) * size;
    this.state.fill(Slot.empty, first, Math.min(first + size, this.entries));
  }
  invalidateAll(): void {
    this.state.fill(Slot.empty);
  }

  reset(): void {
    this.enabled = this.compatibility = this.extended = false;
    this.table = -1;
    this.entries = this.reachable = 0;
    this.cache = new Uint32Array(0);
    this.state = new Uint8Array(0);
  }

  snapshot(): unknown {
    const cached: number[][] = [];
    this.state.forEach((s, i) => s && cached.push([i, s, ...this.cache.subarray(4 * i, 4 * i + 4)]));
    return { table: this.table, entries: this.entries, extended: this.extended, cached };
  }
  restore(state: unknown): void {
    const s = state as { table: number; entries: number; extended: boolean; cached: number[][] };
    this.reset();
    this.setTable(s.table, s.entries, s.extended);
    for (const [i, kind, ...words] of s.cached) {
      this.state[i!] = kind!;
      this.cache.set(words, 4 * i!);
    }
  }

  private fpd = 0;

  /** An entry into the cache. Returns a fault reason or 0. Only entries that may be used are kept; with CM also absent ones. */
  private fetch(index: number, at: number): number {
    const trace = this.host.trace.on;
    const address = this.table + index * 16;
    const w = this.reader.words;
    this.fpd = 0;
    if (this.state[index] === Slot.absent) {
      this.fpd = (this.cache[at]! >>> 1) & 1;
      if (trace)
        this.step(`IRTE ${index}`, null, this.words(at), this.show(at), 'from the interrupt entry cache: not present');
      return FaultReason.irteNotPresent;
    }
    if (!this.reader.read128(address)) {
      if (trace) this.step(`IRTE ${index}`, address, [], '', 'no memory there');
      return FaultReason.irteRead;
    }
    this.fpd = (w[0]! >>> 1) & 1;
    let reason = 0;
    if ((w[0]! & IRTE.P.mask) === 0) reason = FaultReason.irteNotPresent;
    // Posted interrupts are not supported: IM = 1 is as a reserved bit.
    else if (w[0]! & IRTE.IM.mask || this.reservedSet(w)) reason = FaultReason.irteReserved;
    if (trace) {
      const why =
        reason === 0 ? 'present' : reason === FaultReason.irteNotPresent ? 'P = 0' : 'reserved bits are set, or IM = 1';
      this.step(`IRTE ${index}`, address, Array.from(w), decode(IRTE, w), why);
    }
    if (reason === 0 || (reason === FaultReason.irteNotPresent && this.config.cachingMode)) {
      this.cache.set(w, at);
      this.state[index] = reason === 0 ? Slot.present : Slot.absent;
    }
    return reason;
  }

  private reservedSet(w: Uint32Array): boolean {
    const mode = (w[0]! >>> 5) & 7;
    return (
      (w[0]! & IRTE_RESERVED[0]) !== 0 ||
      (!this.extended && (w[1]! & IRTE_RESERVED[1]) !== 0) ||
      (w[2]! & IRTE_RESERVED[2]) !== 0 ||
      w[3] !== 0 ||
      // Delivery modes 3 and 6 are reserved.
      mode === 3 ||
      mode === 6
    );
  }

  private pass(request: Request): boolean {
    this.apic?.message(request.hi, request.lo, request.data);
    return true;
  }

  private block(reason: number, request: Request, index: number, fpd: number, out: Outcome): boolean {
    this.faults.report(reason, request.stream, (index << 16) >>> 0, 0, WRITE, request.kind, fpd, out);
    if (this.host.hooks.refused.isUsed())
      this.host.hooks.refused.call({ by: this.name, code: reason, name: out.fault, recorded: out.recorded });
    return false;
  }

  private words(at: number): number[] {
    return Array.from(this.cache.subarray(at, at + 4));
  }
  private show(at: number): string {
    return decode(IRTE, this.cache, at);
  }
  private step(what: string, at: number | null, words: readonly number[], decoded: string, why: string): void {
    this.host.trace.step({ by: this.name, what, at, words, decoded, why });
  }
}

/** SVT, SQ and SID against a source id (§9.9). `w2` is the entry's third word. */
const sourceAllowed = (w2: number, sid: number): boolean => {
  const svt = (w2 >>> 18) & 3;
  if (svt === SourceValidation.none) return true;
  if (svt === SourceValidation.sid) return ((w2 ^ sid) & 0xffff & ~SQ_IGNORES[(w2 >>> 16) & 3]!) === 0;
  // Start bus in SID[15:8], end bus in SID[7:0]; SVT = 3 is reserved and refuses everybody.
  return svt === SourceValidation.busRange && sid >>> 8 >= ((w2 >>> 8) & 0xff) && sid >>> 8 <= (w2 & 0xff);
};

/** For people: why `sourceAllowed` says no. */
const sourceRefusal = (w2: number, sid: number): string => {
  const svt = (w2 >>> 18) & 3;
  const id = `source id ${hex(sid)} is not`;
  if (svt === SourceValidation.busRange) return `${id} on buses ${hex((w2 >>> 8) & 0xff)} to ${hex(w2 & 0xff)}`;
  if (svt !== SourceValidation.sid) return `${id} allowed: SVT = ${svt} is reserved`;
  const ignored = SQ_IGNORES[(w2 >>> 16) & 3]!;
  return `${id} SID ${hex(w2 & 0xffff)}${ignored === 0 ? '' : ` (bits ${hex(ignored)} aside)`}`;
};

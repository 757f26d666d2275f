import { decode } from '@doorbell/bits';
import {
  hex,
  READ,
  TRANSLATED,
  TRANSLATION_REQUEST,
  UNTRANSLATED,
  Verdict,
  WRITE,
  type HardwareHost,
  type Outcome,
  type PhysicalMemory,
  type Request,
} from '@doorbell/platform';
import { SLPTE } from '@doorbell/x86-paging/spec';
import { FaultReason, TranslationType } from '../spec/index.js';
import { Cached, ContextCache } from './context-cache.js';
import { aboveHaw, ContextFetcher } from './context-fetch.js';
import type { FaultRecorder } from './faults.js';
import { Iotlb } from './iotlb.js';
import type { VtdConfig } from './options.js';

/* Of this module, for what every request runs: the engine folds these, while an import is loaded at each use. */
const RW = READ | WRITE;
const PLAIN = UNTRANSLATED;
const DONE = Verdict.translated;
const TWO32 = 0x1_0000_0000;
const PRESENT = SLPTE.R.mask | SLPTE.W.mask;
/** Bits of a table entry that are a page or reserved. */
const TABLE_DOUBTS = SLPTE.PS.mask | SLPTE.SNP.mask;
/** High word of a table entry: address bits above 4 GiB, and TM. */
const POINTER_DOUBTS = 0x400f_ffff;
/** Offset bits of a leaf, by level. */
const OFFSETS = Int32Array.of(0, 0xfff, 0x1f_ffff, 0x3fff_ffff);
const COLD = new Int32Array(65536).fill(-1);

/** DMA remapping in legacy mode: root and context tables, second-stage walk, context cache, IOTLB (VT-d ch. 3, 6, 9). */
export class DmaRemapper {
  /** GSTS.TES. */
  enabled = false;
  /** Latched by SRTP. */
  root = 0;
  /** RTADDR.TTM as latched. Only legacy (0) is modelled. */
  mode = 0;
  readonly iotlb = new Iotlb();
  readonly contexts: ContextCache;

  private readonly memory: PhysicalMemory;
  private readonly fetcher: ContextFetcher;
  /** Reserved address bits above HAW in a paging entry's high word, where bits 63:52 are not address. */
  private readonly pteAboveHaw: number;
  private readonly tmReserved: number;
  private readonly snoopReserved: number;
  private readonly cm: boolean;
  /** Rights that are checked: both, but for a mutant. */
  private readonly looksAt: number;
  /** High word of a leaf: bits that only `secondStage` judges. */
  private readonly leafDoubts: number;
  /** `contexts.translated` while cached entries may be used at once, else a table without any. */
  private hot: Int32Array = COLD;

  constructor(
    private readonly name: string,
    private readonly host: HardwareHost,
    private readonly config: VtdConfig,
    private readonly faults: FaultRecorder,
  ) {
    this.memory = host.memoryModel;
    this.contexts = new ContextCache(config.inputBits);
    this.fetcher = new ContextFetcher(name, host, config, this.contexts);
    this.pteAboveHaw = (aboveHaw(config.hostAddressWidth) & 0x000f_ffff) >>> 0;
    this.tmReserved = config.deviceTlb ? 0 : SLPTE.TM.mask >>> 0;
    this.snoopReserved = config.snoopControl ? 0 : SLPTE.SNP.mask;
    this.cm = config.cachingMode;
    this.looksAt = config.mutant === 'no-write-check' ? READ : RW;
    this.leafDoubts = (this.pteAboveHaw | SLPTE.TM.mask) >>> 0;
    host.trace.onSwitch(() => this.update());
  }

  /** A request outside the interrupt range. Hits and plain walks are answered here, everything else by `slow`. */
  translate(request: Request, out: Outcome): Verdict {
    const { hi, lo } = request;
    const sid = request.stream;
    const did = this.hot[sid]!;
    const need = request.access & this.looksAt;
    if (
      did >= 0 &&
      need !== 0 &&
      request.kind === PLAIN &&
      request.pasid < 0 &&
      request.size !== 0 &&
      hi < this.contexts.limit[sid]!
    ) {
      const { iotlb } = this;
      const slot = iotlb.findPage(did, hi, lo);
      if (slot >= 0) {
        const rights = iotlb.permissions(slot);
        if ((rights & need) === need) {
          out.pa = iotlb.pa(slot) + (lo & 0xfff);
          out.pageSize = 4096;
          out.permissions = rights;
          return DONE;
        }
      } else if (iotlb.hasLarge) {
        if (this.quickLarge(sid, did, hi, lo, need, out)) return DONE;
      } else if (this.quickWalk(sid, did, hi, lo, need, out)) return DONE;
    }
    return this.slow(request, out);
  }

  /** Where large pages are cached too: one of them, otherwise the walk. */
  private quickLarge(sid: number, did: number, hi: number, lo: number, need: number, out: Outcome): boolean {
    const { iotlb } = this;
    const slot = iotlb.find(did, hi, lo);
    if (slot < 0) return this.quickWalk(sid, did, hi, lo, need, out);
    const rights = iotlb.permissions(slot);
    if ((rights & need) !== need) return false;
    const offset = OFFSETS[iotlb.level(slot)]!;
    out.pa = iotlb.pa(slot) + (lo & offset);
    out.pageSize = offset + 1;
    out.permissions = rights;
    return true;
  }

  /** After anything that decides whether cached entries may be used at once: GCMD, SRTP, the trace. */
  update(): void {
    this.hot = this.enabled && this.mode === 0 && !this.host.trace.on ? this.contexts.translated : COLD;
  }

  /**
   * The walk while nothing is in its way: tables below 4 GiB, 4 KiB pages, rights granted, no bit that could be reserved. Everything else is
   * `secondStage`'s, which starts anew and says what it finds.
   */
  private quickWalk(sid: number, did: number, hi: number, lo: number, need: number, out: Outcome): boolean {
    const { memory } = this;
    const levels = this.contexts.nearLevels[sid]!;
    if (levels === 0) return false;
    // Words are signed here: integer arithmetic from table to table is what makes this quick.
    let rights = RW;
    let entry = this.contexts.nearTable[sid]!;
    if (levels > 3) {
      entry = this.pointer(entry, (hi >>> 4) & 0xff8);
      if (entry === 0) return false;
      rights &= entry;
    }
    entry = this.pointer(entry, ((hi << 5) | (lo >>> 27)) & 0xff8);
    if (entry === 0) return false;
    rights &= entry;
    entry = this.pointer(entry, (lo >>> 18) & 0xff8);
    if (entry === 0) return false;
    rights &= entry;
    const table = entry & 0xffff_f000;
    const at = memory.locate((table + ((lo >>> 9) & 0xff8)) >>> 0);
    if (at < 0) return false;
    const low = memory.located[at]!;
    const high = memory.located[at + 1]!;
    rights &= low;
    if ((rights & need) !== need || (low & this.snoopReserved) | (high & this.leafDoubts)) return false;
    const above = high & 0x000f_ffff;
    if (low >>> 20 === 0xfee && above === 0) return false;
    const page = above * TWO32 + ((low & 0xffff_f000) >>> 0);
    this.iotlb.fillPage(did, hi, lo, page, rights);
    out.pa = page + (lo & 0xfff);
    out.pageSize = 4096;
    out.permissions = rights;
    return true;
  }

  /** Low word of the entry `offset` bytes into a table, where it plainly points to the next one; else 0. */
  private pointer(table: number, offset: number): number {
    const { memory } = this;
    const at = memory.locate(((table & 0xffff_f000) | offset) >>> 0);
    if (at < 0) return 0;
    const words = memory.located;
    const low = words[at]! | 0;
    return (low & TABLE_DOUBTS) | (words[at + 1]! & POINTER_DOUBTS) ? 0 : low;
  }

  private bypass(hi: number, lo: number, out: Outcome, why: string): Verdict {
    out.pa = hi * TWO32 + lo;
    out.pageSize = 0;
    out.permissions = RW;
    if (this.host.trace.on) this.step('translation', null, [], '', why);
    return Verdict.bypass;
  }

  /** Everything that neither a hit nor a plain walk answers. */
  private slow(request: Request, out: Outcome): Verdict {
    if (!this.enabled) return this.bypass(request.hi, request.lo, out, 'GSTS.TES = 0: translation is off');
    const sid = request.stream;
    if (this.mode !== 0)
      return this.refuse(FaultReason.badRootTableAddress, request, 0, out, `RTADDR.TTM = ${this.mode}`);
    if (request.pasid >= 0)
      return this.refuse(FaultReason.pasidInLegacyMode, request, 0, out, 'it has a PASID, and RTADDR.TTM = 0');
    let state = this.contexts.state[sid]!;
    if (state === Cached.nothing) {
      const reason = this.fetcher.fetch(this.root, sid);
      if (reason !== 0) return this.fault(reason, request, this.fetcher.fpd, out);
      state = this.contexts.state[sid]!;
    } else if (this.host.trace.on) this.step('context cache', null, [], `sid=${hex(sid)}`, 'hit: no table is read');
    // Not-present entries stay in the caches only with CM set.
    if (state === Cached.rootNotPresent) return this.fault(FaultReason.rootNotPresent, request, 0, out);
    if (state === Cached.notPresent) return this.fault(FaultReason.contextNotPresent, request, 0, out);
    if (state === Cached.notPresentFpd) return this.fault(FaultReason.contextNotPresent, request, 1, out);

    const fpd = this.contexts.fpd[sid]!;
    const type = this.contexts.type[sid]!;
    if (request.kind !== UNTRANSLATED && type !== TranslationType.deviceTlb)
      return this.refuse(
        FaultReason.blockedByTranslationType,
        request,
        fpd,
        out,
        `TT = ${type} takes untranslated requests only`,
      );
    if (request.kind === TRANSLATED)
      return this.bypass(request.hi, request.lo, out, 'translated by the function itself');
    const { inputBits } = this.config;
    const tableBits = 12 + 9 * this.contexts.levels[sid]!;
    if (beyond(request.hi, Math.min(inputBits, tableBits))) {
      const why = tableBits < inputBits ? `AW = ${tableBits}-bit` : `MGAW = ${inputBits} bits`;
      return this.refuse(FaultReason.addressBeyondMgaw, request, fpd, out, `the address is beyond ${why}`);
    }
    if (type === TranslationType.passThrough) return this.bypass(request.hi, request.lo, out, 'TT = pass-through');
    return this.secondStage(request, fpd, out);
  }

  /** The second-stage walk (§3.7). Permission before reserved bits at each level. */
  private secondStage(request: Request, fpd: number, out: Outcome): Verdict {
    const sid = request.stream;
    const { hi, lo } = request;
    const memory = this.memory;
    const did = this.contexts.did[sid]!;
    const need = request.access & RW;
    const trace = this.host.trace.on;
    // A zero-length read asks for no right of its own where CAP.ZLR says so.
    const check =
      request.kind === TRANSLATION_REQUEST || (request.size === 0 && this.config.zeroLengthReads && need === READ)
        ? 0
        : need & this.looksAt;
    const cached = this.iotlb.find(did, hi, lo);
    if (cached >= 0) return this.fromCache(cached, check, request, fpd, out);

    let table = this.contexts.table[sid]!;
    const levels = this.contexts.levels[sid]!;
    let rights = RW;
    for (let level = levels; ; level--) {
      const at = table + index(hi, lo, level) * 8;
      if (!memory.has(at)) {
        // §7.1.3: a top table that cannot be read makes the context entry invalid.
        const reason = level === levels ? FaultReason.contextInvalid : FaultReason.pagingEntryRead;
        return this.walkFault(reason, at, level, 'no memory there', request, fpd, out);
      }
      const low = memory.read32(at);
      const high = memory.read32(at + 4);
      rights &= low;
      if ((low & PRESENT) === 0) {
        if (this.cm) this.iotlb.fill(did, hi, lo, 1, 0, 0);
        return this.pteFault(refused(need, 0), at, low, high, level, 'R = W = 0: not present', request, fpd, out);
      }
      if ((check & low) !== check)
        return this.pteFault(
          refused(check, low),
          at,
          low,
          high,
          level,
          `no ${check & ~low & READ ? 'read' : 'write'} permission`,
          request,
          fpd,
          out,
        );
      const leaf = level === 1 || (low & SLPTE.PS.mask) !== 0;
      if (this.reserved(low, high, level, leaf))
        return this.pteFault(
          FaultReason.pagingEntryReserved,
          at,
          low,
          high,
          level,
          'reserved bits are set',
          request,
          fpd,
          out,
        );
      const target = (high & 0x000f_ffff) * TWO32 + ((low & 0xffff_f000) >>> 0);
      if (!leaf) {
        if (trace) this.stepPte(at, low, high, level, 'next table');
        table = target;
        continue;
      }
      const offset = level === 1 ? 0xfff : level === 2 ? 0x1f_ffff : 0x3fff_ffff;
      const pa = target + (lo & offset);
      if (inInterruptRange(pa))
        return this.pteFault(
          FaultReason.outputInInterruptRange,
          at,
          low,
          high,
          level,
          'leads into 0xFEEx_xxxx',
          request,
          fpd,
          out,
        );
      if (trace) this.stepPte(at, low, high, level, `page of ${hex(offset + 1)} bytes, domain ${did}`);
      this.iotlb.fill(did, hi, lo, level, target, rights);
      out.pa = pa;
      out.pageSize = offset + 1;
      out.permissions = rights;
      return Verdict.translated;
    }
  }

  /** A cached leaf that does not simply pass. */
  private fromCache(slot: number, check: number, request: Request, fpd: number, out: Outcome): Verdict {
    const rights = this.iotlb.permissions(slot);
    if (this.host.trace.on) this.traceHit(request.stream, request.hi, request.lo, slot);
    if (rights === 0) return this.fault(refused(request.access & RW, 0), request, fpd, out);
    if ((check & rights) !== check) return this.fault(refused(check, rights), request, fpd, out);
    const level = this.iotlb.level(slot);
    const offset = level === 1 ? 0xfff : level === 2 ? 0x1f_ffff : 0x3fff_ffff;
    out.pa = this.iotlb.pa(slot) + (request.lo & offset);
    out.pageSize = offset + 1;
    out.permissions = rights;
    return Verdict.translated;
  }

  /** Reserved bits of a paging entry (§9.8). */
  private reserved(low: number, high: number, level: number, leaf: boolean): boolean {
    if (high & this.pteAboveHaw) return true;
    if (!leaf) return (low & SLPTE.SNP.mask) !== 0 || (high & SLPTE.TM.mask) !== 0;
    if ((low & this.snoopReserved) !== 0 || (high & this.tmReserved) !== 0) return true;
    if (level === 1) return false;
    if (level === 2) return (low & 0x1f_f000) !== 0 || !this.config.largePages.m2;
    // PS is reserved at levels 4 and 5.
    return level > 3 || (low & 0x3fff_f000) !== 0 || !this.config.largePages.g1;
  }

  /** A fault that no word in memory made: the reason is told here. */
  private refuse(reason: number, q: Request, fpd: number, out: Outcome, why: string): Verdict {
    if (this.host.trace.on) this.step('request', null, [], '', why);
    return this.fault(reason, q, fpd, out);
  }

  private fault(reason: number, q: Request, fpd: number, out: Outcome): Verdict {
    // For an access that needs both rights the record says which one was refused.
    const access =
      reason === FaultReason.writePermission ? WRITE : reason === FaultReason.readPermission ? READ : q.access;
    this.faults.report(reason, q.stream, q.hi, (q.lo & 0xffff_f000) >>> 0, access, q.kind, fpd, out);
    return Verdict.fault;
  }

  private walkFault(
    reason: number,
    at: number,
    level: number,
    why: string,
    q: Request,
    fpd: number,
    out: Outcome,
  ): Verdict {
    if (this.host.trace.on) this.step(`second-level PTE, level ${level}`, at, [], '', why);
    return this.fault(reason, q, fpd, out);
  }

  private pteFault(
    reason: number,
    at: number,
    low: number,
    high: number,
    level: number,
    why: string,
    q: Request,
    fpd: number,
    out: Outcome,
  ): Verdict {
    if (this.host.trace.on) this.stepPte(at, low, high, level, why);
    return this.fault(reason, q, fpd, out);
  }

  private stepPte(at: number, low: number, high: number, level: number, why: string): void {
    this.step(`second-level PTE, level ${level}`, at, [low, high], decode(SLPTE, Uint32Array.of(low, high)), why);
  }

  private traceHit(sid: number, hi: number, lo: number, slot: number): void {
    const rights = this.iotlb.permissions(slot);
    const where = rights ? `${hex(this.iotlb.pa(slot))}, level ${this.iotlb.level(slot)}` : 'not present';
    this.step(
      'IOTLB entry',
      null,
      [],
      `sid=${hex(sid)} did=${this.contexts.did[sid]!} page=${hex(hi * 2 ** 20 + (lo >>> 12))}`,
      `hit, no table is read: ${where}`,
    );
  }

  private step(what: string, at: number | null, words: readonly number[], decoded: string, why: string): void {
    this.host.trace.step({ by: this.name, what, at, words, decoded, why });
  }
}

/** The reason for an access that lacks a right: reads and atomics 0x6, writes 0x5. */
const refused = (need: number, has: number): number =>
  need & ~has & READ ? FaultReason.readPermission : FaultReason.writePermission;

/** Whether an input address has bits at `width` or above. */
const beyond = (hi: number, width: number): boolean => hi >= 2 ** (width - 32);

const inInterruptRange = (pa: number): boolean => pa >= 0xfee0_0000 && pa <= 0xfeef_ffff;

const index = (hi: number, lo: number, level: number): number => {
  switch (level) {
    case 1:
      return (lo >>> 12) & 0x1ff;
    case 2:
      return (lo >>> 21) & 0x1ff;
    case 3:
      return ((hi << 2) | (lo >>> 30)) & 0x1ff;
    case 4:
      return (hi >>> 7) & 0x1ff;
    default:
      return (hi >>> 16) & 0x1ff;
  }
};

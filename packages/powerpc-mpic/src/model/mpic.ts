import { get, set } from '@doorbell/bits';
import { RegisterFile, hex, type HardwareHost, type Model } from '@doorbell/platform';
import {
  ALIAS_BASE,
  ALIAS_STRIDE,
  BANK_BASE,
  BANK_STRIDE,
  BRR1,
  CTPR,
  EOI,
  FIRST_INTERNAL,
  FRR,
  GCR,
  IACK,
  IDR_OFFSET,
  IDR_V2,
  ILR,
  ILR_OFFSET,
  IVPR,
  MPIC_SIZE,
  MSIIR,
  MSIIR1,
  MSIIR1_VERSION,
  MSIR_STRIDE,
  MSISR,
  SVR,
  WHOAMI,
  aliasesOf,
  banksOf,
  cpuAt,
  fromMsiir1,
  msiSource,
  msirOf,
  msirsOf,
  sourceAt,
  sourceCount,
} from '../spec/index.js';
import type { MpicConfig } from './options.js';
import { mpicRegisters } from './registers.js';

/** Where a source goes: `int` by priority, IACK and EOI; the others ignore all three (B3). */
export type Output = 'int' | 'critical' | 'machine-check';
const OUTPUTS: readonly Output[] = ['int', 'critical', 'machine-check'];

interface MpicState {
  readonly words: Uint32Array;
  readonly pending: Uint32Array;
  readonly msir: Uint32Array;
  readonly service: readonly (readonly number[])[];
}

/**
 * A Freescale MPIC: sources with vector, priority and destination, shared MSI registers, and one acknowledge interface per CPU.
 * MSI sources are level: active while their MSIR is not zero (B5).
 */
export class Mpic implements Model {
  readonly regions: readonly RegisterFile[];
  private readonly file: RegisterFile;
  private readonly count: number;
  /** A bit per source: the line is up (level), or an edge has come and was not taken yet. */
  private readonly pending: Uint32Array;
  /** Sixteen MSIRs for each of four banks, whether the version has them or not. */
  private readonly msir = new Uint32Array(64);
  /** Sources in service by CPU. */
  private service: number[][];

  constructor(
    readonly name: string,
    readonly base: number,
    private readonly config: MpicConfig,
    private readonly host: HardwareHost,
  ) {
    this.count = sourceCount(config.version);
    this.pending = new Uint32Array(Math.ceil(this.count / 32));
    this.service = Array.from({ length: config.cpus }, () => []);
    this.file = new RegisterFile({
      name,
      base,
      size: MPIC_SIZE,
      endian: 'big',
      sizes: [4],
      diagnostics: host.diagnostics,
      registers: mpicRegisters(config.version, config.cpus),
    });
    this.regions = [this.file];
    this.connect();
    this.identify();
  }

  // ---- inputs ----

  /** An interrupt line into the controller. Edge sources (external ones without S) latch a rising line. */
  line(source: number, up: boolean): void {
    if (source < 0 || source >= this.count) return;
    const rises = up && !this.isPending(source);
    if (up || this.isLevel(source)) this.pend(source, up);
    if (rises) this.tell(source);
  }

  // ---- what CPUs see ----

  /** The source that an acknowledge of the CPU would take now, or -1: above its task priority and all that it has in service. */
  next(cpu: number): number {
    let best = -1;
    let priority = Math.max(get(this.file.get(cpuAt(cpu) + CTPR.$.at), CTPR.TASKP), this.servicePriority(cpu));
    for (let w = 0; w < this.pending.length; w++) {
      for (let left = this.pending[w]!; left !== 0; left &= left - 1) {
        const n = 32 * w + 31 - Math.clz32(left & -left);
        const own = this.priority(n);
        if (own <= priority || !this.reaches(n, cpu)) continue;
        priority = own;
        best = n;
      }
    }
    return best;
  }

  /** Sources that are up for the CPU's INT, whatever its task priority: ascending. */
  raised(cpu: number): number[] {
    const out: number[] = [];
    for (let n = 0; n < this.count; n++)
      if (this.isPending(n) && this.reaches(n, cpu) && this.priority(n) > 0) out.push(n);
    return out;
  }

  /** Whether one of the CPU's outputs is asserted. */
  asserted(cpu: number, output: Output): boolean {
    if (output === 'int') return this.next(cpu) >= 0;
    for (let n = 0; n < this.count; n++)
      if (this.isPending(n) && this.output(n) === output && this.unmasked(n) && this.destinations(n) & (1 << cpu))
        return true;
    return false;
  }

  /** MSIRn of a bank without the effect of reading it. */
  peekMsir(bank: number, msir: number): number {
    return this.msir[16 * bank + msir]!;
  }

  vectorOf(source: number): number {
    return get(this.ivpr(source), IVPR.VECTOR);
  }

  // ---- state ----

  reset(): void {
    this.file.reset();
    this.identify();
    this.pending.fill(0);
    this.msir.fill(0);
    this.service = this.service.map(() => []);
  }

  snapshot(): MpicState {
    return {
      words: this.file.snapshot(),
      pending: this.pending.slice(),
      msir: this.msir.slice(),
      service: this.service.map((s) => [...s]),
    };
  }

  restore(state: unknown): void {
    const { words, pending, msir, service } = state as MpicState;
    this.file.restore(words);
    this.pending.set(pending);
    this.msir.set(msir);
    this.service = service.map((s) => [...s]);
  }

  // ---- doorbells ----

  private message(bank: number, msir: number, bit: number, doorbell: number): void {
    const slot = 16 * bank + msir;
    const source = msiSource(bank, msir);
    if (msir >= msirsOf(this.config.version)) return;
    this.msir[slot]! |= 1 << bit; // already set: the events merge
    this.pend(source, true);
    const { trace } = this.host;
    if (trace.on) {
      trace.step({
        by: this.name,
        what: this.config.version >= MSIIR1_VERSION ? 'MSIIR or MSIIR1' : 'MSIIR',
        at: doorbell,
        words: [this.msir[slot]!],
        decoded: `bank ${bank}, MSIR${msir}, bit ${bit}`,
        why: `source ${source} is active: MSIR${msir} is not zero`,
      });
    }
    this.tell(source, doorbell, msir, bit);
  }

  /** Reading takes every pending bit and lowers the source. */
  private readMsir(bank: number, msir: number): number {
    const bits = this.msir[16 * bank + msir]!;
    this.msir[16 * bank + msir] = 0;
    this.pend(msiSource(bank, msir), false);
    return bits;
  }

  // ---- acknowledge and end ----

  private acknowledge(cpu: number): number {
    const source = this.next(cpu);
    if (source < 0) return this.file.get(SVR.$.at);
    if (!this.isLevel(source)) this.pend(source, false);
    this.service[cpu]!.push(source);
    return this.vectorOf(source);
  }

  /** Ends the highest in service; of equal ones the lowest number, as `next` chooses. */
  private end(cpu: number): void {
    const stack = this.service[cpu]!.sort((a, b) => this.priority(b) - this.priority(a) || a - b);
    stack.shift();
  }

  private servicePriority(cpu: number): number {
    let priority = 0;
    for (const source of this.service[cpu]!) priority = Math.max(priority, this.priority(source));
    return priority;
  }

  // ---- sources ----

  private isPending(source: number): boolean {
    return ((this.pending[source >>> 5]! >>> (source & 31)) & 1) === 1;
  }
  private pend(source: number, up: boolean): void {
    const bit = 1 << (source & 31);
    if (up) this.pending[source >>> 5]! |= bit;
    else this.pending[source >>> 5]! &= ~bit;
  }

  private ivpr(source: number): number {
    return this.file.get(sourceAt(source));
  }
  private idr(source: number): number {
    return this.file.get(sourceAt(source) + IDR_OFFSET);
  }
  private priority(source: number): number {
    return get(this.ivpr(source), IVPR.PRIORITY);
  }
  private isLevel(source: number): boolean {
    return source >= FIRST_INTERNAL || get(this.ivpr(source), IVPR.S) === 1;
  }
  /** Before 4.0 a critical destination ignores the mask (QEMU's MPIC 2.0). */
  private unmasked(source: number): boolean {
    return !get(this.ivpr(source), IVPR.MSK) || (this.isOld && this.output(source) === 'critical');
  }
  private get isOld(): boolean {
    return this.config.version < 0x0400;
  }
  private output(source: number): Output {
    if (this.isOld) return get(this.idr(source), IDR_V2.CI) ? 'critical' : 'int';
    return OUTPUTS[get(this.file.get(sourceAt(source) + ILR_OFFSET), ILR.INTTGT)] ?? 'int';
  }
  /** One bit per CPU. */
  private destinations(source: number): number {
    const idr = this.idr(source);
    if (!this.isOld || this.output(source) === 'int') return this.isOld ? get(idr, IDR_V2.P) : idr;
    let mask = 0;
    for (let cpu = 0; cpu < this.config.cpus; cpu++) if ((idr >>> (30 - cpu)) & 1) mask |= 1 << cpu;
    return mask;
  }
  /** Whether the source can raise the CPU's INT. */
  private reaches(source: number, cpu: number): boolean {
    return this.output(source) === 'int' && this.unmasked(source) && ((this.destinations(source) >>> cpu) & 1) === 1;
  }

  /** A source became active: who gets it, or why nobody. */
  private tell(source: number, doorbell = -1, msir = -1, bit = -1): void {
    const { hooks, trace } = this.host;
    if (!trace.on && !hooks.delivered.isUsed() && !hooks.refused.isUsed()) return;
    const output = this.output(source);
    const why = !this.unmasked(source)
      ? 'SOURCE_MASKED'
      : output === 'int' && this.priority(source) === 0
        ? 'PRIORITY_ZERO'
        : this.destinations(source) === 0
          ? 'NO_DESTINATION'
          : null;
    if (trace.on) {
      const ivpr = this.ivpr(source);
      trace.step({
        by: this.name,
        what: `IVPR and IDR of source ${source}`,
        at: this.base + sourceAt(source),
        words: [ivpr, this.idr(source)],
        decoded: `vector ${get(ivpr, IVPR.VECTOR)}, priority ${get(ivpr, IVPR.PRIORITY)}`,
        why: why ?? `goes to ${output} of CPU mask ${hex(this.destinations(source))}`,
      });
    }
    if (why !== null) {
      if (hooks.refused.isUsed()) hooks.refused.call({ by: this.name, code: null, name: why, recorded: true });
      return;
    }
    if (!hooks.delivered.isUsed()) return;
    for (let cpu = 0; cpu < this.config.cpus; cpu++) {
      if (!((this.destinations(source) >>> cpu) & 1)) continue;
      const vector = this.vectorOf(source);
      hooks.delivered.call({
        controller: 'mpic',
        ...(doorbell < 0 ? {} : { doorbell: hex(doorbell), msir, bit }),
        source,
        vector,
        cpu,
        ...(output === 'int' ? {} : { output }),
      });
    }
  }

  // ---- registers ----

  private connect(): void {
    const { file, config } = this;
    file.onWrite(GCR.$.at, (gcr) => {
      if (get(gcr, GCR.RST)) return this.reset();
      if (get(gcr, GCR.M) === 3) this.host.diagnostics.unimplemented(this.name, 'external proxy mode (GCR.M = 3)');
    });
    const cpuMask = config.cpus === 32 ? 0xffff_ffff : 2 ** config.cpus - 1;
    const critical = this.isOld ? 0x8000_0000 | (cpuMask << (31 - config.cpus)) : 0;
    for (let n = 0; n < this.count; n++) {
      file.onRead(sourceAt(n), () => set(this.ivpr(n), IVPR.A, this.isPending(n) && this.unmasked(n) ? 1 : 0));
      file.onWrite(sourceAt(n) + IDR_OFFSET, (idr) => file.set(sourceAt(n) + IDR_OFFSET, idr & (cpuMask | critical)));
    }
    for (let bank = 0; bank < banksOf(config.version); bank++) this.connectBank(bank);
    for (let cpu = 0; cpu < config.cpus; cpu++) {
      file.set(cpuAt(cpu) + WHOAMI.$.at, cpu);
      file.onRead(cpuAt(cpu) + IACK.$.at, () => this.acknowledge(cpu));
      file.onWrite(cpuAt(cpu) + EOI.$.at, () => this.end(cpu));
      // The first page is the accessing CPU's own; accesses do not say whose they are, so it is the first CPU's.
      if (cpu > 0) continue;
      for (const r of [CTPR, WHOAMI, IACK, EOI]) {
        file.onRead(r.$.at, () => file.read(cpuAt(0) + r.$.at, 4));
        file.onWrite(r.$.at, (_, value, source) => file.write(cpuAt(0) + r.$.at, 4, value, source));
      }
    }
  }

  private connectBank(bank: number): void {
    const { file, config } = this;
    const base = BANK_BASE + BANK_STRIDE * bank;
    const msirs = msirsOf(config.version);
    for (let n = 0; n < msirs; n++) file.onRead(base + MSIR_STRIDE * n, () => this.readMsir(bank, n));
    file.onRead(base + MSISR.$.at, () => {
      let bits = 0;
      for (let n = 0; n < msirs; n++) if (this.msir[16 * bank + n]) bits |= 1 << n;
      return bits;
    });
    const indexed = (offset: number) =>
      file.onWrite(offset, (_, word) =>
        this.message(bank, get(word, MSIIR.SRS), get(word, MSIIR.IBS), this.base + offset),
      );
    const indexed1 = (offset: number) =>
      file.onWrite(offset, (_, word) => {
        const { msir, bit } = fromMsiir1(word);
        this.message(bank, msir, bit, this.base + offset);
      });
    const v43 = config.version >= MSIIR1_VERSION;
    indexed(base + MSIIR.$.at);
    if (v43) indexed1(base + MSIIR1.$.at);
    if (bank >= aliasesOf(config.version)) return;
    const alias = ALIAS_BASE + ALIAS_STRIDE * bank;
    if (v43) indexed1(alias + MSIIR1.$.at);
    else indexed(alias + MSIIR.$.at);
  }

  /** What a reset must not lose. */
  private identify(): void {
    const { version, cpus, sources } = this.config;
    // QEMU and LIBOS: the block id is 0x0040.
    this.file.set(BRR1.$.at, set(set(0, BRR1.ID, 0x40), BRR1.VERSION, version));
    this.file.set(FRR.$.at, set(set(set(0, FRR.NIRQ, sources - 1), FRR.NCPU, cpus - 1), FRR.VID, 2));
    for (let cpu = 0; cpu < cpus; cpu++) this.file.set(cpuAt(cpu) + WHOAMI.$.at, cpu);
  }

  /** Source and bit of every pending MSI for a CPU, or a plain source (bit -1): what `CpuInterface.pending` lists. */
  pendingOf(cpu: number): { source: number; bit: number }[] {
    return this.raised(cpu).flatMap((source) => {
      const shared = msirOf(source);
      if (!shared) return [{ source, bit: -1 }];
      const word = this.peekMsir(shared.bank, shared.msir);
      return Array.from({ length: 32 }, (_, bit) => bit).flatMap((bit) =>
        (word >>> bit) & 1 ? [{ source, bit }] : [],
      );
    });
  }
}

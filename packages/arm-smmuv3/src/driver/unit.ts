import { get } from '@doorbell/bits';
import type {
  AttachTarget,
  DomainTable,
  IommuUnit,
  ReservedRegion,
  UnitCapabilities,
  UnitFault,
} from '@doorbell/iommu';
import { DoorbellError, type Driver, type Machine, type Range, type RegisterPort } from '@doorbell/platform';
import { ADDRESS_BITS, CR0, CR0ACK, CR1, CR2, IDR0, IDR1, IDR3, IDR5, IRQ_CTRL, IRQ_CTRLACK } from '../spec/index.js';
import { cfgiAll, cfgiSte, CommandQueue, tlbiAll, tlbiAsid, tlbiRange, tlbiVa, type Command } from './command-queue.js';
import { Contexts } from './contexts.js';
import { EventQueue } from './event-queue.js';
import { STE_ABORT, STE_BYPASS, steStage1, StreamTable } from './stream-table.js';
import { inputBitsOf, pageSizesOf, Stage1Table } from './table.js';

/** What firmware says about a stream (IORT RMR). */
export interface StreamRegion extends ReservedRegion {
  readonly streams: readonly number[];
}

export interface SmmuDriverOptions {
  /** Granule of new tables in KiB. Default: the smallest that the unit has. */
  readonly granule?: 4 | 16 | 64;
  /** Default: two-level where the unit has it and more than 2^8 streams. */
  readonly streamTable?: 'linear' | 'two-level';
  readonly reserved?: readonly StreamRegion[];
}

export interface SmmuDriverParts {
  readonly name: string;
  readonly machine: Machine;
  readonly registers: RegisterPort;
  readonly options?: SmmuDriverOptions;
}

/** Single-address TLBIs that a flush sends at most; beyond, the whole ASID goes. */
const MOST_TLBIS = 64;
/** CMD_TLBI.TG by log2 of the granule. */
const COMMAND_TG: Readonly<Record<number, number>> = { 12: 1, 14: 2, 16: 3 };

/**
 * The driver of an SMMUv3 with stage 1: one CD per domain table and unit, tables shared between units that have the granule.
 *
 * Every STE differs in its first quadword only, and a quadword is written at once: each attach is hitless (§3.21.3: a change within
 * one 64-bit word needs no V = 0 in between).
 */
export class SmmuDriver implements Driver, IommuUnit {
  readonly name: string;
  readonly capabilities: UnitCapabilities;
  private readonly machine: Machine;
  private readonly options: SmmuDriverOptions;
  private readonly queue: CommandQueue;
  private readonly events: EventQueue;
  private readonly streams: StreamTable;
  private readonly contexts: Contexts;
  private readonly granules: readonly number[];
  private readonly ranges: boolean;
  private readonly outputBits: number;
  /** The most usual invalidation, again and again. */
  private readonly single: Command[] = [tlbiVa(0, 0)];

  constructor({ name, machine, registers: r, options = {} }: SmmuDriverParts) {
    this.name = name;
    this.machine = machine;
    this.options = options;
    const idr0 = r.read32(IDR0.$.at);
    const idr1 = r.read32(IDR1.$.at);
    const idr5 = r.read32(IDR5.$.at);
    if (!get(idr0, IDR0.S1P)) throw unsupported(name, 'no stage 1 (IDR0.S1P = 0)');
    if ((get(idr0, IDR0.TTF) & 2) === 0) throw unsupported(name, 'no AArch64 tables (IDR0.TTF)');
    this.granules = [IDR5.GRAN4K, IDR5.GRAN16K, IDR5.GRAN64K].flatMap((f, i) => (get(idr5, f) ? [12 + 2 * i] : []));
    const wanted = options.granule === undefined ? this.granules[0] : Math.log2(options.granule * 1024);
    if (wanted === undefined || !this.granules.includes(wanted))
      throw unsupported(name, `no granule of ${options.granule ?? 4} KiB`);
    this.ranges = get(r.read32(IDR3.$.at), IDR3.RIL) === 1;
    this.outputBits = Math.min(ADDRESS_BITS[get(idr5, IDR5.OAS)]!, 48);
    this.capabilities = {
      pageSizes: pageSizesOf(wanted),
      aperture: { first: 0, last: 2 ** inputBitsOf(wanted) - 1 },
      physicalBits: this.outputBits,
      msiWindow: null,
      flushOnMap: false,
      nested: false,
    };
    const sidBits = get(idr1, IDR1.SIDSIZE);
    const twoLevel =
      get(idr0, IDR0.ST_LEVEL) === 1 &&
      (options.streamTable === undefined ? sidBits > 8 : options.streamTable === 'two-level');
    const enable = (cr0: number) => {
      r.write32(CR0.$.at, cr0);
      machine.waitUntil(`${name}: CR0ACK`, () => r.read32(CR0ACK.$.at) === cr0);
    };
    enable(0);
    r.write32(IRQ_CTRL.$.at, 0); // faults are polled
    machine.waitUntil(`${name}: IRQ_CTRLACK`, () => r.read32(IRQ_CTRLACK.$.at) === 0);
    const cached = (1 << CR1.TABLE_IC.lsb) | (1 << CR1.TABLE_OC.lsb) | (3 << CR1.TABLE_SH.lsb);
    r.write32(CR1.$.at, cached | (1 << CR1.QUEUE_IC.lsb) | (1 << CR1.QUEUE_OC.lsb) | (3 << CR1.QUEUE_SH.lsb));
    r.write32(CR2.$.at, CR2.RECINVSID.mask | CR2.PTM.mask);
    this.streams = new StreamTable(machine, r, name, sidBits, twoLevel);
    this.queue = new CommandQueue(machine, r, name, get(idr1, IDR1.CMDQS));
    this.events = new EventQueue(machine, r, name, get(idr1, IDR1.EVENTQS));
    this.contexts = new Contexts(machine, name, get(idr0, IDR0.ASID16) ? 65536 : 256, Math.min(get(idr5, IDR5.OAS), 5));
    enable(CR0.CMDQEN.mask);
    this.queue.run([cfgiAll(), tlbiAll()]);
    enable(CR0.CMDQEN.mask | CR0.EVENTQEN.mask);
    enable(CR0.CMDQEN.mask | CR0.EVENTQEN.mask | CR0.SMMUEN.mask);
  }

  reservedRegions(stream: number): readonly ReservedRegion[] {
    return (this.options.reserved ?? []).filter((r) => r.streams.includes(stream));
  }

  createTable(within?: { readonly aperture: Range; readonly pageSizes: readonly number[] }): Stage1Table {
    const sizes = within?.pageSizes ?? this.capabilities.pageSizes;
    const granule = this.granules.find((g) => sizes.includes(2 ** g));
    if (granule === undefined) throw unsupported(this.name, `no granule among ${sizes.join(', ')} bytes`);
    const { pages, memory } = this.machine;
    return new Stage1Table(
      granule,
      this.outputBits,
      pageSizesOf(granule).filter((s) => sizes.includes(s)),
      memory,
      pages,
    );
  }

  accepts(table: DomainTable): true | string {
    if (!(table instanceof Stage1Table)) return 'it is no VMSAv8-64 table';
    if (!this.granules.includes(table.granuleBits)) return `it has a granule of ${table.granule} bytes`;
    return true;
  }

  attach(stream: number, target: AttachTarget): void {
    const before = this.streams.read(stream);
    const table = typeof target === 'string' ? undefined : this.own(target);
    const known = table && this.contexts.find(table);
    const context = table && (known ?? this.contexts.create(table));
    const ste = context ? steStage1(context.cd) : target === 'identity' ? STE_BYPASS : STE_ABORT;
    try {
      // An ASID that had another owner may still be in the TLB.
      if (context && !known) this.queue.run([tlbiAsid(context.asid)]);
      this.streams.write(stream, ste);
      this.queue.run([cfgiSte(stream)]);
    } catch (error) {
      this.takeBack(stream, before, ste, table && !known ? table : undefined);
      throw error;
    }
  }

  /** By architecture: the new state becomes visible by one 64-bit write. */
  hitless(): boolean {
    return true;
  }

  flush(table: DomainTable, iova: number, size: number): void {
    const context = this.contexts.find(this.own(table));
    if (!context) return;
    this.queue.run(this.invalidations(context.asid, this.own(table), iova, size));
  }

  flushAll(table: DomainTable): void {
    const context = this.contexts.find(this.own(table));
    if (context) this.queue.run([tlbiAsid(context.asid)]);
  }

  /** No stream names the CD any more. What the TLB still holds goes when the ASID gets its next owner. */
  detachTable(table: DomainTable): void {
    this.contexts.destroy(this.own(table));
  }

  drainFaults(): readonly UnitFault[] {
    return this.events.drain();
  }

  digest(): string {
    return `asids ${this.contexts.digest()}`;
  }

  /** The unit goes on by itself; there is nothing to let go of. */
  dispose(): void {}

  private takeBack(
    stream: number,
    before: { lo: number; hi: number },
    now: { lo: number; hi: number },
    fresh?: Stage1Table,
  ): void {
    const written = this.streams.read(stream);
    if (written.lo === now.lo && written.hi === now.hi && (now.lo !== before.lo || now.hi !== before.hi)) {
      this.streams.write(stream, before);
      this.queue.run([cfgiSte(stream)]);
    }
    if (fresh) this.contexts.destroy(fresh);
  }

  private invalidations(asid: number, table: Stage1Table, iova: number, size: number): Command[] {
    const { granule, granuleBits } = table;
    let left = size / granule;
    if (left === 1) {
      tlbiVa(asid, iova, this.single[0]!);
      return this.single;
    }
    if (!this.ranges) {
      if (left > MOST_TLBIS) return [tlbiAsid(asid)];
      return Array.from({ length: left }, (_, i) => tlbiVa(asid, iova + i * granule));
    }
    const commands: Command[] = [];
    for (let at = iova; left > 0; ) {
      // (NUM + 1) · 2^SCALE granules, NUM < 32: the low bits of what is left go first
      let scale = 0;
      while (scale < 31 && left % 2 ** (scale + 1) === 0) scale++;
      const n = Math.min((left / 2 ** scale) % 32 || 32, 32);
      const granules = n * 2 ** scale;
      commands.push(granules === 1 ? tlbiVa(asid, at) : tlbiRange(asid, at, COMMAND_TG[granuleBits]!, n - 1, scale));
      at += granules * granule;
      left -= granules;
    }
    return commands;
  }

  private own(table: DomainTable): Stage1Table {
    if (table instanceof Stage1Table) return table;
    throw unsupported(this.name, 'it can use VMSAv8-64 tables only');
  }
}

const unsupported = (unit: string, why: string): DoorbellError =>
  new DoorbellError('UNSUPPORTED_UNIT', `${unit}: ${why}`, 'use what the unit has, or another unit', { unit });

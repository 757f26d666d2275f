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
import {
  cfgiAll,
  cfgiSte,
  CommandQueue,
  tlbiAll,
  tlbiAsid,
  tlbiVmid,
  tlbiVmidStage1,
  type Command,
} from './command-queue.js';
import { Contexts, Vmids, type VmidUse } from './contexts.js';
import { EventQueue } from './event-queue.js';
import { Invalidations } from './invalidations.js';
import { NestedTable, vetCommand, type SmmuGuestStage1 } from './nested.js';
import { STE_ABORT, STE_BYPASS, steNested, steStage1, steStage2, type Ste } from './ste.js';
import { Stage2Table, stage2PageSizes } from './stage2-table.js';
import { StreamTable } from './stream-table.js';
import { inputBitsOf, pageSizesOf, Stage1Table } from './table.js';

/** What firmware says about a stream (IORT RMR). */
export interface StreamRegion extends ReservedRegion {
  readonly streams: readonly number[];
}

export interface SmmuDriverOptions {
  /** Granule of new tables in KiB. Default: the smallest that the unit has. */
  readonly granule?: 4 | 16 | 64;
  /**
   * The stage that domains' tables are for. Stage 2 where a guest's stage 1 is to be put on top. Default: 1 where the unit has it.
   */
  readonly stage?: 1 | 2;
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

/**
 * The driver of an SMMUv3: one CD per stage-1 table and unit, one VMID per stage-2 table and unit, tables shared between units that have
 * the granule; a guest's stage 1 on top of a stage 2.
 *
 * STEs of stage 1 differ in their first quadword only, and a quadword is written at once: such an attach is hitless (§3.21.3: a change
 * within one 64-bit word needs no V = 0 in between). So is what changes only in words that the STE before does not look at.
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
  private readonly vmids: Vmids;
  private readonly invalidations: Invalidations;
  private readonly outputBits: number;
  /** IDR5.OAS, without the 52 bits that need other descriptors. */
  private readonly outputField: number;
  private readonly hasStage2: boolean;
  private readonly stage: 1 | 2;

  constructor({ name, machine, registers: r, options = {} }: SmmuDriverParts) {
    this.name = name;
    this.machine = machine;
    this.options = options;
    const idr0 = r.read32(IDR0.$.at);
    const idr1 = r.read32(IDR1.$.at);
    const idr5 = r.read32(IDR5.$.at);
    const hasStage1 = get(idr0, IDR0.S1P) === 1;
    this.hasStage2 = get(idr0, IDR0.S2P) === 1;
    this.stage = options.stage ?? (hasStage1 ? 1 : 2);
    if (this.stage === 1 && !hasStage1) throw unsupported(name, 'no stage 1 (IDR0.S1P = 0)');
    if (this.stage === 2 && !this.hasStage2) throw unsupported(name, 'no stage 2 (IDR0.S2P = 0)');
    if ((get(idr0, IDR0.TTF) & 2) === 0) throw unsupported(name, 'no AArch64 tables (IDR0.TTF)');
    this.granules = [IDR5.GRAN4K, IDR5.GRAN16K, IDR5.GRAN64K].flatMap((f, i) => (get(idr5, f) ? [12 + 2 * i] : []));
    const wanted = options.granule === undefined ? this.granules[0] : Math.log2(options.granule * 1024);
    if (wanted === undefined || !this.granules.includes(wanted))
      throw unsupported(name, `no granule of ${options.granule ?? 4} KiB`);
    this.invalidations = new Invalidations(get(r.read32(IDR3.$.at), IDR3.RIL) === 1);
    this.outputField = Math.min(get(idr5, IDR5.OAS), 5);
    this.outputBits = ADDRESS_BITS[this.outputField]!;
    const inputBits = this.stage === 1 ? inputBitsOf(wanted) : this.outputBits;
    this.capabilities = {
      pageSizes: this.sizesOf(wanted),
      aperture: { first: 0, last: 2 ** inputBits - 1 },
      physicalBits: this.outputBits,
      msiWindow: null,
      flushOnMap: false,
      nested: this.stage === 2 && hasStage1,
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
    this.streams = new StreamTable(machine, r, name, sidBits, twoLevel, this.hasStage2);
    this.queue = new CommandQueue(machine, r, name, get(idr1, IDR1.CMDQS));
    this.events = new EventQueue(machine, r, name, get(idr1, IDR1.EVENTQS));
    this.contexts = new Contexts(machine, name, get(idr0, IDR0.ASID16) ? 65536 : 256, this.outputField);
    this.vmids = new Vmids(name, get(idr0, IDR0.VMID16) ? 65536 : 256);
    enable(CR0.CMDQEN.mask);
    this.queue.run([cfgiAll(), tlbiAll()]);
    enable(CR0.CMDQEN.mask | CR0.EVENTQEN.mask);
    enable(CR0.CMDQEN.mask | CR0.EVENTQEN.mask | CR0.SMMUEN.mask);
  }

  reservedRegions(stream: number): readonly ReservedRegion[] {
    return (this.options.reserved ?? []).filter((r) => r.streams.includes(stream));
  }

  createTable(within?: { readonly aperture: Range; readonly pageSizes: readonly number[] }): Stage1Table | Stage2Table {
    const sizes = within?.pageSizes ?? this.capabilities.pageSizes;
    const granule = this.granules.find((g) => sizes.includes(2 ** g));
    if (granule === undefined) throw unsupported(this.name, `no granule among ${sizes.join(', ')} bytes`);
    const { pages, memory } = this.machine;
    const pageSizes = this.sizesOf(granule).filter((s) => sizes.includes(s));
    return this.stage === 1
      ? new Stage1Table(granule, this.outputBits, pageSizes, memory, pages)
      : new Stage2Table(granule, this.outputField, pageSizes, memory, pages);
  }

  /** Errors: `GUEST_STE_REFUSED`, `UNSUPPORTED_UNIT` where the parent is no stage 2. */
  createNested(parent: DomainTable, guest: SmmuGuestStage1): NestedTable {
    if (!(parent instanceof Stage2Table)) throw unsupported(this.name, 'the parent of a guest is a stage-2 table');
    return new NestedTable(parent, guest);
  }

  accepts(table: DomainTable): true | string {
    if (table instanceof NestedTable) return this.capabilities.nested ? this.accepts(table.parent) : 'it does not nest';
    if (!(table instanceof Stage1Table) && !(table instanceof Stage2Table)) return 'it is no VMSAv8-64 table';
    if (!this.granules.includes(table.granuleBits)) return `it has a granule of ${table.granule} bytes`;
    if (table instanceof Stage1Table) return this.stage === 1 || 'its domains are stage 2';
    if (!this.hasStage2) return 'it has no stage 2';
    return table.outputField <= this.outputField || `it has ${this.outputBits} address bits`;
  }

  attach(stream: number, target: AttachTarget): void {
    this.streams.check(stream);
    const before = this.streams.read(stream);
    const undo: (() => void)[] = [];
    const first: Command[] = [];
    const ste = this.steOf(target, first, undo);
    const visible = () => this.queue.run([cfgiSte(stream)]);
    let written = false;
    try {
      // An ASID or VMID that had another owner may still be in the TLB.
      if (first.length > 0) this.queue.run(first);
      written = true;
      this.streams.write(stream, ste, visible);
      visible();
    } catch (error) {
      if (written) {
        this.streams.write(stream, before, visible);
        visible();
      }
      for (const back of undo) back();
      throw error;
    }
  }

  /** By architecture: where the STE as it stands looks at nothing that changes but DW0, which is one 64-bit write. */
  hitless(_stream: number, from: AttachTarget, to: AttachTarget): boolean {
    if (typeof from === 'string' || typeof to === 'string') return true;
    if (from instanceof Stage1Table) return to instanceof Stage1Table || !this.hasStage2;
    const below = (t: DomainTable) => (t instanceof NestedTable ? t.parent : t);
    if (below(from) !== below(to)) return false;
    const [a, b] = [from, to].map((t) => (t instanceof NestedTable && t.stage === 'stage1' ? t.ste : null));
    return !a || !b || (a[2] === b[2] && a[3] === b[3]);
  }

  flush(table: DomainTable, iova: number, size: number): void {
    const own = this.own(table);
    if (own instanceof Stage1Table) {
      const context = this.contexts.find(own);
      if (context) this.queue.run(this.invalidations.stage1(context.asid, own, iova, size));
    } else if (own instanceof Stage2Table) {
      const use = this.vmids.find(own);
      if (use) this.queue.run(this.invalidations.stage2(use, own, iova, size));
    }
  }

  flushAll(table: DomainTable): void {
    const own = this.own(table);
    if (own instanceof Stage1Table) {
      const context = this.contexts.find(own);
      if (context) this.queue.run([tlbiAsid(context.asid)]);
      return;
    }
    const use = this.vmids.find(own instanceof NestedTable ? own.parent : own);
    if (use) this.queue.run([own instanceof NestedTable ? tlbiVmidStage1(use.vmid) : tlbiVmid(use.vmid)]);
  }

  /** No stream names it any more. What the TLB still holds goes when the ASID or VMID gets its next owner. */
  detachTable(table: DomainTable): void {
    const own = this.own(table);
    if (own instanceof Stage1Table) this.contexts.destroy(own);
    // a guest's has nothing of its own here: the VMID is its parent's
    else if (own instanceof Stage2Table) this.vmids.destroy(own);
  }

  /**
   * Runs a guest's invalidation commands for its stage 1, each vetted (§4.3, §4.4; as Linux does it): the VMID is the parent's, StreamIDs are
   * the guest's and `streamOf` says which real ones they are. All are vetted before the first runs. Errors: `GUEST_COMMAND_REFUSED`,
   * `HardwareError`.
   */
  guestInvalidate(
    table: DomainTable,
    commands: readonly Uint32Array[],
    streamOf: (virtual: number) => number | undefined = () => undefined,
  ): void {
    if (!(table instanceof NestedTable)) throw unsupported(this.name, 'only a nested domain has a guest');
    const use = this.vmids.find(table.parent);
    if (!use) return; // nothing of the guest is cached here
    this.queue.run(commands.map((words, index) => vetCommand(words, index, use.vmid, streamOf)));
  }

  drainFaults(): readonly UnitFault[] {
    return this.events.drain();
  }

  digest(): string {
    const vmids = this.vmids.digest();
    return `asids ${this.contexts.digest()}${vmids ? ` vmids ${vmids}` : ''}`;
  }

  /** The unit goes on by itself; there is nothing to let go of. */
  dispose(): void {}

  private sizesOf(granule: number): readonly number[] {
    return this.stage === 1 ? pageSizesOf(granule) : stage2PageSizes(granule, this.outputField);
  }

  /** The STE for a target. `first`: what has to be invalidated before; `undo`: what this call took, should it not be used. */
  private steOf(target: AttachTarget, first: Command[], undo: (() => void)[]): Ste {
    if (typeof target === 'string') return target === 'identity' ? STE_BYPASS : STE_ABORT;
    const table = this.own(target);
    if (table instanceof Stage1Table) {
      const known = this.contexts.find(table);
      const { asid, cd } = known ?? this.contexts.create(table);
      if (!known) {
        undo.push(() => this.contexts.destroy(table));
        first.push(tlbiAsid(asid));
      }
      return steStage1(cd);
    }
    const parent = table instanceof NestedTable ? table.parent : table;
    if (table instanceof NestedTable && table.stage === 'abort') return STE_ABORT;
    const use = this.vmidOf(parent, first, undo);
    if (!(table instanceof NestedTable) || table.stage === 'bypass') return steStage2(parent, use.vmid);
    // another guest of the same parent may have used its ASIDs
    first.push(tlbiVmidStage1(use.vmid));
    const { guests } = use;
    undo.push(() => (use.guests = guests));
    use.guests = true;
    return steNested(parent, use.vmid, table.ste);
  }

  private vmidOf(table: Stage2Table, first: Command[], undo: (() => void)[]): VmidUse {
    const known = this.vmids.find(table);
    if (known) return known;
    const use = this.vmids.create(table);
    undo.push(() => this.vmids.destroy(table));
    first.push(tlbiVmid(use.vmid));
    return use;
  }

  private own(table: DomainTable): Stage1Table | Stage2Table | NestedTable {
    if (table instanceof Stage1Table || table instanceof Stage2Table || table instanceof NestedTable) return table;
    throw unsupported(this.name, 'it can use VMSAv8-64 tables only');
  }
}

const unsupported = (unit: string, why: string): DoorbellError =>
  new DoorbellError('UNSUPPORTED_UNIT', `${unit}: ${why}`, 'use what the unit has, or another unit', { unit });

import { setAddress, setAt, setLong } from '@doorbell/bits';
import { DoorbellError, type Machine } from '@doorbell/platform';
import { CD, CD_SIZE, TG0_BITS } from '../spec/index.js';
import type { Stage2Table } from './stage2-table.js';
import { MAIR, type Stage1Table } from './table.js';

/** A table on one unit: its context descriptor and ASID. */
export interface TableContext {
  readonly asid: number;
  /** Address of the CD. */
  readonly cd: number;
}

/** ASIDs or VMIDs that a unit uses: 1 and up, 0 is never given out. */
class Ids {
  private readonly used = new Set<number>();

  /** `none`: the error, by how many there are. */
  constructor(
    private readonly count: number,
    private readonly none: (count: number) => DoorbellError,
  ) {}

  /** The lowest that is free; `take` makes it used. */
  next(): number {
    let id = 1;
    while (this.used.has(id)) id++;
    if (id >= this.count) throw this.none(this.count - 1);
    return id;
  }
  take(id: number): void {
    this.used.add(id);
  }
  give(id: number): void {
    this.used.delete(id);
  }
  digest(): string {
    return [...this.used].sort((a, b) => a - b).join(',');
  }
}

/** Context descriptors and ASIDs of one unit, one of each per table. */
export class Contexts {
  private readonly byTable = new Map<Stage1Table, TableContext>();
  private readonly asids: Ids;

  constructor(
    private readonly machine: Machine,
    name: string,
    count: number,
    /** IDR5.OAS. */
    private readonly oasField: number,
  ) {
    this.asids = new Ids(count, (n) => noAsid(name, n));
  }

  find(table: Stage1Table): TableContext | undefined {
    return this.byTable.get(table);
  }

  /** A CD in memory that names the table, under a free ASID. Errors: `ASID_EXHAUSTED`, `OUT_OF_MEMORY`. */
  create(table: Stage1Table): TableContext {
    const asid = this.asids.next();
    const cd = this.machine.pages.allocate(CD_SIZE);
    const w = descriptor(table, asid, this.oasField);
    for (let i = 0; i < w.length; i += 2) this.machine.memory.write64(cd + 4 * i, w[i + 1]!, w[i]!);
    this.machine.memory.barrier();
    const context = { asid, cd };
    this.asids.take(asid);
    this.byTable.set(table, context);
    return context;
  }

  destroy(table: Stage1Table): void {
    const context = this.byTable.get(table);
    if (!context) return;
    this.byTable.delete(table);
    this.asids.give(context.asid);
    this.machine.memory.fill(context.cd, CD_SIZE, 0);
    this.machine.pages.free(context.cd, CD_SIZE);
  }

  digest(): string {
    return this.asids.digest();
  }
}

/** VMIDs of one unit, one per stage-2 table; 0 is that of every stage 1 of ours. */
export class Vmids {
  private readonly byTable = new Map<Stage2Table, VmidUse>();
  private readonly vmids: Ids;

  constructor(name: string, count: number) {
    this.vmids = new Ids(count, (n) => noVmid(name, n));
  }

  find(table: Stage2Table): VmidUse | undefined {
    return this.byTable.get(table);
  }

  /** Errors: `VMID_EXHAUSTED`. */
  create(table: Stage2Table): VmidUse {
    const vmid = this.vmids.next();
    const use = { vmid, guests: false };
    this.vmids.take(vmid);
    this.byTable.set(table, use);
    return use;
  }

  destroy(table: Stage2Table): void {
    const use = this.byTable.get(table);
    if (!use) return;
    this.byTable.delete(table);
    this.vmids.give(use.vmid);
  }

  digest(): string {
    return this.vmids.digest();
  }
}

/** A stage-2 table on one unit. */
export interface VmidUse {
  readonly vmid: number;
  /** Some stage 1 of a guest was put on top: invalidations have to reach what was cached of both together. */
  guests: boolean;
}

function descriptor(table: Stage1Table, asid: number, oasField: number): Uint32Array {
  const w = new Uint32Array(CD_SIZE / 4);
  setAt(w, 0, CD.T0SZ, 64 - table.inputBits);
  setAt(w, 0, CD.TG0, TG0_BITS.indexOf(table.granuleBits));
  setAt(w, 0, CD.IR0, 1);
  setAt(w, 0, CD.OR0, 1);
  setAt(w, 0, CD.SH0, 3);
  setAt(w, 0, CD.EPD1, 1); // one half only
  setAt(w, 0, CD.V, 1);
  setAt(w, 0, CD.IPS, oasField);
  setAt(w, 0, CD.AA64, 1);
  setAt(w, 0, CD.R, 1); // faults are recorded
  setAt(w, 0, CD.A, 1); // and abort
  setAt(w, 0, CD.ASET, 1);
  setAt(w, 0, CD.ASID, asid);
  setAddress(w, 0, CD.TTB0, table.rootAddress);
  setLong(w, 0, CD.MAIR, MAIR.hi, MAIR.lo);
  return w;
}

const noAsid = (unit: string, count: number): DoorbellError =>
  new DoorbellError('ASID_EXHAUSTED', `${unit} has no ASID left (${count} in use)`, 'destroy a domain, or share one', {
    unit,
    count,
  });

const noVmid = (unit: string, count: number): DoorbellError =>
  new DoorbellError('VMID_EXHAUSTED', `${unit} has no VMID left (${count} in use)`, 'destroy a domain, or share one', {
    unit,
    count,
  });

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

/** Context descriptors and ASIDs of one unit, one of each per table. */
export class Contexts {
  private readonly byTable = new Map<Stage1Table, TableContext>();
  private readonly used = new Set<number>();

  constructor(
    private readonly machine: Machine,
    private readonly name: string,
    private readonly asids: number,
    /** IDR5.OAS. */
    private readonly oasField: number,
  ) {}

  find(table: Stage1Table): TableContext | undefined {
    return this.byTable.get(table);
  }

  /** A CD in memory that names the table, under a free ASID. Errors: `ASID_EXHAUSTED`, `OUT_OF_MEMORY`. */
  create(table: Stage1Table): TableContext {
    let asid = 1;
    while (this.used.has(asid)) asid++;
    if (asid >= this.asids) throw exhausted(this.name, this.asids - 1);
    const cd = this.machine.pages.allocate(CD_SIZE);
    const w = descriptor(table, asid, this.oasField);
    for (let i = 0; i < w.length; i += 2) this.machine.memory.write64(cd + 4 * i, w[i + 1]!, w[i]!);
    this.machine.memory.barrier();
    const context = { asid, cd };
    this.used.add(asid);
    this.byTable.set(table, context);
    return context;
  }

  destroy(table: Stage1Table): void {
    const context = this.byTable.get(table);
    if (!context) return;
    this.byTable.delete(table);
    this.used.delete(context.asid);
    this.machine.memory.fill(context.cd, CD_SIZE, 0);
    this.machine.pages.free(context.cd, CD_SIZE);
  }

  digest(): string {
    return [...this.used].sort((a, b) => a - b).join(',');
  }
}

/** VMIDs of one unit, one per stage-2 table; 0 is that of every stage 1 of ours. */
export class Vmids {
  private readonly byTable = new Map<Stage2Table, VmidUse>();
  private readonly used = new Set<number>();

  constructor(
    private readonly name: string,
    private readonly count: number,
  ) {}

  find(table: Stage2Table): VmidUse | undefined {
    return this.byTable.get(table);
  }

  /** Errors: `VMID_EXHAUSTED`. */
  create(table: Stage2Table): VmidUse {
    let vmid = 1;
    while (this.used.has(vmid)) vmid++;
    if (vmid >= this.count) throw noVmid(this.name, this.count - 1);
    const use = { vmid, guests: false };
    this.used.add(vmid);
    this.byTable.set(table, use);
    return use;
  }

  destroy(table: Stage2Table): void {
    const use = this.byTable.get(table);
    if (!use) return;
    this.byTable.delete(table);
    this.used.delete(use.vmid);
  }

  digest(): string {
    return [...this.used].sort((a, b) => a - b).join(',');
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

const exhausted = (unit: string, count: number): DoorbellError =>
  new DoorbellError('ASID_EXHAUSTED', `${unit} has no ASID left (${count} in use)`, 'destroy a domain, or share one', {
    unit,
    count,
  });

const noVmid = (unit: string, count: number): DoorbellError =>
  new DoorbellError('VMID_EXHAUSTED', `${unit} has no VMID left (${count} in use)`, 'destroy a domain, or share one', {
    unit,
    count,
  });

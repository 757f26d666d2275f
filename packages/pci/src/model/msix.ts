import { get } from '@doorbell/bits';
import { hex, type Diagnostics } from '@doorbell/platform';
import {
  CapId,
  ENTRY_ADDRESS_HI,
  ENTRY_ADDRESS_LO,
  ENTRY_CONTROL,
  ENTRY_DATA,
  MSIX,
  MSIX_ENTRY_SIZE,
  MSIX_LENGTH,
  MSIX_PBA,
  MSIX_PLACE,
  MSIX_TABLE,
  pbaBytes,
} from '../spec/index.js';
import type { ConfigSpace } from './config-space.js';
import type { MsixDefinition } from './definition.js';
import type { SendMessage } from './msi.js';

/** Vector Control bit 0. */
const MASK = 1;
const LO = ENTRY_ADDRESS_LO / 4;
const HI = ENTRY_ADDRESS_HI / 4;
const DATA = ENTRY_DATA / 4;
const CONTROL = ENTRY_CONTROL / 4;

export interface MsixState {
  readonly table: Uint32Array;
  readonly pba: Uint32Array;
}

/** The MSI-X capability of one function with its table and pending bits: PCI 3.0 §6.8.2, PCIe Base §6.1.4. */
export class MsixCapability {
  readonly length = MSIX_LENGTH;
  readonly table: Uint32Array;
  private readonly pba: Uint32Array;
  private readonly tableBytes: number;
  private readonly pbaSize: number;

  constructor(
    private readonly name: string,
    private readonly config: ConfigSpace,
    private readonly header: number,
    readonly definition: Required<MsixDefinition>,
    private readonly diagnostics: Diagnostics,
    private readonly send: SendMessage,
    next: number,
  ) {
    const { vectors, bar, table, pba } = definition;
    this.table = new Uint32Array(4 * vectors);
    this.tableBytes = vectors * MSIX_ENTRY_SIZE;
    this.pbaSize = pbaBytes(vectors);
    this.pba = new Uint32Array(this.pbaSize / 4);
    config.place(MSIX, header, CapId.msix | (next << 8) | ((vectors - 1) << 16));
    config.place(MSIX_PLACE, header + MSIX_TABLE, table | bar);
    config.place(MSIX_PLACE, header + MSIX_PBA, pba | bar);
    config.onWrite(header, () => this.releaseAll());
    this.reset();
  }

  get enabled(): boolean {
    return get(this.config.get(this.header), MSIX.Enable) === 1;
  }

  reset(): void {
    this.table.fill(0);
    for (let i = CONTROL; i < this.table.length; i += 4) this.table[i] = MASK; // reset value 1, §6.8.2.9
    this.pba.fill(0);
  }

  fire(vector: number): void {
    if (vector >= this.definition.vectors) return;
    if (get(this.config.get(this.header), MSIX.FunctionMask) || this.masked(vector)) {
      this.pba[vector >>> 5]! |= 1 << (vector & 31);
    } else this.message(vector);
  }

  withdraw(vector: number): void {
    if (vector < this.definition.vectors) this.pba[vector >>> 5]! &= ~(1 << (vector & 31));
  }

  /** Whether an access to the MSI-X BAR belongs to the table or the PBA. */
  owns(offset: number): boolean {
    const { table, pba } = this.definition;
    return (offset >= table && offset < table + this.tableBytes) || (offset >= pba && offset < pba + this.pbaSize);
  }

  read(offset: number, size: number): number {
    const inTable = offset - this.definition.table;
    const words = inTable >= 0 && inTable < this.tableBytes ? this.table : this.pba;
    const at = words === this.table ? inTable : offset - this.definition.pba;
    const value = words[at >>> 2]! >>> (8 * (at & 3));
    return size === 4 ? value >>> 0 : value & (size === 2 ? 0xffff : 0xff);
  }

  write(offset: number, size: number, value: number): void {
    const at = offset - this.definition.table;
    if (at < 0 || at >= this.tableBytes) return; // the PBA is read-only
    if (size !== 4) return this.diagnostics.illegal(this.name, `write of ${size} bytes to the MSI-X table`);
    const vector = at >>> 4;
    const word = at >>> 2;
    const wasMasked = this.masked(vector);
    if ((word & 3) !== CONTROL && this.live && !wasMasked)
      this.diagnostics.illegal(this.name, `MSI-X entry ${vector} changed while not masked (${hex(offset)})`);
    this.table[word] = (word & 3) === LO ? value & ~3 : value;
    if ((word & 3) === CONTROL && wasMasked && !this.masked(vector)) this.release(vector);
  }

  snapshot(): MsixState {
    return { table: this.table.slice(), pba: this.pba.slice() };
  }
  restore(state: MsixState): void {
    this.table.set(state.table);
    this.pba.set(state.pba);
  }

  /** Enabled, and the function as a whole not masked. */
  private get live(): boolean {
    const control = this.config.get(this.header);
    return get(control, MSIX.Enable) === 1 && get(control, MSIX.FunctionMask) === 0;
  }
  private masked(vector: number): boolean {
    return (this.table[4 * vector + CONTROL]! & MASK) !== 0;
  }

  private message(vector: number): void {
    const e = 4 * vector;
    this.send(vector, this.table[e + HI]!, this.table[e + LO]!, this.table[e + DATA]!);
  }

  private release(vector: number): void {
    const bit = 1 << (vector & 31);
    if (!this.live || (this.pba[vector >>> 5]! & bit) === 0 || this.masked(vector)) return;
    this.pba[vector >>> 5]! &= ~bit;
    this.message(vector);
  }

  /** Clearing the function mask releases every pending entry that is not masked itself. */
  private releaseAll(): void {
    if (!this.live) return;
    for (let w = 0; w < this.pba.length; w++) {
      if (this.pba[w] === 0) continue;
      for (let b = 0; b < 32; b++) if ((this.pba[w]! >>> b) & 1) this.release(32 * w + b);
    }
  }
}

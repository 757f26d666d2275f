import { getAddress, getAt, getWide } from '@doorbell/bits';
import type { PhysicalMemory, TableExtent } from '@doorbell/platform';
import { BASER_PAGE, CTE, DTE, GITS_BASER, GITS_TYPER, ITE, ITE_SIZE, L1E } from '../spec/index.js';

/** Why an id has no entry: command error reasons (fact sheet: TRM numbers), also used as results of look-ups. */
export const REASON = {
  OK: 0x00,
  DEVICE_RANGE: 0x01,
  SIZE_RANGE: 0x02,
  COLLECTION_RANGE: 0x03,
  DEVICE_UNMAPPED: 0x04,
  EVENT_RANGE: 0x05,
  INTID_RANGE: 0x06,
  EVENT_UNMAPPED: 0x07,
  COLLECTION_UNMAPPED: 0x09,
  TARGET_RANGE: 0x20,
  TARGET2_RANGE: 0x21,
  UNKNOWN_COMMAND: 0xff,
} as const;

/** One private table as GITS_BASERn describes it: where an id's entry lies. */
export class IdTable {
  private valid = false;
  private indirect = false;
  private base = 0;
  private pageBytes = 0x1000;
  private bytes = 0;
  private perPage = 1;
  /** log2 of `perPage`; -1 where it is no power of two. */
  private perPageBits = 0;
  /** Ids with a place in the table. */
  entries = 0;
  /** Address of the level-1 entry of the last `locate` of an indirect table. */
  level1At = -1;
  private readonly word = new Uint32Array(2);

  constructor(
    private readonly memory: PhysicalMemory,
    private readonly entrySize: number,
  ) {}

  /** Takes what GITS_BASERn says, at index `at` of the register file's words; there are ids of `idBits` bits. */
  configure(words: Uint32Array, at: number, idBits: number): void {
    const f = GITS_BASER[0]!;
    this.valid = getAt(words, at, f.Valid) === 1;
    this.indirect = getAt(words, at, f.Indirect) === 1;
    this.pageBytes = BASER_PAGE[getAt(words, at, f.Page_Size)]!;
    const pa = getAddress(words, at, f.PA);
    // 64 KiB pages: PA[51:48] stand in bits 15:12
    this.base = this.pageBytes === 0x10000 ? pa - (pa % 0x10000) + ((pa % 0x10000) / 0x1000) * 2 ** 48 : pa;
    const bytes = (this.bytes = (getAt(words, at, f.Size) + 1) * this.pageBytes);
    this.perPage = Math.floor(this.pageBytes / this.entrySize);
    this.perPageBits = Number.isInteger(Math.log2(this.perPage)) ? Math.log2(this.perPage) : -1;
    const places = this.indirect ? (bytes / 8) * this.perPage : Math.floor(bytes / this.entrySize);
    this.entries = this.valid ? Math.min(places, 2 ** idBits) : 0;
  }

  /** The table's pages, and the level-2 pages that there are. */
  *extents(what: string): Generator<TableExtent> {
    const { memory, base, pageBytes } = this;
    if (this.entries === 0 || !memory.contains(base, this.bytes)) return;
    yield { what: this.indirect ? `level-1 ${what}` : what, at: base, size: this.bytes };
    if (!this.indirect) return;
    for (let at = base; at < base + this.bytes; at += 8) {
      if (memory.read32(at + 4) >>> 31 === 0) continue;
      const page = (memory.read32(at + 4) & 0xfffff) * 2 ** 32 + (memory.read32(at) & ~0xfff);
      const level2 = page - (page % pageBytes);
      if (memory.contains(level2, pageBytes)) yield { what: `level-2 ${what}`, at: level2, size: pageBytes };
    }
  }

  /** Address of the id's entry; -1: beyond the table; -2: its level-1 entry is invalid or cannot be read. */
  locate(id: number): number {
    this.level1At = -1;
    if (id >= this.entries) return -1;
    if (!this.indirect) return this.base + id * this.entrySize;
    // whole numbers below 2^32: shifts, where a division and a remainder of doubles would cost more than the reads
    const page = this.perPageBits >= 0 ? id >>> this.perPageBits : Math.floor(id / this.perPage);
    const at = this.base + 8 * page;
    this.level1At = at;
    const { memory, word } = this;
    const n = memory.locate(at);
    if (n < 0) return -2;
    word[0] = memory.located[n]!;
    word[1] = memory.located[n + 1]!;
    if (getAt(word, 0, L1E.Valid) === 0) return -2;
    const table = getAddress(word, 0, L1E.PA);
    return table - (table & (this.pageBytes - 1)) + (id - page * this.perPage) * this.entrySize;
  }
}

/**
 * The device and collection tables and the ITTs in memory, entries in QEMU 7.2's private formats, read at each look-up. A look-up
 * leaves what it found in the fields; nothing is allocated.
 */
export class ItsTables {
  readonly devices: IdTable;
  readonly collections: IdTable;
  /** Of the last look-up. */
  readonly dte = new Uint32Array(2);
  readonly ite = new Uint32Array(3);
  readonly cte = new Uint32Array(2);
  dteAt = 0;
  iteAt = 0;
  cteAt = 0;
  intid = 0;
  icid = 0;
  cpu = 0;

  /** EventID bits of the ITS. */
  eventBits = 16;

  constructor(private readonly memory: PhysicalMemory) {
    this.devices = new IdTable(memory, 8);
    this.collections = new IdTable(memory, 8);
  }

  /** Takes the geometry from GITS_TYPER and GITS_BASER0 and 1. */
  configure(words: Uint32Array): void {
    const typer = GITS_TYPER.$.at / 4;
    this.eventBits = getAt(words, typer, GITS_TYPER.ID_bits) + 1;
    const own = getAt(words, typer, GITS_TYPER.CIL) === 1;
    this.devices.configure(words, GITS_BASER[0]!.$.at / 4, getAt(words, typer, GITS_TYPER.Devbits) + 1);
    this.collections.configure(
      words,
      GITS_BASER[1]!.$.at / 4,
      own ? getAt(words, typer, GITS_TYPER.CIDbits) + 1 : 16, // CIL = 0: 16 bits
    );
  }

  /** Device, then event: leaves `dte` and where the ITE lies. */
  findEvent(device: number, event: number): number {
    const at = this.devices.locate(device);
    if (at === -1) return REASON.DEVICE_RANGE;
    this.dteAt = at;
    if (at < 0 || !this.load(at, this.dte, 2) || getAt(this.dte, 0, DTE.V) === 0) return REASON.DEVICE_UNMAPPED;
    const bits = getAt(this.dte, 0, DTE.Size) + 1;
    if (event >>> Math.min(bits, this.eventBits, 31) !== 0) return REASON.EVENT_RANGE;
    // ITT address bits 51:8 stand at bits 49:6
    this.iteAt = getWide(this.dte, 0, DTE.ITT) * 256 + event * ITE_SIZE;
    return REASON.OK;
  }

  /** Device, event and its entry: leaves `intid` and `icid`. */
  findInterrupt(device: number, event: number): number {
    const reason = this.findEvent(device, event);
    if (reason !== REASON.OK) return reason;
    const ok =
      this.load(this.iteAt, this.ite, 3) && getAt(this.ite, 0, ITE.V) === 1 && getAt(this.ite, 0, ITE.Physical) === 1;
    if (!ok) return REASON.EVENT_UNMAPPED;
    this.intid = getAt(this.ite, 0, ITE.INTID);
    this.icid = getAt(this.ite, 0, ITE.ICID);
    return REASON.OK;
  }

  /** The collection's target: leaves `cpu`. */
  findCollection(icid: number): number {
    const at = this.collections.locate(icid);
    if (at === -1) return REASON.COLLECTION_RANGE;
    this.cteAt = at;
    if (at < 0 || !this.load(at, this.cte, 2) || getAt(this.cte, 0, CTE.V) === 0) return REASON.COLLECTION_UNMAPPED;
    this.cpu = getAt(this.cte, 0, CTE.RDbase);
    return REASON.OK;
  }

  /** Device table, collection table, and the ITT of every device that is mapped. */
  *extents(): Generator<TableExtent> {
    const { memory, devices, collections } = this;
    yield* collections.extents('collection table');
    yield* devices.extents('device table');
    for (let id = 0; id < devices.entries; id++) {
      const at = devices.locate(id);
      if (at < 0 || !this.load(at, this.dte, 2) || getAt(this.dte, 0, DTE.V) === 0) continue;
      const size = 2 ** (getAt(this.dte, 0, DTE.Size) + 1) * ITE_SIZE;
      const itt = getWide(this.dte, 0, DTE.ITT) * 256;
      if (memory.contains(itt, size)) yield { what: `ITT of DeviceID ${id}`, at: itt, size };
    }
  }

  /** Writes an entry; false where there is no memory. */
  store(at: number, words: Uint32Array): boolean {
    if (at < 0 || !this.memory.has(at) || !this.memory.has(at + 4 * words.length - 4)) return false;
    for (let i = 0; i < words.length; i++) this.memory.write32(at + 4 * i, words[i]!);
    return true;
  }

  private load(at: number, into: Uint32Array, count: number): boolean {
    const memory = this.memory;
    // an ITE has 12 bytes: it may lie on a border; all else is found at once
    if ((at & 0xfff) <= 0x1000 - 4 * count) {
      const n = memory.locate(at);
      if (n < 0) return false;
      const words = memory.located;
      for (let i = 0; i < count; i++) into[i] = words[n + i]!;
      return true;
    }
    for (let i = 0; i < count; i++) {
      const n = memory.locate(at + 4 * i);
      if (n < 0) return false;
      into[i] = memory.located[n]!;
    }
    return true;
  }
}

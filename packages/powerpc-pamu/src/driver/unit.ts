import { get, set } from '@doorbell/bits';
import { DoorbellError, HardwareError, hi32, lo32, registerPort, type RegisterPort } from '@doorbell/platform';
import type { AttachTarget, DomainTable, IommuUnit, UnitCapabilities, UnitFault } from '@doorbell/iommu';
import * as S from '../spec/index.js';
import { slotOf, type Geometry } from './geometry.js';
import { PamuTable } from './table.js';
import type { PamuTables } from './tables.js';

export interface DriverOptions {
  /** The only geometry that domains of this unit have. Default: one is planned for the mappings of each. */
  readonly geometry?: Geometry;
  /** Where planned geometries may lie: 0 to 2^apertureBits - 1. Default 32. */
  readonly apertureBits?: number;
  /** Physical address bits of the SoC. Default 36. */
  readonly addressBits?: number;
}

/** What the driver is connected to. */
export interface PamuParts {
  readonly name: string;
  readonly base: number;
  readonly tables: PamuTables;
  /** Which bit of PAMUBYPENR is this PAMU's, and where the register is; null: nothing can bypass it. */
  readonly bypass: { readonly guts: number; readonly index: number } | null;
  readonly options: DriverOptions;
}

/** One PAMU. It starts with every LIODN blocked: no primary PAACE is valid. */
export class PamuUnit implements IommuUnit {
  readonly name: string;
  readonly capabilities: UnitCapabilities;
  private readonly registers: RegisterPort;
  private readonly subWindows: number;
  private readonly lastLiodn: number;

  constructor(private readonly parts: PamuParts) {
    const { options, tables } = parts;
    this.name = parts.name;
    this.registers = registerPort(tables.host.cpu, parts.base, 'big');
    this.subWindows = S.countOf(get(this.registers.read32(S.PC3.$.at), S.PC3.MWCE));
    this.lastLiodn = Math.min(get(this.registers.read32(S.PC2.$.at), S.PC2.MLIODN), S.LIODNS - 1);
    const { geometry } = options;
    this.capabilities = {
      // With one geometry a mapping is whole sub-windows; with a planned one, whatever starts on a sub-window of it.
      pageSizes: [geometry ? slotOf(geometry) : S.SMALLEST],
      aperture: geometry
        ? { first: geometry.base, last: geometry.base + geometry.size - 1 }
        : { first: 0, last: 2 ** (options.apertureBits ?? 32) - 1 },
      physicalBits: options.addressBits ?? 36,
      msiWindow: null,
      // A sub-window 0 that was denied is cached as such.
      flushOnMap: true,
      nested: false,
      slots: geometry?.count ?? this.subWindows,
    };
    this.start();
  }

  reservedRegions(): [] {
    return [];
  }

  createTable(): PamuTable {
    const { geometry } = this.parts.options;
    const { aperture } = this.capabilities;
    return new PamuTable(this.parts.tables, { aperture, subWindows: this.subWindows, fixed: geometry });
  }

  accepts(table: DomainTable): true | string {
    if (!(table instanceof PamuTable) || table.tables !== this.parts.tables) return 'its tables are not those of PAMUs';
    if (table.limits.subWindows > this.subWindows) return `it has ${this.subWindows} sub-windows only`;
    return true;
  }

  /** An entry goes through V = 0. */
  hitless(_stream: number, from: AttachTarget, to: AttachTarget): boolean {
    return from === to;
  }

  /** Errors: `PAMU_LIODN_RANGE`, `PAMU_SPAACT_EXHAUSTED`, `HardwareError`. */
  attach(stream: number, target: AttachTarget): void {
    if (stream > this.lastLiodn)
      throw new DoorbellError(
        'PAMU_LIODN_RANGE',
        `${this.name} has no LIODN ${stream}, its last is ${this.lastLiodn}`,
        'give the device another LIODN (fsl,liodn)',
        { unit: this.name, liodn: stream, last: this.lastLiodn },
      );
    const { tables } = this.parts;
    const { writer } = tables;
    const at = tables.primaryAt(stream);
    const old = tables.attached.get(stream);
    if (old === target) return;
    const before = writer.copy(at);
    const table = target instanceof PamuTable ? target : null;
    const first = table ? table.prepare(stream) : -1;
    if (table) table.enter(stream, first);
    else if (target === 'identity') writer.identity(at, 2 ** this.capabilities.physicalBits);
    else writer.invalidate(at);
    try {
      this.forget();
    } catch (error) {
      writer.put(at, before);
      table?.abandon(stream, first);
      throw error;
    }
    if (old instanceof PamuTable) old.leave(stream);
    if (table) tables.attached.set(stream, table);
    else if (target === 'identity') tables.attached.set(stream, 'identity');
    else tables.attached.delete(stream);
  }

  flush(): void {
    this.forget();
  }
  flushAll(): void {
    this.forget();
  }
  detachTable(): void {}

  /** AVS1 before PICS, each written with exactly the bits that are 1 (A8, PAMU-A001). */
  drainFaults(): UnitFault[] {
    const r = this.registers;
    const pics = r.read32(S.PICS.$.at);
    const avs1 = r.read32(S.AVS1.$.at);
    if (!get(avs1, S.AVS1.AV)) return [];
    const violation = S.violationOf(avs1);
    const fault = {
      unit: this.name,
      stream: get(avs1, S.AVS1.LIODN),
      code: avs1 & 0x7fff,
      name: violation?.name ?? 'AV',
      addressHi: r.read32(S.AVAH.$.at),
      addressLo: r.read32(S.AVAL.$.at),
      write: get(r.read32(S.AVS2.$.at), S.AVS2.UPDATE) === 1,
    };
    r.write32(S.AVS1.$.at, avs1 & 0x7fff);
    r.write32(S.PICS.$.at, pics);
    return [fault];
  }

  digest(): string {
    return this.parts.tables.digest();
  }

  /** Bases and limits, caches and PE, and only then the traffic (A3, Linux's order). */
  private start(): void {
    const { tables, bypass } = this.parts;
    const r = this.registers;
    const { sizes } = tables;
    const region = (high: { $: { at: number } }, address: number): void => {
      r.write32(high.$.at, hi32(address));
      r.write32(high.$.at + 4, lo32(address));
    };
    // A-005982: a base that is written while OCE is off does not invalidate.
    r.write32(S.PC.$.at, S.PC.OCE.mask);
    region(S.PPBAH, tables.primary);
    region(S.PPLAH, tables.primary + sizes.primary);
    region(S.SPBAH, tables.secondary);
    region(S.SPLAH, tables.secondary + sizes.secondary);
    region(S.OBAH, tables.operations);
    region(S.OLAH, tables.operations + sizes.operations);
    r.write32(S.PICS.$.at, set(0, S.PICS.AVIE, 1));
    tables.host.memory.barrier();
    r.write32(S.PC.$.at, S.PC.PE.mask | S.PC.OCE.mask | S.PC.SPCC.mask | S.PC.PPCC.mask);
    if (!bypass) return;
    const guts = registerPort(tables.host.cpu, bypass.guts, 'big');
    const bits = guts.read32(S.PAMUBYPENR.$.at);
    guts.write32(S.PAMUBYPENR.$.at, (bits & ~S.bypassMask(bypass.index)) >>> 0);
  }

  /**
   * Writes both table bases again, which is meant to invalidate what the PAMU remembers of the tables (A8); needed where snooping does not.
   * There is no other command. Errors: `HardwareError` where it ends in an operation error.
   */
  private forget(): void {
    const r = this.registers;
    this.parts.tables.host.memory.barrier();
    r.write32(S.SPBAL.$.at, lo32(this.parts.tables.secondary));
    r.write32(S.PPBAL.$.at, lo32(this.parts.tables.primary));
    if (!get(r.read32(S.POES1.$.at), S.POES1.POED)) return;
    const address = r.read32(S.POEAH.$.at) * 2 ** 32 + r.read32(S.POEAL.$.at);
    r.write32(S.POES1.$.at, S.POES1.POED.mask);
    r.write32(S.PICS.$.at, set(r.read32(S.PICS.$.at) & ~S.PICS.AVICS.mask, S.PICS.POEICS, 1));
    throw new HardwareError(
      'OPERATION_ERROR',
      `${this.name} reports an operation error at 0x${address.toString(16)}`,
      'look at POES1 and POEA of the unit',
      { unit: this.name, address },
    );
  }
}

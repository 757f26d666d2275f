import { HardwareError, type RegisterPort, type SoftwareHost } from '@doorbell/platform';
import {
  RadixTable,
  readWrite,
  type AttachTarget,
  type DomainTable,
  type IommuUnit,
  type RadixFormat,
  type UnitFault,
} from '@doorbell/iommu';
import * as S from '../spec/index.js';

const FORMAT: RadixFormat = {
  granuleBits: 12,
  indexBits: 9,
  levels: 3,
  leafAt: [true, false, false],
  leafLo: (physical, _level, permissions) => (physical | readWrite(permissions)) >>> 0,
  leafHi: (physical) => Math.floor(physical / 2 ** 32),
  tableLo: (address) => (address | S.TABLE) >>> 0,
  tableHi: (address) => Math.floor(address / 2 ** 32),
  address: (lo, hi) => hi * 2 ** 32 + (lo - (lo % 4096)),
};

/** The software: builds what the model walks, without having seen it. */
export class MinimalUnit implements IommuUnit {
  readonly capabilities = {
    pageSizes: [4096],
    aperture: { first: 0, last: 2 ** 39 - 1 },
    physicalBits: 52,
    msiWindow: null,
    flushOnMap: false,
    nested: false,
  };
  private readonly streams: number;

  constructor(
    readonly name: string,
    private readonly registers: RegisterPort,
    private readonly host: SoftwareHost,
  ) {
    this.streams = host.pages.allocate(65536 * 8);
    registers.write32(S.STREAMS.$.at, this.streams / 4096);
  }

  reservedRegions(): [] {
    return [];
  }
  createTable(): RadixTable {
    return new RadixTable(FORMAT, this.host.memory, this.host.pages, [4096]);
  }
  accepts(table: DomainTable): true | string {
    return (table instanceof RadixTable && table.format === FORMAT) || 'its tables have another format';
  }
  hitless(): boolean {
    return true; // one quadword is the whole configuration of a stream
  }

  attach(stream: number, target: AttachTarget): void {
    const { memory } = this.host;
    const at = this.streams + stream * 8;
    const [oldLo, oldHi] = [memory.read32(at), memory.read32(at + 4)];
    const root = target instanceof RadixTable ? target.rootAddress : 0;
    const lo = target === 'identity' ? S.BYPASS : root ? (root | S.TABLE) >>> 0 : 0;
    memory.write64(at, Math.floor(root / 2 ** 32), lo);
    memory.barrier();
    try {
      // Whatever was cached of the old tables must not come back with them.
      if (oldLo & S.TABLE) this.forget((oldHi * 2 ** 32 + (oldLo - (oldLo % 4096))) / 4096);
    } catch (error) {
      memory.write64(at, oldHi, oldLo);
      throw error;
    }
  }
  flush(table: DomainTable): void {
    this.flushAll(table);
  }
  flushAll(table: DomainTable): void {
    this.forget((table as RadixTable).rootAddress / 4096);
  }
  detachTable(): void {}

  drainFaults(): UnitFault[] {
    const word = (i: number) => this.registers.read32(S.FAULT.$.at + 4 * i);
    if (!(this.registers.read32(S.STATUS.$.at) & 4)) return [];
    const code = (word(0) >>> 16) & 15;
    const fault = { unit: this.name, stream: word(0) & 0xffff, code, name: S.FAULTS[code]! };
    const record = { ...fault, addressLo: word(1), addressHi: word(2), write: word(0) >>> 31 === 1 };
    this.registers.write32(S.STATUS.$.at, 4);
    return [record];
  }

  private forget(root: number): void {
    this.registers.write32(S.COMMAND.$.at, root);
    this.host.waitUntil(`${this.name} forgets`, () => !(this.registers.read32(S.STATUS.$.at) & 1));
    if (!(this.registers.read32(S.STATUS.$.at) & 2)) return;
    this.registers.write32(S.STATUS.$.at, 2);
    throw new HardwareError('COMMAND_REFUSED', `${this.name} refused to invalidate`, 'look at the unit', {});
  }
}

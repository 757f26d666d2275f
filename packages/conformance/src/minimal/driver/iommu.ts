import { get, getAt } from '@doorbell/bits';
import { RadixTable, RadixUnit, quadwords, type UnitFault } from '@doorbell/iommu';
import { HardwareError, hi32, lo32, type RegisterPort, type SoftwareHost } from '@doorbell/platform';
import * as S from '../spec/iommu.js';

const FORMAT = quadwords({ levels: 3, table: S.TABLE });

/** The software: builds what the model walks, without having seen it. */
export class MinimalUnit extends RadixUnit {
  private readonly streams: number;
  private readonly status = (): number => this.registers.read32(S.STATUS.$.at);
  private readonly isIdle = (): boolean => !get(this.status(), S.STATUS.BUSY);

  constructor(
    name: string,
    private readonly registers: RegisterPort,
    host: SoftwareHost,
  ) {
    super(name, host, FORMAT);
    this.streams = host.pages.allocate(65536 * 8);
    registers.write32(S.STREAMS.$.at, this.streams / 4096);
  }

  /** One quadword is the whole configuration of a stream. */
  override hitless(): boolean {
    return true;
  }

  protected point(stream: number, target: RadixTable | 'identity' | 'blocked'): void {
    const entry = target instanceof RadixTable ? target.rootAddress + S.TABLE : target === 'identity' ? S.BYPASS : 0;
    this.host.memory.write64(this.streams + stream * 8, hi32(entry), lo32(entry));
  }

  protected forget(table: RadixTable): void {
    this.registers.write32(S.COMMAND.$.at, table.rootAddress / 4096);
    this.host.waitUntil(this.name, this.isIdle);
    if (!get(this.status(), S.STATUS.REFUSED)) return;
    this.registers.write32(S.STATUS.$.at, S.STATUS.REFUSED.mask);
    throw new HardwareError('COMMAND_REFUSED', `${this.name} refused to invalidate`, 'look at the unit', {});
  }

  drainFaults(): UnitFault[] {
    if (!get(this.status(), S.STATUS.FAULT)) return [];
    const record = Uint32Array.from({ length: 3 }, (_, i) => this.registers.read32(S.FAULT.$.at + 4 * i));
    this.registers.write32(S.STATUS.$.at, S.STATUS.FAULT.mask);
    const code = getAt(record, 0, S.FAULT.CODE);
    const fault = { unit: this.name, code, name: S.FAULTS[code]!, stream: getAt(record, 0, S.FAULT.STREAM) };
    const address = { addressLo: getAt(record, 0, S.FAULT.LO), addressHi: getAt(record, 0, S.FAULT.HI) };
    return [{ ...fault, ...address, write: getAt(record, 0, S.FAULT.WRITE) === 1 }];
  }
}

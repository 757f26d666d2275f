import { get, set } from '@doorbell/bits';
import { token, type RegisterPort, type Token } from '@doorbell/platform';
import { BRR1, CTPR, FRR, GCR, IDR_OFFSET, ILR_OFFSET, IVPR, cpuAt, sourceAt } from '../spec/index.js';

/** What drivers of MSI banks ask of the MPIC's driver. */
export interface MpicSoftware {
  readonly name: string;
  /** Physical address of its registers. */
  readonly base: number;
  readonly version: number;
  readonly cpus: readonly number[];
  readonly registers: RegisterPort;
  /** Unmasks a source: its own number as vector, the common priority, one CPU. */
  enable(source: number, cpu: number): void;
  route(source: number, cpu: number): void;
  /** Masks a source. */
  disable(source: number): void;
}

export const MPIC: Token<MpicSoftware> = token<MpicSoftware>('software:mpic');

/** Linux gives every source this priority: below no other, above none. */
const PRIORITY = 8;

/** Brings an MPIC up: reset, mixed mode, every CPU's task priority 0. */
export class MpicDriver implements MpicSoftware {
  readonly version: number;
  readonly cpus: readonly number[];

  constructor(
    readonly name: string,
    readonly base: number,
    readonly registers: RegisterPort,
    waitUntil: (what: string, condition: () => boolean) => void,
  ) {
    const r = registers;
    r.write32(GCR.$.at, GCR.RST.mask >>> 0);
    waitUntil(`${name}: GCR.RST`, () => !get(r.read32(GCR.$.at), GCR.RST));
    r.write32(GCR.$.at, set(0, GCR.M, 1));
    this.version = get(r.read32(BRR1.$.at), BRR1.VERSION);
    this.cpus = Array.from({ length: get(r.read32(FRR.$.at), FRR.NCPU) + 1 }, (_, cpu) => cpu);
    for (const cpu of this.cpus) r.write32(cpuAt(cpu) + CTPR.$.at, 0);
  }

  enable(source: number, cpu: number): void {
    this.route(source, cpu);
    if (this.version >= 0x0400) this.registers.write32(sourceAt(source) + ILR_OFFSET, 0);
    this.registers.write32(sourceAt(source), set(set(0, IVPR.PRIORITY, PRIORITY), IVPR.VECTOR, source));
  }

  route(source: number, cpu: number): void {
    this.registers.write32(sourceAt(source) + IDR_OFFSET, (1 << cpu) >>> 0);
  }

  disable(source: number): void {
    const ivpr = this.registers.read32(sourceAt(source));
    this.registers.write32(sourceAt(source), set(ivpr, IVPR.MSK, 1));
  }

  /** The registers stay as they are: other software may go on. */
  dispose(): void {}
}

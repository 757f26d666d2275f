import { getAddress, getAt } from '@doorbell/bits';
import { RegisterFile, type Diagnostics, type PhysicalMemory } from '@doorbell/platform';
import {
  GICR_CTLR,
  GICR_IIDR,
  GICR_PENDBASER,
  GICR_PIDR2,
  GICR_PROPBASER,
  GICR_SIZE,
  GICR_SYNCR,
  GICR_TYPER,
  GICR_WAKER,
  SGI_FRAME,
  PIDR,
} from '../spec/index.js';
import { identify, isIdentification } from './identification.js';
import { InterruptBank, isArray, isClearing } from './interrupt-bank.js';
import { Lpis } from './lpis.js';

/** Implementer 0x43b (Arm), as QEMU's GICv3 reports it. */
export const IIDR_VALUE = 0x0000_043b;

/** GICv4 adds two frames of 64 KiB. */
export const redistributorSize = (virtualLpis: boolean): number => GICR_SIZE * (virtualLpis ? 2 : 1);

/** Registers in the RD frame. */
const REGISTERS = [
  GICR_CTLR,
  GICR_IIDR,
  GICR_TYPER,
  GICR_WAKER,
  GICR_PROPBASER,
  GICR_PENDBASER,
  GICR_SYNCR,
  GICR_PIDR2,
] as const;

export interface RedistributorOptions {
  readonly name: string;
  readonly base: number;
  /** Processor number, which is Aff0 too. */
  readonly cpu: number;
  readonly last: boolean;
  readonly virtualLpis: boolean;
  /** GICD_TYPER.IDbits + 1. */
  readonly idBits: number;
  readonly memory: PhysicalMemory;
  readonly diagnostics: Diagnostics;
  /** Something that decides about an interrupt changed. */
  readonly changed: () => void;
}

/** One CPU's redistributor: the RD frame with LPIs, the SGI frame with SGIs and PPIs. */
export class Redistributor extends RegisterFile {
  readonly cpu: number;
  readonly lpis: Lpis;
  readonly private = new InterruptBank(0, 32);
  private readonly o: RedistributorOptions;

  constructor(o: RedistributorOptions) {
    super({
      name: o.name,
      base: o.base,
      size: redistributorSize(o.virtualLpis),
      sizes: [1, 4, 8],
      diagnostics: o.diagnostics,
      registers: [GICR_CTLR, GICR_IIDR, GICR_TYPER, GICR_WAKER, GICR_PROPBASER, GICR_PENDBASER, GICR_SYNCR, GICR_PIDR2],
    });
    this.o = o;
    this.cpu = o.cpu;
    this.lpis = new Lpis(o.memory);
    this.onWrite(GICR_CTLR.$.at, (value) => this.control((value & GICR_CTLR.EnableLPIs.mask) !== 0));
    this.onWrite(GICR_WAKER.$.at, (value) => {
      // §12.11: ChildrenAsleep follows ProcessorSleep
      const asleep = (value & GICR_WAKER.ProcessorSleep.mask) !== 0;
      this.set(GICR_WAKER.$.at, asleep ? GICR_WAKER.ProcessorSleep.mask | GICR_WAKER.ChildrenAsleep.mask : 0);
    });
    identify(this, PIDR.redistributor);
    this.preset();
  }

  override read(offset: number, size: number): number {
    if (offset >= SGI_FRAME && isArray(offset - SGI_FRAME)) {
      const word = this.private.read((offset - SGI_FRAME) & ~3);
      return size === 1 ? (word >>> (8 * (offset & 3))) & 0xff : word;
    }
    return super.read(offset, size);
  }

  override write(offset: number, size: number, value: number, source: number): void {
    if (offset >= SGI_FRAME && isArray(offset - SGI_FRAME)) {
      this.private.write((offset - SGI_FRAME) & ~3, size === 1 ? this.merged(offset, value) : value);
      this.o.changed();
      return;
    }
    const base = offset >= GICR_PROPBASER.$.at && offset < GICR_PENDBASER.$.at + 8;
    if (base && this.lpis.enabled) {
      this.o.diagnostics.illegal(this.name, `write of 0x${offset.toString(16)} while EnableLPIs = 1`);
      return;
    }
    super.write(offset, size, value, source);
  }

  /** Puts LPI state in place from the registers, as after a restore. */
  reload(enabled: boolean): void {
    if (enabled) {
      this.aim();
      this.lpis.enable();
    } else this.lpis.disable();
  }

  override reset(): void {
    super.reset();
    if (this.o === undefined) return; // the base class's constructor
    this.private.reset();
    this.lpis.disable();
    this.preset();
  }

  /** Puts captured words in place; returns what has no place here. */
  load(words: ReadonlyMap<number, number>): string[] {
    const problems: string[] = [];
    for (const [at, value] of words) {
      if (at >= SGI_FRAME && isArray(at - SGI_FRAME)) {
        if (!isClearing(at - SGI_FRAME)) this.private.write(at - SGI_FRAME, value);
      } else if (REGISTERS.some(({ $ }) => at >= $.at && at < $.at + $.width / 8)) this.set(at, value);
      else if (value !== 0 && !isIdentification(at))
        problems.push(`${this.name}: 0x${at.toString(16)} = 0x${value.toString(16)} is not modelled`);
    }
    for (const { $ } of [GICR_CTLR, GICR_PROPBASER, GICR_PENDBASER])
      if (!words.has($.at)) problems.push(`${this.name}: ${$.name} is missing`);
    this.reload((this.get(GICR_CTLR.$.at) & GICR_CTLR.EnableLPIs.mask) !== 0);
    return problems;
  }

  private preset(): void {
    const { cpu, last } = this.o;
    this.set(GICR_IIDR.$.at, IIDR_VALUE);
    // physical LPIs; CommonLPIAff 1: all redistributors of one Aff3 share the configuration table
    const typer =
      GICR_TYPER.PLPIS.mask |
      (this.o.virtualLpis ? GICR_TYPER.VLPIS.mask : 0) |
      (last ? GICR_TYPER.Last.mask : 0) |
      (cpu << GICR_TYPER.Processor_Number.lsb) |
      (1 << 24);
    this.set(GICR_TYPER.$.at, typer >>> 0);
    this.set(GICR_TYPER.$.at + 4, cpu);
    this.set(GICR_WAKER.$.at, GICR_WAKER.ProcessorSleep.mask | GICR_WAKER.ChildrenAsleep.mask);
    this.set(GICR_PIDR2.$.at, 0x3b);
  }

  private control(enable: boolean): void {
    if (enable === this.lpis.enabled) return;
    this.reload(enable);
    this.o.changed();
  }

  private aim(): void {
    const idBits = Math.min(getAt(this.words, GICR_PROPBASER.$.at / 4, GICR_PROPBASER.IDbits) + 1, this.o.idBits);
    this.lpis.limit = idBits < 14 ? 0 : 2 ** idBits; // fewer than 14 bits: no LPI is in range
    this.lpis.propBase = getAddress(this.words, GICR_PROPBASER.$.at / 4, GICR_PROPBASER.PA);
    this.lpis.pendBase = getAddress(this.words, GICR_PENDBASER.$.at / 4, GICR_PENDBASER.PA);
  }

  private merged(offset: number, value: number): number {
    const shift = 8 * (offset & 3);
    return ((this.private.read((offset - SGI_FRAME) & ~3) & ~(0xff << shift)) | ((value & 0xff) << shift)) >>> 0;
  }
}

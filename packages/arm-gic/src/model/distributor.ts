import { RegisterFile, type Diagnostics } from '@doorbell/platform';
import {
  GICD_CLRSPI_NSR,
  GICD_CTLR,
  GICD_IIDR,
  GICD_PIDR2,
  GICD_SETSPI_NSR,
  GICD_SIZE,
  GICD_STATUSR,
  GICD_TYPER,
  GICD_TYPER2,
  PIDR,
} from '../spec/index.js';
import { identify, isIdentification } from './identification.js';
import { InterruptBank, isArray, isClearing } from './interrupt-bank.js';
import { IIDR_VALUE } from './redistributor.js';

const REGISTERS = [
  GICD_CTLR,
  GICD_TYPER,
  GICD_IIDR,
  GICD_TYPER2,
  GICD_STATUSR,
  GICD_SETSPI_NSR,
  GICD_CLRSPI_NSR,
  GICD_PIDR2,
] as const;

export interface DistributorOptions {
  readonly name: string;
  readonly base: number;
  /** A multiple of 32. */
  readonly spis: number;
  readonly idBits: number;
  /** Message-based SPIs (GICD_SETSPI_NSR): GICD_TYPER.MBIS. */
  readonly messageSpis: boolean;
  readonly diagnostics: Diagnostics;
  readonly changed: () => void;
  /** A message-based SPI. */
  readonly message: (intid: number, pending: boolean) => void;
}

/** GICv3 distributor with one security state (DS = 1) and affinity routing on: control and SPIs. */
export class Distributor extends RegisterFile {
  readonly spis: InterruptBank;
  private readonly o: DistributorOptions;

  constructor(o: DistributorOptions) {
    super({
      name: o.name,
      base: o.base,
      size: GICD_SIZE,
      sizes: [1, 4, 8],
      diagnostics: o.diagnostics,
      registers: REGISTERS,
    });
    this.o = o;
    this.spis = new InterruptBank(32, o.spis);
    this.onWrite(GICD_CTLR.$.at, () => o.changed());
    const message = (pending: boolean) => (_: number, written: number) => {
      if (o.messageSpis && this.spis.holds(written & 0x1fff)) o.message(written & 0x1fff, pending);
    };
    this.onWrite(GICD_SETSPI_NSR.$.at, message(true));
    this.onWrite(GICD_CLRSPI_NSR.$.at, message(false));
    identify(this, PIDR.distributor);
    this.preset();
  }

  /** Group 1 interrupts are forwarded: CTLR.EnableGrp1. */
  get forwards(): boolean {
    return (this.get(GICD_CTLR.$.at) & GICD_CTLR.EnableGrp1.mask) !== 0;
  }

  override read(offset: number, size: number): number {
    if (!isArray(offset)) return super.read(offset, size);
    const word = this.spis.read(offset & ~3);
    return size === 1 ? (word >>> (8 * (offset & 3))) & 0xff : word;
  }

  override write(offset: number, size: number, value: number, source: number): void {
    if (!isArray(offset)) return super.write(offset, size, value, source);
    if (size === 1) {
      const shift = 8 * (offset & 3);
      value = ((this.spis.read(offset & ~3) & ~(0xff << shift)) | ((value & 0xff) << shift)) >>> 0;
    }
    this.spis.write(offset & ~3, value);
    this.o.changed();
  }

  override reset(): void {
    super.reset();
    if (this.o === undefined) return; // the base class's constructor
    this.spis.reset();
    this.preset();
  }

  /** Puts captured words in place; returns what has no place here. */
  load(words: ReadonlyMap<number, number>): string[] {
    const problems: string[] = [];
    for (const [at, value] of words) {
      if (isArray(at)) {
        if (!isClearing(at)) this.spis.write(at, value);
      } else if (REGISTERS.some(({ $ }) => at >= $.at && at < $.at + $.width / 8)) this.set(at, value);
      else if (value !== 0 && !isIdentification(at))
        problems.push(`${this.name}: 0x${at.toString(16)} = 0x${value.toString(16)} is not modelled`);
    }
    if (!words.has(GICD_CTLR.$.at)) problems.push(`${this.name}: GICD_CTLR is missing`);
    return problems;
  }

  private preset(): void {
    const { spis, idBits, messageSpis } = this.o;
    this.set(GICD_IIDR.$.at, IIDR_VALUE);
    this.set(GICD_PIDR2.$.at, 0x3b);
    this.set(
      GICD_TYPER.$.at,
      ((spis / 32) |
        (messageSpis ? GICD_TYPER.MBIS.mask : 0) |
        GICD_TYPER.LPIS.mask |
        ((idBits - 1) << GICD_TYPER.IDbits.lsb) |
        GICD_TYPER.A3V.mask |
        GICD_TYPER.No1N.mask) >>>
        0,
    );
  }
}

import { RegisterFile, type Diagnostics } from '@doorbell/platform';
import { GICD_ARRAYS, GICV2_GICD_CTLR, GICV2_GICD_IIDR, GICV2_GICD_SIZE, GICV2_GICD_TYPER } from '../spec/index.js';
import { InterruptBank, isArray, isClearing } from './interrupt-bank.js';
import { IIDR_VALUE } from './redistributor.js';

const REGISTERS = [GICV2_GICD_CTLR, GICV2_GICD_TYPER, GICV2_GICD_IIDR] as const;
/** Route of an SPI whose ITARGETSR names nobody. */
const NOBODY = 0xff;

export interface Gicv2DistributorOptions {
  readonly name: string;
  readonly base: number;
  readonly cpus: number;
  /** A multiple of 32. */
  readonly spis: number;
  readonly diagnostics: Diagnostics;
  readonly changed: () => void;
}

/**
 * GICv2 distributor without security extension: one group, SPIs with a byte of target CPUs each. SGIs and PPIs are banked by CPU, and
 * a register access does not say which CPU makes it: they read as zero.
 */
export class Gicv2Distributor extends RegisterFile {
  readonly spis: InterruptBank;
  private readonly targets: Uint8Array;
  private readonly o: Gicv2DistributorOptions;

  constructor(o: Gicv2DistributorOptions) {
    super({
      name: o.name,
      base: o.base,
      size: GICV2_GICD_SIZE,
      sizes: [1, 4],
      diagnostics: o.diagnostics,
      registers: REGISTERS,
    });
    this.o = o;
    this.spis = new InterruptBank(32, o.spis);
    this.targets = new Uint8Array(o.spis);
    this.onWrite(GICV2_GICD_CTLR.$.at, () => o.changed());
    this.preset();
  }

  get forwards(): boolean {
    return (this.get(GICV2_GICD_CTLR.$.at) & GICV2_GICD_CTLR.Enable.mask) !== 0;
  }

  override read(offset: number, size: number): number {
    if (!isArray(offset)) return super.read(offset, size);
    const word = this.word(offset & ~3);
    return size === 1 ? (word >>> (8 * (offset & 3))) & 0xff : word;
  }

  override write(offset: number, size: number, value: number, source: number): void {
    if (!isArray(offset)) return super.write(offset, size, value, source);
    if (size === 1) {
      const shift = 8 * (offset & 3);
      value = ((this.word(offset & ~3) & ~(0xff << shift)) | ((value & 0xff) << shift)) >>> 0;
    }
    this.put(offset & ~3, value);
    this.o.changed();
  }

  override reset(): void {
    super.reset();
    if (this.o === undefined) return; // the base class's constructor
    this.spis.reset();
    this.targets.fill(0);
    this.preset();
  }

  override snapshot(): Uint32Array {
    return Uint32Array.of(...this.targets, ...super.snapshot());
  }
  override restore(state: Uint32Array): void {
    this.targets.set(state.subarray(0, this.targets.length));
    super.restore(state.subarray(this.targets.length));
  }

  /** Puts captured words in place; returns what has no place here. */
  load(words: ReadonlyMap<number, number>): string[] {
    const problems: string[] = [];
    for (const [at, value] of words) {
      if (isArray(at)) {
        if (!isClearing(at)) this.put(at, value);
      } else if (REGISTERS.some(({ $ }) => at === $.at)) this.set(at, value);
    }
    for (const [at, what] of [
      [GICV2_GICD_CTLR.$.at, 'GICD_CTLR'],
      [GICD_ARRAYS.ISENABLER + 4, 'GICD_ISENABLER'],
    ] as const)
      if (!words.has(at)) problems.push(`${this.name}: ${what} is missing`);
    if (this.o.cpus > 1 && !words.has(GICD_ARRAYS.ITARGETSR + 32))
      problems.push(`${this.name}: GICD_ITARGETSR is missing`);
    return problems;
  }

  private word(offset: number): number {
    if (offset < GICD_ARRAYS.ISENABLER) return 0; // IGROUPR is RAZ/WI
    if (offset < GICD_ARRAYS.ITARGETSR || offset >= GICD_ARRAYS.ICFGR) return this.spis.read(offset);
    const i = offset - GICD_ARRAYS.ITARGETSR - 32;
    if (i < 0) return this.o.cpus > 1 ? 0x0101_0101 : 0; // the reader's own bit: the boot CPU's
    const t = this.targets;
    return i + 3 < t.length ? (t[i]! | (t[i + 1]! << 8) | (t[i + 2]! << 16) | (t[i + 3]! << 24)) >>> 0 : 0;
  }

  private put(offset: number, value: number): void {
    if (offset < GICD_ARRAYS.ISENABLER) return;
    if (offset < GICD_ARRAYS.ITARGETSR || offset >= GICD_ARRAYS.ICFGR) return this.spis.write(offset, value);
    // One CPU: ITARGETSR is RAZ/WI, and everything goes to it.
    const i = offset - GICD_ARRAYS.ITARGETSR - 32;
    for (let b = 0; b < 4 && i >= 0 && i + b < this.targets.length && this.o.cpus > 1; b++) {
      const mask = (value >>> (8 * b)) & (2 ** this.o.cpus - 1);
      this.targets[i + b] = mask;
      this.spis.route[i + b] = mask === 0 ? NOBODY : 31 - Math.clz32(mask & -mask);
    }
  }

  private preset(): void {
    const { cpus, spis } = this.o;
    this.set(GICV2_GICD_IIDR.$.at, IIDR_VALUE);
    this.set(GICV2_GICD_TYPER.$.at, (spis / 32) | ((cpus - 1) << GICV2_GICD_TYPER.CPUNumber.lsb));
    // There is one group: what the bank calls group 1.
    for (let w = 0; w < spis / 32; w++) this.spis.write(GICD_ARRAYS.IGROUPR + 4 + 4 * w, 0xffff_ffff);
    if (cpus > 1) this.spis.route.fill(NOBODY);
  }
}

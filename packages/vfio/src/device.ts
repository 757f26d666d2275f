import type { PciBus, PciDevice, VectorKind, Vectors } from '@doorbell/pci';
import type { BarPort } from '@doorbell/pci';
import { badSignals, deviceClosed } from './errors.js';
import type { Signal } from './signal.js';

/** A function in its user's hands: registers and interrupts. How its interrupts reach the CPU is not the user's business, nor this file's. */
export class VfioDevice {
  private vectors: Vectors | undefined;
  private signals: readonly (Signal | undefined)[] = [];
  private open = true;

  constructor(
    readonly fn: PciDevice,
    private readonly pci: PciBus,
    private readonly closed: (device: VfioDevice) => void,
  ) {}

  get name(): string {
    return this.fn.name;
  }

  /** Vectors of each kind that the function offers. */
  get interrupts(): Readonly<Record<VectorKind, number>> {
    return { msix: this.fn.msixVectors, msi: this.fn.msiVectors };
  }

  /** The registers behind BAR `n`. Errors: `NO_BAR`, `DEVICE_CLOSED`. */
  bar(n: number): BarPort {
    this.mustBeOpen();
    return this.fn.bar(n);
  }

  /**
   * One signal per vector from 0 on; undefined: enabled, and heard by nobody. Replaces what was set before; an empty list turns
   * interrupts off. Errors: `BAD_SIGNALS`, and all of `PciBus.allocateVectors`: then no interrupt is enabled.
   */
  setInterrupts(kind: VectorKind, signals: readonly (Signal | undefined)[]): void {
    this.mustBeOpen();
    const offered = this.interrupts[kind];
    if (signals.length > offered) throw badSignals(this.name, signals.length, offered, kind);
    const same = this.vectors?.live && this.vectors.kind === kind && this.vectors.count === signals.length;
    if (!same) {
      this.vectors?.free();
      this.vectors = undefined;
      this.signals = [];
      if (signals.length === 0) return;
      this.vectors = this.pci.allocateVectors(this.fn, { kinds: [kind], min: signals.length, max: signals.length });
    }
    this.signals = [...signals];
  }

  /** Holds one vector back; what happens meanwhile is signalled by `unmask`. */
  mask(vector: number): void {
    this.vectors?.mask(vector);
  }
  unmask(vector: number): void {
    this.vectors?.unmask(vector);
  }

  /** A CPU took vector `index` of this device. */
  deliver(index: number): void {
    this.signals[index]?.signal();
  }

  /** Interrupts and bus mastering off; the container lets go of it. Idempotent. */
  close(): void {
    if (!this.open) return;
    this.setInterrupts('msix', []);
    this.open = false;
    this.fn.setBusMaster(false);
    this.closed(this);
  }

  private mustBeOpen(): void {
    if (!this.open) throw deviceClosed(this.name);
  }
}

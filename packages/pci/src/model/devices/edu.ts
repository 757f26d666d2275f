import { TWO32, type Word64 } from '@doorbell/platform';
import {
  EDU_BAR_SIZE,
  EDU_BUFFER,
  EDU_BUFFER_SIZE,
  EDU_DMA_COMMAND,
  EDU_DMA_COUNT,
  EDU_DMA_DESTINATION,
  EDU_DMA_IRQ,
  EDU_DMA_SOURCE,
  EDU_FACTORIAL,
  EDU_FACTORIAL_IRQ,
  EDU_ID,
  EDU_IDS,
  EDU_IRQ_ACK,
  EDU_IRQ_RAISE,
  EDU_IRQ_STATUS,
  EDU_LIVENESS,
  EDU_STATUS,
} from '../../spec/index.js';
import {
  definePciFunction,
  type BarHandler,
  type FunctionBehaviour,
  type FunctionDefinition,
  type FunctionPort,
} from '../definition.js';

export interface EduOptions {
  /** Address bits that its DMA engine drives, as QEMU's dma_mask. Default 28, as there. */
  readonly dmaBits?: number;
  /** Vectors of MSI-X, which QEMU's does not have. Vector 0 is used. Default: no such capability. */
  readonly msix?: number;
}

const RUN = EDU_DMA_COMMAND.Run.mask;
const COMPUTING = EDU_STATUS.Computing.mask;
const IRQ_AFTER = EDU_STATUS.RaiseAfterFactorial.mask;

/** QEMU's `edu`: factorial, a DMA engine with a 4 KiB buffer, one MSI (or INTA). */
export const edu = (options: EduOptions = {}): FunctionDefinition =>
  definePciFunction<FunctionDefinition>({
    name: 'edu',
    ...EDU_IDS,
    subsystem: { vendor: 0x1af4, device: 0x1100 },
    pcie: false,
    pin: 1,
    bars: { 0: { size: EDU_BAR_SIZE } },
    msi: { vectors: 1, address64: true },
    ...(options.msix && { msix: { vectors: options.msix } }),
    create: (port) => new Edu(port, options.dmaBits ?? 28),
  });

class Edu implements FunctionBehaviour, BarHandler {
  readonly bars: Readonly<Record<number, BarHandler>> = { 0: this };
  /** liveness, factorial, status, irq status, then source, destination, count, command as (lo, hi). */
  private readonly r = new Uint32Array(12);
  private readonly buffer = new Uint8Array(EDU_BUFFER_SIZE);
  private readonly lane;
  private readonly thread;

  constructor(
    private readonly port: FunctionPort,
    private readonly dmaBits: number,
  ) {
    this.lane = port.clock.lane();
    this.thread = port.clock.lane();
  }

  read(offset: number, size: number): number {
    if (size !== 4) return 0; // its region takes 4 and 8 bytes; QEMU answers others with 0
    const r = this.r;
    switch (offset) {
      case EDU_ID.$.at:
        return EDU_ID.$.reset[0]!;
      case EDU_LIVENESS.$.at:
        return r[0]!;
      case EDU_FACTORIAL.$.at:
        return r[1]!;
      case EDU_STATUS.$.at:
        return r[2]!;
      case EDU_IRQ_STATUS.$.at:
        return r[3]!;
      // 4-byte reads see the low half; its upper half answers nothing, as in QEMU.
      case EDU_DMA_SOURCE.$.at:
      case EDU_DMA_DESTINATION.$.at:
      case EDU_DMA_COUNT.$.at:
      case EDU_DMA_COMMAND.$.at:
        return r[4 + (offset - EDU_DMA_SOURCE.$.at) / 4]!;
      default:
        return 0xffff_ffff;
    }
  }

  /** 8-byte reads see whole DMA registers, and nothing below them. */
  read64(offset: number, into: Word64): void {
    const n = (offset - EDU_DMA_SOURCE.$.at) / 4;
    const whole = n >= 0 && n <= 6 && n % 2 === 0;
    into.lo = whole ? this.r[4 + n]! : 0xffff_ffff;
    into.hi = whole ? this.r[5 + n]! : 0xffff_ffff;
  }

  write(offset: number, size: number, value: number): void {
    if (size !== 4) return;
    const r = this.r;
    switch (offset) {
      case EDU_LIVENESS.$.at:
        r[0] = ~value;
        return;
      case EDU_FACTORIAL.$.at:
        if ((r[2]! & COMPUTING) === 0) this.compute(value);
        return;
      case EDU_STATUS.$.at:
        r[2] = (r[2]! & ~IRQ_AFTER) | (value & IRQ_AFTER);
        return;
      case EDU_IRQ_RAISE.$.at:
        return this.raise(value);
      case EDU_IRQ_ACK.$.at:
        r[3] = r[3]! & ~value;
        if (r[3] === 0) this.port.intx(false);
        return;
      default:
        this.write64(offset, 0, value); // a 4-byte write of a DMA register clears its upper half, as in QEMU
    }
  }

  write64(offset: number, hi: number, lo: number): void {
    const n = (offset - EDU_DMA_SOURCE.$.at) / 4;
    if (n < 0 || n > 6 || n % 2) return;
    const command = offset === EDU_DMA_COMMAND.$.at;
    if (this.r[10]! & RUN || (command && (lo & RUN) === 0)) return; // busy, or not told to run
    this.r[4 + n] = lo;
    this.r[5 + n] = hi;
    if (command) this.lane.run(() => this.transfer());
  }

  reset(): void {
    this.r.fill(0);
    this.buffer.fill(0);
  }
  snapshot(): unknown {
    return { r: this.r.slice(), buffer: this.buffer.slice() };
  }
  restore(state: { r: Uint32Array; buffer: Uint8Array }): void {
    this.r.set(state.r);
    this.buffer.set(state.buffer);
  }

  private compute(n: number): void {
    const r = this.r;
    r[1] = n;
    r[2]! |= COMPUTING;
    this.thread.run(() => {
      if ((r[2]! & COMPUTING) === 0) return; // reset meanwhile
      let product = 1;
      // 34! is the first that 2^32 divides: from there on every product is 0.
      for (let k = Math.min(r[1]!, 34); k > 1; k--) product = Math.imul(product, k);
      r[1] = product;
      r[2]! &= ~COMPUTING;
      if (r[2]! & IRQ_AFTER) this.raise(EDU_FACTORIAL_IRQ);
    });
  }

  private raise(bits: number): void {
    this.r[3]! |= bits;
    if (this.r[3] !== 0 && !this.port.fire(0)) this.port.intx(true);
  }

  private transfer(): void {
    const r = this.r;
    if ((r[10]! & RUN) === 0) return; // reset meanwhile
    const toMemory = (r[10]! & EDU_DMA_COMMAND.ToMemory.mask) !== 0;
    const count = r[9]! * TWO32 + r[8]!;
    const [own, bus] = toMemory ? [4, 6] : [6, 4];
    const at = r[own + 1]! * TWO32 + r[own]! - EDU_BUFFER;
    if (at < 0 || at + count > EDU_BUFFER_SIZE || count === 0) {
      // QEMU ends itself here: there is no answer to compare with, so the transfer is dropped and noted.
      if (count !== 0) this.port.diagnostics.illegal(this.port.name, 'DMA outside of the buffer');
    } else {
      const bits = this.dmaBits;
      const hi = bits >= 64 ? r[bus + 1]! : bits <= 32 ? 0 : r[bus + 1]! & (2 ** (bits - 32) - 1);
      const lo = bits >= 32 ? r[bus]! : r[bus]! & (2 ** bits - 1);
      const bytes = this.buffer.subarray(at, at + count);
      if (toMemory) this.port.dma.write(hi >>> 0, lo >>> 0, bytes);
      else this.port.dma.read(hi >>> 0, lo >>> 0, bytes);
    }
    const irq = (r[10]! & EDU_DMA_COMMAND.Irq.mask) !== 0;
    r[10]! &= ~RUN;
    if (irq) this.raise(EDU_DMA_IRQ);
  }
}

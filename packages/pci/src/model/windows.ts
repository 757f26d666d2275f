import type { MmioRegion } from '@doorbell/platform';
import type { Decoder } from './decoder.js';

/** A range of the system's address space that the host bridge passes on to BARs. Nobody there: 0, as on QEMU's boards, or dropped. */
export class BarWindow implements MmioRegion {
  readonly sizes = [1, 2, 4, 8];

  constructor(
    readonly name: string,
    readonly base: number,
    readonly size: number,
    private readonly decoder: Decoder,
  ) {}

  read(offset: number, size: number): number {
    const t = this.decoder.at(this.base + offset);
    return t === undefined ? 0 : t.fn.barRead(t.bar, t.offset, size);
  }

  write(offset: number, size: number, value: number): void {
    const t = this.decoder.at(this.base + offset);
    if (t !== undefined) t.fn.barWrite(t.bar, t.offset, size, value);
  }

  write64(offset: number, hi: number, lo: number): void {
    const t = this.decoder.at(this.base + offset);
    if (t !== undefined) t.fn.barWrite64(t.bar, t.offset, hi, lo);
  }
}

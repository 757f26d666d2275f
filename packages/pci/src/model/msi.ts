import { get, set } from '@doorbell/bits';
import { CapId, MSI, msiLength, msiOffsets } from '../spec/index.js';
import type { ConfigSpace } from './config-space.js';
import type { MsiDefinition } from './definition.js';
import { dword } from './dword.js';

/** Sends one message upstream. */
export type SendMessage = (vector: number, hi: number, lo: number, data: number) => void;

/** The MSI capability of one function: PCI 3.0 §6.8.1, PCIe Base §6.1.4. */
export class MsiCapability {
  readonly length: number;
  private readonly at: ReturnType<typeof msiOffsets>;

  constructor(
    private readonly config: ConfigSpace,
    private readonly header: number,
    private readonly definition: MsiDefinition,
    private readonly send: SendMessage,
    next: number,
  ) {
    const { vectors, address64 = true, perVectorMasking = false } = definition;
    this.at = msiOffsets(address64);
    this.length = msiLength(address64, perVectorMasking);
    const flags = (Math.log2(vectors) << 17) | (Number(address64) << 23) | (Number(perVectorMasking) << 24);
    config.place(MSI, header, CapId.msi | (next << 8) | flags);
    config.limit(header, ~(1 << 26)); // extended message data is not offered
    config.place(dword('MSI Message Address', 0xffff_fffc), header + this.at.addressLo);
    if (address64) config.place(dword('MSI Message Upper Address', 0xffff_ffff), header + this.at.addressHi);
    config.place(dword('MSI Message Data', 0x0000_ffff), header + this.at.data);
    if (perVectorMasking) {
      config.place(dword('MSI Mask Bits', 0xffff_ffff >>> (32 - vectors)), header + this.at.mask);
      config.place(dword('MSI Pending Bits', 0), header + this.at.pending);
      config.onWrite(header + this.at.mask, () => this.release());
    }
    config.onWrite(header, (now, before) => {
      if (!get(now, MSI.Enable)) return;
      // More than the function is capable of is undefined in PCI 3.0; as QEMU, it takes what there is once it is enabled.
      const capable = get(now, MSI.MultipleMessageCapable);
      if (get(now, MSI.MultipleMessageEnable) > capable)
        config.set(header, set(now, MSI.MultipleMessageEnable, capable));
      // Vectors that are allocated no more cannot be sent: nothing of them is pending, as in QEMU.
      this.pending &= 2 ** this.allocated - 1;
      if (!get(before, MSI.Enable)) this.release();
    });
  }

  get enabled(): boolean {
    return get(this.config.get(this.header), MSI.Enable) === 1;
  }

  fire(vector: number): void {
    // Allocated may be fewer than capable: the function folds its events onto those it has.
    const v = vector & (this.allocated - 1);
    if ((this.masks >>> v) & 1) this.pending |= 1 << v;
    else this.message(v);
  }

  withdraw(vector: number): void {
    this.pending &= ~(1 << (vector & (this.allocated - 1)));
  }

  private get allocated(): number {
    return 1 << get(this.config.get(this.header), MSI.MultipleMessageEnable);
  }
  private get masks(): number {
    return this.definition.perVectorMasking ? this.config.get(this.header + this.at.mask) : 0;
  }
  private get pending(): number {
    return this.definition.perVectorMasking ? this.config.get(this.header + this.at.pending) : 0;
  }
  private set pending(value: number) {
    if (this.definition.perVectorMasking) this.config.set(this.header + this.at.pending, value >>> 0);
  }

  private message(vector: number): void {
    const { config, header, at } = this;
    // The function may change the low bits of the data only; the upper half of the payload is 0 without extended data.
    const data = (config.get(header + at.data) & ~(this.allocated - 1)) | vector;
    const hi = at.addressHi < 0 ? 0 : config.get(header + at.addressHi);
    this.send(vector, hi, config.get(header + at.addressLo), data & 0xffff);
  }

  /** Whatever is pending and no longer masked is sent now. */
  private release(): void {
    if (!this.enabled) return;
    let ready = this.pending & ~this.masks;
    this.pending &= ~ready;
    for (let v = 0; ready !== 0; v++, ready >>>= 1) if (ready & 1) this.message(v);
  }
}

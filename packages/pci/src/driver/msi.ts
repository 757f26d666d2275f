import { get, set } from '@doorbell/bits';
import type { Message } from '@doorbell/irqchip';
import { CapId, MSI, msiOffsets } from '../spec/index.js';
import type { PciDevice } from './device.js';
import { refused, verify, type Programmer } from './msix.js';

/** MSI: one address and data in configuration space, the low bits of the data counting vectors (PCI 3.0 §6.8.1). */
export class MsiProgrammer implements Programmer {
  readonly canMask: boolean;
  readonly address64: boolean;
  private readonly at: number;
  private readonly registers: ReturnType<typeof msiOffsets>;
  /** All of the capability that software can change, as `start` found it. */
  private saved: [number, number][] = [];
  /** Mask bits that the user set; held-back ones come on top. */
  private masked = 0;
  private held = false;

  constructor(private readonly device: PciDevice) {
    this.at = device.capability(CapId.msi);
    const control = this.control;
    this.address64 = get(control, MSI.Address64) === 1;
    this.canMask = get(control, MSI.PerVectorMasking) === 1;
    this.registers = msiOffsets(this.address64);
  }

  fits(messages: readonly Message[]): boolean {
    const first = messages[0]!;
    return messages.every(
      (m, i) => m.addressLo === first.addressLo && m.addressHi === first.addressHi && m.data === first.data + i,
    );
  }

  /** `messages`: a power of two of them that `fits`. */
  start(messages: readonly Message[]): void {
    const r = this.registers;
    const offsets = [
      r.addressLo,
      ...(this.address64 ? [r.addressHi] : []),
      r.data,
      ...(this.canMask ? [r.mask] : []),
      0,
    ];
    this.saved = offsets.map((o) => [o, this.device.read(this.at + o)]);
    const first = messages[0]!;
    this.holdAll();
    this.write(0, first);
    const enabled = set(this.control, MSI.MultipleMessageEnable, Math.log2(messages.length));
    this.control = set(enabled, MSI.Enable, 1);
    this.letGo();
    verify(this.device, 0, first, this.read(0));
    if (!get(this.control, MSI.Enable)) throw refused(this.device, 'MSI Enable reads 0 after it was set');
  }

  undo(): void {
    this.control = set(this.control, MSI.Enable, 0);
    for (const [offset, value] of this.saved) this.device.write(this.at + offset, value);
  }

  read(index: number): Message {
    const { device, at, registers: r } = this;
    return {
      addressHi: this.address64 ? device.read(at + r.addressHi) : 0,
      addressLo: device.read(at + r.addressLo),
      data: (device.read(at + r.data) & 0xffff) | index,
    };
  }

  /** Vector 0's message is everybody's; the others follow from it. */
  write(index: number, m: Message): void {
    if (index !== 0) return;
    const { device, at, registers: r } = this;
    device.write(at + r.addressLo, m.addressLo);
    if (this.address64) device.write(at + r.addressHi, m.addressHi);
    device.write(at + r.data, m.data & 0xffff);
  }

  holdAll(): void {
    this.held = true;
    if (this.canMask) this.device.write(this.at + this.registers.mask, 0xffff_ffff);
  }
  letGo(): void {
    this.held = false;
    if (this.canMask) this.device.write(this.at + this.registers.mask, this.masked);
  }

  mask(index: number, masked: boolean): void {
    this.masked = ((this.masked & ~(1 << index)) | (Number(masked) << index)) >>> 0;
    if (!this.held && this.canMask) this.device.write(this.at + this.registers.mask, this.masked);
  }

  stop(): void {
    const off = set(this.control, MSI.Enable, 0);
    this.control = set(off, MSI.MultipleMessageEnable, 0);
    this.masked = 0;
    this.letGo();
  }

  private get control(): number {
    return this.device.read(this.at);
  }
  private set control(value: number) {
    this.device.write(this.at, value);
  }
}

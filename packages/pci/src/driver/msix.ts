import { get, set } from '@doorbell/bits';
import { DoorbellError, HardwareError, hex64, type RegisterPort } from '@doorbell/platform';
import type { Message } from '@doorbell/irqchip';
import {
  CapId,
  ENTRY_ADDRESS_HI,
  ENTRY_ADDRESS_LO,
  ENTRY_CONTROL,
  ENTRY_DATA,
  MSIX,
  MSIX_ENTRY_SIZE,
  MSIX_PLACE,
  MSIX_TABLE,
} from '../spec/index.js';
import type { PciDevice } from './device.js';

/** How the messages of one function are programmed: MSI-X or MSI. Hardware only; who allocates them is not its business. */
export interface Programmer {
  /** Whether vectors can be held back without loss. */
  readonly canMask: boolean;
  /** Whether the capability can express these messages together: MSI has one address and counts its data up. */
  fits(messages: readonly Message[]): boolean;
  /** Saves what `undo` puts back, writes all messages and turns them on, in the order that hardware demands. */
  start(messages: readonly Message[]): void;
  /** Everything as `start` found it. */
  undo(): void;
  read(index: number): Message;
  /** Writes one vector's message. With `canMask` the caller holds the vectors back meanwhile. */
  write(index: number, message: Message): void;
  holdAll(): void;
  letGo(): void;
  mask(index: number, masked: boolean): void;
  /** Turns the capability off. */
  stop(): void;
}

const MASK = 1;

/** MSI-X: a table in a BAR (PCI 3.0 §6.8.2). */
export class MsixProgrammer implements Programmer {
  readonly canMask = true;
  private readonly at: number;
  private readonly table: RegisterPort;
  private readonly base: number;
  private before = 0;
  /** Four words per entry, as `start` found them. */
  private saved = new Uint32Array(0);
  private count = 0;

  /** Errors: `NO_BAR` where the table's BAR has no address. */
  constructor(private readonly device: PciDevice) {
    this.at = device.capability(CapId.msix);
    const place = device.read(this.at + MSIX_TABLE);
    this.table = device.bar(get(place, MSIX_PLACE.Bir));
    this.base = (place & MSIX_PLACE.Offset.mask) >>> 0;
  }

  fits(): boolean {
    return true;
  }

  start(messages: readonly Message[]): void {
    this.count = 0;
    this.before = this.control;
    this.saved = new Uint32Array(4 * messages.length);
    // Enabled with the function mask: the table answers, nothing is sent (Linux msix_capability_init).
    this.control = set(set(this.before, MSIX.Enable, 1), MSIX.FunctionMask, 1);
    for (let i = 0; i < messages.length; i++) {
      const e = this.entry(i);
      const control = this.table.read32(e + ENTRY_CONTROL);
      this.saved[4 * i] = this.table.read32(e + ENTRY_ADDRESS_LO);
      this.saved[4 * i + 1] = this.table.read32(e + ENTRY_ADDRESS_HI);
      this.saved[4 * i + 2] = this.table.read32(e + ENTRY_DATA);
      this.saved[4 * i + 3] = control;
      this.count = i + 1; // what `undo` puts back
      if ((control & MASK) === 0) this.table.write32(e + ENTRY_CONTROL, (control | MASK) >>> 0);
      this.write(i, messages[i]!);
    }
    for (let i = 0; i < messages.length; i++) this.mask(i, false);
    this.letGo();
    for (let i = 0; i < messages.length; i++)
      if (!this.holds(i, messages[i]!)) verify(this.device, i, messages[i]!, this.read(i));
    if (!get(this.control, MSIX.Enable)) throw refused(this.device, 'MSI-X Enable reads 0 after it was set');
  }

  undo(): void {
    this.holdAll();
    for (let i = 0; i < this.count; i++) {
      const e = this.entry(i);
      const control = this.saved[4 * i + 3]!;
      this.table.write32(e + ENTRY_CONTROL, (control | MASK) >>> 0);
      this.table.write32(e + ENTRY_ADDRESS_LO, this.saved[4 * i]!);
      this.table.write32(e + ENTRY_ADDRESS_HI, this.saved[4 * i + 1]!);
      this.table.write32(e + ENTRY_DATA, this.saved[4 * i + 2]!);
      this.table.write32(e + ENTRY_CONTROL, control);
    }
    this.control = this.before;
  }

  read(index: number): Message {
    const e = this.entry(index);
    return {
      addressHi: this.table.read32(e + ENTRY_ADDRESS_HI),
      addressLo: this.table.read32(e + ENTRY_ADDRESS_LO),
      data: this.table.read32(e + ENTRY_DATA),
    };
  }

  write(index: number, m: Message): void {
    const e = this.entry(index);
    this.table.write32(e + ENTRY_ADDRESS_LO, m.addressLo);
    this.table.write32(e + ENTRY_ADDRESS_HI, m.addressHi);
    this.table.write32(e + ENTRY_DATA, m.data);
  }

  holdAll(): void {
    this.control = set(this.control, MSIX.FunctionMask, 1);
  }
  letGo(): void {
    this.control = set(this.control, MSIX.FunctionMask, 0);
  }

  mask(index: number, masked: boolean): void {
    const at = this.entry(index) + ENTRY_CONTROL;
    const control = this.table.read32(at);
    this.table.write32(at, ((control & ~MASK) | Number(masked)) >>> 0);
  }

  stop(): void {
    this.holdAll();
    for (let i = 0; i < this.count; i++) this.mask(i, true);
    this.control = set(set(this.control, MSIX.Enable, 0), MSIX.FunctionMask, 0);
  }

  /** Whether the table reads as it was written. */
  private holds(index: number, m: Message): boolean {
    const e = this.entry(index);
    return (
      this.table.read32(e + ENTRY_ADDRESS_LO) === m.addressLo &&
      this.table.read32(e + ENTRY_ADDRESS_HI) === m.addressHi &&
      this.table.read32(e + ENTRY_DATA) === m.data
    );
  }

  private entry(index: number): number {
    return this.base + index * MSIX_ENTRY_SIZE;
  }
  private get control(): number {
    return this.device.read(this.at);
  }
  private set control(value: number) {
    this.device.write(this.at, value);
  }
}

/** What was written must read back: a function that ignores its own table would interrupt elsewhere. */
export function verify(device: PciDevice, index: number, want: Message, got: Message): void {
  if (want.addressHi === got.addressHi && want.addressLo === got.addressLo && want.data === got.data) return;
  const show = (m: Message) => `${hex64(m.addressHi, m.addressLo)} := 0x${m.data.toString(16)}`;
  throw refused(device, `vector ${index} was programmed with ${show(want)} and reads ${show(got)}`);
}

export const refused = (device: PciDevice, what: string): DoorbellError =>
  new HardwareError('MSI_REFUSED', `${device.name}: ${what}`, 'the function does not take its messages', {
    device: device.name,
  });

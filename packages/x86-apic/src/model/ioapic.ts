import { hex, type HardwareHost, type MmioRegion, type Model } from '@doorbell/platform';
import {
  IOAPICARB,
  IOAPICID,
  IOAPICVER,
  IOEOI,
  IOREDTBL,
  IOREGSEL,
  IOWIN,
  REMAPPABLE_RTE,
  remappableAddressOf,
  RTE,
} from '../spec/index.js';

export interface IoapicOptions {
  /** IOAPIC id (MADT). */
  readonly id?: number;
  /** Pins. Default 24. */
  readonly pins?: number;
  /** Requester id of its interrupt requests (DMAR scope of type 3). Default 0xff00, as QEMU's q35. */
  readonly requester?: number;
  readonly segment?: number;
}

/** Low-word bits that software writes. */
const WRITABLE = ~(RTE.REMOTE_IRR.mask | RTE.STATUS.mask) & 0x0001_ffff;

/**
 * I/O APIC, version 0x20. Its interrupts leave as DWORD writes to 0xFEEx_xxxx under its own requester id, through whatever unit
 * claims that id.
 */
export class Ioapic implements Model {
  readonly regions: readonly MmioRegion[];
  private readonly pins: number;
  private readonly requester: number;
  private readonly segment: number;
  private readonly entries: Uint32Array;
  /** Lines that are asserted, one word per pin. */
  private readonly lines: Uint8Array;
  private select = 0;
  private idRegister = 0;

  constructor(
    readonly name: string,
    base: number,
    private readonly options: IoapicOptions,
    private readonly host: HardwareHost,
  ) {
    this.pins = options.pins ?? 24;
    this.requester = options.requester ?? 0xff00;
    this.segment = options.segment ?? 0;
    this.entries = new Uint32Array(2 * this.pins);
    this.lines = new Uint8Array(this.pins);
    this.regions = [
      {
        name,
        base,
        size: 0x1000,
        sizes: [4],
        read: (offset) => this.read(offset),
        write: (offset, _size, value) => this.write(offset, value),
      },
    ];
    this.reset();
  }

  /** A wire. Edge entries send on 0 → 1; level entries send while asserted and not in service. */
  setLine(pin: number, asserted: boolean): void {
    if (pin < 0 || pin >= this.pins) return;
    const was = this.lines[pin]!;
    this.lines[pin] = +asserted;
    const low = this.entries[2 * pin]!;
    if (low & RTE.TRIGGER.mask) {
      if (asserted) this.serveLevel(pin);
    } else if (asserted && !was && (low & RTE.MASK.mask) === 0) this.send(pin);
  }

  /** EOI of a vector, broadcast by a local APIC or written to the EOI register. */
  eoi(vector: number): void {
    for (let pin = 0; pin < this.pins; pin++) {
      const low = this.entries[2 * pin]!;
      if ((low & 0xff) !== vector || (low & RTE.REMOTE_IRR.mask) === 0) continue;
      this.entries[2 * pin] = low & ~RTE.REMOTE_IRR.mask;
      this.serveLevel(pin);
    }
  }

  reset(): void {
    this.select = 0;
    this.idRegister = ((this.options.id ?? 0) & 15) << 24;
    this.lines.fill(0);
    for (let pin = 0; pin < this.pins; pin++) this.entries.set(RTE.$.reset, 2 * pin);
  }
  snapshot(): unknown {
    return { entries: this.entries, lines: this.lines, select: this.select, id: this.idRegister };
  }
  restore(state: unknown): void {
    const s = state as { entries: Uint32Array; lines: Uint8Array; select: number; id: number };
    this.entries.set(s.entries);
    this.lines.set(s.lines);
    this.select = s.select;
    this.idRegister = s.id;
  }

  private serveLevel(pin: number): void {
    const low = this.entries[2 * pin]!;
    if (!this.lines[pin] || low & (RTE.MASK.mask | RTE.REMOTE_IRR.mask)) return;
    this.entries[2 * pin] = (low | RTE.REMOTE_IRR.mask) >>> 0;
    this.send(pin);
  }

  /** VT-d §5.1.5.1: the request's address and data come from the entry's bits as they stand. */
  private send(pin: number): void {
    const low = this.entries[2 * pin]!;
    const high = this.entries[2 * pin + 1]!;
    const remappable = (high & REMAPPABLE_RTE.FORMAT.mask) !== 0;
    const address = remappable
      ? remappableAddressOf((high >>> 17) | ((low & REMAPPABLE_RTE.HANDLE_HIGH.mask) << 4))
      : (0xfee0_0000 | ((high >>> 24) << 12) | ((low & RTE.DM.mask) >>> 9)) >>> 0;
    const data = (low & 0x7ff) | (low & RTE.TRIGGER.mask ? 0xc000 : 0);
    if (this.host.trace.on) {
      this.host.trace.step({
        by: this.name,
        what: `redirection entry ${pin}`,
        at: null,
        words: [low, high],
        decoded: `address=${hex(address)} data=${hex(data)}`,
        why: `requester ${hex(this.requester)}, ${remappable ? 'remappable' : 'compatibility'} format`,
      });
    }
    this.host.fabric(this.segment).write32(this.requester, 0, address, data);
  }

  private read(offset: number): number {
    if (offset === IOREGSEL) return this.select;
    if (offset !== IOWIN) return this.unknown('read', offset);
    if (this.select === IOAPICID || this.select === IOAPICARB) return this.idRegister;
    if (this.select === IOAPICVER) return ((this.pins - 1) << 16) | 0x20;
    const word = this.select - IOREDTBL;
    return word >= 0 && word < this.entries.length
      ? this.entries[word]!
      : this.unknown('read of register', this.select);
  }

  private write(offset: number, value: number): void {
    if (offset === IOREGSEL) this.select = value & 0xff;
    else if (offset === IOEOI) this.eoi(value & 0xff);
    else if (offset === IOWIN) this.writeRegister(value);
    else this.unknown('write', offset);
  }

  private writeRegister(value: number): void {
    const word = this.select - IOREDTBL;
    if (this.select === IOAPICID) this.idRegister = value & 0x0f00_0000;
    else if (word < 0 || word >= this.entries.length) this.unknown('write of register', this.select);
    else if (word & 1) this.entries[word] = value;
    else {
      let low = ((this.entries[word]! & ~WRITABLE) | (value & WRITABLE)) >>> 0;
      // An edge entry has no remote IRR.
      if ((low & RTE.TRIGGER.mask) === 0) low &= ~RTE.REMOTE_IRR.mask;
      this.entries[word] = low;
      if (low & RTE.TRIGGER.mask) this.serveLevel(word >> 1);
    }
  }

  private unknown(what: string, where: number): number {
    this.host.diagnostics.unimplemented(this.name, `${what} ${hex(where)}`);
    return 0;
  }
}

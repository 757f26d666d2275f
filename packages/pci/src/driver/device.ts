import { get } from '@doorbell/bits';
import {
  DoorbellError,
  hex,
  registerPort,
  showBdf,
  type CpuPort,
  type Device,
  type Isolation,
  type RegisterPort,
} from '@doorbell/platform';
import {
  ACS,
  CapId,
  CLASS,
  COMMAND,
  ExtCapId,
  findCapability,
  ID,
  MISC,
  MSI,
  MSIX,
  PCIE,
  walkCapabilities,
  type Capability,
} from '../spec/index.js';
import type { ConfigPort } from './config-port.js';

/** A memory BAR as sized and placed. */
export interface Bar {
  readonly index: number;
  readonly width: 32 | 64;
  readonly prefetchable: boolean;
  readonly size: number;
  /** Physical address; -1 while it has none. */
  readonly address: number;
}

/** A BAR's registers: offsets inside the BAR. */
export interface BarPort extends RegisterPort {
  readonly address: number;
  readonly size: number;
}

/** One PCI function as software knows it. */
export class PciDevice implements Device {
  readonly kind = 'pci';
  readonly name: string;
  readonly vendor: number;
  readonly deviceId: number;
  readonly classCode: number;
  readonly multiFunction: boolean;
  /** Whether it is a bridge (header layout 1). */
  readonly isBridge: boolean;
  /** `PortType`; -1 for conventional PCI. */
  readonly pcieType: number;
  readonly capabilities: readonly Capability[];
  /** By number; holes are undefined. Filled in by the enumeration. */
  readonly bars: (Bar | undefined)[] = [];
  aliases: readonly number[];
  isolation: Isolation = { group: -1, isolated: false, witness: ['not enumerated'] };
  dmaBits = 64;

  constructor(
    private readonly cpu: CpuPort,
    readonly config: ConfigPort,
    readonly segment: number,
    readonly requester: number,
    /** The bridge above; undefined on the root bus. */
    readonly parent: PciDevice | undefined,
    extended: boolean,
  ) {
    this.name = showBdf(requester, segment);
    this.aliases = [requester];
    const id = this.read(ID.$.at);
    this.vendor = get(id, ID.VendorId);
    this.deviceId = get(id, ID.DeviceId);
    this.classCode = get(this.read(CLASS.$.at), CLASS.ClassCode);
    const misc = this.read(MISC.$.at);
    this.multiFunction = get(misc, MISC.MultiFunction) === 1;
    this.isBridge = get(misc, MISC.HeaderLayout) === 1;
    this.capabilities = walkCapabilities((at) => this.read(at), extended && config.size > 256);
    const express = this.capability(CapId.pcie);
    this.pcieType = express ? get(this.read(express), PCIE.Type) : -1;
  }

  get bus(): number {
    return this.requester >>> 8;
  }
  get slot(): number {
    return (this.requester >>> 3) & 31;
  }
  get fn(): number {
    return this.requester & 7;
  }

  /** A dword of its configuration space. */
  read(offset: number): number {
    return this.config.read(this.requester, offset);
  }
  write(offset: number, value: number): void {
    this.config.write(this.requester, offset, value);
  }

  /** Offset of a capability's header; 0 where it has none. */
  capability(id: number): number {
    return findCapability(this.capabilities, id);
  }
  extendedCapability(id: number): number {
    return findCapability(this.capabilities, id, true);
  }

  /** Vectors that its MSI-X table has; 0: no MSI-X. */
  get msixVectors(): number {
    const at = this.capability(CapId.msix);
    return at ? get(this.read(at), MSIX.TableSize) + 1 : 0;
  }
  /** Vectors that its MSI capability offers; 0: no MSI. */
  get msiVectors(): number {
    const at = this.capability(CapId.msi);
    return at ? 1 << get(this.read(at), MSI.MultipleMessageCapable) : 0;
  }

  /** ACS capability bits and control bits (`Acs`); both 0 without the capability. */
  acs(): { readonly present: boolean; readonly capability: number; readonly control: number } {
    const at = this.extendedCapability(ExtCapId.acs);
    const word = at ? this.read(at + ACS.$.at) : 0;
    return { present: at !== 0, capability: get(word, ACS.Capability), control: get(word, ACS.Control) };
  }

  /** The registers behind BAR `n`. Errors: `NO_BAR` where the function has none there or it got no address. */
  bar(n: number): BarPort {
    const bar = this.bars[n];
    if (!bar || bar.address < 0)
      throw new DoorbellError(
        'NO_BAR',
        `${this.name} has no BAR ${n}${bar ? ` with an address (${hex(bar.size)} bytes)` : ''}`,
        bar ? 'give its host bridge a larger window' : 'use one of its BARs',
        { device: this.name, bar: n, bars: this.bars.filter((b) => b).map((b) => b!.index) },
      );
    return { ...registerPort(this.cpu, bar.address), address: bar.address, size: bar.size };
  }

  /** Command bits by mask; returns what they were. The status half is left alone. */
  setCommand(mask: number, value: number): number {
    const before = this.read(COMMAND.$.at) & 0xffff;
    const now = (before & ~mask) | (value & mask);
    if (now !== before) this.write(COMMAND.$.at, now);
    return before & mask;
  }

  /** Bus mastering: without it the function sends neither DMA nor MSIs. */
  setBusMaster(on: boolean): void {
    this.setCommand(COMMAND.BusMaster.mask, on ? COMMAND.BusMaster.mask : 0);
  }

  /** Says how many address bits the device drives (what a function's own driver knows). Default 64. */
  setDmaBits(bits: number): void {
    this.dmaBits = bits;
  }
}

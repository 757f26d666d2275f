import { get } from '@doorbell/bits';
import { join64 } from '@doorbell/platform';
import {
  ACS,
  Acs,
  BRIDGE_CONTROL,
  BUS_NUMBERS,
  ExtCapId,
  MEMORY_WINDOW,
  PortType,
  PREFETCH_BASE_UPPER,
  PREFETCH_LIMIT_UPPER,
  PREFETCH_WINDOW,
  takesOwnership,
} from '../spec/index.js';
import { definePciFunction, type BridgeDefinition, type Placed } from './definition.js';
import { PciFunction, type FunctionHost } from './function.js';
import { Bus, type BusKind } from './topology.js';

/** A bridge of any kind: routes configuration and memory requests down, and its children's requests up. */
export class PciBridge extends PciFunction {
  readonly secondary: Bus;
  /** As whom it sends what comes from below. */
  private readonly owner: 'sender' | 'secondary' | 'self';
  private readonly acs: number;

  constructor(bus: Bus, placed: Placed, host: FunctionHost) {
    super(bus, placed, host);
    const { pcieType: type, definition: d } = this;
    this.secondary = new Bus(busBelow(type), this, 0);
    this.owner =
      type === PortType.pcieToPci || (type < 0 && takesOwnership(d.vendor, d.device, bus.bridge?.pcieType))
        ? 'secondary'
        : type < 0 || type === PortType.pciToPcie
          ? 'self'
          : 'sender';
    this.acs = this.built.extended.get(ExtCapId.acs) ?? 0;
    const { topology } = host;
    this.config.onWrite(BUS_NUMBERS.$.at, () => topology.changed());
    for (const r of [MEMORY_WINDOW, PREFETCH_WINDOW, PREFETCH_BASE_UPPER, PREFETCH_LIMIT_UPPER])
      this.config.onWrite(r.$.at, () => topology.memoryChanged());
    if (this.acs) this.config.onWrite(this.acs + ACS.$.at, () => topology.routesChanged());
    this.config.onWrite(BRIDGE_CONTROL.$.at, (now, before) => {
      // Secondary Bus Reset: while it is 1, everything below is as after power-on.
      if (get(now, BRIDGE_CONTROL.SecondaryBusReset) && !get(before, BRIDGE_CONTROL.SecondaryBusReset))
        for (const f of host.topology.all(this.secondary)) f.reset();
    });
  }

  get secondaryNumber(): number {
    return get(this.config.get(BUS_NUMBERS.$.at), BUS_NUMBERS.Secondary);
  }
  get subordinateNumber(): number {
    return get(this.config.get(BUS_NUMBERS.$.at), BUS_NUMBERS.Subordinate);
  }
  get acsControl(): number {
    return this.acs ? get(this.config.get(this.acs + ACS.$.at), ACS.Control) : 0;
  }

  leadsTo(bus: number): boolean {
    return bus >= this.secondaryNumber && bus <= this.subordinateNumber;
  }

  /** The requester id with which a request from below goes on (PCIe to PCI/PCI-X Bridge §2.3: the bridge takes ownership). */
  ownerOf(requester: number): number {
    if (this.owner === 'sender') return requester;
    return this.owner === 'self' ? this.requester : this.secondaryNumber << 8;
  }

  /** Open memory windows, inclusive. */
  windows(): { first: number; last: number }[] {
    const m = this.config.get(MEMORY_WINDOW.$.at);
    const p = this.config.get(PREFETCH_WINDOW.$.at);
    const out = [
      { first: get(m, MEMORY_WINDOW.Base) * MIB, last: get(m, MEMORY_WINDOW.Limit) * MIB + MIB - 1 },
      {
        first: join64(this.config.get(PREFETCH_BASE_UPPER.$.at), get(p, PREFETCH_WINDOW.Base) * MIB),
        last: join64(this.config.get(PREFETCH_LIMIT_UPPER.$.at), get(p, PREFETCH_WINDOW.Limit) * MIB) + MIB - 1,
      },
    ];
    return out.filter((w) => w.first <= w.last);
  }
}

const MIB = 2 ** 20;

const busBelow = (type: number): BusKind =>
  type === PortType.upstreamPort ? 'switch' : type === PortType.pcieToPci || type < 0 ? 'conventional' : 'link';

export interface BridgeOptions {
  /** ACS bits it implements. `true`: SV, TB, RR, CR, UF, DT. Default none. */
  readonly acs?: boolean | number;
  /** Bus numbers that firmware left in it. */
  readonly buses?: { readonly secondary: number; readonly subordinate: number };
  readonly vendor?: number;
  readonly device?: number;
}

const ALL_ACS = Acs.SV | Acs.TB | Acs.RR | Acs.CR | Acs.UF | Acs.DT;

const bridge =
  (name: string, pcie: number | false, device: number, vendor = 0x1b36) =>
  (children: readonly Placed[] = [], options: BridgeOptions = {}): BridgeDefinition => {
    const acs = options.acs === true ? ALL_ACS : options.acs === false ? undefined : options.acs;
    return definePciFunction<BridgeDefinition>({
      name,
      vendor: options.vendor ?? vendor,
      device: options.device ?? device,
      classCode: 0x060400,
      pcie,
      bridge: true,
      children,
      ...(acs !== undefined && { acs }),
      ...(options.buses && { buses: options.buses }),
    });
  };

/** A PCI Express root port: one device below, at 00.0. */
export const rootPort = bridge('root port', PortType.rootPort, 0x000c);
/** The upper side of a switch: below it stand its downstream ports. */
export const upstreamPort = bridge('upstream port', PortType.upstreamPort, 0x8232, 0x104c);
export const downstreamPort = bridge('downstream port', PortType.downstreamPort, 0x8233, 0x104c);
/** Takes ownership of everything below as (secondary bus, 00.0). */
export const pcieToPciBridge = bridge('PCIe-to-PCI bridge', PortType.pcieToPci, 0x000e);
/** A conventional PCI-to-PCI bridge without PCI Express capability: owns requests with its own id. */
export const conventionalBridge = bridge('PCI bridge', false, 0x0001);
/** A PCI-to-PCIe (reverse) bridge: owns requests with its own id. */
export const pciToPcieBridge = bridge('PCI-to-PCIe bridge', PortType.pciToPcie, 0x000f);

import {
  NumberSpace,
  type Doorbell,
  type InterruptCore,
  type Message,
  type MsiBlock,
  type MsiRequest,
  type Prepared,
  type PreparedMove,
  type RootLevel,
  type SenderCheck,
} from '@doorbell/irqchip';
import { get } from '@doorbell/bits';
import { registerPort, type Device, type Driver, type SoftwareHost } from '@doorbell/platform';
import { V2M_MSI_SETSPI, V2M_MSI_TYPER } from '../spec/index.js';
import type { SpiSoftware } from './spis.js';

/** What a vector is aimed at. */
export interface V2mTarget {
  readonly intid: number;
  readonly cpu: number;
}

interface V2mShare extends Prepared<V2mTarget> {
  readonly owner: Device;
  readonly targets: V2mTarget[];
}

export interface V2mParts {
  readonly name: string;
  readonly base: number;
  readonly host: SoftwareHost;
  readonly gic: SpiSoftware;
  readonly interrupts: InterruptCore;
}

/** A GICv2m frame as the root of interrupt chains: an SPI per vector, the message is its INTID. */
export class V2mDriver implements Driver, RootLevel<V2mTarget> {
  readonly name: string;
  readonly cpus: readonly number[];
  private readonly parts: V2mParts;
  private readonly spis: NumberSpace;
  private readonly shares = new Set<V2mShare>();
  private readonly doorbell: Doorbell;

  constructor(parts: V2mParts) {
    this.parts = parts;
    this.name = parts.name;
    this.cpus = parts.gic.cpus;
    const typer = registerPort(parts.host.cpu, parts.base).read32(V2M_MSI_TYPER.$.at);
    this.spis = new NumberSpace(
      `SPIs of ${parts.name}`,
      get(typer, V2M_MSI_TYPER.BASE),
      get(typer, V2M_MSI_TYPER.COUNT),
    );
    this.doorbell = { address: parts.base + V2M_MSI_SETSPI.$.at, name: `${parts.name} MSI_SETSPI_NS`, exposes: [] };
  }

  doorbells(): readonly Doorbell[] {
    return [this.doorbell];
  }

  senderCheck(): SenderCheck {
    return { scope: 'page', witness: `whoever can write the page of ${this.name} can raise each of its SPIs` };
  }

  prepare(request: MsiRequest): V2mShare {
    const intids = this.spis.takeFor(request);
    const share: V2mShare = {
      owner: request.device,
      targets: intids
        .slice(0, request.count)
        .map((intid, i) => ({ intid, cpu: request.cpus[i % request.cpus.length]! })),
      commit: () => share.targets.forEach(({ intid, cpu }) => this.parts.gic.enableSpi(intid, cpu)),
      release: () => {
        for (const { intid } of share.targets) this.parts.gic.disableSpi(intid);
        share.cancel();
      },
      cancel: () => {
        if (this.shares.delete(share)) this.spis.give(intids);
      },
    };
    this.shares.add(share);
    return share;
  }

  compose(_message: Message, block: MsiBlock, index: number): Message {
    const { address } = this.doorbell;
    const { intid } = block.share<V2mShare>(this).targets[index]!;
    return { addressHi: Math.floor(address / 2 ** 32), addressLo: address >>> 0, data: intid };
  }

  prepareAffinity(block: MsiBlock, index: number, cpu: number): PreparedMove {
    const { targets } = block.share<V2mShare>(this);
    const before = targets[index]!;
    const route = (to: number) => {
      this.parts.gic.routeSpi(before.intid, to);
      targets[index] = { ...before, cpu: to };
    };
    return { commit: () => route(cpu), cancel: () => targets[index] !== before && route(before.cpu) };
  }

  mask(block: MsiBlock, index: number): void {
    this.parts.gic.maskSpi(block.share<V2mShare>(this).targets[index]!.intid, true);
  }
  unmask(block: MsiBlock, index: number): void {
    this.parts.gic.maskSpi(block.share<V2mShare>(this).targets[index]!.intid, false);
  }

  owner(_cpu: number, number: number): { block: MsiBlock; index: number } | undefined {
    for (const share of this.shares) {
      const index = share.targets.findIndex((t) => t.intid === number);
      if (index < 0) continue;
      const block = this.parts.interrupts.blocksOf(share.owner).find((b) => b.share(this) === share);
      return block && { block, index };
    }
    return undefined;
  }

  dispose(): void {
    this.shares.clear();
  }

  digest(): string {
    return this.spis.digest();
  }
}

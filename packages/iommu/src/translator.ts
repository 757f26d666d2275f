import type { Device } from '@doorbell/platform';
import type { ChainLevel, ChainView, Doorbell, Message, MsiBlock, MsiRequest, Prepared } from '@doorbell/irqchip';
import type { Domain } from './domain.js';
import { domainBlocked, windowMissing, windowUnreachable } from './errors.js';
import { pagesOf, spanOf, withPages } from './window.js';

/** Doorbell pages that one block holds in its device's domain. */
export interface WindowShare extends Prepared<null> {
  /** The domain whose window holds the pages; null where nothing has to be mapped. */
  domain: Domain | null;
  pages: readonly number[];
  readonly doorbells: readonly Doorbell[];
}

/**
 * The last level of the chain behind a unit that translates MSIs: it makes sure that every doorbell of the device is mapped in the
 * window of its current domain, and replaces the doorbell's physical address by the IOVA. One per unit; it reads the domain of the
 * device each time, so that `compose` is right after a move as well.
 */
export class MsiTranslator implements ChainLevel {
  /** While a move is planned: what the device would be in. */
  private preview: { readonly device: Device; readonly domain: Domain } | null = null;

  constructor(
    readonly name: string,
    private readonly domainOf: (device: Device) => Domain,
  ) {}

  applies(): boolean {
    return true;
  }

  prepare(request: MsiRequest, _parent: Prepared | null, chain: ChainView): WindowShare {
    const { device } = request;
    const domain = this.domainOf(device);
    const pages = this.plan(domain, device, chain.doorbells, request.addressBits);
    const share: WindowShare = {
      targets: new Array<null>(request.count).fill(null),
      domain: domain.type === 'identity' ? null : domain,
      pages,
      doorbells: chain.doorbells,
      commit: () => share.domain?.msiWindow?.commit(share.pages),
      release: () => share.domain?.releaseDoorbells(share.pages),
      cancel: () => share.domain?.releaseDoorbells(share.pages),
    };
    return share;
  }

  compose(message: Message, block: MsiBlock): Message {
    const domain =
      this.preview && this.preview.device === block.device ? this.preview.domain : this.domainOf(block.device);
    if (domain.target === 'identity') return message;
    const iova = domain.doorbellIova(message.addressHi * 0x1_0000_0000 + message.addressLo);
    // A blocked device has no live block: `detach` refuses, and `prepare` has mapped every doorbell of the chain.
    if (iova < 0) return message;
    return { addressHi: Math.floor(iova / 0x1_0000_0000), addressLo: iova >>> 0, data: message.data };
  }

  /**
   * Reserves the doorbells' pages in a domain for a device. Nothing is written.
   * Errors: `MSI_DOMAIN_BLOCKED`, `MSI_WINDOW_MISSING`, `MSI_WINDOW_EXHAUSTED`, `MSI_WINDOW_UNREACHABLE`.
   */
  plan(domain: Domain, device: Device, doorbells: readonly Doorbell[], addressBits: number): readonly number[] {
    if (domain.target === 'identity') return [];
    if (domain.target === 'blocked') throw domainBlocked(device.name, this.name);
    let window = domain.msiWindow;
    const owner = domain.parent ?? domain;
    const granule = owner.table!.granule;
    if (window === null) {
      const needed = pagesOf(doorbells, granule).length;
      // A dma domain's addresses are the core's own business: it finds the place itself.
      if (owner.type !== 'dma') {
        throw windowMissing(device.name, domain.name, {
          needed,
          free: 0,
          granule,
          stride: owner.table!.doorbellStride ?? granule,
          doorbells: withPages(doorbells, granule),
          smallest: spanOf(needed, granule, owner.table!.doorbellStride),
        });
      }
      const size = Math.max(
        spanOf(needed, granule, owner.table!.doorbellStride),
        Math.min(0x10_0000, owner.aperture.last + 1),
      );
      const limit = 2 ** Math.min(addressBits, device.dmaBits) - 1;
      window = owner.placeOwnWindow(size, limit);
    }
    const pages = window.reserve(device.name, doorbells);
    for (const doorbell of doorbells) {
      const iova = domain.doorbellIova(doorbell.address);
      for (const [bits, what] of [
        [addressBits, 'an MSI address'],
        [device.dmaBits, 'a DMA address'],
      ] as const) {
        if (iova < 2 ** bits) continue;
        owner.releaseDoorbells(pages);
        throw windowUnreachable(device.name, window.range, iova, bits, what);
      }
    }
    return pages;
  }

  /** Runs `body` with messages composed as if the device were in `domain` already. */
  previewing<T>(device: Device, domain: Domain, body: () => T): T {
    this.preview = { device, domain };
    try {
      return body();
    } finally {
      this.preview = null;
    }
  }
}

import type { Range } from '@doorbell/platform';
import type { Domain } from './domain.js';
import type { DoorbellPage } from './errors.js';
import type { DomainTable, UnitCapabilities } from './unit.js';

/** Names as in the Linux IOMMU API; `nested` is a guest's stage 1 on a parent. */
export type DomainType = 'unmanaged' | 'dma' | 'identity' | 'blocked' | 'nested';

/** When stale translations end: `strict` before `unmap` returns, `lazy` with the next `flush` (by hand or after 256 unmaps). */
export type FlushMode = 'strict' | 'lazy';

/** How the window of a nested domain looks from the guest. */
export interface GuestView {
  /** Where the guest's stage 1 has the parent's doorbell IOVA; default: at the same address. */
  doorbell(parentIova: number): number;
}

export interface DomainSetup {
  readonly name: string;
  readonly type: DomainType;
  readonly flush: FlushMode;
  /** Null for identity and blocked. */
  readonly table: DomainTable | null;
  readonly capabilities: UnitCapabilities | null;
  readonly parent: Domain | null;
  readonly guest: GuestView | null;
}

/** What a caller has to reserve for MSIs, before anything needs it. */
export interface MsiDemand {
  readonly pages: number;
  /** Bytes of one page. */
  readonly granule: number;
  readonly bytes: number;
  readonly doorbells: readonly DoorbellPage[];
  /** The fixed window that makes a reservation needless; null where MSIs are translated. */
  readonly fixed: Range | null;
}

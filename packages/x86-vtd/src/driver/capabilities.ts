import { getAt } from '@doorbell/bits';
import type { RegisterPort } from '@doorbell/platform';
import { CAP, ECAP, froOf, iroOf, VER } from '../spec/index.js';

/** What the unit says of itself, read once. */
export interface VtdCapabilities {
  /** Levels of second-stage tables that SAGAW lists, ascending: 3, 4, 5. */
  readonly levels: readonly number[];
  /** Bits of an input address. */
  readonly inputBits: number;
  readonly m2: boolean;
  readonly g1: boolean;
  readonly cachingMode: boolean;
  readonly writeBufferFlush: boolean;
  readonly pageSelective: boolean;
  /** What an IOTLB invalidation can drain. */
  readonly drain: { readonly reads: boolean; readonly writes: boolean };
  /** The largest address mask of an invalidation. */
  readonly maxAddressMask: number;
  readonly domains: number;
  readonly faultRecords: number;
  /** Byte offsets. */
  readonly faultOffset: number;
  readonly iotlbOffset: number;
  readonly enhancedSetRoot: boolean;
  readonly enhancedSetInterruptTable: boolean;
  readonly queuedInvalidation: boolean;
  readonly interruptRemapping: boolean;
  readonly extendedInterruptMode: boolean;
  readonly passThrough: boolean;
  /** Architecture version, major. */
  readonly major: number;
}

export function readCapabilities(registers: RegisterPort): VtdCapabilities {
  const cap = Uint32Array.of(registers.read32(CAP.$.at), registers.read32(CAP.$.at + 4));
  const ecap = Uint32Array.of(registers.read32(ECAP.$.at), registers.read32(ECAP.$.at + 4));
  const sagaw = getAt(cap, 0, CAP.SAGAW);
  return {
    levels: [3, 4, 5].filter((level) => sagaw & (1 << (level - 2))),
    inputBits: getAt(cap, 0, CAP.MGAW) + 1,
    m2: getAt(cap, 0, CAP.SSLPS_2M) === 1,
    g1: getAt(cap, 0, CAP.SSLPS_1G) === 1,
    cachingMode: getAt(cap, 0, CAP.CM) === 1,
    writeBufferFlush: getAt(cap, 0, CAP.RWBF) === 1,
    pageSelective: getAt(cap, 0, CAP.PSI) === 1,
    drain: { reads: getAt(cap, 0, CAP.DRD) === 1, writes: getAt(cap, 0, CAP.DWD) === 1 },
    maxAddressMask: getAt(cap, 0, CAP.MAMV),
    domains: 2 ** Math.min(16, 4 + 2 * getAt(cap, 0, CAP.ND)),
    faultRecords: getAt(cap, 0, CAP.NFR) + 1,
    faultOffset: froOf(cap[1]!, cap[0]!),
    iotlbOffset: iroOf(ecap[0]!),
    enhancedSetRoot: getAt(cap, 0, CAP.ESRTPS) === 1,
    enhancedSetInterruptTable: getAt(cap, 0, CAP.ESIRTPS) === 1,
    queuedInvalidation: getAt(ecap, 0, ECAP.QI) === 1,
    interruptRemapping: getAt(ecap, 0, ECAP.IR) === 1,
    extendedInterruptMode: getAt(ecap, 0, ECAP.EIM) === 1,
    passThrough: getAt(ecap, 0, ECAP.PT) === 1,
    major: registers.read32(VER.$.at) >>> VER.MAX.lsb,
  };
}

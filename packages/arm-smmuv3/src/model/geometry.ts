import { levelShift, startLevel } from '../spec/index.js';
import { EXEC, READ, WRITE } from '@doorbell/platform';
import { PRIVILEGED_SHIFT } from './tlb.js';

/** One tree of tables (TTB0, TTB1 or S2TTB), with everything that the walk needs computed once. */
export interface Half {
  /** False: no such half, or EPDx = 1; every access is F_TRANSLATION. */
  readonly enabled: boolean;
  readonly upper: boolean;
  readonly tbi: boolean;
  /** Bits of the address that must equal bit 55; of an IPA, be 0. */
  readonly signHi: number;
  readonly signLo: number;
  readonly base: number;
  readonly g: number;
  readonly start: number;
  /** Lowest address bit that the first level resolves. */
  readonly shift: number;
  /** Entries of the first table − 1; those of concatenated tables count together. */
  readonly firstMask: number;
  /** APTable, UXNTable, PXNTable do not count: HADx, and stage 2. */
  readonly had: boolean;
  /** `base` as a signed word where a quick walk may be tried: 4 KiB granule, three or four levels, below 2^32; else 0. */
  readonly near: number;
}

export interface HalfOptions {
  readonly enabled: boolean;
  readonly upper?: boolean;
  readonly tbi?: boolean;
  readonly had: boolean;
  readonly txsz: number;
  readonly g: number;
  readonly ttb: number;
  /** First level, where it is not that of a stage 1 of this size: S2SL0. */
  readonly start?: number;
}

export function makeHalf(o: HalfOptions): Half {
  const g = o.g === 0 ? 12 : o.g;
  const inputBits = 64 - o.txsz;
  const start = o.start ?? startLevel(g, inputBits);
  const shift = levelShift(g, start);
  const firstBits = Math.max(0, inputBits - shift);
  const size = Math.max(64, 8 * 2 ** firstBits);
  const top = (o.tbi ? 0x00ff_ffff : 0xffff_ffff) >>> 0;
  const base = o.ttb - (o.ttb % size);
  const usual = o.enabled && !o.upper && !o.tbi && g === 12 && start < 2 && inputBits >= 32;
  return {
    enabled: o.enabled,
    upper: o.upper ?? false,
    tbi: o.tbi ?? false,
    signHi: (inputBits >= 32 ? top & ~(2 ** (inputBits - 32) - 1) : top) | 0,
    signLo: (inputBits >= 32 ? 0 : ~(2 ** inputBits - 1)) | 0,
    base,
    g,
    start,
    shift,
    firstMask: 2 ** firstBits - 1,
    had: o.had,
    near: usual && base < 2 ** 32 ? base | 0 : 0,
  };
}

/** What decides about an address apart from its tables. */
export interface WalkRules {
  /** Table and leaf addresses beyond this are F_ADDR_SIZE: 2^min(IPS, OAS), 2^min(S2PS, OAS). */
  readonly limit: number;
  readonly affd: boolean;
  /** CD.WXN and CD.PAN, as `WXN` and `PAN`; or `SECOND`. */
  readonly rightsKey: number;
}

/** Bits of `WalkRules.rightsKey`. */
export const WXN = 16;
export const PAN = 32;
/** A stage-2 descriptor: S2AP and XN where stage 1 has AP, PXN and UXN. */
export const SECOND = 64;

/**
 * §9: rights by bits 7:6 of a leaf, its bits 54:53 (as 3:2), and `rightsKey`; both privileges' as the TLB keeps them. Stage 1: AP[2:1], UXN,
 * PXN. Stage 2: S2AP, XN[1:0] of which without XNX only bit 54 counts, and which does not ask for a privilege.
 */
export const RIGHTS = Uint8Array.from({ length: 128 }, (_, key) => {
  if (key & SECOND) {
    const rights = (key & 3) | (key & 8 ? 0 : EXEC);
    return rights | (rights << PRIVILEGED_SHIFT);
  }
  const user = (key & 1) !== 0;
  const writable = (key & 2) === 0;
  const wxn = (key & WXN) !== 0;
  let unprivileged = 0;
  if (user) unprivileged = writable ? READ | WRITE : READ;
  let privileged = (key & PAN) !== 0 && user ? 0 : writable ? READ | WRITE : READ;
  if ((key & 8) === 0 && !(wxn && user && writable)) unprivileged |= EXEC;
  if ((key & 4) === 0 && !(user && writable) && !(wxn && writable)) privileged |= EXEC;
  return unprivileged | (privileged << PRIVILEGED_SHIFT);
});

/** Rights of a leaf with what the tables above take away: descriptor bits 62:59 of them all, as bits 30:27 of the upper word. */
export function rightsOf(dlo: number, dhi: number, inherited: number, rightsKey: number): number {
  const leaf = ((dlo >>> 6) & 3) | ((dhi >>> 19) & 12);
  // APTable[0] takes AP[1] away, APTable[1] sets AP[2]; UXNTable and PXNTable set UXN and PXN
  const above = (leaf & ~((inherited >>> 29) & 1)) | ((inherited >>> 29) & 2) | ((inherited >>> 25) & 12);
  return RIGHTS[above | rightsKey]!;
}

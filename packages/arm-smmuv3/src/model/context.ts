import { getAddress, getAt } from '@doorbell/bits';
import { CD, STE, TG0_BITS, TG1_BITS } from '../spec/index.js';
import type { Features } from './features.js';
import { effectiveIps } from './legality.js';
import { tagHash } from './tlb.js';
import { makeHalf, PAN, WXN, type Half, type WalkRules } from './walk.js';

export const KIND = { ABORT: 0, BYPASS: 1, STAGE1: 2 } as const;

/** Everything that a stream's STE and CD say, decoded: what the fast path reads. */
export interface Context {
  readonly sid: number;
  /** -1: transactions without SSID. */
  readonly ssid: number;
  readonly kind: number;
  /** VMID << 16 | ASID. */
  readonly tag: number;
  readonly hash: number;
  /** Stage 1 whose TLB key is the address as it stands and whose accesses are taken as they come: the fast path serves it. */
  readonly plain: boolean;
  /** Some half ignores the top byte: the TLB's key is not the address as it stands. */
  readonly anyTbi: boolean;
  /** PRIVCFG or INSTCFG replace what the transaction says. */
  readonly overrides: boolean;
  readonly privCfg: number;
  readonly instCfg: number;
  /** CD.R: record translation-related faults. */
  readonly record: boolean;
  readonly lower: Half;
  readonly upper: Half;
  readonly rules: WalkRules;
}

const NO_HALF = makeHalf({ enabled: false, upper: false, tbi: false, had: false, txsz: 16, g: 12, ttb: 0 });
const NO_RULES: WalkRules = { limit: 0, affd: false, rightsKey: 0 };

/** A stream that is not translated: bypass or abort. */
export const plainContext = (sid: number, ssid: number, kind: number): Context => ({
  sid,
  ssid,
  kind,
  tag: 0,
  hash: 0,
  plain: false,
  anyTbi: false,
  overrides: false,
  privCfg: 0,
  instCfg: 0,
  record: true,
  lower: NO_HALF,
  upper: NO_HALF,
  rules: NO_RULES,
});

/** Of no stream. */
export const NOBODY = plainContext(-1, -2, KIND.ABORT);

/** A legal STE and CD with Config = S1. */
export function stage1Context(sid: number, ssid: number, ste: Uint32Array, cd: Uint32Array, f: Features): Context {
  const at = (field: Parameters<typeof getAt>[2]) => getAt(cd, 0, field);
  // S2P = 0: VMID is RES0, so the tag is the ASID alone
  const tag = at(CD.ASID);
  const privCfg = f.permsOverride ? getAt(ste, 0, STE.PRIVCFG) : 0;
  const instCfg = f.permsOverride ? getAt(ste, 0, STE.INSTCFG) : 0;
  const anyTbi = at(CD.TBI0) === 1 || at(CD.TBI1) === 1;
  const overrides = privCfg > 1 || instCfg > 1;
  return {
    sid,
    ssid,
    kind: KIND.STAGE1,
    tag,
    hash: tagHash(tag),
    plain: !anyTbi && !overrides,
    anyTbi,
    overrides,
    privCfg,
    instCfg,
    record: at(CD.R) === 1,
    lower: makeHalf({
      enabled: at(CD.EPD0) === 0,
      upper: false,
      tbi: at(CD.TBI0) === 1,
      had: f.had && at(CD.HAD0) === 1,
      txsz: at(CD.T0SZ),
      g: TG0_BITS[at(CD.TG0)]!,
      ttb: getAddress(cd, 0, CD.TTB0),
    }),
    upper: makeHalf({
      enabled: at(CD.EPD1) === 0,
      upper: true,
      tbi: at(CD.TBI1) === 1,
      had: f.had && at(CD.HAD1) === 1,
      txsz: at(CD.T1SZ),
      g: TG1_BITS[at(CD.TG1)]!,
      ttb: getAddress(cd, 0, CD.TTB1),
    }),
    rules: {
      limit: 2 ** effectiveIps(cd, f),
      affd: at(CD.AFFD) === 1,
      rightsKey: (at(CD.WXN) ? WXN : 0) | (at(CD.PAN) ? PAN : 0),
    },
  };
}

import { getAddress, getAt } from '@doorbell/bits';
import { CD, STE, TG0_BITS, TG1_BITS } from '../spec/index.js';
import type { Features } from './features.js';
import { effectiveIps } from './legality.js';
import { makeHalf, PAN, WXN, type Half, type WalkRules } from './geometry.js';
import type { Stage2 } from './second-stage.js';
import { STAGE2, tagHash, tagOf } from './tlb.js';

export const KIND = { ABORT: 0, BYPASS: 1, STAGE1: 2, STAGE2: 3, NESTED: 4 } as const;

/** Everything that a stream's STE and CD say, decoded: what the fast path reads. */
export interface Context {
  readonly sid: number;
  /** -1: transactions without SSID. */
  readonly ssid: number;
  readonly kind: number;
  /** VMID << 16 | ASID. */
  readonly tag: number;
  /** `STAGE2` where its TLB entries are those of stage 2 alone. */
  readonly world: number;
  readonly hash: number;
  /** Translated, its TLB key is the address as it stands and accesses are taken as they come: the fast path serves it. */
  readonly plain: boolean;
  /** The tables that a miss of the fast path may walk quickly, and what holds for them. */
  readonly quick: Half;
  readonly rules: WalkRules;
  /** PRIVCFG or INSTCFG replace what the transaction says. */
  readonly overrides: boolean;
  readonly privCfg: number;
  readonly instCfg: number;
  /** CD.R: record translation-related faults of stage 1. */
  readonly record: boolean;
  readonly lower: Half;
  readonly upper: Half;
  readonly stage2: Stage2 | null;
}

const NO_HALF = makeHalf({ enabled: false, had: false, txsz: 16, g: 12, ttb: 0 });
const NO_RULES: WalkRules = { limit: 0, affd: false, rightsKey: 0 };

/** A stream that is not translated: bypass or abort. */
export const plainContext = (sid: number, ssid: number, kind: number): Context => ({
  sid,
  ssid,
  kind,
  tag: 0,
  world: 0,
  hash: 0,
  plain: false,
  quick: NO_HALF,
  rules: NO_RULES,
  overrides: false,
  privCfg: 0,
  instCfg: 0,
  record: true,
  lower: NO_HALF,
  upper: NO_HALF,
  stage2: null,
});

/** Of no stream. */
export const NOBODY = plainContext(-1, -2, KIND.ABORT);

/** §5.2: the overrides act only with IDR1.ATTR_PERMS_OVR. */
function overridesOf(ste: Uint32Array, f: Features) {
  const privCfg = f.permsOverride ? getAt(ste, 0, STE.PRIVCFG) : 0;
  const instCfg = f.permsOverride ? getAt(ste, 0, STE.INSTCFG) : 0;
  return { privCfg, instCfg, overrides: privCfg > 1 || instCfg > 1 };
}

/** A legal STE whose stage 1 is off or bypassed. */
export function stage2Context(sid: number, ssid: number, ste: Uint32Array, stage2: Stage2, f: Features): Context {
  const o = overridesOf(ste, f);
  return {
    ...plainContext(sid, ssid, KIND.STAGE2),
    ...o,
    tag: stage2.tag,
    world: STAGE2,
    hash: stage2.hash,
    plain: !o.overrides,
    quick: stage2.half,
    rules: stage2.rules,
    record: stage2.record,
    stage2,
  };
}

/** A legal STE and CD with stage 1 on; `stage2` null with Config = S1. */
export function stage1Context(
  sid: number,
  ssid: number,
  ste: Uint32Array,
  cd: Uint32Array,
  stage2: Stage2 | null,
  f: Features,
): Context {
  const at = (field: Parameters<typeof getAt>[2]) => getAt(cd, 0, field);
  // the VMID tags stage-1 entries also with stage 2 off; S2P = 0: it is RES0
  const tag = tagOf(f.s2p ? getAt(ste, 0, STE.S2VMID) : 0, at(CD.ASID));
  const o = overridesOf(ste, f);
  const lower = makeHalf({
    enabled: at(CD.EPD0) === 0,
    tbi: at(CD.TBI0) === 1,
    had: f.had && at(CD.HAD0) === 1,
    txsz: at(CD.T0SZ),
    g: TG0_BITS[at(CD.TG0)]!,
    ttb: getAddress(cd, 0, CD.TTB0),
  });
  return {
    sid,
    ssid,
    kind: stage2 ? KIND.NESTED : KIND.STAGE1,
    tag,
    world: 0,
    hash: tagHash(tag, 0),
    plain: at(CD.TBI0) === 0 && at(CD.TBI1) === 0 && !o.overrides,
    quick: stage2 ? NO_HALF : lower,
    ...o,
    record: at(CD.R) === 1,
    lower,
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
    stage2,
  };
}

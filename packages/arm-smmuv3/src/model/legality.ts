import { getAddress, getAt } from '@doorbell/bits';
import { ADDRESS_BITS, CD, CONFIG, stage2StartFits, startLevelOfSl0, STE, TG0_BITS, TG1_BITS } from '../spec/index.js';
import type { Features } from './features.js';
import { effectiveS2ps } from './second-stage.js';

/** S1CDMax as it counts: ignored, not illegal, while the unit has no substreams. */
export const cdBits = (ste: Uint32Array, f: Features): number => (f.ssidBits === 0 ? 0 : getAt(ste, 0, STE.S1CDMax));

/** Why an STE of a non-secure stream is C_BAD_STE, in the order of §5.2.2; null where it is legal. */
export function badSte(ste: Uint32Array, f: Features): string | null {
  if (getAt(ste, 0, STE.V) === 0) return 'V = 0';
  const config = getAt(ste, 0, STE.Config);
  if (config < CONFIG.BYPASS) return null; // an aborting STE is never bad
  const stage1 = (config & 1) === 1;
  const stage2 = (config & 2) === 2;
  if (stage1 && !f.s1p) return 'Config enables stage 1, IDR0.S1P = 0';
  if (stage2 && !f.s2p) return 'Config enables stage 2, IDR0.S2P = 0';
  if (config === CONFIG.S1 && f.hyp && (getAt(ste, 0, STE.STRW) & 1) === 1) return 'STRW = x1';
  if (stage1) {
    if (getAt(ste, 0, STE.S1STALLD) === 1 && f.stallModel !== 0) return 'S1STALLD = 1 with STALL_MODEL ≠ 0';
    const max = cdBits(ste, f);
    if (max > f.ssidBits) return 'S1CDMax > SSIDSIZE';
    const fmt = getAt(ste, 0, STE.S1Fmt);
    if (max !== 0 && !f.cd2l && (fmt === 1 || fmt === 2)) return 'two-level S1Fmt, IDR0.CD2L = 0';
    // an IPA where stage 2 is on: IAS, which is OAS while there are AArch64 tables only
    if (getAddress(ste, 0, STE.S1ContextPtr) >= 2 ** f.oasBits) return 'S1ContextPtr outside OAS';
  }
  if (stage2) {
    const bad = badStage2(ste, f);
    if (bad) return bad;
  }
  // the VMID counts also under a stage 1 alone, in the NS-EL1 world
  const vmid = stage2 || (config === CONFIG.S1 && f.s2p && !(f.hyp && getAt(ste, 0, STE.STRW) === 2));
  if (vmid && !f.vmid16 && getAt(ste, 0, STE.S2VMID) > 0xff) return 'S2VMID[15:8] ≠ 0, VMID16 = 0';
  return null;
}

/** Group 6 of §5.2.2. */
function badStage2(ste: Uint32Array, f: Features): string | null {
  const at = (field: Parameters<typeof getAt>[2]) => getAt(ste, 0, field);
  if (f.stallModel === 1 && at(STE.S2S) === 1) return 'S2S = 1 with STALL_MODEL 1';
  if (f.stallModel === 2 && at(STE.S2S) === 0) return 'S2S = 0 with STALL_MODEL 2';
  if (at(STE.S2AA64) === 0) return 'S2AA64 = 0, TTF has AArch64 only';
  if (at(STE.S2HA) === 1 || at(STE.S2HD) === 1) return 'S2HA or S2HD set, HTTU = 0';
  const g = TG0_BITS[at(STE.S2TG)]!;
  if (!f.granule(g)) return 'S2TG reserved or not in IDR5';
  const reach = effectiveS2ps(ste, f);
  if (getAddress(ste, 0, STE.S2TTB) >= 2 ** reach) return `S2TTB outside ${reach} bits`;
  const txsz = at(STE.S2T0SZ);
  const min = Math.max(16, 64 - f.oasBits);
  const max = !f.stt ? 39 : g === 16 ? 47 : 48;
  if (txsz < min || txsz > max) return `S2T0SZ = ${txsz} is out of ${min}–${max}`;
  const level = startLevelOfSl0(g, at(STE.S2SL0));
  if (level < 0 || (level === 3 && g === 12 && !f.stt)) return `S2SL0 = ${at(STE.S2SL0)} is reserved for this granule`;
  if (!stage2StartFits(g, level, 64 - txsz)) return `S2T0SZ = ${txsz} and a start at level ${level} do not fit`;
  if (at(STE.S2ENDI) === 1) return 'S2ENDI = 1, tables are little-endian here';
  return null;
}

/** Output address bits of a CD: min(IPS, OAS). */
export const effectiveIps = (cd: Uint32Array, f: Features): number =>
  Math.min(ADDRESS_BITS[getAt(cd, 0, CD.IPS)]!, f.oasBits);

/** Why a CD is C_BAD_CD (§5.4.2); null where it is legal. `ste` is the one that named it. */
export function badCd(cd: Uint32Array, ste: Uint32Array, f: Features): string | null {
  const at = (field: Parameters<typeof getAt>[2]) => getAt(cd, 0, field);
  if (at(CD.V) === 0) return 'V = 0';
  if (getAt(ste, 0, STE.S1STALLD) === 1 && at(CD.S) === 1) return 'S = 1 under STE.S1STALLD';
  if (f.termModel === 1 && at(CD.A) === 0) return 'A = 0 with TERM_MODEL = 1';
  if (f.stallModel === 1 && at(CD.S) === 1) return 'S = 1 with STALL_MODEL 1';
  if (f.stallModel === 2 && at(CD.S) === 0) return 'S = 0 with STALL_MODEL 2';
  if (at(CD.ENDI) === 1 && !(at(CD.EPD0) === 1 && at(CD.EPD1) === 1)) return 'ENDI = 1, tables are little-endian here';
  if (at(CD.AA64) === 0) return 'AA64 = 0, TTF has AArch64 only';
  if (at(CD.HA) === 1 || at(CD.HD) === 1 || at(CD.HAFT) === 1) return 'HA, HD or HAFT set, HTTU = 0';
  if (!f.asid16 && at(CD.ASID) > 0xff) return 'ASID[15:8] ≠ 0, ASID16 = 0';
  if (at(CD.EPD0) === 0) {
    const bad = badHalf(at(CD.T0SZ), TG0_BITS[at(CD.TG0)]!, getAddress(cd, 0, CD.TTB0), effectiveIps(cd, f), f);
    if (bad) return bad.replaceAll('x', '0');
  }
  if (at(CD.EPD1) === 0) {
    const bad = badHalf(at(CD.T1SZ), TG1_BITS[at(CD.TG1)]!, getAddress(cd, 0, CD.TTB1), effectiveIps(cd, f), f);
    if (bad) return bad.replaceAll('x', '1');
  }
  return null;
}

function badHalf(txsz: number, g: number, ttb: number, ips: number, f: Features): string | null {
  const max = !f.stt ? 39 : g === 16 ? 47 : 48;
  if (txsz < 16 || txsz > max) return `TxSZ = ${txsz} is out of 16–${max}`;
  if (!f.granule(g)) return 'TGx reserved or not in IDR5';
  if (ttb >= 2 ** Math.min(ips, 48)) return `TTBx outside ${Math.min(ips, 48)} bits`;
  return null;
}

import { getAt, setAddress, setAt } from '@doorbell/bits';
import { CONFIG, STE, TG0_BITS } from '../spec/index.js';
import type { Stage2Table } from './stage2-table.js';

/** Words of an STE that this driver ever sets: DW0 to DW3. */
export const STE_WORDS = 8;

/** What an STE should say. Doublewords that its Config does not look at stay as they are. */
export interface Ste {
  /** DW0 to DW3, low word first. */
  readonly words: Uint32Array;
  /** Which doublewords count: bit n for DWn. */
  readonly decides: number;
}

/** DW1 of every STE whose stage 1 is ours: the same, so that one 64-bit write switches a stream between such. */
const OWN_DW1 = (w: Uint32Array): Uint32Array => {
  setAt(w, 0, STE.S1CIR, 1); // CD fetches: write-back, read-allocate,
  setAt(w, 0, STE.S1COR, 1);
  setAt(w, 0, STE.S1CSH, 3); // inner shareable
  setAt(w, 0, STE.SHCFG, 1); // traffic: as it comes
  return w;
};

const start = (config: number): Uint32Array => {
  const w = OWN_DW1(new Uint32Array(STE_WORDS));
  setAt(w, 0, STE.V, 1);
  setAt(w, 0, STE.Config, config);
  return w;
};

export const STE_ABORT: Ste = { words: start(CONFIG.ABORT), decides: 1 };
export const STE_BYPASS: Ste = { words: start(CONFIG.BYPASS), decides: 1 };

/** A stage 1 of ours under VMID 0. */
export const steStage1 = (cd: number): Ste => {
  const words = start(CONFIG.S1);
  setAddress(words, 0, STE.S1ContextPtr, cd);
  return { words, decides: 0b0111 };
};

/** A stage 2 alone. DW1's stage-1 fields have no meaning then. */
export const steStage2 = (table: Stage2Table, vmid: number): Ste => {
  const words = start(CONFIG.S2);
  setAt(words, 0, STE.S2VMID, vmid);
  setAt(words, 0, STE.S2T0SZ, 64 - table.inputBits);
  setAt(words, 0, STE.S2SL0, table.sl0);
  setAt(words, 0, STE.S2IR0, 1); // walks: write-back,
  setAt(words, 0, STE.S2OR0, 1);
  setAt(words, 0, STE.S2SH0, 3); // inner shareable
  setAt(words, 0, STE.S2TG, TG0_BITS.indexOf(table.granuleBits));
  setAt(words, 0, STE.S2PS, table.outputField);
  setAt(words, 0, STE.S2AA64, 1);
  setAt(words, 0, STE.S2PTW, 1); // a guest's tables do not lie in device memory
  setAt(words, 0, STE.S2R, 1); // faults are recorded
  setAddress(words, 0, STE.S2TTB, table.rootAddress);
  return { words, decides: 0b1101 };
};

/** A guest's stage 1 on a stage 2 of ours. `guest`: its DW0 and DW1, vetted. */
export const steNested = (table: Stage2Table, vmid: number, guest: Uint32Array): Ste => {
  const { words } = steStage2(table, vmid);
  words.fill(0, 0, 4);
  words.set(guest.subarray(0, 4));
  setAt(words, 0, STE.Config, CONFIG.NESTED);
  setAt(words, 0, STE.SHCFG, 1);
  return { words, decides: 0b1111 };
};

/** Bits of words 2 to 7 that an STE's Config looks at (§5.2). The VMID counts under a stage 1 alone where the unit has a stage 2. */
export function looksAt(words: Uint32Array, stage2: boolean): Uint32Array {
  const config = getAt(words, 0, STE.Config);
  const used = new Uint32Array(STE_WORDS);
  if (config < CONFIG.BYPASS) return used;
  if (config & 1) {
    used[2] = 0xffff_ffff;
    if (stage2) used[4] = STE.S2VMID.mask;
  }
  used[3] = 0xffff_ffff;
  if (config & 2) used.fill(0xffff_ffff, 4);
  return used;
}

import { CLASS } from '../spec/index.js';

/** Where a translation-related fault was found: what its record says besides the transaction (§7.3). */
export class FaultSite {
  /** Stage 2 found it. */
  s2 = false;
  /** What the access was for: `CLASS`. */
  class: number = CLASS.IN;
  /** w7:w6: the address of a fetch that failed, or the IPA; -1: none. */
  address = -1;

  /** Stage 1, or a fault that has no stage. */
  input(): void {
    this.s2 = false;
    this.class = CLASS.IN;
    this.address = -1;
  }

  /** A descriptor of stage 1 that nothing answers for. */
  stage1Fetch(at: number): void {
    this.s2 = false;
    this.class = CLASS.TT;
    this.address = at;
  }

  /** A fetch of an STE, a CD or a level-1 descriptor that nothing answers for. */
  configurationFetch(at: number): void {
    this.s2 = false;
    this.class = CLASS.CD;
    this.address = at;
  }

  /** Stage 2, which was asked for the sake of `purpose`: the IPA's page, or the stage-2 descriptor's address for F_WALK_EABT. */
  stage2(purpose: number, address: number): void {
    this.s2 = true;
    this.class = purpose;
    this.address = address;
  }
}

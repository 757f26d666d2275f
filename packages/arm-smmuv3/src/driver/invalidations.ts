import { ranged, tlbiAsid, tlbiIpa, tlbiVa, tlbiVmid, tlbiVmidStage1, type Command } from './command-queue.js';
import type { VmidUse } from './contexts.js';
import type { Stage2Table } from './stage2-table.js';
import type { Stage1Table } from './table.js';

/** Single-address TLBIs that a flush sends at most; beyond, the whole context goes. */
const MOST_TLBIS = 64;
/** CMD_TLBI.TG by log2 of the granule. */
const COMMAND_TG: Readonly<Record<number, number>> = { 12: 1, 14: 2, 16: 3 };

/** What a unit has to be told when mappings go. */
export class Invalidations {
  /** The most usual invalidation, again and again. */
  private readonly single: Command[] = [tlbiVa(0, 0)];

  /** `ranges`: IDR3.RIL. */
  constructor(private readonly ranges: boolean) {}

  stage1(asid: number, table: Stage1Table, iova: number, size: number): readonly Command[] {
    if (size === table.granule) {
      tlbiVa(asid, iova, this.single[0]);
      return this.single;
    }
    return this.addresses(
      table,
      iova,
      size,
      (at) => tlbiVa(asid, at),
      () => tlbiAsid(asid),
    );
  }

  /** Stage 2 by IPA; what a guest's stage 1 was combined with it is found by no IPA, so that all of it goes. */
  stage2(use: VmidUse, table: Stage2Table, ipa: number, size: number): readonly Command[] {
    const { vmid, guests } = use;
    const commands = this.addresses(
      table,
      ipa,
      size,
      (at) => tlbiIpa(vmid, at),
      () => tlbiVmid(vmid),
    );
    return guests ? [...commands, tlbiVmidStage1(vmid)] : commands;
  }

  private addresses(
    { granule, granuleBits }: { readonly granule: number; readonly granuleBits: number },
    first: number,
    size: number,
    one: (at: number) => Command,
    all: () => Command,
  ): Command[] {
    let left = size / granule;
    if (!this.ranges) {
      if (left > MOST_TLBIS) return [all()];
      return Array.from({ length: left }, (_, i) => one(first + i * granule));
    }
    const commands: Command[] = [];
    for (let at = first; left > 0; ) {
      // (NUM + 1) · 2^SCALE granules, NUM < 32: the low bits of what is left go first
      let scale = 0;
      while (scale < 31 && left % 2 ** (scale + 1) === 0) scale++;
      const n = Math.min((left / 2 ** scale) % 32 || 32, 32);
      const granules = n * 2 ** scale;
      commands.push(granules === 1 ? one(at) : ranged(one(at), COMMAND_TG[granuleBits]!, n - 1, scale));
      at += granules * granule;
      left -= granules;
    }
    return commands;
  }
}

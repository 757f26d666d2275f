import { join64 } from '@doorbell/platform';
import { barCount } from '../spec/index.js';
import type { PciBridge } from './bridge.js';
import type { PciFunction } from './function.js';
import type { Bus, Topology } from './topology.js';

/** A BAR that an address hits. */
export interface Target {
  fn: PciFunction;
  bar: number;
  offset: number;
}

interface Claim {
  readonly first: number;
  readonly last: number;
  readonly fn: PciFunction;
  readonly bar: number;
}

interface Window {
  readonly first: number;
  readonly last: number;
}

/** Which function's BAR an address of the segment's memory space belongs to; follows bridge windows and command bits. */
export class Decoder {
  private claims: Claim[] = [];
  private stale = true;
  private last: Claim | undefined;
  private readonly answer: Target = { fn: undefined as unknown as PciFunction, bar: 0, offset: 0 };

  constructor(private readonly topology: Topology) {}

  changed(): void {
    this.stale = true;
  }

  /** The answer is reused by the next call. */
  find(hi: number, lo: number): Target | undefined {
    return hi >>> 20 ? undefined : this.at(join64(hi, lo));
  }

  at(address: number): Target | undefined {
    if (this.stale) this.rebuild();
    let claim = this.last;
    if (claim === undefined || address < claim.first || address > claim.last) claim = this.search(address);
    if (claim === undefined) return undefined;
    this.last = claim;
    this.answer.fn = claim.fn;
    this.answer.bar = claim.bar;
    this.answer.offset = address - claim.first;
    return this.answer;
  }

  private search(address: number): Claim | undefined {
    let lo = 0;
    let hi = this.claims.length - 1;
    while (lo <= hi) {
      const mid = (lo + hi) >>> 1;
      const c = this.claims[mid]!;
      if (address < c.first) hi = mid - 1;
      else if (address > c.last) lo = mid + 1;
      else return c;
    }
    return undefined;
  }

  private rebuild(): void {
    const found: Claim[] = [];
    const visit = (bus: Bus, open: (w: Window) => boolean): void => {
      for (const fn of bus.all()) {
        if ((fn.command & 2) === 0) continue;
        for (let bar = 0; bar < barCount('secondary' in fn ? 1 : 0); bar++) {
          const size = fn.definition.bars?.[bar]?.size;
          const first = size === undefined ? -1 : fn.barAddress(bar);
          if (size === undefined || first < 0) continue;
          const claim = { first, last: first + size - 1, fn, bar };
          if (open(claim)) found.push(claim);
        }
        if ('secondary' in fn) {
          const windows = (fn as PciBridge).windows();
          visit(
            (fn as PciBridge).secondary,
            (w) => open(w) && windows.some((x) => w.first >= x.first && w.last <= x.last),
          );
        }
      }
    };
    visit(this.topology.root, () => true);
    // Where BARs overlap, which is illegal, the lowest-numbered function answers.
    this.claims = [];
    for (const c of found.sort((a, b) => a.first - b.first || a.fn.requester - b.fn.requester))
      if (c.first > (this.claims[this.claims.length - 1]?.last ?? -1)) this.claims.push(c);
    this.last = undefined;
    this.stale = false;
  }
}

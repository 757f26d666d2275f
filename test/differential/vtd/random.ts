import { AT, EDU, R, table, TARGETS, type Bench } from './bench.js';
import type { Pair } from './compare.js';

/** xorshift32: the same seed gives the same configurations. */
export class Random {
  private s: number;
  constructor(seed: number) {
    this.s = (Math.imul(seed, 0x9e3779b9) ^ 0x85ebca6b) | 0 || 1;
  }
  below(n: number): number {
    this.s ^= this.s << 13;
    this.s ^= this.s >>> 17;
    this.s ^= this.s << 5;
    return (this.s >>> 0) % n;
  }
  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
}

/** A quadword of memory that the configuration writes. */
interface Entry {
  readonly at: number;
  hi: number;
  lo: number;
}

/** Bits of an entry that are no page address below 4 GiB: flipping one never leads into another device's registers. */
const FLIPS = [...Array(12).keys(), ...Array.from({ length: 32 }, (_, i) => 32 + i)];

/** A walk of its own for function 0: levels, indices, page size, rights; sometimes one bit is wrong. */
export function randomDma(p: Pair, r: Random, awBits: 39 | 48, verdicts: Map<string, number>): void {
  const levels = awBits === 39 || r.chance(30) ? 3 : 4;
  const leaf = r.pick([1, 1, 1, 2, 3]);
  const index = Array.from({ length: 5 }, (_, level) => (level === 4 ? r.below(256) : r.below(512)));
  const size = 4096 * 512 ** (leaf - 1);
  const target = r.pick(TARGETS);
  const base = target - (target % size);
  const right = () => (r.chance(94) ? 3 : r.pick([1, 2]));
  const entries: Entry[] = [];
  for (let level = levels; level >= leaf; level--) {
    const at = table(level) + 8 * index[level]!;
    const lo = level > leaf ? table(level - 1) | right() : (base | right() | (level > 1 ? 0x80 : 0)) >>> 0;
    entries.push({ at, hi: 0, lo });
  }
  const did = r.pick([1, 5, 0x1234, 0xffff]);
  const type = r.chance(5) ? 2 : 0;
  const fpd = r.chance(10) ? 2 : 0;
  const context = AT.context + 16 * EDU[0];
  entries.push({ at: context, hi: 0, lo: table(levels) | (type << 2) | fpd | 1 });
  entries.push({
    at: context + 8,
    hi: 0,
    lo: (did << 8) | (type === 2 ? awBits / 9 - 3 - ((awBits / 9) % 1) : levels - 2),
  });
  entries.push({ at: AT.root, hi: 0, lo: AT.context | 1 });
  const broken = r.chance(25) ? r.pick(entries) : null;
  if (broken) {
    const bit = r.pick(FLIPS);
    if (bit < 32) broken.lo = (broken.lo ^ (1 << bit)) >>> 0;
    else broken.hi = (broken.hi ^ (1 << (bit - 32))) >>> 0;
  }
  p.both((b) => entries.forEach(({ at, hi, lo }) => b.put(at, hi, lo)));

  // A page of 1 GiB is larger than RAM: stay in the part of it that is there.
  let iova = leaf === 3 ? 0x20_0000 + r.below(0x40_0000) * 4 : r.below(size / 4) * 4;
  for (let level = leaf; level <= levels; level++) iova += index[level]! * 4096 * 512 ** (level - 1);
  const [lo, hi] = [entries.find((e) => e.at === context)!, entries.find((e) => e.at === context + 8)!];
  const reserved = (lo.lo & 3) === 3 && entries.at(-1) !== broken && contextReserved(lo, hi, awBits);
  let cached = false;
  const access = (write: boolean) => {
    const seen = p.same((b) => (write ? b.write(iova) : b.read(iova)), {
      cached,
      ...(reserved && { fpdReserved: { iova, sid: EDU[0], write } }),
    });
    const verdict =
      seen['record'] === 1
        ? `fault 0x${Number(seen['reason']).toString(16)}`
        : seen['landed'] === 'nowhere'
          ? 'nowhere, unrecorded'
          : write
            ? 'landed'
            : fpd
              ? 'read, or not recorded (FPD)'
              : 'read';
    verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
    cached ||= verdict === 'landed' || verdict === 'read';
    p.both((b) => b.clearFaults());
    return verdict;
  };
  access(r.chance(50));
  access(r.chance(50));
  // The leaf moves: stale until its page is invalidated.
  const other = r.pick(TARGETS);
  const moved = (other - (other % size)) | (entries[levels - leaf]!.lo & 0xfff);
  const change = (b: Bench) => b.put(entries[levels - leaf]!.at, entries[levels - leaf]!.hi, moved >>> 0);
  p.both(change);
  if (r.chance(50)) access(true);
  const page = Math.floor(iova / 4096) * 4096;
  p.both((b) => b.command([0, ((did << 16) | 0x32) >>> 0], [Math.floor(page / 2 ** 32), page >>> 0]));
  cached = false;
  access(true);
  p.same((b) => b.registers('FSTS', 'IQH', 'GSTS'));
}

/** Reserved bits of a context entry by the fact sheet §3. */
const contextReserved = (lo: Entry, hi: Entry, haw: number): boolean =>
  (lo.lo & 0xff0) !== 0 || lo.hi >= 2 ** (haw - 32) || (hi.lo & 0xff00_0080) !== 0 || hi.hi !== 0;

/** An IRTE and messages by it, from both functions. */
export function randomInterrupt(p: Pair, r: Random, verdicts: Map<string, number>): void {
  const index = r.below(250);
  const logical = r.below(2);
  const mode = logical && r.chance(30) ? 1 : 0;
  const destination = logical ? r.pick([1, 2, 3]) : r.below(2);
  let low = (0x31 + r.below(200)) * 2 ** 16 + ((mode << 5) | (mode << 3) | (logical << 2) | 1);
  let dst = destination << 8;
  const svt = r.pick([0, 1, 1, 1, 1, 2, 2]);
  const sq = r.below(4);
  const sid = svt === 2 ? r.pick([0, 0, 0x0005, 0x0102]) : r.pick([EDU[0], EDU[0], EDU[0], 0x2f, EDU[1]]);
  let high = (svt << 18) | (sq << 16) | sid;
  if (r.chance(20)) {
    // What QEMU does with reserved delivery modes and with level-triggered MSIs is its own: those bits stay.
    const bit = r.pick([0, 1, 8, 11, 12, 13, 14, 15, 24, 31, 32, 39, 48, 63, 64, 67, 68, 79, 80, 82, 83, 84, 95]);
    if (bit < 32) low = (low ^ (1 << bit)) >>> 0;
    else if (bit < 64) dst = (dst ^ (1 << (bit - 32))) >>> 0;
    else high = (high ^ (1 << (bit - 64))) >>> 0;
  }
  const irte = [
    [dst, low],
    [0, high],
  ] as const;
  p.both((b) => b.irte(index, ...irte));
  for (const device of [0, 1]) {
    const sub = r.chance(40) ? r.below(Math.min(index, 7) + 1) : 0;
    const shv = sub > 0 || r.chance(50) ? 8 : 0;
    const message = [(0xfee0_0010 | ((index - sub) << 5) | shv) >>> 0, shv ? sub : r.below(0x100)] as const;
    const seen = p.same((b) => b.msi(...message, device), { irte, sid: EDU[device]!, message });
    const verdict =
      seen['record'] === 1
        ? `blocked 0x${Number(seen['reason']).toString(16)}`
        : seen['sent'] === 'nothing'
          ? 'blocked, unrecorded'
          : 'delivered';
    verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1);
    p.both((b) => b.clearFaults());
  }
  p.both((b) => b.set(R.ICS, 1));
}

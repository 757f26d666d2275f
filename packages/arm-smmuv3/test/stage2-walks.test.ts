import { EXEC, PRIVILEGED, READ, Verdict, WRITE } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { AT, RAM, Raw } from './raw.js';
import { SecondWalker, type Access, type Memory } from './second-walker.js';

/** Small and fast, and the same everywhere. */
function random(seed: number) {
  let s = seed >>> 0;
  const next = () => {
    s = (s + 0x6d2b79f5) >>> 0;
    let t = Math.imul(s ^ (s >>> 15), s | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (n: number) => Math.floor(next() * n);
  return { chance: (p: number) => next() < p, below, pick: <T>(of: readonly T[]) => of[below(of.length)]! };
}
type Random = ReturnType<typeof random>;

const PIECE = 0x1_0000n;
const OAS = 44;
const RAM_END = BigInt(RAM) + 2n ** 28n;
/** Where tables of stage 2 and what a guest owns are made up. */
const POOL = BigInt(RAM) + 0x400_0000n;
const GUEST = BigInt(RAM) + 0x800_0000n;
/** Where in a guest's piece its CD stands: seldom an entry that a walk goes through. */
const CD_AT = 0x7c0n;

interface Geometry {
  readonly g: number;
  readonly t0sz: number;
  readonly sl0: number;
}
/** Every start level, with one table and with several side by side (fact sheet §10). */
const STAGE2: readonly Geometry[] = [
  { g: 12, t0sz: 20, sl0: 2 },
  { g: 12, t0sz: 25, sl0: 1 },
  { g: 12, t0sz: 21, sl0: 1 }, // 43 bits: 16 tables
  { g: 12, t0sz: 32, sl0: 1 },
  { g: 12, t0sz: 39, sl0: 0 },
  { g: 12, t0sz: 30, sl0: 0 }, // 34 bits: 16 tables
  { g: 14, t0sz: 20, sl0: 2 },
  { g: 14, t0sz: 24, sl0: 1 }, // 40 bits: 16 tables
  { g: 14, t0sz: 28, sl0: 1 },
  { g: 14, t0sz: 39, sl0: 0 },
  { g: 16, t0sz: 20, sl0: 2 },
  { g: 16, t0sz: 20, sl0: 1 }, // 44 bits: 4 tables
  { g: 16, t0sz: 30, sl0: 1 },
  { g: 16, t0sz: 34, sl0: 0 },
];
const GRANULES = [12, 14, 16] as const;
const TG = { 12: 0, 16: 1, 14: 2 } as const;

/** Memory of a machine whose tables come into being when the second walker first looks at an entry. */
class Growing implements Memory {
  private readonly known = new Set<bigint>();
  /** A CD was read where tables are: what it says is nobody's intention. */
  stray = false;
  private tables = 0;
  private readonly byLevel = new Map<number, bigint[]>();

  constructor(
    private readonly r: Raw,
    private readonly rnd: Random,
    /** IPAs that a guest names. */
    private readonly ipas: readonly bigint[],
    /** Words of CDs: nothing may be made up over them. */
    private readonly cds: ReadonlySet<bigint>,
  ) {}

  has(at: bigint): boolean {
    return at >= BigInt(RAM) && at < RAM_END;
  }

  read64(at: bigint, stage: 0 | 1 | 2, level: number): bigint {
    if (stage !== 0 && !this.known.has(at) && !this.cds.has(at)) {
      this.known.add(at);
      const d = stage === 2 ? this.second(level) : this.first(level);
      this.r.quad(Number(at), Number(d >> 32n), Number(d & 0xffff_ffffn));
    }
    const { memoryModel: m } = this.r.platform;
    const d = (BigInt(m.read32(Number(at) + 4)) << 32n) | BigInt(m.read32(Number(at)));
    if (stage === 0 && d !== 0n && at >= POOL && !this.cds.has(at)) this.stray = true;
    return d;
  }

  /** Memory of the guest: its CD and its tables. */
  private guestPage(): bigint {
    return GUEST + PIECE * BigInt(this.rnd.below(8));
  }

  private table(level: number): bigint {
    const made = this.byLevel.get(level) ?? [];
    if (made.length < 4) {
      made.push(POOL + PIECE * BigInt(this.tables++));
      this.byLevel.set(level, made);
      return made.at(-1)!;
    }
    return this.rnd.pick(made);
  }

  private second(level: number): bigint {
    const { rnd } = this;
    let d = 0x400n | (BigInt(rnd.chance(0.96) ? 3 : rnd.below(4)) << 6n);
    d |= rnd.chance(0.97) ? 0x3cn : 0x04n; // write-back, or device-nGnRE
    d |= BigInt(rnd.below(4)) << 53n;
    if (rnd.chance(0.015)) d &= ~0x400n; // AF
    const kind = rnd.below(100);
    if (kind < 1) return d; // invalid
    if (kind < 2) return d | 1n | (level === 3 ? this.guestPage() : 0n); // reserved, or a block of what lies there
    if (level < 3 && kind < 22) return d | 1n | (this.guestPage() & ~((1n << 21n) - 1n));
    const to = level < 3 ? this.table(level + 1) : this.guestPage();
    if (kind > 98) return d | 3n | (to + (1n << BigInt(rnd.pick([33, 41, 45])))); // too far, or nothing there
    return d | 3n | to;
  }

  private first(level: number): bigint {
    const { rnd } = this;
    let d = 0x400n | (BigInt(rnd.chance(0.85) ? 1 : rnd.below(4)) << 6n) | (rnd.chance(0.3) ? 0n : 0x800n);
    d |= BigInt(rnd.below(4)) << 53n;
    if (rnd.chance(0.05)) d |= BigInt(rnd.below(16)) << 59n; // APTable and its like
    if (rnd.chance(0.015)) d &= ~0x400n;
    const kind = rnd.below(100);
    if (kind < 1) return d;
    const to = rnd.pick(this.ipas);
    if (kind < (level === 2 ? 12 : 2)) return d | 1n | to;
    if (kind > 98) return d | 3n | (to + (1n << BigInt(rnd.pick([36, 43, 46]))));
    return d | 3n | to;
  }
}

const hex = (v: bigint | number) => `0x${v.toString(16)}`;

/** The record that the fact sheet's §12 gives this event. */
function record(v: Extract<ReturnType<SecondWalker['ask']>, { kind: 'event' }>, va: bigint, a: Access): string[] {
  const configuration = v.event === 0x09 || v.event === 0x0a;
  const w3 = configuration
    ? 0
    : (a.privileged ? 2 : 0) |
      (a.exec && !a.write ? 4 : 0) |
      (a.write ? 0 : 8) |
      (v.s2 ? 0x80 : 0) |
      (v.class << 8) |
      (v.event === 0x13 && v.class === 1 ? 0x1000 : 0);
  const input = configuration ? 0n : va;
  return [v.event, 8, 0, w3, input & 0xffff_ffffn, input >> 32n, v.at & 0xffff_ffffn, v.at >> 32n].map(hex);
}

interface Tally {
  questions: number;
  translated: number;
  readonly events: Map<string, number>;
}

function judge(seed: number, nested: boolean, two: Geometry, g1: 12 | 14 | 16, tally: Tally): void {
  const rnd = random(seed);
  const r = new Raw({ stages: 'both', oas: OAS }).start();
  const bits = 64 - two.t0sz;
  const ipas = Array.from({ length: 10 }, () => {
    let ipa = 0n;
    for (const b of [16, 17, 21, 25, 29, 31, 33, 36, 39, 42]) if (b < bits && rnd.chance(0.3)) ipa |= 1n << BigInt(b);
    return ipa;
  });
  const s2ttb = POOL - 0x10_0000n; // aligned to the largest concatenation
  r.ste(8, {
    Config: nested ? 7 : 6,
    S1ContextPtr: Number(rnd.pick(ipas) + CD_AT),
    S2VMID: 1 + rnd.below(3),
    S2T0SZ: two.t0sz,
    S2SL0: two.sl0,
    S2TG: TG[two.g as 12],
    S2PS: rnd.chance(0.9) ? 5 : 1,
    S2AA64: 1,
    S2AFFD: rnd.below(2),
    S2PTW: rnd.below(2),
    S2R: rnd.chance(0.8) ? 1 : 0,
    S2TTB: Number(s2ttb),
  });
  // a CD in every guest page: which one S1ContextPtr leads to is stage 2's to say
  const near = ipas.map((ipa) => ipa & ((1n << 40n) - 1n)); // within 2^IPS, or the CD were not legal
  for (let i = 0n; i < 8n; i++) {
    r.cd(
      {
        T0SZ: rnd.pick([16, 20, 25, 32, 39]),
        TG0: TG[g1],
        T1SZ: rnd.pick([16, 25, 32]),
        TG1: { 12: 2, 14: 1, 16: 3 }[g1],
        EPD1: rnd.chance(0.1) ? 1 : 0,
        IPS: rnd.chance(0.9) ? 5 : 2,
        AFFD: rnd.below(2),
        WXN: rnd.chance(0.2) ? 1 : 0,
        PAN: rnd.chance(0.2) ? 1 : 0,
        R: rnd.chance(0.9) ? 1 : 0,
        ASID: rnd.below(4),
        TTB0: Number(rnd.pick(near)),
        TTB1: Number(rnd.pick(near)),
      },
      Number(GUEST + PIECE * i + CD_AT),
    );
  }
  const words = Array.from({ length: 64 }, (_, i) => GUEST + CD_AT + PIECE * BigInt(i >> 3) + 8n * BigInt(i & 7));
  const memory = new Growing(r, rnd, ipas, new Set(words));
  const second = new SecondWalker(memory, BigInt(AT.strtab), OAS);
  for (let q = 0; q < 40; q++) {
    let va = BigInt(rnd.below(0x4000));
    const reach = rnd.chance(0.9) ? Math.min(bits, 25) : bits + 1;
    for (const b of [14, 16, 21, 24, 25, 29, 30, 34, 36, 39, 42, 46])
      if (b < reach && rnd.chance(0.25)) va |= 1n << BigInt(b);
    if (rnd.chance(0.03)) va |= 1n << BigInt(40 + rnd.below(20));
    if (nested && rnd.chance(0.15)) va |= 0xffff_ffff_ff00_0000n;
    const access: Access = { write: rnd.chance(0.4), exec: rnd.chance(0.2), privileged: rnd.chance(0.3) };
    const bitsOf = (access.write ? WRITE : READ) | (access.exec ? EXEC : 0) | (access.privileged ? PRIVILEGED : 0);
    // twice: the second answer comes from the TLB
    const wanted = second.ask(8, va, access);
    if (memory.stray) return;
    // nothing else can come of a CD that cannot be had
    if (q > 2 && wanted.kind === 'event' && (wanted.class === 0 || wanted.event === 0x0a)) return;
    for (let turn = 0; turn < 2; turn++) {
      const out = r.ask(va, { access: bitsOf });
      const events = r.events();
      const what = `seed ${seed}, question ${q}, ${hex(va)}`;
      tally.questions++;
      if (wanted.kind === 'ok') {
        expect([out.verdict, out.fault && hex(out.code), hex(out.pa), out.pageSize], what).toEqual([
          Verdict.translated,
          '',
          hex(wanted.pa),
          Number(wanted.size),
        ]);
        const rights =
          (out.permissions & 1 ? 'r' : '') + (out.permissions & 2 ? 'w' : '') + (out.permissions & 4 ? 'x' : '');
        expect(rights, what).toBe(wanted.rights);
        tally.translated++;
      } else {
        expect([out.verdict, hex(out.code), out.recorded], what).toEqual([
          Verdict.fault,
          hex(wanted.event),
          wanted.recorded,
        ]);
        expect(events, what).toEqual(wanted.recorded ? [record(wanted, va, access)] : []);
        const name = `${out.fault}${wanted.s2 ? ' S2' : ''} ${['CD', 'TT', 'IN'][wanted.class]!}`;
        tally.events.set(name, (tally.events.get(name) ?? 0) + 1);
      }
      if (wanted.kind === 'ok' || wanted.recorded) continue;
      expect(events, what).toEqual([]);
    }
  }
}

describe('stage 2 and nesting, judged by a second walker', () => {
  const tally: Tally = { questions: 0, translated: 0, events: new Map() };
  const cases = STAGE2.flatMap((two, i) => [
    {
      name: `stage 2 alone, ${2 ** two.g / 1024} KiB, ${64 - two.t0sz} bits, S2SL0 = ${two.sl0}`,
      nested: false,
      two,
      i,
    },
    { name: `nested on ${2 ** two.g / 1024} KiB, ${64 - two.t0sz} bits, S2SL0 = ${two.sl0}`, nested: true, two, i },
  ]);
  it.each(cases)('$name', ({ nested, two, i }) => {
    for (let n = 0; n < (nested ? 24 : 6); n++)
      judge(1000 * i + 10 * n + (nested ? 1 : 0), nested, two, GRANULES[n % 3]!, tally);
  });
  it('asked enough, of every kind', () => {
    console.log(
      `${tally.questions} questions, ${tally.translated} translated; ${[...tally.events]
        .sort()
        .map(([n, c]) => `${n} ${c}`)
        .join(', ')}`,
    );
    expect(tally.questions).toBeGreaterThanOrEqual(10_000);
    expect(tally.translated / tally.questions).toBeGreaterThan(0.4);
    const kinds = ['CD', 'TT', 'IN'].flatMap((c) =>
      ['F_TRANSLATION', 'F_ADDR_SIZE', 'F_ACCESS', 'F_PERMISSION'].map((e) => `${e} S2 ${c}`),
    );
    expect(kinds.filter((k) => !tally.events.has(k))).toEqual([]);
  });
});

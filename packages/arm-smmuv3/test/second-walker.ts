/**
 * A second reading of SMMUv3 translation, naive and slow, from the architecture's tables alone: nothing is shared with the model. One
 * linear stream table, one CD per stream, no substreams, little-endian VMSAv8-64 tables of 48 bits.
 */

export interface Memory {
  has(address: bigint): boolean;
  /** The descriptor's owner may make it up when it is first read. */
  read64(address: bigint, stage: 0 | 1 | 2, level: number): bigint;
}

export interface Access {
  readonly write: boolean;
  readonly exec: boolean;
  readonly privileged: boolean;
}

export type Verdict =
  | { readonly kind: 'ok'; readonly pa: bigint; readonly size: bigint; readonly rights: string }
  /** `at`: w7:w6 of the record. */
  | {
      readonly kind: 'event';
      readonly event: number;
      readonly s2: boolean;
      readonly class: number;
      readonly at: bigint;
      readonly recorded: boolean;
    };

class Event_ extends Error {
  constructor(
    readonly event: number,
    readonly s2: boolean,
    readonly cls: number,
    readonly at: bigint,
    readonly recorded: boolean,
  ) {
    super();
  }
}

const field = (w: bigint, hi: number, lo: number): number =>
  Number((w >> BigInt(lo)) & ((1n << BigInt(hi - lo + 1)) - 1n));
const ones = (n: number): bigint => (1n << BigInt(n)) - 1n;
const SIZES = [32, 36, 40, 42, 44, 48, 52, 56];

const CLASS_CD = 0;
const CLASS_TT = 1;
const CLASS_IN = 2;
const F_CD_FETCH = 0x09;
const C_BAD_CD = 0x0a;
const F_WALK_EABT = 0x0b;
const F_TRANSLATION = 0x10;
const F_ADDR_SIZE = 0x11;
const F_ACCESS = 0x12;
const F_PERMISSION = 0x13;

interface Leaf {
  readonly out: bigint;
  readonly size: bigint;
  readonly descriptor: bigint;
  /** OR of the table descriptors above. */
  readonly tables: bigint;
}

interface Tree {
  readonly stage: 1 | 2;
  readonly g: number;
  readonly bits: number;
  readonly start: number;
  readonly base: bigint;
  readonly outBits: number;
  readonly affd: boolean;
}

export class SecondWalker {
  constructor(
    private readonly mem: Memory,
    private readonly strtab: bigint,
    private readonly oas: number,
  ) {}

  ask(sid: number, va: bigint, access: Access): Verdict {
    try {
      return this.translate(sid, va, access);
    } catch (e) {
      if (!(e instanceof Event_)) throw e;
      return { kind: 'event', event: e.event, s2: e.s2, class: e.cls, at: e.at, recorded: e.recorded };
    }
  }

  private translate(sid: number, va: bigint, access: Access): Verdict {
    const ste = Array.from({ length: 8 }, (_, i) => this.mem.read64(this.strtab + BigInt(64 * sid + 8 * i), 0, 0));
    const config = field(ste[0]!, 3, 1);
    if (config === 6) {
      // stage 1 off: its input is checked against IAS
      if (va >> BigInt(this.oas) !== 0n) throw new Event_(F_ADDR_SIZE, false, CLASS_IN, 0n, true);
      const two = this.stage2(ste, va, CLASS_IN, access, false);
      return { kind: 'ok', pa: two.leaf.out, size: two.leaf.size, rights: two.rights };
    }
    const nested = config === 7;
    const below = (ipa: bigint, cls: number): bigint =>
      nested ? this.stage2(ste, ipa, cls, { write: false, exec: false, privileged: false }, true).leaf.out : ipa;

    const cdAt = below(ste[0]! & (ones(52) & ~ones(6)), CLASS_CD);
    if (!this.mem.has(cdAt)) throw new Event_(F_CD_FETCH, false, CLASS_CD, cdAt, true);
    const cd = Array.from({ length: 8 }, (_, i) => this.mem.read64(cdAt + BigInt(8 * i), 0, 0));
    if (field(cd[0]!, 31, 31) === 0) throw new Event_(C_BAD_CD, false, CLASS_IN, 0n, true);
    const record = field(cd[0]!, 45, 45) === 1;

    const upper = (va >> 55n) & 1n ? 1 : 0;
    const bits = 64 - (upper ? field(cd[0]!, 21, 16) : field(cd[0]!, 5, 0));
    const g = upper ? [0, 14, 12, 16][field(cd[0]!, 23, 22)]! : [12, 16, 14, 0][field(cd[0]!, 7, 6)]!;
    const off = upper ? field(cd[0]!, 30, 30) : field(cd[0]!, 14, 14);
    const outside = va >> BigInt(bits) !== (upper ? ones(64 - bits) : 0n);
    if (off || outside) throw new Event_(F_TRANSLATION, false, CLASS_IN, 0n, record);
    const one = this.walk(
      {
        stage: 1,
        g,
        bits,
        start: 4 - Math.ceil((bits - g) / (g - 3)),
        base: cd[upper ? 2 : 1]! & (ones(52) & ~ones(4)),
        outBits: Math.min(SIZES[field(cd[0]!, 34, 32)]!, this.oas, 48),
        affd: field(cd[0]!, 35, 35) === 1,
      },
      va & ones(bits),
      (at) => below(at, CLASS_TT),
      (event, at) =>
        event === F_WALK_EABT
          ? new Event_(event, false, CLASS_TT, at, true)
          : new Event_(event, false, CLASS_IN, 0n, record),
    );
    const rights = stage1Rights(one, field(cd[0]!, 36, 36) === 1, field(cd[0]!, 40, 40) === 1, access.privileged);
    if (!grants(rights, access)) throw new Event_(F_PERMISSION, false, CLASS_IN, 0n, record);
    if (!nested) return { kind: 'ok', pa: one.out, size: one.size, rights };
    const two = this.stage2(ste, one.out, CLASS_IN, access, false);
    return {
      kind: 'ok',
      pa: two.leaf.out,
      size: one.size < two.leaf.size ? one.size : two.leaf.size,
      rights: [...rights].filter((r) => two.rights.includes(r)).join(''),
    };
  }

  private stage2(ste: bigint[], ipa: bigint, cls: number, access: Access, own: boolean) {
    const vtcr = ste[2]!;
    const record = field(vtcr, 58, 58) === 1;
    const page = ipa & (ones(52) & ~ones(12));
    const fault = (event: number, at: bigint) =>
      new Event_(event, true, cls, event === F_WALK_EABT ? at : page, record || event === F_WALK_EABT);
    const bits = 64 - field(vtcr, 37, 32);
    const g = [12, 16, 14, 0][field(vtcr, 47, 46)]!;
    const sl0 = field(vtcr, 39, 38);
    if (ipa >> BigInt(bits) !== 0n) throw fault(F_TRANSLATION, 0n);
    const leaf = this.walk(
      {
        stage: 2,
        g,
        bits,
        start: g === 12 ? [2, 1, 0, 3][sl0]! : [3, 2, 1, 0][sl0]!,
        base: ste[3]! & (ones(52) & ~ones(4)),
        outBits: Math.min(SIZES[field(vtcr, 50, 48)]!, this.oas, 48),
        affd: field(vtcr, 53, 53) === 1,
      },
      ipa,
      (at) => at,
      fault,
    );
    const d = leaf.descriptor;
    const rights = (field(d, 6, 6) ? 'r' : '') + (field(d, 7, 7) ? 'w' : '') + (field(d, 54, 54) ? '' : 'x');
    const device = field(d, 5, 4) === 0;
    if (own ? !rights.includes('r') || (field(vtcr, 54, 54) === 1 && device) : !grants(rights, access))
      throw fault(F_PERMISSION, 0n);
    return { leaf, rights };
  }

  private walk(
    t: Tree,
    input: bigint,
    place: (at: bigint) => bigint,
    fault: (event: number, at: bigint) => Event_,
  ): Leaf {
    const shiftOf = (level: number) => t.g + (3 - level) * (t.g - 3);
    const rootEntries = t.bits - shiftOf(t.start);
    const rootBytes = Math.max(64, 8 * 2 ** rootEntries);
    let table = t.base - (t.base % BigInt(rootBytes));
    let tables = 0n;
    for (let level = t.start; ; level++) {
      const shift = shiftOf(level);
      const index = (input >> BigInt(shift)) & ones(level === t.start ? rootEntries : t.g - 3);
      const at = place(table + 8n * index);
      if (!this.mem.has(at)) throw fault(F_WALK_EABT, at);
      const d = this.mem.read64(at, t.stage, level);
      const type = field(d, 1, 0);
      if (level < 3 && type === 3) {
        table = d & (ones(48) & ~ones(t.g));
        if (table >> BigInt(t.outBits) !== 0n) throw fault(F_ADDR_SIZE, at);
        tables |= d;
        continue;
      }
      const block = type === 1 && level < 3 && level >= (t.g === 12 ? 1 : 2);
      if (!block && !(type === 3 && level === 3)) throw fault(F_TRANSLATION, at);
      const out = (d & (ones(48) & ~ones(shift))) | (input & ones(shift));
      if (out >> BigInt(t.outBits) !== 0n) throw fault(F_ADDR_SIZE, at);
      if (field(d, 10, 10) === 0 && !t.affd) throw fault(F_ACCESS, at);
      return { out, size: 1n << BigInt(shift), descriptor: d, tables };
    }
  }
}

function stage1Rights({ descriptor: d, tables }: Leaf, wxn: boolean, pan: boolean, privileged: boolean): string {
  const user = field(d, 6, 6) === 1 && field(tables, 61, 61) === 0;
  const writable = field(d, 7, 7) === 0 && field(tables, 62, 62) === 0;
  const uxn = field(d, 54, 54) === 1 || field(tables, 60, 60) === 1;
  const pxn = field(d, 53, 53) === 1 || field(tables, 59, 59) === 1;
  if (!privileged) {
    const exec = !uxn && !(wxn && user && writable);
    return (user ? (writable ? 'rw' : 'r') : '') + (exec ? 'x' : '');
  }
  const exec = !pxn && !(user && writable) && !(wxn && writable);
  const data = pan && user ? '' : writable ? 'rw' : 'r';
  return data + (exec ? 'x' : '');
}

const grants = (rights: string, { write, exec }: Access): boolean => rights.includes(write ? 'w' : exec ? 'x' : 'r');

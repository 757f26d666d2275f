import { setAddress, setAt, type AnyField } from '@doorbell/bits';
import { CD, levelShift, startLevel, STE, TG0_BITS } from '@doorbell/arm-smmuv3/spec';
import { READ, type CpuPort, type MemoryPort } from '@doorbell/platform';

export const SMMU = 0x0905_0000;
/** 00:04.0. */
export const SID = 0x20;
export const AT = {
  strtab: 0x4400_0000,
  l2: 0x4402_0000,
  cmdq: 0x4404_0000,
  eventq: 0x4405_0000,
  cd: 0x4406_0000,
  /** 64 KiB each: one table per level. */
  tables: 0x4410_0000,
  /** Where pages point; also inside the blocks of every granule that begin at 1 GiB. */
  target: 0x4c00_0000,
} as const;

type Fields = Readonly<Record<string, number>>;

/** Everything that decides about one DMA: as data, so that it can be built anywhere and changed by a deviation. */
export interface Config {
  readonly ste: Fields;
  readonly cd: Fields;
  /** STRTAB_BASE_CFG; SPAN of the level-1 descriptor where it is two-level. */
  readonly log2size: number;
  readonly twoLevel?: { readonly split: number; readonly span: number };
  readonly strtab?: number;
  readonly cr2: number;
  readonly iova: number;
  readonly access: number;
  /** Level of the leaf; the walk ends there. */
  readonly leaf: number;
  /** Descriptors by level, as [hi, lo] instead of what belongs there. `or` and `clear` change single bits of the low or high word. */
  readonly descriptors: Readonly<Record<number, Descriptor>>;
  /** 4-byte DMAs and commands before the one that counts, and changes of memory between. */
  readonly before?: { readonly change: Partial<Config>; readonly commands: readonly (readonly number[])[] };
}
export interface Descriptor {
  readonly lo?: number;
  readonly hi?: number;
  readonly set?: number;
  readonly clear?: number;
  readonly setHi?: number;
}

export const BASE: Config = {
  ste: { V: 1, Config: 5, S1ContextPtr: AT.cd },
  cd: { V: 1, AA64: 1, A: 1, R: 1, EPD1: 1, T0SZ: 16, IPS: 4, ASID: 5, TTB0: AT.tables },
  log2size: 6,
  cr2: 2,
  iova: 0x1_0345_6000,
  access: READ,
  leaf: 3,
  descriptors: {},
};

export const granule = (c: Config): number => TG0_BITS[c.cd['TG0'] ?? 0] || 12;

const words = (layout: object, fields: Fields): Uint32Array => {
  const w = new Uint32Array(16);
  for (const [name, value] of Object.entries(fields)) {
    const f = (layout as Record<string, AnyField>)[name];
    if (f === undefined || f.kind === 'long') throw new Error(`no field ${name}`);
    if (f.kind === 'field') setAt(w, 0, f, value);
    else setAddress(w, 0, f, value);
  }
  return w;
};

/** Stream table, CD and page tables of a configuration. */
export function build(memory: MemoryPort, c: Config): void {
  const put = (at: number, w: Uint32Array) => w.forEach((v, i) => memory.write32(at + 4 * i, v));
  const ste = words(STE, c.ste);
  if (c.twoLevel) {
    memory.write64(AT.strtab + 8 * (SID >> c.twoLevel.split), 0, AT.l2 | c.twoLevel.span);
    put(AT.l2 + 64 * (SID % 2 ** c.twoLevel.split), ste);
  } else put(AT.strtab + 64 * SID, ste);
  put(AT.cd, words(CD, c.cd));
  const g = granule(c);
  const bits = 64 - (c.cd['T0SZ'] ?? 16);
  const start = Math.max(0, startLevel(g, Math.min(bits, 48)));
  for (let level = start; level <= c.leaf; level++) {
    const shift = levelShift(g, level);
    const index = Math.floor(c.iova / 2 ** shift) % 2 ** (g - 3);
    const base = level === start ? AT.tables : AT.tables + 0x1_0000 * level;
    const table = level < c.leaf;
    const usual = table
      ? (AT.tables + 0x1_0000 * (level + 1)) | 3
      : (targetOf(c) - (c.iova % 2 ** shift)) | (level === 3 ? 0xc43 : 0xc41); // nG, AF, AP[1]
    const d = c.descriptors[level] ?? {};
    const lo = (((d.lo ?? usual) & ~(d.clear ?? 0)) | (d.set ?? 0)) >>> 0;
    memory.write64(base + 8 * index, ((d.hi ?? 0) | (d.setHi ?? 0)) >>> 0, lo);
  }
  memory.barrier();
}

/** Where the DMA goes when nothing is wrong: PA of the probed address. */
export function targetOf(c: Config): number {
  const shift = levelShift(granule(c), c.leaf);
  const within = c.iova % 2 ** shift;
  return Math.floor((AT.target - within) / 2 ** shift) * 2 ** shift + within;
}

/** Queues of 16 entries, caches empty, everything on. */
export function start(cpu: CpuPort, memory: MemoryPort, c: Config): void {
  const w = (offset: number, v: number) => cpu.write32(SMMU + offset, v >>> 0);
  w(0x20, 0);
  for (const at of [AT.strtab, AT.l2, AT.cmdq, AT.eventq, AT.cd]) memory.fill(at, 0x1_0000, 0);
  memory.fill(AT.tables, 0x4_0000, 0);
  build(memory, c);
  cpu.write64(SMMU + 0x80, 0, (c.strtab ?? AT.strtab) >>> 0);
  w(0x88, c.log2size | (c.twoLevel ? (1 << 16) | (c.twoLevel.split << 6) : 0));
  cpu.write64(SMMU + 0x90, 0, AT.cmdq | 4);
  cpu.write64(SMMU + 0xa0, 0, AT.eventq | 4);
  for (const offset of [0x98, 0x9c, 0x100a8, 0x100ac]) w(offset, 0);
  w(0x64, cpu.read32(SMMU + 0x60)); // GERRORN = GERROR
  w(0x2c, c.cr2);
  w(0x20, 8);
  commands(cpu, memory, [[0x04, 0, 31], [0x30], [0x46]]);
  w(0x20, 0xd);
}

export function commands(cpu: CpuPort, memory: MemoryPort, list: readonly (readonly number[])[]): void {
  let prod = cpu.read32(SMMU + 0x98) & 31;
  for (const c of list) {
    for (let i = 0; i < 4; i++) memory.write32(AT.cmdq + 16 * (prod & 15) + 4 * i, (c[i] ?? 0) >>> 0);
    prod = (prod + 1) & 31;
  }
  memory.barrier();
  cpu.write32(SMMU + 0x98, prod);
}

/** The records in the event queue, as hex words. */
export function events(cpu: CpuPort, memory: MemoryPort): string[] {
  const out: string[] = [];
  const prod = cpu.read32(SMMU + 0x100a8);
  for (let n = 0; n !== (prod & 31); n++) {
    const at = AT.eventq + 32 * (n & 15);
    out.push(Array.from({ length: 8 }, (_, i) => memory.read32(at + 4 * i).toString(16)).join(' '));
  }
  return out;
}

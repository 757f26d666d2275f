import { EduPort } from './edu.js';
import type { Sent, Side } from './side.js';

/** Register offsets as the fact sheet lists them. */
export const R = {
  GCMD: 0x18,
  GSTS: 0x1c,
  RTADDR: 0x20,
  CCMD: 0x28,
  FSTS: 0x34,
  FECTL: 0x38,
  FEDATA: 0x3c,
  FEADDR: 0x40,
  IQH: 0x80,
  IQT: 0x88,
  IQA: 0x90,
  ICS: 0x9c,
  IECTL: 0xa0,
  IEDATA: 0xa4,
  IEADDR: 0xa8,
  IQERCD: 0xb0,
  IRTA: 0xb8,
  IVA: 0xf0,
  IOTLB: 0xf8,
  FRCD: 0x220,
} as const;

const UNIT = 0xfed9_0000;
const LEVELS = 0x9680_0000;

/** Where the tests put things. The targets of DMA lie above. */
export const AT = {
  root: 0x10_0000,
  context: 0x10_1000,
  /** Four table pages for each of two devices: level n of device d at tables + 0x10000 * d + 0x1000 * n. */
  tables: 0x11_0000,
  queue: 0x13_0000,
  status: 0x13_1000,
  irtes: 0x14_0000,
  end: 0x15_0000,
} as const;

export const table = (level: number, device = 0): number => AT.tables + 0x1_0000 * device + 0x1000 * level;
/** Pages that DMA may be led to. */
export const TARGETS = [0x20_0000, 0x20_1000, 0x40_0000, 0x40_5000, 0x60_0000, 0x100_0000, 0x200_0000] as const;

export const EDU = [0x28, 0x30] as const;
const MARK = 0xcafe_f00d;

/** What an operation showed: values by name, so that a difference names its field. */
export type Seen = Readonly<Record<string, string | number>>;

/** Drives one side: registers, tables, the two functions. Every method is what a guest's software could do. */
export class Bench {
  private tail = 0;

  private readonly edu: readonly EduPort[];

  constructor(readonly side: Side) {
    this.edu = [5, 6].map((slot) => new EduPort(side.cpu, slot, () => side.settle()));
    // The mark goes into both buffers while nothing is translated.
    this.off();
    side.memory.write32(TARGETS[0], MARK);
    for (const edu of this.edu) edu.dma('read', TARGETS[0]);
  }

  get(offset: number): number {
    return this.side.cpu.read32(UNIT + offset);
  }
  set(offset: number, value: number): void {
    this.side.cpu.write32(UNIT + offset, value >>> 0);
    this.side.settle();
  }
  set64(offset: number, hi: number, lo: number): void {
    this.side.cpu.write64(UNIT + offset, hi >>> 0, lo >>> 0);
    this.side.settle();
  }
  put(at: number, hi: number, lo: number): void {
    this.side.memory.write64(at, hi >>> 0, lo >>> 0);
  }

  /** Sets or clears one control of GCMD. */
  control(bit: number, on: boolean): void {
    const rest = this.get(R.GSTS) & LEVELS & ~bit;
    this.set(R.GCMD, rest | (on ? bit : 0));
  }

  /** Everything off, caches and records empty, tables zero. */
  off(): void {
    if (this.get(R.GSTS) & 0x400_0000) this.drain();
    for (const bit of [0x80_0000, 0x200_0000, 0x8000_0000, 0x400_0000]) this.control(bit, false);
    this.set64(R.IQT, 0, 0);
    for (const offset of [R.FECTL, R.IECTL]) this.set(offset, 0x8000_0000);
    this.clearFaults();
    this.set(R.ICS, 1);
    this.set64(R.CCMD, 0xa000_0000, 0);
    this.set64(R.IOTLB, 0x9000_0000, 0);
    this.side.memory.fill(AT.root, AT.end - AT.root, 0);
    this.tail = 0;
    this.side.sent();
  }

  /** Past whatever stands in the queue. The last descriptor is a wait: QEMU turns the queue off only then. */
  private drain(): void {
    for (let round = 0; round < 4; round++) {
      const head = this.get(R.IQH);
      const at = ((this.get(R.IQA) & 0xffff_f000) >>> 0) + head;
      this.put(at, 0, 0x25);
      this.put(at + 8, 0, AT.status);
      const tail = (head + 16) % 4096;
      this.set64(R.IQT, 0, tail);
      this.set(R.FSTS, 0x7d);
      this.set64(R.IQT, 0, tail);
      if ((this.get(R.FSTS) & 0x10) === 0 && this.get(R.IQH) === tail) return;
    }
    throw new Error(`the queue of ${this.side.name} cannot be drained`);
  }

  /** Root and context tables, four levels for both functions that lead 0x4020_1000 to TARGETS[1], and whatever of TE, QI, IR is named. */
  start(what = 'TE+QI+IR'): void {
    this.off();
    this.put(AT.root, 0, AT.context | 1);
    for (const d of [0, 1]) {
      this.context(d, table(4, d) | 1, ((5 + d) << 8) | 2);
      this.put(table(4, d), 0, table(3, d) | 3);
      this.put(table(3, d) + 8, 0, table(2, d) | 3);
      this.put(table(2, d) + 8, 0, table(1, d) | 3);
      this.put(table(1, d) + 8, 0, TARGETS[1] | 3);
    }
    this.setRoot(AT.root);
    if (what.includes('QI')) {
      this.set64(R.IQA, 0, AT.queue);
      this.control(0x400_0000, true);
    }
    if (what.includes('IR')) {
      this.set64(R.IRTA, 0, AT.irtes | 7);
      this.control(0x100_0000, true);
      this.control(0x200_0000, true);
    }
    if (what.includes('TE')) this.control(0x8000_0000, true);
  }

  setRoot(root: number): void {
    this.set64(R.RTADDR, Math.floor(root / 2 ** 32), root);
    this.control(0x4000_0000, true);
  }

  /** Low words of a function's context entry. */
  context(device: number, lo: number, hi: number): void {
    const at = AT.context + 16 * EDU[device]!;
    this.put(at, 0, lo);
    this.put(at + 8, 0, hi);
  }

  irte(index: number, lo: readonly [number, number], hi: readonly [number, number]): void {
    this.put(AT.irtes + 16 * index, ...lo);
    this.put(AT.irtes + 16 * index + 8, ...hi);
    this.command([0, 0x4]); // interrupt entry cache, global
  }

  command(q0: readonly [number, number], q1: readonly [number, number] = [0, 0]): void {
    this.put(AT.queue + this.tail, ...q0);
    this.put(AT.queue + this.tail + 8, ...q1);
    this.tail = (this.tail + 16) % 4096;
    this.set64(R.IQT, 0, this.tail);
  }

  clearFaults(): void {
    this.set(R.FRCD + 12, 0x8000_0000);
    this.set(R.FSTS, 0x7d);
  }

  /** Where a 4-byte write of a function arrives, and what is recorded. */
  write(iova: number, device = 0): Seen {
    const { memory } = this.side;
    const places = candidates(iova);
    for (const at of places) memory.write32(at, 0);
    this.edu[device]!.dma('write', iova);
    const landed = places.find((at) => memory.read32(at) === MARK);
    return { landed: landed === undefined ? 'nowhere' : `0x${landed.toString(16)}`, ...this.faults() };
  }

  /** What a 4-byte read of a function records; its data goes to a part of the buffer that nobody looks at. */
  read(iova: number, device = 0): Seen {
    this.edu[device]!.dma('read', iova, 0x100);
    return this.faults();
  }

  /** The function's MSI with this message. */
  msi(address: number, data: number, device = 0): Seen {
    this.side.sent();
    this.edu[device]!.fire(address, data);
    return { ...this.arrived(), ...this.faults() };
  }

  /** Messages that reached the APICs, and the IRR that shows the first of them where it names one CPU. */
  arrived(): Seen {
    const sent = this.side.sent();
    const [first] = sent;
    const one = first && first.logical === 0 && first.delivery === 0 && first.destination < 2;
    const irr = one ? this.side.requested(first.destination).includes(first.vector) : false;
    return { sent: sent.map(show).join(' ') || 'nothing', ...(one ? { irr: String(irr) } : {}) };
  }

  faults(): Seen {
    const [w0, w1, w2, w3] = [0, 4, 8, 12].map((o) => this.get(R.FRCD + o)) as [number, number, number, number];
    // A record without F says nothing: what it holds is history.
    const pending = w3 >>> 31;
    return {
      fsts: this.get(R.FSTS),
      record: pending,
      address: pending ? `0x${w1.toString(16)}_${w0.toString(16)}` : '-',
      reason: pending ? w3 & 0xff : 0,
      pasid: pending ? (w3 >>> 8) & 0xf_ffff : 0,
      type: pending ? (w3 >>> 28) & 7 : 0,
      sid: pending ? w2 & 0xffff : 0,
    };
  }

  registers(...names: (keyof typeof R)[]): Seen {
    return Object.fromEntries(names.map((name) => [name, this.get(R[name])]));
  }
}

const show = (s: Sent): string =>
  `vector ${s.vector} to ${s.logical ? 'logical' : 'physical'} ${s.destination}, mode ${s.delivery}${s.level ? ', level' : ''}`;

/** Words where a write may have arrived: in each target by each page size, and the address itself. */
function candidates(iova: number): number[] {
  const found = new Set<number>();
  for (const target of TARGETS)
    for (const size of [0x1000, 0x20_0000, 0x4000_0000]) found.add(target - (target % size) + (iova % size));
  found.add(iova);
  return [...found].filter((at) => at >= AT.end && at < 63 * 2 ** 20);
}

import { newOutcome, newRequest, Platform, READ, WRITE, type HardwareHost } from '@doorbell/platform';
import { configOf, type VtdOptions } from '../src/model/options.js';
import { VtdUnit } from '../src/model/unit.js';

/** Register offsets as the fact sheet lists them, so that no test goes through the tables it checks. */
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

export const ROOT = 0x1000;
export const CONTEXT = 0x2000;
export const QUEUE = 0x1_0000;
export const IRTES = 0x2_0000;
/** Leads to 0xabc000 by four levels. */
export const PAGE = 0x4020_1000;
/** Its entry. */
export const PTE = 0x6008;
export const SID = 0x20;
export const DID = 5;

export interface Answer {
  readonly verdict: 'translated' | 'bypass' | 'fault' | 'interrupt';
  readonly pa: number;
  readonly code: number;
  readonly recorded: boolean;
}

/**
 * A unit without its driver: tables are words written by hand. Sid 0x20 has domain 5 and four levels:
 * 0x4020_1000 → 0xabc000, 0x4040_0000 → 2 MiB at 0xe0_0000, 0x8000_0000 → 1 GiB at 0x4000_0000.
 */
export class RawUnit {
  readonly platform = new Platform({ memory: [{ base: 0, size: 0x100_0000 }] });
  readonly memory = this.platform.memoryModel;
  readonly delivered: number[][] = [];
  readonly passed: number[][] = [];
  readonly unit: VtdUnit;
  private readonly request = newRequest();
  private readonly out = newOutcome();
  private tail = 0;

  constructor(options: VtdOptions = {}, status = 'TE+QI+IR') {
    const { memoryModel, bus, clock, trace, diagnostics, hooks } = this.platform;
    const fabric = (segment?: number) => this.platform.fabric(segment);
    const service = (): never => {
      throw new Error('a unit asks for no services');
    };
    const host: HardwareHost = { memoryModel, bus, clock, trace, diagnostics, hooks, nodes: [], fabric, service };
    const apic = {
      message: (hi: number, lo: number, data: number) => void this.passed.push([hi, lo, data]),
      deliver: (...what: number[]) => void this.delivered.push(what),
    };
    this.unit = new VtdUnit({ name: 'dmar0', base: 0xfed9_0000, config: configOf(options), host, apic });
    this.tables();
    this.set64(R.RTADDR, 0, ROOT);
    this.set(R.GCMD, 0x4000_0000); // SRTP
    if (status.includes('QI')) {
      this.set64(R.IQA, 0, QUEUE);
      this.set(R.GCMD, 0x0400_0000);
    }
    if (status.includes('IR')) {
      this.set64(R.IRTA, 0, IRTES | 7); // 256 entries
      this.set(R.GCMD, (this.get(R.GSTS) & 0x9680_0000) | 0x0100_0000);
      this.set(R.GCMD, (this.get(R.GSTS) & 0x9680_0000) | 0x0200_0000);
    }
    if (status.includes('TE')) this.set(R.GCMD, ((this.get(R.GSTS) & 0x9680_0000) | 0x8000_0000) >>> 0);
  }

  get(offset: number): number {
    return this.unit.registers.read(offset, 4);
  }
  set(offset: number, value: number): void {
    this.unit.registers.write(offset, 4, value >>> 0, -1);
  }
  set64(offset: number, hi: number, lo: number): void {
    this.unit.registers.write64(offset, hi, lo, -1);
  }
  /** A quadword of memory. */
  put(at: number, hi: number, lo: number): void {
    this.memory.write64(at, hi, lo);
  }

  dma(iova: number, access = READ, sid: number = SID, more: Partial<typeof this.request> = {}): Answer {
    const { out } = this;
    const plain = { requester: sid, stream: sid, size: 4, kind: 0, pasid: -1, data: 0 };
    Object.assign(this.request, plain, { hi: Math.floor(iova / 2 ** 32), lo: iova >>> 0, access }, more);
    const verdict = (['translated', 'bypass', 'fault', 'interrupt'] as const)[this.unit.translate(this.request, out)];
    return verdict === 'fault'
      ? { verdict, pa: -1, code: out.code, recorded: out.recorded }
      : { verdict, pa: out.pa, code: -1, recorded: false };
  }

  /** True: it left the unit. Otherwise the reason. */
  msi(address: number, data: number, sid: number = SID): true | number {
    const { request, out } = this;
    Object.assign(request, { requester: sid, stream: sid, hi: 0, lo: address, size: 4, access: WRITE, kind: 0, data });
    request.pasid = -1;
    const verdict = this.unit.translate(request, out);
    return verdict === 3 && this.unit.interrupt(request, out) ? true : out.code;
  }

  /** Puts a descriptor into the queue (two quadwords) and rings. */
  command(q0: readonly [number, number], q1: readonly [number, number] = [0, 0]): void {
    this.put(QUEUE + this.tail, q0[0], q0[1]);
    this.put(QUEUE + this.tail + 8, q1[0], q1[1]);
    this.tail = (this.tail + 16) % 4096;
    this.set(R.IQT, this.tail);
  }

  /** Four words of fault record n. */
  record(n = 0): number[] {
    return [0, 4, 8, 12].map((o) => this.get(R.FRCD + 16 * n + o));
  }

  /** IRTE `index` as (hi, lo) of both quadwords. */
  irte(index: number, lo: readonly [number, number], hi: readonly [number, number]): void {
    this.put(IRTES + 16 * index, ...lo);
    this.put(IRTES + 16 * index + 8, ...hi);
  }

  private tables(): void {
    this.put(ROOT, 0, CONTEXT | 1);
    this.context(SID, 0x3001, 0x0502);
    this.put(0x3000, 0, 0x4003);
    this.put(0x4008, 0, 0x5003);
    this.put(0x4010, 0, 0x4000_0083);
    this.put(0x5008, 0, 0x6003);
    this.put(0x5010, 0, 0x00e0_0083);
    this.put(PTE, 0, 0x00ab_c003);
    this.put(0x6010, 0, 0x00ab_d001); // read only
    this.put(0x6018, 0, 0x00ab_e002); // write only
  }

  /** Low words of both quadwords of a context entry. */
  context(sid: number, lo: number, hi: number): void {
    this.put(CONTEXT + 16 * sid, 0, lo);
    this.put(CONTEXT + 16 * sid + 8, 0, hi);
  }
}

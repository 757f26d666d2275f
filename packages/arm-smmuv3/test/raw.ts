import { setAddress, setAt, type Field } from '@doorbell/bits';
import {
  definePlugin,
  immediate,
  newOutcome,
  newRequest,
  Platform,
  READ,
  type CompletionPolicy,
  type Outcome,
  type Verdict,
} from '@doorbell/platform';
import * as spec from '../src/spec/index.js';
import { Smmu, type SmmuOptions, type Wires } from '../src/index.js';

export const SMMU = 0x0905_0000;
export const RAM = 0x4000_0000;
/** Where the tables of these tests lie. */
export const AT = {
  strtab: RAM + 0x10_0000,
  cmdq: RAM + 0x20_0000,
  eventq: RAM + 0x21_0000,
  cd: RAM + 0x30_0000,
  root: RAM + 0x31_0000,
  page: RAM + 0x80_0000,
} as const;

export interface Asked extends Outcome {
  readonly verdict: Verdict;
}

type Values<L> = Partial<Record<Extract<keyof L, string>, number>>;

/** An SMMU model without a driver: tables, commands and registers are written by hand. */
export class Raw {
  readonly platform: Platform;
  readonly smmu: Smmu;
  readonly pulses: number[] = [];
  private prod = 0;

  constructor(options: SmmuOptions = {}, completion: CompletionPolicy = immediate()) {
    const wires: Wires = { pulse: (intid) => this.pulses.push(intid) };
    const build = { interrupts: { event: 106, sync: 108, gerror: 109 }, ...options };
    this.platform = new Platform({ memory: [{ base: RAM, size: 2 ** 28 }], completion })
      .use(
        definePlugin(
          'raw',
          {
            compatible: ['arm,smmu-v3'],
            model: { create: (ctx) => new Smmu('smmu0', SMMU, ctx.host, build, wires) },
          },
          [{ name: 'smmu0', compatible: 'arm,smmu-v3', reg: [{ base: SMMU, size: 0x20000 }] }],
        ),
      )
      .compose();
    this.smmu = this.platform.model('smmu0') as Smmu;
  }

  read(offset: number): number {
    return this.platform.bus.read32(SMMU + offset);
  }
  write(offset: number, value: number): void {
    this.platform.bus.write32(SMMU + offset, value >>> 0);
  }
  private base(offset: number, address: number, low: number): void {
    this.platform.bus.write64(SMMU + offset, 0, (address | low) >>> 0);
  }

  /** Queues of 2^4 entries, a stream table, one STE and CD for stream 8 with a 4 KiB, 48-bit TTB0; everything enabled. */
  start(o: { log2size?: number; cfg?: number; events?: number; cr2?: number } = {}): this {
    this.base(0x80, AT.strtab, 0);
    this.write(0x88, o.cfg ?? o.log2size ?? 6);
    this.base(0x90, AT.cmdq, 4);
    this.base(0xa0, AT.eventq, o.events ?? 4);
    this.write(0x2c, o.cr2 ?? 2); // RECINVSID
    this.ste(8, {});
    this.cd({});
    this.write(0x50, 5);
    this.write(0x20, 0xd);
    return this;
  }

  words(at: number, values: Uint32Array): void {
    values.forEach((w, i) => this.platform.memoryModel.write32(at + 4 * i, w));
  }
  /** A stage-1 STE with changes. */
  ste(sid: number, changes: Values<typeof spec.STE>, at = AT.strtab + 64 * sid): void {
    const w = new Uint32Array(16);
    setAddress(w, 0, spec.STE.S1ContextPtr, AT.cd);
    apply(w, spec.STE, { V: 1, Config: 5, ...changes });
    this.words(at, w);
  }
  cd(changes: Values<typeof spec.CD>, at: number = AT.cd): void {
    const w = new Uint32Array(16);
    setAddress(w, 0, spec.CD.TTB0, AT.root);
    apply(w, spec.CD, { V: 1, AA64: 1, A: 1, R: 1, EPD1: 1, T0SZ: 16, IPS: 5, ASID: 5, ...changes });
    this.words(at, w);
  }
  quad(at: number, hi: number, lo: number): void {
    this.platform.memoryModel.write64(at, hi >>> 0, lo >>> 0);
  }

  /** Maps one 4 KiB page through four levels below AT.root; tables follow each other. Returns where its descriptor stands. */
  map(iova: number, lo: number, hi = 0): number {
    let table: number = AT.root;
    for (const [n, shift] of [39, 30, 21].entries()) {
      const next = AT.root + 0x1000 * (n + 1);
      this.quad(table + 8 * (Math.floor(iova / 2 ** shift) % 512), 0, next | 3);
      table = next;
    }
    const at = table + 8 * (Math.floor(iova / 4096) % 512);
    this.quad(at, hi, lo);
    return at;
  }

  /** Puts commands in the queue and rings. Words 0 to 3 of each. */
  command(...commands: readonly (readonly number[])[]): void {
    for (const c of commands) {
      for (let i = 0; i < 4; i++)
        this.platform.memoryModel.write32(AT.cmdq + 16 * (this.prod & 15) + 4 * i, (c[i] ?? 0) >>> 0);
      this.prod = (this.prod + 1) & 31;
    }
    this.write(0x98, this.prod);
  }

  ask(iova: number | bigint, o: { sid?: number; access?: number; pasid?: number; kind?: number } = {}): Asked {
    const v = BigInt(iova);
    const request = {
      ...newRequest(),
      stream: o.sid ?? 8,
      hi: Number(v >> 32n),
      lo: Number(v & 0xffff_ffffn),
      access: o.access ?? READ,
      pasid: o.pasid ?? -1,
      kind: o.kind ?? 0,
    };
    const out = newOutcome();
    const verdict = this.smmu.translate(request, out);
    return { verdict, ...out };
  }

  /** The records in the event queue, eight words each, and takes them out. */
  events(): string[][] {
    const out: string[][] = [];
    const prod = this.read(0x100a8);
    for (let c = this.read(0x100ac) & 31; c !== (prod & 31); c = (c + 1) & 31) {
      const at = AT.eventq + 32 * (c & 15);
      out.push(Array.from({ length: 8 }, (_, i) => hex(this.platform.memoryModel.read32(at + 4 * i))));
    }
    this.write(0x100ac, prod);
    return out;
  }
}

export const hex = (v: number): string => `0x${(v >>> 0).toString(16)}`;
/** A valid, accessible, read-write page for everyone: AF, AP[1], nG. */
export const PAGE = 0x0000_0c43;

function apply(w: Uint32Array, layout: object, values: Readonly<Record<string, number | undefined>>): void {
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) continue;
    const field = (layout as Record<string, Field>)[name]!;
    if (field.kind === 'field') setAt(w, 0, field, value);
    else setAddress(w, 0, field as never, value);
  }
}

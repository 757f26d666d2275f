import { DoorbellError, hi32, lo32, type Device } from '@doorbell/platform';
import {
  noSuchCpu,
  type Doorbell,
  type InterruptCore,
  type Message,
  type MsiBlock,
  type MsiRequest,
  type Prepared,
  type PreparedMove,
  type RootLevel,
  type SenderCheck,
} from '@doorbell/irqchip';
import {
  ALIAS_BASE,
  ALIAS_STRIDE,
  BANK_BASE,
  BANK_STRIDE,
  MSIIR,
  MSIIR1,
  MSIIR1_VERSION,
  MSIR_STRIDE,
  aliasesOf,
  fromMsiInterrupt,
  msiCount,
  msiData,
  msiNumber,
  msiSource,
  msirOf,
  msirsOf,
} from '../spec/index.js';
import type { MpicSoftware } from './mpic.js';

/** One MSI: its number in the bank and where its MSIR goes now. */
export interface MpicTarget {
  readonly hwirq: number;
  readonly source: number;
}

interface Share extends Prepared<MpicTarget> {
  readonly device: Device;
  /** Those of the targets, and what a multi-message function may send besides. */
  readonly numbers: readonly number[];
}

/** Index of a number that is nobody's vector: kept free behind a block of three, five, … consecutive ones. */
const SPARE = -1;

export interface BankOptions {
  /** Which bank: 0 is A. */
  readonly bank: number;
  /** Numbers that this software may use (`msi-available-ranges`): pairs of first and count. Default: all. */
  readonly ranges?: readonly (readonly [number, number])[];
  /** MSIIR as devices reach it, where firmware says so. Default: the alias page where the version has one. */
  readonly doorbell?: number;
}

/** What the page of an MSIIR without an alias holds besides (B1). */
const GLOBAL_PAGE = [
  'FRR, VIR and TFRR',
  'GCR (whose RST resets the controller)',
  'PIR (which resets processors)',
  'IPIVPR0–3, SVR and the timers of group A',
  'MSIRs of every bank (reading one takes its interrupts away)',
  'MSIIR of the other banks',
];

/**
 * One MSI bank as the root of interrupt chains. Its numbers come in MSIRs of 32; an MSIR has one source, hence one CPU: vectors for
 * different CPUs are kept in different MSIRs, and moving one moves all of its MSIR.
 */
export class MsiBank implements RootLevel<MpicTarget> {
  readonly cpus: readonly number[];
  private readonly bank: number;
  private readonly address: number;
  /** By number: who has it. */
  private readonly owners: ({ readonly share: Share; readonly index: number } | undefined)[];
  private readonly usable: Uint8Array;
  /** By MSIR: its CPU while somebody uses it, else -1; and how many do. */
  private readonly cpuOf: number[];
  private readonly users: number[];

  constructor(
    readonly name: string,
    private readonly mpic: MpicSoftware,
    private readonly interrupts: InterruptCore,
    options: BankOptions,
  ) {
    const { version } = mpic;
    this.cpus = mpic.cpus;
    this.bank = options.bank;
    const msirs = msirsOf(version);
    this.owners = new Array<undefined>(msiCount(version)).fill(undefined);
    this.usable = new Uint8Array(msiCount(version)).fill(options.ranges ? 0 : 1);
    for (const [first, count] of options.ranges ?? []) this.usable.fill(1, first, first + count);
    this.cpuOf = new Array<number>(msirs).fill(-1);
    this.users = new Array<number>(msirs).fill(0);
    const register = version >= MSIIR1_VERSION ? MSIIR1.$.at : MSIIR.$.at;
    const page =
      options.bank < aliasesOf(version)
        ? ALIAS_BASE + ALIAS_STRIDE * options.bank
        : BANK_BASE + BANK_STRIDE * options.bank;
    this.address = options.doorbell ?? mpic.base + page + register;
  }

  doorbells(): readonly Doorbell[] {
    const offset = this.address - this.mpic.base;
    const alias = offset >= ALIAS_BASE && offset < ALIAS_BASE + ALIAS_STRIDE * aliasesOf(this.mpic.version);
    const what = this.mpic.version >= MSIIR1_VERSION ? 'MSIIR1' : 'MSIIR';
    return [{ address: this.address, name: `${this.name} ${what}`, exposes: alias ? [] : GLOBAL_PAGE }];
  }

  senderCheck(device: Device): SenderCheck {
    return {
      scope: 'page',
      witness: `${this.mpic.name} checks no requester: whoever reaches the doorbell page of ${this.name} can raise each of its ${this.owners.length} interrupts, those of ${device.name} too`,
    };
  }

  /** Errors: `IRQ_EXHAUSTED`, with what is available for those CPUs. */
  prepare(request: MsiRequest): Share {
    const { device, count, cpus, contiguous } = request;
    const numbers = contiguous ? this.findRun(count, cpus[0]!) : this.findEach(count, cpus);
    const cpuOf = (index: number): number => cpus[contiguous ? 0 : index % cpus.length]!;
    const share: Share = {
      device,
      numbers,
      cpus: Array.from({ length: count }, (_, index) => cpuOf(index)),
      targets: numbers.slice(0, count).map((hwirq) => ({ hwirq, source: this.sourceOf(hwirq) })),
      commit: () => {
        for (const msir of this.sourcesOf(share)) {
          const mine = numbers.filter((hwirq) => this.msir(hwirq) === msir).length;
          if (this.users[msir] === mine) this.drain(msir);
          this.mpic.enable(this.source(msir), this.cpuOf[msir]!);
        }
      },
      release: () => {
        const before = this.sourcesOf(share);
        this.give(share);
        for (const msir of before) if (this.users[msir] === 0) this.quiet(msir);
      },
      cancel: () => this.give(share),
    };
    numbers.forEach((hwirq, index) => this.take(hwirq, { share, index: index < count ? index : SPARE }, cpuOf(index)));
    return share;
  }

  compose(_message: Message, block: MsiBlock, index: number): Message {
    const { hwirq } = block.share<Share>(this).targets[index]!;
    return { addressHi: hi32(this.address), addressLo: lo32(this.address), data: msiData(hwirq) };
  }

  /** IDR belongs to the MSIR: every vector in it moves, whoever owns it, and `alongWith` says which. */
  prepareAffinity(block: MsiBlock, index: number, cpu: number): PreparedMove {
    if (!this.cpus.includes(cpu)) throw noSuchCpu(this.name, cpu, this.cpus);
    const share = block.share<Share>(this);
    const hwirq = share.targets[index]!.hwirq;
    const msir = this.msir(hwirq);
    const before = this.cpuOf[msir]!;
    const moved = this.owners.flatMap((o, n) => (o && o.index !== SPARE && this.msir(n) === msir ? [o] : []));
    const route = (to: number): void => {
      this.mpic.route(this.source(msir), to);
      this.cpuOf[msir] = to;
      for (const o of moved) {
        const owner = this.blockOf(o.share);
        if (owner) owner.cpus[o.index] = to;
      }
    };
    return {
      commit: () => route(cpu),
      cancel: () => (this.cpuOf[msir] === before ? undefined : route(before)),
      alongWith: moved
        .filter((o) => o.share !== share || o.index !== index)
        .map((o) => `vector ${o.index} of ${o.share.device.name}`),
    };
  }

  owner(_cpu: number, number: number): { readonly block: MsiBlock; readonly index: number } | undefined {
    const msi = fromMsiInterrupt(number);
    const where = msi && msirOf(msi.source);
    if (!msi || where?.bank !== this.bank) return undefined;
    const v43 = this.mpic.version >= MSIIR1_VERSION;
    const found = this.owners[v43 ? where.msir | (msi.bit << 4) : (where.msir << 5) | msi.bit];
    const block = found && found.index !== SPARE ? this.blockOf(found.share) : undefined;
    return block && { block, index: found!.index };
  }

  digest(): string {
    const used = this.owners.flatMap((o, n) => (o ? [n] : []));
    return `${used.join(',')}@${this.cpuOf.join(',')}`;
  }

  private blockOf(share: Share): MsiBlock | undefined {
    return this.interrupts.blocksOf(share.device).find((b) => b.share(this) === share);
  }

  private msir(hwirq: number): number {
    return msiNumber(hwirq, this.mpic.version).msir;
  }
  private source(msir: number): number {
    return msiSource(this.bank, msir);
  }
  private sourceOf(hwirq: number): number {
    return this.source(this.msir(hwirq));
  }
  private sourcesOf(share: Share): number[] {
    return [...new Set(share.numbers.map((hwirq) => this.msir(hwirq)))];
  }

  /** Masked, and nothing left in it. */
  private quiet(msir: number): void {
    this.mpic.disable(this.source(msir));
    this.drain(msir);
  }

  /** Reading an MSIR takes what has come to it: also what strayed there while its source was masked. */
  private drain(msir: number): void {
    this.mpic.registers.read32(BANK_BASE + BANK_STRIDE * this.bank + MSIR_STRIDE * msir);
  }

  private take(hwirq: number, owner: { share: Share; index: number }, cpu: number): void {
    const msir = this.msir(hwirq);
    this.owners[hwirq] = owner;
    this.cpuOf[msir] = cpu;
    this.users[msir]!++;
  }

  private give(share: Share): void {
    for (const hwirq of share.numbers) {
      if (this.owners[hwirq]?.share !== share) continue;
      this.owners[hwirq] = undefined;
      const msir = this.msir(hwirq);
      if (--this.users[msir]! === 0) this.cpuOf[msir] = -1;
    }
  }

  private findEach(count: number, cpus: readonly number[]): number[] {
    const plan = [...this.cpuOf];
    const taken = new Set<number>();
    const free = (hwirq: number): boolean =>
      this.usable[hwirq] === 1 && this.owners[hwirq] === undefined && !taken.has(hwirq);
    for (let i = 0; i < count; i++) {
      const cpu = cpus[i % cpus.length]!;
      const find = (wanted: number): number =>
        this.owners.findIndex((_, n) => plan[this.msir(n)] === wanted && free(n));
      let hwirq = find(cpu);
      if (hwirq < 0) hwirq = find(-1);
      if (hwirq < 0) throw this.exhausted(count, taken.size, cpus);
      plan[this.msir(hwirq)] = cpu;
      taken.add(hwirq);
    }
    return [...taken];
  }

  /** Consecutive data, aligned: all of the power of two that the function may use, to one CPU. */
  private findRun(count: number, cpu: number): number[] {
    const size = 2 ** Math.ceil(Math.log2(count));
    const fits = (hwirq: number): boolean => {
      const of = this.cpuOf[this.msir(hwirq)];
      return this.usable[hwirq] === 1 && this.owners[hwirq] === undefined && (of === -1 || of === cpu);
    };
    let best = 0;
    for (let first = 0; first + size <= this.owners.length; first += size) {
      let n = 0;
      while (n < size && fits(first + n)) n++;
      if (n === size) return Array.from({ length: size }, (_, i) => first + i);
      best = Math.max(best, n);
    }
    throw this.exhausted(count, best, [cpu]);
  }

  private exhausted(needed: number, available: number, cpus: readonly number[]): DoorbellError {
    return new DoorbellError(
      'IRQ_EXHAUSTED',
      `${this.name}: ${needed} MSIs needed, ${available} available for CPU ${cpus.join(', ')} (an MSIR of 32 goes to one CPU)`,
      'ask for fewer vectors, or for fewer CPUs',
      { what: this.name, needed, available, cpus },
    );
  }
}

import { DoorbellError, type Device } from '@doorbell/platform';
import {
  NumberSpace,
  noSuchCpu,
  type Doorbell,
  type Message,
  type MsiBlock,
  type MsiRequest,
  type Prepared,
  type PreparedMove,
  type RootLevel,
  type SenderCheck,
} from '@doorbell/irqchip';
import { MSI_BASE } from '../spec/index.js';

/** Vectors that devices get: above those that operating systems keep for themselves, below the spurious one. */
export const FIRST_VECTOR = 0x31;
export const LAST_VECTOR = 0xfe;

/** Where one vector goes: what a remapping unit writes into its entry. */
export interface ApicTarget {
  readonly vector: number;
  /** APIC id (physical mode) or logical id; up to 32 bits. */
  readonly destination: number;
  /** 0: physical, 1: logical. */
  readonly logical: number;
}

/** A block's vectors, each on a CPU. */
interface Share extends Prepared<ApicTarget> {
  readonly device: Device;
  readonly targets: ApicTarget[];
  readonly cpus: number[];
  /** One aligned run of vectors on one CPU: multi-message MSI without a unit that renumbers. */
  readonly contiguous: boolean;
}

/** What the root has to ask the core, which knows the chains and the blocks. */
export interface ChainKnowledge {
  /** Whether a unit below rewrites the device's messages, so that destinations may have 32 bits. */
  remapped(device: Device): boolean;
  blocksOf(device: Device): readonly MsiBlock[];
}

/**
 * The local APICs as the root of interrupt chains: 206 vectors per CPU, messages in compatibility format (SDM vol. 3 §11.11), physical
 * destination mode. It writes no hardware: a vector exists by being named in a message.
 */
export class VectorAllocator implements RootLevel<ApicTarget> {
  readonly cpus: readonly number[];
  private readonly spaces: readonly NumberSpace[];
  /** Who has a vector, by CPU and vector. */
  private readonly owners: readonly ({ share: Share; index: number } | undefined)[][];
  /**
   * Vectors that were moved away from, by CPU: free, but given out last, because an interrupt that came before the move may still wait
   * in that CPU's IRR and is its old owner's.
   */
  private readonly left: readonly Map<number, { share: Share; index: number }>[];

  constructor(
    readonly name: string,
    /** APIC id of each CPU. */
    private readonly ids: readonly number[],
    private readonly chains: ChainKnowledge,
  ) {
    this.cpus = ids.map((_, cpu) => cpu);
    this.spaces = ids.map(
      (_, cpu) => new NumberSpace(`vectors of CPU ${cpu}`, FIRST_VECTOR, LAST_VECTOR - FIRST_VECTOR + 1),
    );
    this.owners = ids.map(() => []);
    this.left = ids.map(() => new Map<number, { share: Share; index: number }>());
  }

  /** Errors: `IRQ_EXHAUSTED`, `NO_SUCH_CPU`, `DESTINATION_UNREACHABLE`. */
  prepare(request: MsiRequest): Share {
    const { device, count, contiguous } = request;
    const cpus = Array.from({ length: count }, (_, i) => request.cpus[contiguous ? 0 : i % request.cpus.length]!);
    for (const cpu of new Set(cpus)) this.checkDestination(device, cpu);
    const vectors = contiguous && count > 1 ? this.takeRun(cpus[0]!, count) : this.takeEach(cpus);
    const share: Share = {
      device,
      cpus,
      contiguous: contiguous && count > 1,
      targets: vectors.map((vector, i) => this.target(cpus[i]!, vector)),
      commit: () => share.targets.forEach(({ vector }, i) => this.left[share.cpus[i]!]!.delete(vector)),
      release: () => this.give(share),
      cancel: () => this.give(share),
    };
    vectors.forEach((vector, index) => (this.owners[cpus[index]!]![vector] = { share, index }));
    return share;
  }

  /** Compatibility format. Destination bits 31:8, which only a remapping unit can use, stand in the upper word's bits 31:8. */
  compose(_message: Message, block: MsiBlock, index: number): Message {
    const { vector, destination, logical } = block.share<Share>(this).targets[index]!;
    return {
      addressHi: (destination & 0xffff_ff00) >>> 0,
      addressLo: (MSI_BASE | ((destination & 0xff) << 12) | (logical << 2)) >>> 0,
      data: vector,
    };
  }

  /** A new vector on another CPU. The vectors of a multi-message block share one address: they move together. */
  prepareAffinity(block: MsiBlock, index: number, cpu: number): PreparedMove {
    if (!this.cpus.includes(cpu)) throw noSuchCpu(this.name, cpu, this.cpus);
    const share = block.share<Share>(this);
    this.checkDestination(share.device, cpu);
    const moved = share.contiguous ? share.targets.map((_, i) => i) : [index];
    if (share.cpus[index] === cpu) return { commit: () => undefined, cancel: () => undefined };
    const fresh = share.contiguous ? this.takeRun(cpu, moved.length) : [this.takeBack(share, index, cpu)];
    const before = moved.map((i) => ({ target: share.targets[i]!, cpu: share.cpus[i]! }));
    let committed = false;
    const put = (i: number, target: ApicTarget, to: number) => {
      this.owners[share.cpus[i]!]![share.targets[i]!.vector] = undefined;
      share.targets[i] = target;
      share.cpus[i] = block.cpus[i] = to;
      this.owners[to]![target.vector] = { share, index: i };
    };
    return {
      commit: () => {
        moved.forEach((i, n) => {
          this.left[share.cpus[i]!]!.set(share.targets[i]!.vector, { share, index: i });
          this.left[cpu]!.delete(fresh[n]!);
          put(i, this.target(cpu, fresh[n]!), cpu);
        });
        for (const { target, cpu: old } of before) this.spaces[old]!.give(this.run(share, target.vector, moved.length));
        committed = true;
      },
      cancel: () => {
        if (committed) {
          for (const { target, cpu: old } of before)
            this.spaces[old]!.claim(this.run(share, target.vector, moved.length));
          moved.forEach((i, n) => {
            put(i, before[n]!.target, before[n]!.cpu);
            this.left[before[n]!.cpu]!.delete(before[n]!.target.vector);
          });
        }
        this.spaces[cpu]!.give(share.contiguous ? this.padded(fresh[0]!, fresh.length) : fresh);
      },
      alongWith: moved.filter((i) => i !== index).map((i) => `vector ${i} of ${share.device.name}`),
    };
  }

  doorbells(_device: Device, cpus: readonly number[]): readonly Doorbell[] {
    return cpus.map((cpu) => ({
      address: (MSI_BASE | ((this.ids[cpu]! & 0xff) << 12)) >>> 0,
      name: `${this.name} CPU ${cpu}`,
      exposes: [],
    }));
  }

  owner(cpu: number, number: number): { readonly block: MsiBlock; readonly index: number } | undefined {
    const found = this.owners[cpu]?.[number] ?? this.left[cpu]?.get(number);
    if (!found) return undefined;
    const block = this.chains.blocksOf(found.share.device).find((b) => b.share(this) === found.share);
    return block && { block, index: found.index };
  }

  senderCheck(device: Device): SenderCheck {
    return {
      scope: 'none',
      witness: `a DWORD write of any requester to 0xFEEx_xxxx is a message: nothing tells ${device.name} from others`,
    };
  }

  digest(): string {
    return this.spaces.map((s) => s.digest()).join(',');
  }

  private target(cpu: number, vector: number): ApicTarget {
    return { vector, destination: this.ids[cpu]!, logical: 0 };
  }

  /** One vector on each of these CPUs; those of one CPU are asked for together, so that the error says how many are missing. */
  private takeEach(cpus: readonly number[]): number[] {
    const taken = new Map<number, number[]>();
    try {
      for (const cpu of new Set(cpus)) {
        const count = cpus.filter((c) => c === cpu).length;
        taken.set(
          cpu,
          this.avoidingLeft(cpu, (space) => space.take(count)),
        );
      }
    } catch (error) {
      for (const [cpu, vectors] of taken) this.spaces[cpu]!.give(vectors);
      throw error;
    }
    return cpus.map((cpu) => taken.get(cpu)!.shift()!);
  }

  /**
   * The vector that this one had on the CPU before; or that of the same number, so that the message's address changes alone and MSI without masking
   * can follow in one write; or another.
   */
  private takeBack(share: Share, index: number, cpu: number): number {
    for (const [vector, was] of this.left[cpu]!) {
      if (was.share !== share || was.index !== index || this.spaces[cpu]!.isUsed(vector)) continue;
      this.spaces[cpu]!.claim([vector]);
      return vector;
    }
    const { vector } = share.targets[index]!;
    if (this.spaces[cpu]!.isUsed(vector) || this.left[cpu]!.has(vector)) return this.takeEach([cpu])[0]!;
    this.spaces[cpu]!.claim([vector]);
    return vector;
  }

  /** Takes among the vectors that nobody left, and only if that fails among all. */
  private avoidingLeft<T>(cpu: number, take: (space: NumberSpace) => T): T {
    const space = this.spaces[cpu]!;
    const avoided = [...this.left[cpu]!.keys()].filter((vector) => !space.isUsed(vector));
    space.claim(avoided);
    try {
      return take(space);
    } catch (error) {
      if (avoided.length === 0) throw error;
    } finally {
      space.give(avoided);
    }
    return take(space);
  }

  /** The function may send any data value of the power of two that it was given, so all of them are kept. */
  private takeRun(cpu: number, count: number): number[] {
    return this.avoidingLeft(cpu, (space) => space.takeFor({ count, contiguous: true })).slice(0, count);
  }

  private padded(first: number, count: number): number[] {
    return Array.from({ length: powerOfTwo(count) }, (_, i) => first + i);
  }

  /** The vectors to give back with one of a share: itself, or with the first of a run the whole run. */
  private run(share: Share, vector: number, count: number): number[] {
    if (!share.contiguous) return [vector];
    return vector % powerOfTwo(count) === 0 ? this.padded(vector, count) : [];
  }

  private give(share: Share): void {
    share.targets.forEach(({ vector }, i) => {
      const cpu = share.cpus[i]!;
      this.owners[cpu]![vector] = undefined;
      this.spaces[cpu]!.give(this.run(share, vector, share.targets.length));
    });
    for (const left of this.left) for (const [vector, was] of left) if (was.share === share) left.delete(vector);
  }

  /** Compatibility-format messages have 8 bits for the destination, and 0xff is everybody. */
  private checkDestination(device: Device, cpu: number): void {
    const id = this.ids[cpu];
    if (id === undefined) throw noSuchCpu(this.name, cpu, this.cpus);
    if (id < 0xff || this.chains.remapped(device)) return;
    throw new DoorbellError(
      'DESTINATION_UNREACHABLE',
      `CPU ${cpu} has APIC id ${id}, which no message of ${device.name} can name without interrupt remapping`,
      'turn interrupt remapping on, or use a CPU with an APIC id below 255',
      { device: device.name, cpu, apicId: id },
    );
  }
}

const powerOfTwo = (count: number): number => 2 ** Math.ceil(Math.log2(count));

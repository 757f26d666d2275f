import { CPU_INTERFACE, INTERRUPTS, type InterruptCore, type MsiBlock } from '@doorbell/irqchip';
import type { CompletionPolicy, Device, Platform } from '@doorbell/platform';
import type { KitCase } from '../case.js';
import { KitFunction } from '../kit-function.js';

/** A composed platform with the controller under test and without an IOMMU, and what the kit needs to know about it. */
export interface IrqchipSubject {
  readonly platform: Platform;
  /** The first two interrupt through one controller, the third through another of the same kind if a platform can have two. */
  readonly devices: readonly [Device, Device, Device];
  /** CPUs that interrupts can go to: at least two where the controller has them. */
  readonly cpus: readonly number[];
  /** Test control: the hardware refuses the k-th command (0: the next) that a driver gives it; -1: none. */
  refuse(k: number): void;
}

/** Makes a subject. Called for every case, so that cases share nothing. */
export type IrqchipFactory = (options: { readonly completion: CompletionPolicy }) => IrqchipSubject;

/** What a controller has. Delivery, blocks, alignment, exhaustion, doorbells, freeing, snapshots and the oracle cannot be left out. */
export interface IrqchipSupports {
  /** Vectors can move to another CPU. */
  readonly affinity: boolean;
  /** They move one by one (false: others go along, and are named). */
  readonly movesAlone: boolean;
  /** Single vectors can be held back, and wait. */
  readonly masks: boolean;
  /** A platform can have two of it. */
  readonly twoControllers: boolean;
  /** Drivers give it commands, which it can refuse (false: its registers take what is written). */
  readonly refusals: boolean;
  /** Register ranges that hostile input may hit; empty: left out. */
  readonly hostileRegisters: readonly { readonly base: number; readonly size: number }[];
}

/** One thing that every controller shows. */
export type IrqchipCase = KitCase<IrqchipLab, IrqchipSupports>;

export interface EnableOptions {
  /** CPU of each vector, by turns. Default: all CPUs of the subject. */
  readonly cpus?: readonly number[];
  /** Multi-message MSI. */
  readonly contiguous?: boolean;
  /** Whether the function can hold its vectors back. Default true. */
  readonly canMask?: boolean;
}

/** What came out at a CPU: a vector, or a number that nobody has. */
export interface Arrival {
  readonly block: MsiBlock | null;
  readonly index: number;
  readonly cpu: number;
}

/** A subject with the services at hand. */
export class IrqchipLab {
  readonly interrupts: InterruptCore;
  readonly a: Device;
  readonly b: Device;
  /** Of the second controller. */
  readonly c: Device;
  /** One CPU, and another. */
  readonly here: number;
  readonly there: number;

  constructor(
    readonly subject: IrqchipSubject,
    readonly supports: IrqchipSupports,
    /** Another lab of the same kind. */
    readonly fresh: () => IrqchipLab,
  ) {
    this.interrupts = subject.platform.service(INTERRUPTS);
    [this.a, this.b, this.c] = subject.devices;
    this.here = subject.cpus[0]!;
    this.there = subject.cpus[1] ?? this.here;
  }

  get platform(): Platform {
    return this.subject.platform;
  }

  /** A function with `count` vectors, enabled. */
  enable(device: Device, count: number, options: EnableOptions = {}): KitFunction {
    const { cpus = this.subject.cpus, contiguous = false, canMask = true } = options;
    const block = this.interrupts.domainFor(device).allocate({ count, cpus, contiguous });
    return new KitFunction(this, device, block, canMask);
  }

  /** Takes everything that is pending off every CPU. */
  take(): Arrival[] {
    this.platform.settle();
    const cpus = this.platform.get(CPU_INTERFACE);
    return this.subject.cpus.flatMap((cpu) => {
      const seen: Arrival[] = [];
      for (let n = cpus.acknowledge(cpu); n !== null; n = cpus.acknowledge(cpu)) {
        const owner = this.interrupts.owner(cpu, n);
        seen.push({ block: owner?.block ?? null, index: owner?.index ?? n, cpu });
        cpus.end(cpu, n);
      }
      return seen;
    });
  }

  /** The same for people: `device[index]@cpu`, or `nobody[number]@cpu`, sorted. */
  taken(): string {
    const name = ({ block, index, cpu }: Arrival) => `${block?.device.name ?? 'nobody'}[${index}]@${cpu}`;
    return this.take().map(name).sort().join();
  }

  /** Fires these vectors of a function and says what arrived. */
  fire(fn: KitFunction, ...indices: readonly number[]): string {
    for (const index of indices) fn.fire(index);
    return this.taken();
  }

  /** What `fire` says if all is well: each vector at the CPU that the block says. */
  expected(fn: KitFunction, ...indices: readonly number[]): string {
    return indices
      .map((i) => `${fn.device.name}[${i}]@${fn.block.cpus[i]!}`)
      .sort()
      .join();
  }
}

import type { Device } from '@doorbell/platform';
import type { Doorbell, Message } from './message.js';
import type { MsiBlock } from './block.js';

/** What a device asks for. */
export interface MsiRequest {
  readonly device: Device;
  /** Vectors. */
  readonly count: number;
  /** Multi-message MSI: one address, data values consecutive and aligned to `count` rounded up to a power of two (PCI 3.0 §6.8.1). */
  readonly contiguous: boolean;
  /** Width of the function's message address register: 32 or 64. */
  readonly addressBits: 32 | 64;
  /** CPU of each vector; index modulo length. */
  readonly cpus: readonly number[];
}

/**
 * A level's share of a block: reserved in software when `prepare` returns, in hardware after `commit`.
 *
 * `targets[i]` is what vector i is aimed at, typed by whoever made it; the level below builds on it (x86: `{ vector, destination,
 * logical }`, never squeezed through a message).
 */
export interface Prepared<Target = unknown> {
  readonly targets: readonly Target[];
  /** From a root: the CPU of each vector, where they are not those of the request by turns (multi-message MSI has one address, hence one CPU). */
  readonly cpus?: readonly number[];
  /** The block that it is a share of: set by the core when all levels have prepared. */
  block?: MsiBlock;
  /** Writes hardware. Throws `HardwareError`, having undone its own share of it; the reservation stays until `cancel`. */
  commit(): void;
  /**
   * Undoes `commit` and gives the reservation back. Throws `HardwareError` with the reservation kept, so that it can be called again:
   * the device has stopped, so what the hardware has forgotten already need not be put back.
   */
  release(): void;
  /** Gives the reservation back; `commit` has not happened or has failed. */
  cancel(): void;
}

/** A change of one vector's CPU, planned. */
export interface PreparedMove {
  commit(): void;
  cancel(): void;
  /** Other vectors of the same controller that move along (MPIC: all 32 of an MSIR), for the caller to know. */
  readonly alongWith?: readonly string[];
}

/**
 * One level of the interrupt hierarchy. Levels of a chain run in the order root → remapper → translator in `prepare`, `commit`
 * and `compose`, and backwards in `release`.
 */
export interface IrqLevel<Target = unknown, ParentTarget = unknown> {
  readonly name: string;
  /** True where this level gives out its own consecutive numbers, so that levels above it need not be contiguous. */
  readonly renumbers?: boolean;
  /** Plans: touches software reservations only. Throws a typed error with nothing changed (`IRQ_EXHAUSTED` carries `available`). */
  prepare(request: MsiRequest, parent: Prepared<ParentTarget> | null, chain: ChainView): Prepared<Target>;
  /** Pure, cannot fail: the message so far → the message after this level. A root gets `NO_MESSAGE`. */
  compose(message: Message, block: MsiBlock, index: number): Message;
  /** Plans moving vector `index` to another CPU, after the parent planned its own. Absent: this level does not care. */
  prepareAffinity?(block: MsiBlock, index: number, cpu: number): PreparedMove;
  mask?(block: MsiBlock, index: number): void;
  unmask?(block: MsiBlock, index: number): void;
  /** Equal strings for equal allocator states. */
  digest?(): string;
}

/** A level that interrupts enter the CPU through. */
export interface RootLevel<Target = unknown> extends IrqLevel<Target, never> {
  /** Every doorbell that affinity to any of `cpus` may ever choose for the device. */
  doorbells(device: Device, cpus: readonly number[]): readonly Doorbell[];
  /** CPUs that it can interrupt. */
  readonly cpus: readonly number[];
  /** Whose interrupt a number at a CPU interface is. */
  owner(cpu: number, number: number): { readonly block: MsiBlock; readonly index: number } | undefined;
  /** Sentences that say who checks the sender, for isolation. */
  senderCheck(device: Device): SenderCheck;
}

/** Who makes sure that a message comes from whom it was made for. */
export interface SenderCheck {
  /** `vector`: checked per vector; `device`: per device; `page`: whoever reaches the page; `none`: nobody. */
  readonly scope: 'vector' | 'device' | 'page' | 'none';
  readonly witness: string;
}

/** What `prepare` of a lower level may know of the levels above. */
export interface ChainView {
  /** All doorbells of the device for all CPUs of its root. */
  readonly doorbells: readonly Doorbell[];
}

export const NO_MESSAGE: Message = { addressHi: 0, addressLo: 0, data: 0 };

import { DoorbellError, type Device } from '@doorbell/platform';
import type { MsiDomain } from './domain.js';
import type { IrqLevel, MsiRequest, Prepared, PreparedMove } from './level.js';
import { noSuchCpu } from './errors.js';
import { sameMessage, type Message } from './message.js';

/** Who programs the device with the messages of a block: the PCI core, a platform device's driver. */
export interface MsiOwner {
  /** Whether each vector can be held back without loss (MSI-X; MSI with per-vector masking). */
  readonly canMask: boolean;
  /** Holds every vector back; interrupts become pending. */
  maskAll(): void;
  /** Programs the messages as `block.message(i)` now gives them. */
  rewrite(): void;
  /** Lets go of what `maskAll` held back; pending ones are sent. */
  unmaskAll(): void;
}

/** Vectors of one device, allocated together. */
export class MsiBlock {
  /** Set by whoever programs the device; needed for moves that change the message. */
  owner: MsiOwner | undefined;
  private live = true;
  private readonly released = new Set<IrqLevel>();

  constructor(
    readonly domain: MsiDomain,
    readonly request: MsiRequest,
    private readonly shares: ReadonlyMap<IrqLevel, Prepared>,
    /** CPU of each vector. */
    readonly cpus: number[],
  ) {}

  get device(): Device {
    return this.request.device;
  }
  get count(): number {
    return this.request.count;
  }

  /** A level's own share of this block. */
  share<P extends Prepared>(level: IrqLevel): P {
    return this.shares.get(level) as P;
  }

  /** The message of vector `index`, composed now: root, remapper, translation unit. */
  message(index: number): Message {
    return this.domain.compose(this, index);
  }

  /**
   * Moves one vector to another CPU. `messageChanged` says whether the device had to be reprogrammed, which was done through
   * the owner; `alongWith` names vectors that moved too. Errors: `BAD_VECTOR`, `NO_SUCH_CPU`, `IRQ_EXHAUSTED`, `HardwareError`.
   */
  setAffinity(index: number, cpu: number): { messageChanged: boolean; alongWith: readonly string[] } {
    this.check(index);
    const { root } = this.domain;
    if (!root.cpus.includes(cpu)) throw noSuchCpu(root.name, cpu, root.cpus);
    const before = this.message(index);
    const moves: PreparedMove[] = [];
    const done: PreparedMove[] = [];
    try {
      for (const level of this.domain.levels) {
        const move = level.prepareAffinity?.(this, index, cpu);
        if (move) moves.push(move);
      }
      for (const move of moves) {
        move.commit();
        done.push(move);
      }
    } catch (error) {
      for (const move of moves.filter((m) => !done.includes(m)).reverse()) move.cancel();
      for (const move of done.reverse()) move.cancel();
      throw error;
    }
    this.cpus[index] = cpu;
    const messageChanged = !sameMessage(before, this.message(index));
    if (messageChanged) {
      if (this.owner?.canMask) this.owner.maskAll();
      this.owner?.rewrite();
      if (this.owner?.canMask) this.owner.unmaskAll();
    }
    return { messageChanged, alongWith: moves.flatMap((m) => m.alongWith ?? []) };
  }

  mask(index: number): void {
    this.check(index);
    for (const level of this.domain.levels) level.mask?.(this, index);
  }
  unmask(index: number): void {
    this.check(index);
    for (const level of this.domain.levels) level.unmask?.(this, index);
  }

  /**
   * Gives everything back, lowest level first. The device must not use the messages any more.
   * Errors: `HardwareError` where the hardware refuses; the block stays, and can be freed again.
   */
  free(): void {
    if (!this.live) return;
    for (const level of [...this.domain.levels].reverse()) {
      if (this.released.has(level)) continue;
      this.shares.get(level)?.release();
      this.released.add(level);
    }
    this.live = false;
    this.domain.forget(this);
  }

  private check(index: number): void {
    if (!this.live || !(index >= 0 && index < this.count)) {
      throw new DoorbellError(
        'BAD_VECTOR',
        `${this.device.name} has no vector ${index} here (${this.live ? this.count : 'freed'})`,
        'use an index below count',
        {
          device: this.device.name,
          index,
          count: this.count,
        },
      );
    }
  }
}

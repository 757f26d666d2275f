import { DoorbellError, type Device } from '@doorbell/platform';
import { SyncWaterfallHook, type FullTap } from 'tapable';
import { MsiBlock } from './block.js';
import { noSuchCpu } from './errors.js';
import type { IrqLevel, MsiRequest, Prepared, RootLevel } from './level.js';
import { NO_MESSAGE } from './level.js';
import type { Message } from './message.js';

/** What `allocate` is asked: see `MsiRequest`. */
export interface AllocateOptions {
  readonly count: number;
  readonly contiguous?: boolean;
  readonly addressBits?: 32 | 64;
  /** Default: all vectors on the root's first CPU. */
  readonly cpus?: readonly number[];
}

/**
 * The interrupt chain of one device, fixed from its host bridge's maps: root, then a remapper and a translation unit where there are.
 *
 * `prepare` goes down the chain and may fail; `compose` is the waterfall below and cannot: the root yields the doorbell's
 * physical address and the data, the remapper rewrites both, the translation unit replaces the address by the IOVA.
 */
export class MsiDomain {
  readonly hooks: { readonly compose: SyncWaterfallHook<[Message, MsiBlock, number]> };
  readonly blocks = new Set<MsiBlock>();

  constructor(
    readonly device: Device,
    readonly root: RootLevel,
    /** Root first. */
    readonly levels: readonly IrqLevel[],
  ) {
    const compose = new SyncWaterfallHook<[Message, MsiBlock, number]>(['message', 'block', 'index']);
    compose.intercept({ register: mustReturn });
    for (const level of levels)
      compose.tap(level.name, (message, block, index) => level.compose(message, block, index));
    this.hooks = { compose };
  }

  compose(block: MsiBlock, index: number): Message {
    return this.hooks.compose.call(NO_MESSAGE, block, index);
  }

  /** Allocates vectors and activates them in hardware. On any error everything is as before. */
  allocate(options: AllocateOptions): MsiBlock {
    const request: MsiRequest = {
      device: this.device,
      count: options.count,
      contiguous: options.contiguous ?? false,
      addressBits: options.addressBits ?? 64,
      cpus: options.cpus?.length ? options.cpus : [this.root.cpus[0] ?? 0],
    };
    this.check(request);
    const shares = new Map<IrqLevel, Prepared>();
    const committed: Prepared[] = [];
    const chain = { doorbells: this.root.doorbells(this.device, this.root.cpus) };
    try {
      let parent: Prepared | null = null;
      for (const [i, level] of this.levels.entries()) {
        const renumbered = this.levels.slice(i + 1).some((l) => l.renumbers);
        const prepared: Prepared = level.prepare(
          renumbered ? { ...request, contiguous: false } : request,
          parent,
          chain,
        );
        shares.set(level, prepared);
        parent = prepared;
      }
      const block = new MsiBlock(this, request, shares, [...(shares.get(this.root)?.cpus ?? byTurns(request))]);
      this.checkReach(block);
      for (const prepared of shares.values()) prepared.block = block;
      for (const prepared of shares.values()) {
        prepared.commit();
        committed.push(prepared);
      }
      this.blocks.add(block);
      return block;
    } catch (error) {
      const undo = [...shares.values()].reverse();
      for (const prepared of undo) {
        if (committed.includes(prepared)) prepared.release();
        else prepared.cancel();
      }
      throw error;
    }
  }

  forget(block: MsiBlock): void {
    this.blocks.delete(block);
  }

  private check(request: MsiRequest): void {
    if (!Number.isInteger(request.count) || request.count < 1) {
      throw new DoorbellError(
        'BAD_VECTOR',
        `${this.device.name} asks for ${request.count} vectors`,
        'ask for at least one',
        { count: request.count },
      );
    }
    const unknown = request.cpus.find((c) => !this.root.cpus.includes(c));
    if (unknown !== undefined) throw noSuchCpu(this.root.name, unknown, this.root.cpus);
  }

  /** `compose` is pure, so what the device would be programmed with is known before anything is written. */
  private checkReach(block: MsiBlock): void {
    for (let i = 0; i < block.count; i++) {
      const { addressHi, addressLo } = this.compose(block, i);
      if (addressHi === 0 || block.request.addressBits === 64) continue;
      throw new DoorbellError(
        'MSI_ADDRESS_UNREACHABLE',
        `${this.device.name} has a 32-bit message address, but its doorbell lies at 0x${addressHi.toString(16)}${addressLo.toString(16).padStart(8, '0')}`,
        'translate its MSIs through a window below 4 GiB',
        { device: this.device.name, addressBits: 32 },
      );
    }
  }
}

const byTurns = ({ count, cpus }: MsiRequest): number[] =>
  Array.from({ length: count }, (_, i) => cpus[i % cpus.length]!);

/** tapable passes the previous value on when a tap returns nothing; a level that forgets its message must not go unnoticed. */
function mustReturn(tap: FullTap): FullTap {
  const inner = tap.fn as (message: Message, block: MsiBlock, index: number) => Message | undefined;
  return {
    ...tap,
    fn: (before: Message, block: MsiBlock, index: number) => {
      const message = inner(before, block, index);
      if (message === undefined) {
        throw new DoorbellError(
          'PLUGIN_FAILED',
          `${tap.name} returned no message from compose`,
          'return the message, changed or not',
          { plugin: tap.name },
        );
      }
      return message;
    },
  };
}

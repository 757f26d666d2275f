import { NumberSpace } from '@doorbell/irqchip';
import type { Machine } from '@doorbell/platform';

/** A DeviceID's interrupt translation table and its events. Functions behind one alias share it. */
export class ItsDevice {
  readonly events: NumberSpace;
  readonly eventBits: number;
  readonly itt: number;
  private readonly bytes: number;
  /** Blocks that were prepared and not given back. */
  users = 0;
  /** MAPD V = 1 was sent. */
  mapped = false;

  /** Takes pages for at least `count` events; a page is filled up. */
  constructor(
    readonly id: number,
    private readonly machine: Machine,
    count: number,
    entryBytes: number,
    maxBits: number,
  ) {
    const perPage = Math.floor(Math.log2(4096 / entryBytes));
    this.eventBits = Math.min(Math.max(perPage, Math.ceil(Math.log2(count))), maxBits);
    this.bytes = 2 ** this.eventBits * entryBytes;
    this.itt = machine.pages.allocate(this.bytes);
    this.events = new NumberSpace(`events of DeviceID ${id}`, 0, 2 ** this.eventBits);
  }

  /** Zeroes first: pages in the allocator hold nothing. */
  free(): void {
    this.machine.memory.fill(this.itt, this.bytes, 0);
    this.machine.pages.free(this.itt, this.bytes);
  }
}

import type { MsiBlock, MsiOwner, Message } from '@doorbell/irqchip';
import type { Device } from '@doorbell/platform';
import { send, type MsiLab } from './probe.js';
import type { Lab } from './subject.js';

/** A function with MSI-X as the kit drives it: it holds messages, masks and pending bits, and sends real writes. */
export class KitFunction implements MsiOwner {
  readonly messages: Message[];
  private masked = false;
  private readonly waiting = new Set<number>();

  constructor(
    private readonly lab: MsiLab,
    readonly device: Device,
    readonly block: MsiBlock,
    readonly canMask = true,
  ) {
    this.messages = Array.from({ length: block.count }, (_, i) => block.message(i));
    block.owner = this;
  }

  fire(index: number): void {
    if (this.masked) this.waiting.add(index);
    else send(this.lab, this.device, this.messages[index]!);
  }

  maskAll(): void {
    this.masked = true;
  }
  rewrite(): void {
    for (let i = 0; i < this.messages.length; i++) this.messages[i] = this.block.message(i);
  }
  unmaskAll(): void {
    this.masked = false;
    for (const index of this.waiting) this.fire(index);
    this.waiting.clear();
  }
}

/** Enables `count` vectors on a device whose domain is ready for it. */
export function enable(
  lab: Lab,
  device: Device,
  count: number,
  cpus: readonly number[] = lab.subject.cpus,
): KitFunction {
  return new KitFunction(lab, device, lab.interrupts.domainFor(device).allocate({ count, cpus }));
}

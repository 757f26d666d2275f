import {
  NO_MESSAGE,
  NumberSpace,
  type Doorbell,
  type Message,
  type MsiBlock,
  type MsiRequest,
  type Prepared,
  type PreparedMove,
  type RootLevel,
  type SenderCheck,
} from '@doorbell/irqchip';
import type { Device } from '@doorbell/platform';
import { DOORBELL, NUMBERS } from '../spec/irqchip.js';

interface Target {
  cpu: number;
  readonly number: number;
}
interface Share extends Prepared<Target> {
  block?: MsiBlock;
}

/** Numbers are common to all CPUs; the doorbell page says which CPU: moving a vector changes the message. */
export class MinimalRoot implements RootLevel<Target> {
  readonly cpus: readonly number[];
  private readonly numbers: NumberSpace;
  private readonly owners = new Map<number, { share: Share; index: number }>();

  constructor(
    readonly name: string,
    private readonly base: number,
    cpus: number,
    numbers = NUMBERS,
  ) {
    this.cpus = Array.from({ length: cpus }, (_, i) => i);
    this.numbers = new NumberSpace(`${name} numbers`, 0, numbers);
  }

  prepare(request: MsiRequest): Share {
    const { count, cpus } = request;
    const align = 2 ** Math.ceil(Math.log2(count));
    const first = request.contiguous ? this.numbers.takeBlock(count, align) : -1;
    const numbers = first < 0 ? this.numbers.take(count) : Array.from({ length: count }, (_, i) => first + i);
    const one = request.contiguous ? 1 : cpus.length;
    const targets = numbers.map((number, i) => ({ number, cpu: cpus[i % one]! }));
    const release = () => {
      for (const n of numbers) this.owners.delete(n);
      this.numbers.give(numbers);
    };
    const share: Share = { targets, commit: () => undefined, release, cancel: release };
    numbers.forEach((n, index) => this.owners.set(n, { share, index }));
    return share;
  }

  compose(_message: Message, block: MsiBlock, index: number): Message {
    const share = block.share<Share>(this);
    share.block = block;
    const { cpu, number } = share.targets[index]!;
    const address = this.base + cpu * 4096 + DOORBELL;
    return { ...NO_MESSAGE, addressHi: Math.floor(address / 2 ** 32), addressLo: address >>> 0, data: number };
  }

  /** Multi-message MSI has one address, so all its vectors move together. */
  prepareAffinity(block: MsiBlock, index: number, cpu: number): PreparedMove {
    const { targets } = block.share<Share>(this);
    const moved = block.request.contiguous ? targets : [targets[index]!];
    const before = moved.map((t) => t.cpu);
    return {
      commit: () => moved.forEach((t) => (t.cpu = cpu)),
      cancel: () => moved.forEach((t, i) => (t.cpu = before[i]!)),
      alongWith: moved.filter((t) => t !== targets[index]).map((t) => `${this.name} number ${t.number}`),
    };
  }

  doorbells(_device: Device, cpus: readonly number[]): readonly Doorbell[] {
    return cpus.map((cpu) => ({
      address: this.base + cpu * 4096 + DOORBELL,
      name: `${this.name} CPU ${cpu}`,
      exposes: [],
    }));
  }
  owner(_cpu: number, number: number): { block: MsiBlock; index: number } | undefined {
    const found = this.owners.get(number);
    return found?.share.block && { block: found.share.block, index: found.index };
  }
  senderCheck(): SenderCheck {
    return { scope: 'page', witness: `${this.name} takes numbers from whoever reaches its page` };
  }
  digest(): string {
    return this.numbers.digest();
  }
}

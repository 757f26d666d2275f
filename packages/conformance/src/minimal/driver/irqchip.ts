import { get } from '@doorbell/bits';
import {
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
import { HardwareError, hi32, lo32, type Device, type Range, type SoftwareHost } from '@doorbell/platform';
import { COMMAND, DOORBELL, STATUS } from '../spec/irqchip.js';

/** A number, and the CPU whose doorbell the device writes it to. */
interface Target {
  cpu: number;
  readonly number: number;
}

/** The software. Numbers are common to all CPUs; the doorbell page says which CPU: moving a vector changes the message. */
export class MinimalRoot implements RootLevel<Target> {
  readonly cpus: readonly number[];
  private readonly numbers: NumberSpace;
  private readonly owners = new Map<number, { readonly share: Prepared<Target>; readonly index: number }>();
  private readonly control: number;

  constructor(
    readonly name: string,
    private readonly host: SoftwareHost,
    private readonly base: number,
    cpus: number,
    { first, last }: Range,
  ) {
    this.cpus = Array.from({ length: cpus }, (_, cpu) => cpu);
    this.numbers = new NumberSpace(`${name} numbers`, first, last - first + 1);
    this.control = base + cpus * 4096;
  }

  prepare(request: MsiRequest): Prepared<Target> {
    const { count, cpus, contiguous } = request;
    const taken = this.numbers.takeFor(request);
    // Multi-message MSI has one address, so all its vectors are on one CPU.
    const cpuOf = (index: number): number => cpus[contiguous ? 0 : index % cpus.length]!;
    const targets = taken.slice(0, count).map((number, index) => ({ number, cpu: cpuOf(index) }));
    const cancel = () => {
      for (const number of taken) this.owners.delete(number);
      this.numbers.give(taken);
    };
    const release = () => {
      for (const { number } of targets) this.command(number, COMMAND.CLEAR.mask);
      cancel();
    };
    const share = { targets, cpus: targets.map((t) => t.cpu), commit: () => this.enableAll(targets), release, cancel };
    targets.forEach(({ number }, index) => this.owners.set(number, { share, index }));
    return share;
  }

  compose(_message: Message, block: MsiBlock, index: number): Message {
    const { cpu, number } = block.share<Prepared<Target>>(this).targets[index]!;
    const address = this.doorbell(cpu);
    return { addressHi: hi32(address), addressLo: lo32(address), data: number };
  }

  prepareAffinity(block: MsiBlock, index: number, cpu: number): PreparedMove {
    const { targets } = block.share<Prepared<Target>>(this);
    const moved = block.request.contiguous ? [...targets.keys()] : [index];
    const before = moved.map((i) => targets[i]!.cpu);
    const put = (i: number, to: number) => (targets[i]!.cpu = block.cpus[i] = to);
    return {
      commit: () => moved.forEach((i) => put(i, cpu)),
      cancel: () => moved.forEach((i, n) => put(i, before[n]!)),
      alongWith: moved.filter((i) => i !== index).map((i) => `vector ${i} of ${block.device.name}`),
    };
  }

  mask(block: MsiBlock, index: number): void {
    this.command(block.share<Prepared<Target>>(this).targets[index]!.number, 0);
  }
  unmask(block: MsiBlock, index: number): void {
    this.command(block.share<Prepared<Target>>(this).targets[index]!.number, COMMAND.ENABLE.mask);
  }

  doorbells(_device: Device, cpus: readonly number[]): readonly Doorbell[] {
    return cpus.map((cpu) => ({ address: this.doorbell(cpu), name: `${this.name} CPU ${cpu}`, exposes: [] }));
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

  private doorbell(cpu: number): number {
    return this.base + cpu * 4096 + DOORBELL.$.at;
  }

  /** Clears what may have strayed to the numbers while they were nobody's. */
  private enableAll(targets: readonly Target[]): void {
    let done = 0;
    try {
      for (; done < targets.length; done++)
        this.command(targets[done]!.number, COMMAND.ENABLE.mask | COMMAND.CLEAR.mask);
    } catch (error) {
      for (const { number } of targets.slice(0, done)) this.command(number, COMMAND.CLEAR.mask);
      throw error;
    }
  }

  private command(number: number, what: number): void {
    const { cpu } = this.host;
    const status = this.control + STATUS.$.at;
    cpu.write32(this.control + COMMAND.$.at, (number | what) >>> 0);
    this.host.waitUntil(`${this.name}: number ${number}`, () => !get(cpu.read32(status), STATUS.BUSY));
    if (!get(cpu.read32(status), STATUS.REFUSED)) return;
    cpu.write32(status, STATUS.REFUSED.mask);
    throw new HardwareError('COMMAND_REFUSED', `${this.name} refused number ${number}`, 'look at the controller', {});
  }
}

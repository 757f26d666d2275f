import { get, setAt } from '@doorbell/bits';
import type { CpuInterface } from '@doorbell/irqchip';
import { RegisterFile, type HardwareHost, type MmioRegion, type Model, type Range } from '@doorbell/platform';
import { COMMAND, DOORBELL, STATUS } from '../spec/irqchip.js';

interface State {
  readonly pending: readonly Uint8Array[];
  readonly enabled: Uint8Array;
  readonly control: Uint32Array;
}

/** The hardware: a number written to a CPU's doorbell is pending there; the CPU takes it if it is enabled, and else it waits. */
export class MinimalIrqchip implements Model, CpuInterface {
  readonly regions: readonly MmioRegion[];
  private readonly control: RegisterFile;
  /** By CPU and number, counted from `numbers.first`. */
  private readonly bits: readonly Uint8Array[];
  private readonly enabled: Uint8Array;
  /** Refuses the command after so many more; -1: none. */
  private untilRefusal = -1;

  constructor(
    readonly name: string,
    private readonly host: HardwareHost,
    base: number,
    cpus: number,
    private readonly numbers: Range,
  ) {
    const { diagnostics, clock } = host;
    const count = numbers.last - numbers.first + 1;
    this.bits = Array.from({ length: cpus }, () => new Uint8Array(count));
    this.enabled = new Uint8Array(count);
    const write = (offset: number, _size: number, value: number) => this.ring(offset, value);
    const pages = { name: `${name} doorbells`, base, size: cpus * 4096, read: () => 0, write };
    const registers = [COMMAND, STATUS];
    const at = base + pages.size;
    this.control = new RegisterFile({ name: `${name} control`, base: at, size: 4096, diagnostics, registers });
    this.regions = [pages, this.control];
    const lane = clock.lane();
    this.control.onWrite(COMMAND.$.at, (command) => {
      setAt(this.control.words, STATUS.$.at / 4, STATUS.BUSY, 1);
      lane.run(() => this.execute(command));
    });
  }

  /** Test control: the hardware refuses its k-th command from now. */
  refuseCommand(k: number): void {
    this.untilRefusal = k;
  }

  pending(cpu: number): readonly number[] {
    const bits = this.bits[cpu] ?? [];
    return [...bits.keys()].filter((i) => bits[i] && this.enabled[i]).map((i) => this.numbers.first + i);
  }
  acknowledge(cpu: number): number | null {
    const index = this.bits[cpu]?.findIndex((bit, i) => bit === 1 && this.enabled[i] === 1) ?? -1;
    if (index < 0) return null;
    this.bits[cpu]![index] = 0;
    return this.numbers.first + index;
  }
  end(): void {}

  snapshot(): State {
    return { pending: this.bits, enabled: this.enabled, control: this.control.snapshot() };
  }
  restore(state: unknown): void {
    const { pending, enabled, control } = state as State;
    pending.forEach((bits, cpu) => this.bits[cpu]!.set(bits));
    this.enabled.set(enabled);
    this.control.restore(control);
  }

  private ring(offset: number, number: number): void {
    const index = number - this.numbers.first;
    if (!this.enabled[index] || (offset & 0xfff) !== DOORBELL.$.at) return this.unheard(offset, index);
    this.bits[offset >>> 12]![index] = 1;
    if (this.host.hooks.delivered.isUsed()) this.tell(index, offset >>> 12);
  }

  /** A number that is disabled waits; one that is not ours is dropped, as is all beside the doorbell. */
  private unheard(offset: number, index: number): void {
    const waits = index >= 0 && index < this.enabled.length && offset % 4096 === DOORBELL.$.at;
    if (waits) this.bits[offset >>> 12]![index] = 1;
    const { refused } = this.host.hooks;
    const name = waits ? 'NUMBER_DISABLED' : 'NO_SUCH_NUMBER';
    if (refused.isUsed()) refused.call({ by: this.name, code: null, name, recorded: waits });
  }

  private execute(command: number): void {
    const index = get(command, COMMAND.NUMBER) - this.numbers.first;
    const unknown = index < 0 || index >= this.enabled.length;
    const refused = unknown || (this.untilRefusal >= 0 && this.untilRefusal-- === 0);
    setAt(this.control.words, STATUS.$.at / 4, STATUS.BUSY, 0);
    if (refused) return setAt(this.control.words, STATUS.$.at / 4, STATUS.REFUSED, 1);
    const fresh = !this.enabled[index];
    this.enabled[index] = get(command, COMMAND.ENABLE);
    for (const [cpu, bits] of this.bits.entries()) {
      if (get(command, COMMAND.CLEAR)) bits[index] = 0;
      const heard = fresh && this.enabled[index] && bits[index];
      if (heard && this.host.hooks.delivered.isUsed()) this.tell(index, cpu);
    }
  }

  private tell(index: number, cpu: number): void {
    const number = this.numbers.first + index;
    this.host.hooks.delivered.call({ controller: 'minimal', number, cpu });
  }
}

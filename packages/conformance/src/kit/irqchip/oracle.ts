import { DoorbellError, type Device } from '@doorbell/platform';
import { check, equal, telling } from '../assert.js';
import type { KitFunction } from '../kit-function.js';
import { Random } from '../random.js';
import type { IrqchipCase, IrqchipLab } from './subject.js';

/** What should be true of one vector, kept in the plainest way. */
interface Expected {
  masked: boolean;
  /** How often it was fired since the CPUs took something. */
  fired: number;
  /** Where it may arrive then: what is pending may stay where it was when its vector moves. */
  readonly at: Set<number>;
}

/** Random allocations, interrupts, masks and moves; whatever the CPUs take is held against the oracle. */
class Run {
  private readonly random: Random;
  private readonly live = new Map<KitFunction, Expected[]>();
  private readonly done: string[] = [];

  constructor(
    private readonly lab: IrqchipLab,
    private readonly seed: number,
  ) {
    this.random = new Random(seed);
  }

  steps(count: number): void {
    const start = this.lab.interrupts.digest();
    telling(this.done, () => {
      for (let step = 0; step < count; step++) this.step(`seed ${this.seed}, step ${step}`);
      this.compare(`seed ${this.seed}, the end`);
    });
    for (const fn of this.live.keys()) fn.block.free();
    equal(this.lab.interrupts.digest(), start, `seed ${this.seed}: allocators when all is freed`);
  }

  private step(where: string): void {
    const { lab, random } = this;
    const what = random.below(16);
    if (what < 2 || this.live.size === 0) return this.allocate(where);
    const fn = [...this.live.keys()][random.below(this.live.size)]!;
    const index = random.below(fn.block.count);
    const expected = this.live.get(fn)![index]!;
    const say = (verb: string) => this.done.push(`${verb} ${fn.device.name}[${index}]`);
    if (what < 8) {
      say('fire');
      fn.fire(index);
      expected.fired++;
      expected.at.add(fn.block.cpus[index]!);
    } else if (what < 10 && lab.supports.affinity) {
      say('move');
      this.move(fn, index);
    } else if (what < 12 && lab.supports.masks) {
      say(expected.masked ? 'unmask' : 'mask');
      if (expected.masked) fn.block.unmask(index);
      else fn.block.mask(index);
      expected.masked = !expected.masked;
    } else if (what === 12) {
      this.compare(where); // what the CPUs have not taken yet may be taken as anybody's once the number is free
      this.done.push(`free ${fn.device.name}`);
      fn.block.free();
      this.live.delete(fn);
    } else this.compare(where);
  }

  private allocate(where: string): void {
    const { lab, random } = this;
    const device: Device = lab.subject.devices[random.below(3)]!;
    const count = 1 + random.below(5);
    const contiguous = random.below(3) === 0;
    const cpus = random.below(2) ? lab.subject.cpus : [lab.subject.cpus[random.below(lab.subject.cpus.length)]!];
    const digest = lab.interrupts.digest();
    this.done.push(`allocate ${count}${contiguous ? ' consecutive' : ''} for ${device.name}`);
    try {
      const fn = lab.enable(device, count, { cpus, contiguous });
      this.live.set(
        fn,
        Array.from({ length: count }, () => ({ masked: false, fired: 0, at: new Set<number>() })),
      );
    } catch (error) {
      if (!(error instanceof DoorbellError) || error.code !== 'IRQ_EXHAUSTED') throw error;
      equal(lab.interrupts.digest(), digest, `${where}: allocators after running out`);
    }
  }

  private move(fn: KitFunction, index: number): void {
    fn.block.setAffinity(index, this.lab.subject.cpus[this.random.below(this.lab.subject.cpus.length)]!);
    // Others may have moved along.
    for (const [f, vectors] of this.live)
      for (const [i, expected] of vectors.entries()) if (expected.fired > 0) expected.at.add(f.block.cpus[i]!);
  }

  /** Every CPU takes all that is pending: of each vector that was fired and is not masked, one at least, and no more than were fired. */
  private compare(where: string): void {
    const taken = new Map<Expected, number>();
    for (const { block, index, cpu } of this.lab.take()) {
      const fn = [...this.live.keys()].find((f) => f.block === block);
      check(fn !== undefined, `${where}: number ${index} at CPU ${cpu} is nobody's`);
      const expected = this.live.get(fn)![index]!;
      const what = `${where}: ${fn.device.name}[${index}] at CPU ${cpu}`;
      check(!expected.masked, `${what} is masked`);
      check(expected.at.has(cpu), `${what} was not fired there`);
      taken.set(expected, (taken.get(expected) ?? 0) + 1);
    }
    for (const [fn, vectors] of this.live)
      for (const [i, expected] of vectors.entries()) {
        if (expected.masked) continue;
        const count = taken.get(expected) ?? 0;
        const what = `${where}: ${fn.device.name}[${i}], fired ${expected.fired} times, arrived ${count} times`;
        check(count <= expected.fired && count <= expected.at.size && (count > 0 || expected.fired === 0), what);
        expected.fired = 0;
        expected.at.clear();
      }
  }
}

export const oracleCases: readonly IrqchipCase[] = [
  {
    name: 'random operations agree with a naive oracle',
    run: (lab) => {
      for (let seed = 1; seed <= 8; seed++) new Run(lab.fresh(), seed).steps(300);
    },
  },
];

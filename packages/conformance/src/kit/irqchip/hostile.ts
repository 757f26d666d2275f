import { CPU_INTERFACE } from '@doorbell/irqchip';
import { haveRegisters } from '../probe.js';
import { Random } from '../random.js';
import type { IrqchipCase, IrqchipLab } from './subject.js';

/** Random writes at and around the doorbells, by anybody; then the CPUs take what they can. None throws or hangs. */
function bombard(lab: IrqchipLab, random: Random, count: number): void {
  const bells = lab.subject.devices.flatMap((device) =>
    lab.interrupts.domainFor(device).root.doorbells(device, lab.subject.cpus),
  );
  for (let i = 0; i < count; i++) {
    const device = lab.subject.devices[random.below(3)]!;
    const requester = random.below(8) ? device.requester : random.below(65536);
    const address = bells[random.below(bells.length)]!.address + (random.below(4) ? 0 : 4 * random.below(32));
    const data = random.below(4) ? random.below(512) : random.word();
    lab.platform.fabric(device.segment).write32(requester, Math.floor(address / 2 ** 32), address >>> 0, data);
  }
  lab.platform.settle();
  const cpus = lab.platform.get(CPU_INTERFACE);
  for (const cpu of lab.subject.cpus) {
    cpus.pending(cpu);
    for (let n = 0; n < 50; n++) {
      const number = cpus.acknowledge(cpu);
      if (number === null) break;
      lab.interrupts.owner(cpu, number);
      cpus.end(cpu, number);
    }
  }
}

/** Whatever registers, memory and messages hold, hardware answers as hardware does. */
export const hostileCases: readonly IrqchipCase[] = [
  {
    name: 'random messages: no exception, no hang',
    run: (lab) => {
      const random = new Random(5);
      lab.enable(lab.a, 4);
      lab.enable(lab.b, 2);
      for (let n = 0; n < 10; n++) bombard(lab, random, 100);
    },
  },
  {
    name: 'random bytes in the memory that the driver wrote: no exception, no hang',
    run: (lab) => {
      for (let seed = 1; seed <= 8; seed++) {
        const here = lab.fresh();
        const random = new Random(seed);
        here.enable(here.a, 4);
        here.enable(here.b, 2);
        for (const { address, words } of [...here.platform.memoryModel.chunks()]) {
          for (let i = 0; i < words.length; i++) {
            if (words[i] === 0 || random.below(3)) continue;
            const value = random.below(2) ? random.word() : words[i]! ^ (1 << random.below(32));
            here.platform.memory.write32(address + 4 * i, value >>> 0);
          }
        }
        for (let n = 0; n < 4; n++) bombard(here, random, 50);
      }
    },
  },
  {
    name: 'random register accesses: no exception, no hang',
    unless: (s) => s.hostileRegisters.length === 0,
    run: (lab) => {
      haveRegisters(lab.platform, lab.supports.hostileRegisters);
      for (let seed = 1; seed <= 8; seed++) {
        const here = lab.fresh();
        const random = new Random(seed * 77);
        here.enable(here.a, 4);
        const { bus } = here.platform;
        for (let i = 0; i < 400; i++) {
          const range = here.supports.hostileRegisters[random.below(here.supports.hostileRegisters.length)]!;
          const address = range.base + 4 * random.below(range.size / 4);
          const value = (random.below(3) === 0 ? 1 << random.below(32) : random.word()) >>> 0;
          if (random.below(8) === 0) bus.deviceRead32(address);
          else if (random.below(2)) bus.deviceWrite32(address, value, 0);
          else bus.write32(address, value);
          if (i % 40 === 39) bombard(here, random, 20);
        }
        here.platform.settle();
      }
    },
  },
];

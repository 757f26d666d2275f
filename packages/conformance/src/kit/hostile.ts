import { READ, Verdict, WRITE, newOutcome, newRequest } from '@doorbell/platform';
import { check } from './assert.js';
import type { Case } from './case.js';
import { Random } from './random.js';
import { READ_WRITE, haveRegisters } from './probe.js';
import type { Lab } from './subject.js';

/** Random requests: each ends in a verdict, none throws or hangs. */
function bombard(lab: Lab, random: Random, count: number): void {
  const request = newRequest();
  const out = newOutcome();
  for (let i = 0; i < count; i++) {
    const device = lab.subject.devices[random.below(3)]!;
    request.requester = random.below(8) ? device.requester : random.below(65536);
    request.hi = random.below(4) ? 0 : random.word();
    request.lo = random.below(2) ? lab.iova(random.below(16)) >>> 0 : random.word();
    request.access = random.below(2) ? READ : WRITE;
    request.pasid = -1;
    const verdict = lab.platform.fabric(device.segment).translate(request, out);
    check(verdict >= Verdict.translated && verdict <= Verdict.interrupt, `verdict ${String(verdict)}`);
    if (verdict === Verdict.translated)
      check(Number.isSafeInteger(out.pa) && out.pa >= 0 && out.pa < 2 ** 52, `physical address ${out.pa}`);
    if (random.below(4) === 0)
      lab.platform.fabric(device.segment).write32(request.requester, request.hi, request.lo, random.word());
  }
}

/** Whatever memory and registers hold, hardware answers as hardware does. */
export const hostileCases: readonly Case[] = [
  {
    name: 'random bytes as tables: verdicts, never exceptions',
    run: (lab) => {
      for (let seed = 1; seed <= 8; seed++) {
        const here = lab.fresh();
        const random = new Random(seed);
        const domain = here.domain(here.a, here.b);
        domain.map(here.iova(), here.data, 4 * here.granule, READ_WRITE);
        const digest = new Map<number, Uint32Array>();
        for (const { address, words } of here.platform.memoryModel.chunks()) digest.set(address, words);
        for (const [address, words] of digest) {
          // Every table that the driver built lies in memory that is not zero.
          for (let i = 0; i < words.length; i++) {
            if (words[i] === 0 || random.below(3)) continue;
            const value = random.below(2) ? random.word() : words[i]! ^ (1 << random.below(32));
            here.platform.memory.write32(address + 4 * i, value >>> 0);
          }
        }
        bombard(here, random, 300);
        here.platform.settle();
        bombard(here, random, 100);
      }
    },
  },
  {
    name: 'random register writes: no exception, no hang',
    unless: (s) => s.hostileRegisters.length === 0,
    run: (lab) => {
      haveRegisters(lab.platform, lab.supports.hostileRegisters);
      for (let seed = 1; seed <= 8; seed++) {
        const here = lab.fresh();
        const random = new Random(seed * 77);
        here.domain(here.a).map(here.iova(), here.data, 4 * here.granule, READ_WRITE);
        for (let i = 0; i < 300; i++) {
          const range = here.supports.hostileRegisters[random.below(here.supports.hostileRegisters.length)]!;
          const address = range.base + 4 * random.below(range.size / 4);
          const value = random.below(3) === 0 ? 1 << random.below(32) : random.word();
          if (random.below(4)) here.platform.bus.deviceWrite32(address, value >>> 0, 0);
          else here.platform.bus.deviceRead32(address);
          if (i % 50 === 49) bombard(here, random, 20);
        }
        here.platform.settle();
      }
    },
  },
];

import { check, equal, throwsCode } from './assert.js';
import type { Case } from './case.js';
import { fingerprint } from './fingerprint.js';
import { enable } from './kit-function.js';
import { send, taken } from './probe.js';
import type { Lab } from './subject.js';

/** A domain for the device with a window if it needs one. */
export function ready(lab: Lab, device = lab.a, base = 0x800_0000) {
  const domain = lab.domain(device);
  if (lab.supports.softwareWindow) {
    const { bytes } = lab.iommu.msiDemand([device], domain);
    domain.reserveMsiWindow({ base, size: bytes });
  }
  return domain;
}

/** Interrupts arrive at the CPU interface, where and as often as they should. */
export const msiCases: readonly Case[] = [
  {
    name: 'every vector arrives, at its own CPU, as itself',
    run: (lab) => {
      ready(lab);
      const fn = enable(lab, lab.a, 4);
      for (let i = 0; i < 4; i++) {
        fn.fire(i);
        equal(taken(lab).join(), `${lab.a.name}[${i}]@${fn.block.cpus[i]!}`, `vector ${i}`);
      }
      equal(taken(lab).join(), '', 'what is left pending');
    },
  },
  {
    name: 'vectors of two devices do not meet',
    run: (lab) => {
      ready(lab, lab.a);
      ready(lab, lab.b);
      const a = enable(lab, lab.a, 2, [lab.subject.cpus[0]!]);
      const b = enable(lab, lab.b, 2, [lab.subject.cpus[0]!]);
      a.fire(1);
      b.fire(0);
      const cpu = lab.subject.cpus[0]!;
      equal(taken(lab).join(), [`${lab.a.name}[1]@${cpu}`, `${lab.b.name}[0]@${cpu}`].sort().join(), 'arrived');
    },
  },
  {
    name: 'devices behind two units get their interrupts',
    run: (lab) => {
      ready(lab, lab.a);
      ready(lab, lab.c);
      const cpu = lab.subject.cpus[0]!;
      enable(lab, lab.a, 1, [cpu]).fire(0);
      enable(lab, lab.c, 1, [cpu]).fire(0);
      equal(taken(lab).join(), [`${lab.a.name}[0]@${cpu}`, `${lab.c.name}[0]@${cpu}`].sort().join(), 'arrived');
    },
  },
  {
    name: 'consecutive vectors share one address and have consecutive data, aligned',
    run: (lab) => {
      ready(lab);
      const block = lab.interrupts
        .domainFor(lab.a)
        .allocate({ count: 4, contiguous: true, cpus: [lab.subject.cpus[0]!] });
      const first = block.message(0);
      equal(first.data % 4, 0, 'data of the first, modulo 4');
      for (let i = 0; i < 4; i++) {
        const message = { ...first, data: first.data + i };
        send(lab, lab.a, message);
        equal(taken(lab).join(), `${lab.a.name}[${i}]@${lab.subject.cpus[0]!}`, `data + ${i}`);
      }
      block.free();
    },
  },
  {
    name: 'a vector moves to another CPU and arrives there',
    unless: (s) => !s.affinity,
    run: (lab) => {
      ready(lab);
      const [from, to] = [lab.subject.cpus[0]!, lab.subject.cpus[1]!];
      const fn = enable(lab, lab.a, 2, [from]);
      // Whatever caches the vector's route has it now.
      fn.fire(1);
      taken(lab);
      const before = JSON.stringify(fn.messages[1]);
      const { messageChanged } = fn.block.setAffinity(1, to);
      equal(messageChanged, before !== JSON.stringify(fn.messages[1]), 'messageChanged');
      fn.fire(1);
      fn.fire(0);
      equal(taken(lab).join(), `${lab.a.name}[0]@${from},${lab.a.name}[1]@${to}`, 'arrived');
      throwsCode('NO_SUCH_CPU', 'a CPU that is not there', () =>
        lab.interrupts.domainFor(lab.a).allocate({ count: 1, cpus: [999] }),
      );
    },
  },
  {
    name: 'a message of one device, sent by another, does not arrive where isolation says so',
    run: (lab) => {
      ready(lab, lab.a);
      ready(lab, lab.b);
      const mine = enable(lab, lab.a, 2, [lab.subject.cpus[0]!]);
      enable(lab, lab.b, 1, [lab.subject.cpus[0]!]);
      for (const [i, message] of mine.messages.entries()) {
        send(lab, lab.b, message);
        const forged = taken(lab).includes(`${lab.a.name}[${i}]@${lab.subject.cpus[0]!}`);
        equal(forged, !lab.iommu.msiIsolation(lab.a).isolated, `vector ${i} raised by the other device`);
      }
      mine.fire(1);
      equal(taken(lab).length, 1, 'arrived from its own device');
    },
  },
  {
    name: 'what is freed is free again: the same as before, as often as one likes',
    run: (lab) => {
      ready(lab);
      const digest = () => lab.interrupts.digest() + lab.iommu.domainOf(lab.a).digest();
      const first = enable(lab, lab.a, 3);
      first.block.free();
      const before = digest();
      for (let n = 0; n < 3; n++) {
        const fn = enable(lab, lab.a, 3);
        fn.fire(2);
        equal(taken(lab).length, 1, 'arrived');
        fn.block.free();
        equal(digest(), before, 'allocators');
      }
      throwsCode('BAD_VECTOR', 'masking a freed vector', () => first.block.mask(0));
    },
  },
  {
    name: 'running out of vectors changes nothing and says how many there are',
    run: (lab) => {
      ready(lab);
      const before = fingerprint(lab);
      const error = throwsCode('IRQ_EXHAUSTED', 'a million vectors', () => enable(lab, lab.a, 1_000_000));
      const available = error.details['available'];
      check(typeof available === 'number' && available > 0, `available is ${String(available)}`);
      equal(fingerprint(lab), before, 'state after the refusal');
      throwsCode('BAD_VECTOR', 'no vectors', () => enable(lab, lab.a, 0));
    },
  },
];

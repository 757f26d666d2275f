import { HardwareError, READ, WRITE } from '@doorbell/platform';
import { check, equal } from './assert.js';
import type { Case } from './case.js';
import { KitFunction, enable } from './kit-function.js';
import { ready } from './msi.js';
import { READ_WRITE, ask, taken } from './probe.js';
import type { Lab } from './subject.js';

/** What software can see of a lab through its devices: every translation near the kit's mappings, and where live vectors arrive. */
function observe(lab: Lab, live: readonly KitFunction[]): string {
  const seen: string[] = [];
  for (const device of lab.subject.devices) {
    for (let n = 0; n < 6; n++) for (const access of [READ, WRITE]) seen.push(ask(lab, device, lab.iova(n), access));
  }
  taken(lab);
  for (const fn of live) {
    for (let i = 0; i < fn.block.count; i++) {
      const { addressHi, addressLo, data } = fn.block.message(i);
      seen.push(`${addressHi}:${addressLo}:${data}`);
      fn.fire(i);
    }
  }
  seen.push(...taken(lab));
  lab.iommu.faults();
  return seen.join(' ');
}

interface Scene {
  /** What has to survive. */
  readonly live: readonly KitFunction[];
  readonly act: () => void;
  /** What has to hold when it got through, at once or again. */
  readonly done?: () => void;
}

/** Refuses command 0, 1, 2, … of an action, each on a fresh lab, until the action gets through; what devices see must not change by a refusal. */
function underRefusal(lab: Lab, set: (lab: Lab) => Scene): void {
  for (let k = 0; ; k++) {
    const here = lab.fresh();
    const scene = set(here);
    const before = observe(here, scene.live);
    here.subject.refuse(k);
    let refused = false;
    try {
      scene.act();
    } catch (error) {
      if (!(error instanceof HardwareError)) throw error;
      refused = true;
    }
    here.subject.refuse(-1);
    if (refused) {
      equal(observe(here, scene.live), before, `what devices see after a refusal at command ${k}`);
      scene.act(); // and the way is free again
    }
    scene.done?.();
    if (!refused) return;
    check(k < 200, 'the action never gets through');
  }
}

/** Two vectors on a first device and mappings of a second: what bystanders have. */
function bystanders(lab: Lab): KitFunction[] {
  ready(lab, lab.b);
  lab.iommu.domainOf(lab.b).map(lab.iova(1), lab.data, lab.granule, READ_WRITE);
  return [enable(lab, lab.b, 2)];
}

/** A call that the hardware refuses in the middle leaves translations, messages and deliveries equal. */
export const atomicityCases: readonly Case[] = [
  {
    name: 'refusal at every command: attach',
    run: (lab) =>
      underRefusal(lab, (here) => {
        const live = bystanders(here);
        const domain = here.iommu.createDomain({ type: 'unmanaged', devices: [here.a] });
        domain.map(here.iova(2), here.data, here.granule, READ_WRITE);
        return { live, act: () => here.iommu.attach(here.a, domain) };
      }),
  },
  {
    name: 'refusal at every command: attach of a group of two',
    run: (lab) =>
      underRefusal(lab, (here) => {
        const isolation = { group: 78, isolated: false, witness: ['made so by the kit'] };
        const a = { ...here.a, isolation };
        const b = { ...here.b, isolation };
        here.iommu.groupOf(a);
        here.iommu.groupOf(b);
        const domain = here.iommu.createDomain({ type: 'unmanaged', devices: [a, b] });
        domain.map(here.iova(0), here.data, here.granule, READ_WRITE);
        return { live: [], act: () => here.iommu.attach(a, domain) };
      }),
  },
  {
    name: 'refusal at every command: detach',
    run: (lab) =>
      underRefusal(lab, (here) => {
        const live = bystanders(here);
        here.domain(here.a).map(here.iova(3), here.data, here.granule, READ_WRITE);
        return { live, act: () => here.iommu.detach(here.a) };
      }),
  },
  {
    name: 'refusal at every command: map and unmap',
    run: (lab) => {
      underRefusal(lab, (here) => {
        const live = bystanders(here);
        const domain = here.domain(here.a);
        return { live, act: () => domain.map(here.iova(0), here.data, 3 * here.granule, READ_WRITE) };
      });
      underRefusal(lab, (here) => {
        const live = bystanders(here);
        const domain = here.domain(here.a);
        domain.map(here.iova(0), here.data, 4 * here.granule, READ_WRITE);
        return { live, act: () => void domain.unmap(here.iova(0), 4 * here.granule) };
      });
    },
  },
  {
    name: 'refusal at every command: enabling interrupts',
    run: (lab) =>
      underRefusal(lab, (here) => {
        const live = bystanders(here);
        ready(here, here.a);
        return { live, act: () => void enable(here, here.a, 3) };
      }),
  },
  {
    name: 'refusal at every command: freeing interrupts (the device sends no more; others do not notice, and they can be freed again)',
    run: (lab) =>
      underRefusal(lab, (here) => {
        const live = bystanders(here);
        const domain = ready(here, here.a);
        const empty = here.interrupts.digest() + domain.digest();
        const fn = enable(here, here.a, 3);
        return {
          live,
          act: () => fn.block.free(),
          done: () => {
            const next = enable(here, here.a, 3);
            next.fire(2);
            equal(taken(here).length, 1, 'arrived of the next block');
            // A doorbell page whose unmapping was refused goes with the next that is let go.
            next.block.free();
            equal(here.interrupts.digest() + domain.digest(), empty, 'allocators');
          },
        };
      }),
  },
  {
    name: 'refusal at every command: affinity',
    unless: (s) => !s.affinity,
    run: (lab) =>
      underRefusal(lab, (here) => {
        const live = bystanders(here);
        ready(here, here.a);
        const fn = enable(here, here.a, 2, [here.subject.cpus[0]!]);
        return { live: [...live, fn], act: () => void fn.block.setAffinity(1, here.subject.cpus[1]!) };
      }),
  },
];

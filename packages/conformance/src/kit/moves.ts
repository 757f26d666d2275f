import { HardwareError } from '@doorbell/platform';
import { check, equal, throwsCode } from './assert.js';
import { betweenSteps } from './between.js';
import type { Case } from './case.js';
import { fingerprint } from './fingerprint.js';
import { KitFunction, enable } from './kit-function.js';
import { ready } from './msi.js';
import { READ_WRITE, faults, reaches, taken } from './probe.js';
import type { Lab } from './subject.js';

/** A second domain that the device can be moved to, with its window at `base`. */
function another(lab: Lab, base: number) {
  const domain = lab.iommu.createDomain({ type: 'unmanaged', devices: [lab.a] });
  if (lab.supports.softwareWindow) {
    domain.reserveMsiWindow({ base, size: lab.iommu.msiDemand([lab.a], domain).bytes });
  }
  domain.map(lab.iova(), lab.data, lab.granule, READ_WRITE);
  return domain;
}

/** Moving a device between domains while its interrupts go on. */
export const moveCases: readonly Case[] = [
  {
    name: 'a device moves with live MSIs; one fired between any two steps is delivered or coalesced',
    run: (lab) => {
      for (const base of [0x800_0000, 0xa00_0000]) {
        const here = lab.fresh();
        ready(here);
        const fn = enable(here, here.a, 1);
        const to = another(here, base);
        here.iommu.faults();
        taken(here);
        betweenSteps(
          here.platform,
          () => fn.fire(0),
          () => here.iommu.move(here.a, to),
        );
        equal(taken(here).length, 1, 'interrupts, all coalesced into one');
        equal(here.iommu.faults().length, 0, 'faults on the way');
        reaches(here, here.a, here.iova(), here.data);
        fn.fire(0);
        equal(taken(here).length, 1, 'arrived afterwards');
        fn.block.free();
      }
    },
  },
  {
    name: 'no interrupt that was fired between two steps is lost: each step alone',
    run: (lab) => {
      // Fires once, at step n, and asks at the end: for every n.
      for (let n = 0; ; n++) {
        const here = lab.fresh();
        ready(here);
        const fn = enable(here, here.a, 1);
        const to = another(here, 0xa00_0000);
        taken(here);
        let step = 0;
        betweenSteps(
          here.platform,
          () => {
            if (step++ === n) fn.fire(0);
          },
          () => here.iommu.move(here.a, to),
        );
        if (step <= n) return;
        equal(taken(here).length, 1, `delivered after firing at step ${n} of ${step}`);
      }
    },
  },
  {
    name: 'MSIs that cannot be masked do not move where their address would change: MSI_CANNOT_MOVE_LIVE',
    unless: (s) => !s.softwareWindow,
    run: (lab) => {
      ready(lab);
      const block = lab.interrupts.domainFor(lab.a).allocate({ count: 1 });
      const fn = new KitFunction(lab, lab.a, block, false);
      const to = another(lab, 0xa00_0000);
      const before = fingerprint(lab);
      throwsCode('MSI_CANNOT_MOVE_LIVE', 'moving', () => lab.iommu.move(lab.a, to));
      throwsCode('MSI_CANNOT_MOVE_LIVE', 'detaching', () => lab.iommu.detach(lab.a));
      equal(fingerprint(lab), before, 'state after the refusals');
      fn.fire(0);
      equal(taken(lab).length, 1, 'arrived after the refusal');
    },
  },
  {
    name: 'a move into a domain without a window changes nothing',
    unless: (s) => !s.softwareWindow,
    run: (lab) => {
      const from = ready(lab);
      from.map(lab.iova(), lab.data, lab.granule, READ_WRITE);
      const fn = enable(lab, lab.a, 1);
      const to = lab.iommu.createDomain({ type: 'unmanaged', devices: [lab.a] });
      const before = fingerprint(lab);
      throwsCode('MSI_WINDOW_MISSING', 'moving', () => lab.iommu.move(lab.a, to));
      equal(fingerprint(lab), before, 'state after the refusal');
      reaches(lab, lab.a, lab.iova(), lab.data);
      fn.fire(0);
      equal(taken(lab).length, 1, 'arrived');
    },
  },
  {
    name: 'a refused move leaves device, messages and both domains as they were',
    run: (lab) => {
      for (let k = 0; ; k++) {
        const here = lab.fresh();
        const from = ready(here);
        from.map(here.iova(1), here.data, here.granule, READ_WRITE);
        const fn = enable(here, here.a, 2);
        const to = another(here, 0xa00_0000);
        const messages = JSON.stringify(fn.messages);
        here.subject.refuse(k);
        let refused = false;
        try {
          here.iommu.move(here.a, to);
        } catch (error) {
          if (!(error instanceof HardwareError)) throw error;
          refused = true;
        }
        here.subject.refuse(-1);
        if (refused) {
          reaches(here, here.a, here.iova(1), here.data);
          faults(here, here.a, here.iova(0));
          equal(JSON.stringify(fn.messages), messages, `messages after a refusal at command ${k}`);
          fn.fire(1);
          equal(taken(here).length, 1, `arrived after a refusal at command ${k}`);
          here.iommu.move(here.a, to);
        }
        reaches(here, here.a, here.iova(0), here.data);
        fn.fire(0);
        equal(taken(here).length, 1, 'arrived after the move');
        if (!refused) return;
        check(k < 200, 'the move never gets through');
      }
    },
  },
];

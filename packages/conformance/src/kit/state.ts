import { check, equal } from './assert.js';
import type { Case } from './case.js';
import { READ_WRITE, ask, at, faults, reaches } from './probe.js';

/** The state of the hardware, as it can be saved and put back. */
export const stateCases: readonly Case[] = [
  {
    name: 'recorded faults are in a snapshot, and come back with it',
    run: (lab) => {
      lab.domain(lab.a);
      const take = () => JSON.stringify(lab.unit.drainFaults());
      for (let n = 0; n < lab.supports.faultsInARow; n++) faults(lab, lab.a, lab.iova(n));
      const state = lab.platform.snapshot();
      const recorded = take();
      check(recorded !== '[]', 'no fault was recorded');
      equal(take(), '[]', 'faults after they were taken');
      lab.platform.restore(state);
      equal(take(), recorded, 'faults after the snapshot was restored: does it hold all that the model remembers?');
    },
  },
  {
    name: 'what the hardware remembered of tables does not outlive a snapshot of other tables',
    run: (lab) => {
      const domain = lab.domain(lab.a);
      const [one, two] = [lab.iova(), lab.iova(1)];
      domain.map(one, lab.data, lab.granule, READ_WRITE);
      reaches(lab, lab.a, one, lab.data);
      const state = lab.platform.snapshot();
      domain.unmap(one, lab.granule);
      faults(lab, lab.a, one);
      domain.map(two, lab.data + lab.granule, lab.granule, READ_WRITE);
      reaches(lab, lab.a, two, lab.data + lab.granule);
      const fork = lab.platform.fork();
      lab.platform.restore(state);
      reaches(lab, lab.a, one, lab.data);
      faults(lab, lab.a, two);
      equal(ask({ platform: fork }, lab.a, two), at(lab.data + lab.granule), `${lab.a.name} at ${at(two)} in the fork`);
    },
  },
];

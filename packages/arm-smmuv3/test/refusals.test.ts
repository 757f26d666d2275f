import { after, HardwareError, immediate, seeded } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { ask, device, machine, RAM, RW, type TestMachine } from './machine.js';

/** Everything that a requester can notice. */
const seen = (m: TestMachine): unknown =>
  [0x20, 0x28].flatMap((id) =>
    [0x1000, 0x2000, 0x3000, 0x800_0040].map((iova) => {
      const { verdict, pa, fault } = ask(m.platform, id, iova);
      return verdict === 2 ? fault : pa;
    }),
  );

const calls: [string, (m: TestMachine) => () => void][] = [
  [
    'attach',
    (m) => {
      const nic = device(0x20);
      const domain = m.iommu.createDomain({ type: 'unmanaged', devices: [nic] });
      domain.map(0x1000, RAM, 0x1000, RW);
      return () => m.iommu.attach(nic, domain);
    },
  ],
  [
    'move',
    (m) => {
      const nic = device(0x20);
      const a = m.iommu.createDomain({ type: 'unmanaged', devices: [nic] });
      const b = m.iommu.createDomain({ type: 'unmanaged', devices: [nic] });
      a.map(0x1000, RAM, 0x1000, RW);
      b.map(0x2000, RAM, 0x1000, RW);
      m.iommu.attach(nic, a);
      return () => m.iommu.move(nic, b);
    },
  ],
  [
    'unmap',
    (m) => {
      const nic = device(0x20);
      const domain = m.iommu.createDomain({ type: 'unmanaged', devices: [nic] });
      m.iommu.attach(nic, domain);
      domain.map(0x1000, RAM, 0x3000, RW);
      return () => domain.unmap(0x1000, 0x3000);
    },
  ],
];

describe.each([immediate(), after(2), seeded(7)])('a refused command, $name', (policy) => {
  it.each(calls)('%s is taken back, whichever command it was', (_n, prepare) => {
    let refusals = 0;
    for (let k = 0; ; k++) {
      const m = machine({}, policy);
      const call = prepare(m);
      const before = [seen(m), m.iommu.digest(), m.core.digest()];
      m.iommu.faults();
      m.smmu.refuseCommand(k);
      let error: unknown;
      try {
        call();
      } catch (e) {
        error = e;
      }
      m.smmu.refuseCommand(-1);
      if (error === undefined) break;
      refusals++;
      expect(error).toBeInstanceOf(HardwareError);
      expect([seen(m), m.iommu.digest(), m.core.digest()]).toEqual(before);
      call();
    }
    expect(refusals).toBeGreaterThan(1);
  });
});

import { after, immediate, seeded, Verdict, WRITE, READ } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { ask, device, machine, RAM, RW } from './machine.js';

const policies = [immediate(), after(3), ...Array.from({ length: 4 }, (_, i) => seeded(i + 1))];
const variants = [
  { granule: 4 as const },
  { granule: 16 as const },
  { granule: 64 as const },
  { granule: 4 as const, streamTable: 'linear' as const, sidBits: 8 },
  { granule: 4 as const, ril: false },
];

for (const policy of policies) {
  for (const options of variants) {
    describe(`SMMUv3 ${JSON.stringify(options)}, ${policy.name}`, () => {
      it('translates what is mapped, and nothing else', () => {
        const { platform, iommu } = machine(options, policy);
        const nic = device(0x20);
        const domain = iommu.createDomain({ type: 'unmanaged', devices: [nic] });
        const granule = domain.pageSizes[0]!;
        expect(ask(platform, 0x20, 0x1000_0000)).toMatchObject({ fault: 'STE_ABORT', recorded: false });
        iommu.attach(nic, domain);
        domain.map(0x1000_0000, RAM, 4 * granule, RW);
        domain.map(0x2000_0000, RAM, granule, READ);
        expect(ask(platform, 0x20, 0x1000_0000 + 3 * granule + 4, WRITE)).toMatchObject({
          verdict: Verdict.translated,
          pa: RAM + 3 * granule + 4,
        });
        expect(ask(platform, 0x20, 0x2000_0000, WRITE)).toMatchObject({ fault: 'F_PERMISSION', recorded: true });
        domain.unmap(0x1000_0000, 4 * granule);
        expect(ask(platform, 0x20, 0x1000_0000 + 3 * granule)).toMatchObject({ fault: 'F_TRANSLATION' });
        expect(iommu.faults().map((f) => [f.name, f.write, f.addressLo, f.device?.name])).toEqual(
          [
            ['F_PERMISSION', true, 0x2000_0000, nic.name],
            ['F_TRANSLATION', false, 0x1000_0000 + 3 * granule, nic.name],
          ].slice(0),
        );
        iommu.detach(nic);
        expect(ask(platform, 0x20, 0x2000_0000)).toMatchObject({ fault: 'STE_ABORT', recorded: false });
      });

      it('uses blocks, and identity passes', () => {
        const { platform, iommu } = machine(options, policy);
        const nic = device(0x20);
        const domain = iommu.createDomain({ type: 'unmanaged', devices: [nic] });
        iommu.attach(nic, domain);
        const block = domain.pageSizes[1]!;
        domain.map(0, 0, block, RW);
        expect(ask(platform, 0x20, block - 4)).toMatchObject({ pa: block - 4, pageSize: block });
        const identity = iommu.createDomain({ type: 'identity', devices: [nic] });
        iommu.move(nic, identity);
        expect(ask(platform, 0x20, 0x1234).verdict).toBe(Verdict.bypass);
      });

      it('carries MSIs through the window, also while the device moves', () => {
        const { platform, iommu, core, cpu } = machine(options, policy);
        const nic = device(0x20);
        const domain = iommu.createDomain({ type: 'unmanaged', devices: [nic] });
        iommu.attach(nic, domain);
        expect(() => core.domainFor(nic).allocate({ count: 1 })).toThrow(/has no window/);
        domain.reserveMsiWindow({ base: 0x800_0000, size: 0x10_0000 });
        const block = core.domainFor(nic).allocate({ count: 2, cpus: [0, 1] });
        const m = block.message(1);
        expect(m.addressLo).toBe(0x800_0000 + (0x809_0040 % domain.pageSizes[0]!));
        const fire = () => platform.fabric().write32(0x20, m.addressHi, m.addressLo, m.data);
        expect(fire()).toBe(Verdict.translated);
        expect(cpu.acknowledge(1)).toBe(8193);
        const other = iommu.createDomain({ type: 'unmanaged', devices: [nic] });
        other.reserveMsiWindow({ base: 0x800_0000, size: 0x10_0000 });
        iommu.move(nic, other);
        expect(fire()).toBe(Verdict.translated);
        expect(cpu.acknowledge(1)).toBe(8193);
        block.free();
      });
    });
  }
}

import { Verdict } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { device, machine, POLICIES, RW } from './machine.js';

const NIC = 0x20;

describe.each(POLICIES)('the driver on the model, $name', (policy) => {
  it('maps, translates, unmaps', () => {
    const m = machine({}, policy);
    const nic = device(NIC);
    m.platform.hooks.deviceAdded.call(nic);
    const domain = m.iommu.createDomain({ type: 'unmanaged', devices: [nic] });
    m.iommu.attach(nic, domain);
    domain.map(0x4000_0000, 0x10_0000, 0x3000, RW);
    m.platform.memoryModel.write32(0x10_1234 & ~3, 0xcafe);
    const into = new Uint8Array(4);
    const fabric = m.platform.fabric();
    expect(fabric.read(NIC, 0, 0x4000_1234, into)).toBe(Verdict.translated);
    expect(new DataView(into.buffer).getUint32(0, true)).toBe(0xcafe);
    domain.unmap(0x4000_1000, 0x1000);
    expect(fabric.read(NIC, 0, 0x4000_1234, into)).toBe(Verdict.fault);
    expect(fabric.outcome.fault).toBe('READ_WITHOUT_PERMISSION');
    expect(m.iommu.faults()).toMatchObject([
      { stream: NIC, code: 6, addressLo: 0x4000_1000, write: false, device: nic },
    ]);
    m.iommu.detach(nic);
    expect(fabric.read(NIC, 0, 0x4000_0000, into)).toBe(Verdict.fault);
    expect(fabric.outcome.fault).toBe('CONTEXT_NOT_PRESENT');
  });

  it('delivers a remapped MSI at the CPU that it was moved to, and refuses a forged one', () => {
    const m = machine({}, policy);
    const nic = device(NIC);
    const block = m.core.domainFor(nic).allocate({ count: 3, cpus: [1] });
    const fabric = m.platform.fabric();
    const fire = (requester: number, index: number) => {
      const { addressHi, addressLo, data } = block.message(index);
      fabric.write32(requester, addressHi, addressLo, data);
      return fabric.landed;
    };
    expect(fire(NIC, 1)).toBe(true);
    const [vector] = m.cpu.pending(1);
    expect(m.core.owner(1, vector!)).toEqual({ block, index: 1 });
    expect(fire(NIC + 8, 1)).toBe(false);
    expect(fabric.outcome.fault).toBe('IRTE_SOURCE_ID');
    const before = block.message(1);
    expect(block.setAffinity(1, 2)).toEqual({ messageChanged: false, alongWith: [] });
    expect(block.message(1)).toEqual(before);
    expect(fire(NIC, 1)).toBe(true);
    expect(m.core.owner(2, m.cpu.acknowledge(2)!)).toEqual({ block, index: 1 });
    const stale = block.message(0);
    block.free();
    fabric.write32(NIC, stale.addressHi, stale.addressLo, stale.data);
    expect(fabric.outcome.fault).toBe('IRTE_NOT_PRESENT');
  });
});

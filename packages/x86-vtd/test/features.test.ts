import { HardwareError, newOutcome, newRequest, Platform, READ, Verdict, WRITE, type Device } from '@doorbell/platform';
import { CPU_INTERFACE, INTERRUPTS } from '@doorbell/irqchip';
import { IOMMU } from '@doorbell/iommu';
import { apic } from '@doorbell/x86-apic';
import { describe, expect, it } from 'vitest';
import { VTD_MUTANTS, vtd, type VtdNode, type VtdUnit } from '../src/index.js';
import { device, machine, RW, type TestMachine } from './machine.js';

const nic = device(0x20);

function attached(options: VtdNode = {}, who: Device = nic) {
  const m = machine(options);
  const domain = m.iommu.createDomain({ type: 'unmanaged', devices: [who] });
  m.iommu.attach(who, domain);
  return { ...m, domain };
}

const answer = (m: TestMachine, iova: number, access = READ, requester = nic.requester) => {
  const out = newOutcome();
  const request = { ...newRequest(), requester, hi: Math.floor(iova / 2 ** 32), lo: iova >>> 0, access };
  const verdict = m.platform.fabric().translate(request, out);
  return verdict === Verdict.fault ? out.fault : { pa: out.pa, size: out.pageSize };
};

const fire = (
  m: TestMachine,
  block: { message(i: number): { addressLo: number; data: number } },
  index: number,
  by: number,
) => {
  const { addressLo, data } = block.message(index);
  m.platform.fabric().write32(by, 0, addressLo, data);
  return m.platform.fabric().landed;
};

describe('second-level tables', () => {
  it.each([
    [{ awBits: 39 as const }, 2 ** 39, 3],
    [{}, 2 ** 48, 4],
    [{ awBits: 57 as const }, 2 ** 48, 4],
    [{ sagaw: 0b0100 }, 2 ** 48, 4],
    [{ awBits: 48 as const, sagaw: 0b0010 }, 2 ** 39, 3],
  ])('%j: aperture, levels', (options, end, levels) => {
    const m = attached(options);
    expect(m.driver.dma.capabilities.aperture).toEqual({ first: 0, last: end - 1 });
    expect(m.domain.table).toMatchObject({ levels });
    m.domain.map(end - 0x1000, 0x5000, 0x1000, RW);
    expect(answer(m, end - 0x1000)).toEqual({ pa: 0x5000, size: 4096 });
  });

  it('use the largest pages that CAP has and that fit', () => {
    const sizes = (options: VtdNode) => {
      const m = attached(options);
      m.domain.map(0x4000_0000, 0x4000_0000, 0x4020_1000, READ);
      return [0x4000_0000, 0x8000_0000, 0x8020_0000].map((iova) => answer(m, iova));
    };
    const at = (size: number, pa: number) => ({ pa, size });
    expect(sizes({})).toEqual([at(2 ** 30, 0x4000_0000), at(2 ** 21, 0x8000_0000), at(4096, 0x8020_0000)]);
    expect(sizes({ largePages: { m2: true, g1: false } })[0]).toEqual(at(2 ** 21, 0x4000_0000));
  });

  it('hold rights: a write to a read-only page is refused', () => {
    const m = attached();
    m.domain.map(0x1000, 0x5000, 0x1000, READ);
    m.domain.map(0x2000, 0x6000, 0x1000, WRITE);
    expect([answer(m, 0x1000, WRITE), answer(m, 0x2000, READ)]).toEqual([
      'WRITE_WITHOUT_PERMISSION',
      'READ_WITHOUT_PERMISSION',
    ]);
  });

  it('give every page back with the domain', () => {
    const m = machine();
    const pages = m.platform.pages as unknown as { digest(): string };
    const before = pages.digest();
    const domain = m.iommu.createDomain({ type: 'unmanaged', devices: [nic] });
    domain.map(0x1000, 0x5000, 0x1000, READ);
    domain.map(2 ** 40, 0x5000, 0x1000, READ);
    domain.unmap(0x1000, 0x1000);
    m.iommu.destroyDomain(domain);
    expect(pages.digest()).toBe(before);
  });
});

describe('domains of one unit', () => {
  it('have domain ids of their own; a freed one is used again and knows nothing of before', () => {
    const m = machine();
    const ids = m.driver.dma.digest();
    for (const physical of [0x5000, 0x6000]) {
      const domain = m.iommu.createDomain({ type: 'unmanaged', devices: [nic] });
      m.iommu.attach(nic, domain);
      domain.map(0x1000, physical, 0x1000, RW);
      expect(answer(m, 0x1000)).toEqual({ pa: physical, size: 4096 });
      m.iommu.detach(nic);
      expect(answer(m, 0x1000)).toBe('CONTEXT_NOT_PRESENT');
      expect(m.driver.dma.digest()).toBe(ids);
    }
  });

  it('identity passes through, or is refused by a unit that cannot', () => {
    const m = machine();
    m.iommu.attach(nic, m.iommu.createDomain({ type: 'identity' }));
    expect(answer(m, 0x1234_5000)).toEqual({ pa: 0x1234_5000, size: 0 });
    const without = machine({ passThrough: false });
    const refused = () => without.iommu.attach(nic, without.iommu.createDomain({ type: 'identity' }));
    expect(refused).toThrow(expect.objectContaining({ code: 'IDENTITY_UNSUPPORTED' }));
    expect(answer(without, 0x1234_5000)).toBe('ROOT_NOT_PRESENT');
  });

  it('follow a device that moves between them', () => {
    const m = attached();
    const other = m.iommu.createDomain({ type: 'unmanaged', devices: [nic] });
    m.domain.map(0x1000, 0x5000, 0x1000, RW);
    other.map(0x1000, 0x6000, 0x1000, RW);
    const block = m.core.domainFor(nic).allocate({ count: 1 });
    const message = block.message(0);
    expect(answer(m, 0x1000)).toEqual({ pa: 0x5000, size: 4096 });
    m.iommu.move(nic, other);
    expect(answer(m, 0x1000)).toEqual({ pa: 0x6000, size: 4096 });
    expect(block.message(0)).toEqual(message); // interrupts do not depend on the domain
    expect(fire(m, block, 0, nic.requester)).toBe(true);
  });

  it('strict unmaps reach the device at once, lazy ones with the flush', () => {
    const m = machine();
    const lazy = m.iommu.createDomain({ type: 'unmanaged', devices: [nic], flush: 'lazy' });
    m.iommu.attach(nic, lazy);
    lazy.map(0x1000, 0x5000, 0x1000, RW);
    expect(answer(m, 0x1000)).toEqual({ pa: 0x5000, size: 4096 });
    lazy.unmap(0x1000, 0x1000);
    expect(answer(m, 0x1000)).toEqual({ pa: 0x5000, size: 4096 }); // still in the IOTLB
    lazy.flush();
    expect(answer(m, 0x1000)).toBe('READ_WITHOUT_PERMISSION');
  });

  it('have reserved regions: firmware’s one to one, and the interrupt range', () => {
    const rmrr = { first: 0x7f_0000, last: 0x7f_ffff, streams: [nic.requester] };
    const m = machine({ reserved: [rmrr] });
    expect(m.iommu.reservedRegions(nic).map(({ kind, first, last }) => ({ kind, first, last }))).toEqual([
      { kind: 'direct', first: 0x7f_0000, last: 0x7f_ffff },
      { kind: 'msi', first: 0xfee0_0000, last: 0xfeef_ffff },
    ]);
    const domain = m.iommu.createDomain({ type: 'dma', devices: [nic] });
    m.iommu.attach(nic, domain);
    expect(answer(m, 0x7f_1000)).toEqual({ pa: 0x7f_1000, size: 4096 });
    expect(() => domain.map(0xfee0_0000, 0x5000, 0x1000, RW)).toThrow(
      expect.objectContaining({ code: 'IOVA_RESERVED' }),
    );
  });
});

describe('interrupt entries', () => {
  it('of multi-message MSI are one aligned block: one handle, sub-handles', () => {
    const m = machine();
    m.core.domainFor(nic).allocate({ count: 3 });
    const block = m.core.domainFor(nic).allocate({ count: 4, contiguous: true, cpus: [0, 1, 2, 3] });
    const [first] = [0, 1, 2, 3].map((i) => block.message(i));
    expect(first).toEqual({ addressHi: 0, addressLo: 0xfee0_0098, data: 0 }); // handle 4, SHV
    for (const i of [0, 1, 2, 3]) {
      expect(block.message(i)).toEqual({ ...first, data: i });
      expect(fire(m, block, i, nic.requester)).toBe(true);
      // Each vector on its own CPU, though a function has one address for all.
      expect(m.cpu.pending(i)).toHaveLength(1);
    }
    expect(block.setAffinity(3, 0)).toEqual({ messageChanged: false, alongWith: [] });
  });

  it('verify a function, its phantom functions, or the buses that it appears on', () => {
    const m = machine();
    const send = (who: Device, by: number) => fire(m, m.core.blocksOf(who)[0]!, 0, by);
    const plain = device(0x28);
    const phantom = device(0x40, [0x40, 0x44]);
    const legacy = device(0x308, [0x308, 0x300]);
    const bridged = device(0x408, [0x408, 0x300]);
    for (const who of [plain, phantom, legacy, bridged]) m.core.domainFor(who).allocate({ count: 1 });
    expect([0x28, 0x29, 0x30].map((by) => send(plain, by))).toEqual([true, false, false]);
    expect([0x40, 0x44, 0x41].map((by) => send(phantom, by))).toEqual([true, true, false]);
    expect([0x300, 0x308, 0x200].map((by) => send(legacy, by))).toEqual([true, true, false]);
    expect([0x300, 0x408, 0x500, 0x200].map((by) => send(bridged, by))).toEqual([true, true, false, false]);
    expect(m.core.senderCheck(plain)).toMatchObject({
      scope: 'vector',
      witness: expect.stringContaining('SVT = 1') as unknown,
    });
    expect(m.core.senderCheck(bridged).witness).toContain('buses 0x3–0x4');
  });

  it('accept everybody when verification is off, and say so', () => {
    const m = machine({ verifySource: false });
    const block = m.core.domainFor(nic).allocate({ count: 1 });
    expect(fire(m, block, 0, 0x99)).toBe(true);
    expect(m.core.senderCheck(nic)).toMatchObject({ scope: 'none' });
    expect(m.iommu.msiIsolation(nic).isolated).toBe(false);
  });

  it('run out with the arithmetic', () => {
    const m = machine({ interruptEntries: 4 });
    expect(() => m.core.domainFor(nic).allocate({ count: 5 })).toThrow(
      expect.objectContaining({
        code: 'IRQ_EXHAUSTED',
        details: expect.objectContaining({ needed: 5, available: 4 }) as unknown,
      }),
    );
  });

  it('carry 32-bit destinations in extended mode, and only there', () => {
    const build = (extendedInterruptMode: boolean) => {
      const platform = new Platform({ memory: [{ base: 0, size: 2 ** 26 }] })
        .use(apic({ cpus: [0, { id: 0x1234, x2apic: true }] }), vtd.q35({ extendedInterruptMode }), hostPlugin)
        .node({
          name: 'pci0',
          compatible: 'test',
          iommuMap: [{ inputBase: 0, count: 65536, outputBase: 0, to: 'dmar0' }],
        })
        .compose();
      return platform;
    };
    const wide = build(true);
    const block = wide
      .service(INTERRUPTS)
      .domainFor(nic)
      .allocate({ count: 1, cpus: [1] });
    wide.fabric().write32(nic.requester, 0, block.message(0).addressLo, 0);
    expect(wide.get(CPU_INTERFACE).pending(1)).toHaveLength(1);
    const narrow = build(false);
    expect(() =>
      narrow
        .service(INTERRUPTS)
        .domainFor(nic)
        .allocate({ count: 1, cpus: [1] }),
    ).toThrow(expect.objectContaining({ code: 'DESTINATION_UNREACHABLE' }));
  });

  it('stay unused where remapping is off: compatibility format, and a move rewrites the message', () => {
    for (const options of [{ remapInterrupts: false }, { interruptRemapping: false }]) {
      const m = machine(options);
      const block = m.core.domainFor(nic).allocate({ count: 1, cpus: [2] });
      expect(block.message(0)).toMatchObject({ addressLo: 0xfee0_2000, data: 0x31 });
      expect(fire(m, block, 0, nic.requester)).toBe(true);
      expect(m.cpu.pending(2)).toEqual([0x31]);
      expect(block.setAffinity(0, 1)).toMatchObject({ messageChanged: true });
      expect(m.core.senderCheck(nic).scope).toBe('none');
    }
  });
});

describe('faults', () => {
  it('raise the unit’s own interrupt, past its remapping, and are drained in order', () => {
    const m = machine({ faultRecords: 4 });
    const [vector] = [...Array(256).keys()].filter((v) => m.core.owner(0, v)?.block.device.name === 'dmar0');
    for (const requester of [0x21, 0x22, 0x23]) answer(m, 0x1000, WRITE, requester);
    expect(m.cpu.acknowledge(0)).toBe(vector);
    expect(m.iommu.faults().map((f) => [f.unit, f.stream, f.name, f.write])).toEqual(
      [0x21, 0x22, 0x23].map((s) => ['dmar0', s, 'ROOT_NOT_PRESENT', true]),
    );
    m.cpu.end(0, vector!);
    expect(m.iommu.faults()).toEqual([]);
    for (let s = 0x31; s < 0x37; s++) answer(m, 0x1000, WRITE, s); // two more than records
    expect(m.iommu.faults().map((f) => f.stream)).toEqual([0x31, 0x32, 0x33, 0x34]);
    answer(m, 0x1000, WRITE, 0x41);
    expect(m.iommu.faults().map((f) => f.stream)).toEqual([0x41]);
  });
});

const hostPlugin = {
  name: 'host',
  apiVersion: 1,
  apply: ({ hooks }: { hooks: Platform['hooks'] }) =>
    hooks.block.tap('host', (node) => (node.compatible === 'test' ? { compatible: ['test'] } : undefined)),
};

describe('two units', () => {
  const build = (second: VtdNode = {}) =>
    new Platform({ memory: [{ base: 0, size: 2 ** 27 }] })
      .use(apic({ cpus: 2 }), vtd({ name: 'dmar0' }, { name: 'dmar1', base: 0xfed9_1000, ...second }), hostPlugin)
      .node({
        name: 'pci0',
        compatible: 'test',
        iommuMap: [
          { inputBase: 0, count: 65536, outputBase: 0, to: 'dmar0' },
          { inputBase: 0x100, count: 0x100, outputBase: 0x100, to: 'dmar1' },
        ],
      })
      .compose();

  it('share a domain, have their own interrupt tables, and are flushed both', () => {
    const platform = build();
    const [a, b] = [device(0x20), device(0x108)];
    const iommu = platform.service(IOMMU);
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [a, b] });
    iommu.attach(a, domain);
    iommu.attach(b, domain);
    domain.map(0x1000, 0x5000, 0x1000, RW);
    const fabric = platform.fabric();
    const read = (who: Device) => fabric.read(who.requester, 0, 0x1000, new Uint8Array(4));
    expect([read(a), read(b)]).toEqual([Verdict.translated, Verdict.translated]);
    domain.unmap(0x1000, 0x1000);
    expect([read(a), read(b)]).toEqual([Verdict.fault, Verdict.fault]);
    const core = platform.service(INTERRUPTS);
    const blocks = [a, b].map((d) => core.domainFor(d).allocate({ count: 1 }));
    expect(blocks[0]!.message(0)).toEqual(blocks[1]!.message(0)); // handle 0 of each table
    for (const d of [a, b]) fabric.write32(d.requester, 0, blocks[0]!.message(0).addressLo, 0);
    const arrived = platform
      .get(CPU_INTERFACE)
      .pending(0)
      .map((vector) => core.owner(0, vector)!.block);
    expect(arrived.filter((block) => blocks.includes(block))).toEqual(blocks);
  });

  it('of different widths share what both have', () => {
    const platform = build({ awBits: 39, largePages: { m2: false, g1: false } });
    const iommu = platform.service(IOMMU);
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [device(0x20), device(0x108)] });
    expect([domain.aperture.last, domain.pageSizes]).toEqual([2 ** 39 - 1, [4096]]);
    iommu.attach(device(0x20), domain);
    const own = iommu.createDomain({ type: 'unmanaged', devices: [device(0x20)] });
    expect(() => iommu.attach(device(0x108), own)).toThrow(expect.objectContaining({ code: 'INCOMPATIBLE_UNIT' }));
  });

  it('put the first back when the second refuses', () => {
    const platform = build({ cachingMode: true });
    const unit = platform.model('dmar1') as VtdUnit;
    const [a, b] = [device(0x20), device(0x108)];
    const iommu = platform.service(IOMMU);
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [a, b] });
    iommu.attach(a, domain);
    iommu.attach(b, domain);
    domain.map(0x1000, 0x5000, 0x1000, RW);
    unit.refuseCommand(1);
    expect(() => domain.unmap(0x1000, 0x1000)).toThrow(HardwareError);
    for (const d of [a, b]) expect(platform.fabric().read(d.requester, 0, 0x1000, new Uint8Array(4))).toBe(0);
  });
});

describe('a unit without a queue', () => {
  it.each([
    [{ queuedInvalidation: false, interruptRemapping: false }],
    [{ queuedInvalidation: false, interruptRemapping: false, cachingMode: true }],
  ])('%j is told through CCMD and IOTLB', (options) => {
    const m = attached(options);
    m.domain.map(0x1000, 0x5000, 0x2000, READ);
    expect([answer(m, 0x1000), answer(m, 0x2000)]).toEqual([
      { pa: 0x5000, size: 4096 },
      { pa: 0x6000, size: 4096 },
    ]);
    m.domain.unmap(0x1000, 0x1000);
    expect([answer(m, 0x1000), answer(m, 0x2000)]).toEqual(['READ_WITHOUT_PERMISSION', { pa: 0x6000, size: 4096 }]);
    const other = m.iommu.createDomain({ type: 'unmanaged', devices: [nic] });
    other.map(0x1000, 0x9000, 0x1000, READ);
    m.iommu.move(nic, other);
    expect(answer(m, 0x1000)).toEqual({ pa: 0x9000, size: 4096 });
    m.iommu.detach(nic);
    expect(answer(m, 0x1000)).toBe('CONTEXT_NOT_PRESENT');
    expect(m.platform.diagnostics.entries()).toEqual([]);
  });
});

describe('mistakes put in on purpose', () => {
  /** What each of them breaks; true: as it should be. */
  const checks: Record<(typeof VTD_MUTANTS)[number], (m: ReturnType<typeof attached>) => boolean> = {
    'no-source-check': (m) => !fire(m, m.core.domainFor(nic).allocate({ count: 1 }), 0, 0x99),
    'deaf-iotlb': (m) => unmapped(m),
    'forget-unmap-flush': (m) => unmapped(m),
    'no-write-check': (m) => {
      m.domain.map(0x1000, 0x5000, 0x1000, READ);
      return answer(m, 0x1000, WRITE) === 'WRITE_WITHOUT_PERMISSION';
    },
    'forget-entry-flush': (m) => {
      const block = m.core.domainFor(nic).allocate({ count: 1 });
      fire(m, block, 0, nic.requester);
      block.setAffinity(0, 1);
      fire(m, block, 0, nic.requester);
      return m.cpu.pending(1).length === 1;
    },
    'wrong-sid': (m) => fire(m, m.core.domainFor(nic).allocate({ count: 1 }), 0, nic.requester),
    'no-compensation': (m) => {
      m.domain.map(0x1000, 0x5000, 0x1000, READ);
      m.unit.refuseCommand(1);
      expect(() => m.iommu.detach(nic)).toThrow(HardwareError);
      return answer(m, 0x1000) !== 'CONTEXT_NOT_PRESENT';
    },
  };
  const unmapped = (m: ReturnType<typeof attached>) => {
    m.domain.map(0x1000, 0x5000, 0x1000, READ);
    answer(m, 0x1000);
    m.domain.unmap(0x1000, 0x1000);
    return answer(m, 0x1000) === 'READ_WITHOUT_PERMISSION';
  };
  it.each(VTD_MUTANTS)('%s is noticed', (mutant) => {
    expect(checks[mutant](attached())).toBe(true);
    expect(checks[mutant](attached({ mutant }))).toBe(false);
  });
});

describe('options', () => {
  it.each([
    [{ awBits: 40 }, 'awBits'],
    [{ faultRecords: 0 }, 'faultRecords'],
    [{ scalableMode: true }, 'NOT_MODELLED'],
    [{ interruptRemapping: true, queuedInvalidation: false }, 'needs queued invalidation'],
    [{ colour: 'red' }, 'no such option'],
    [{ mutant: 'x' }, 'mutant'],
    [{ sagaw: 0 }, 'sagaw'],
    [{ faultOffset: 0xff0, faultRecords: 2 }, 'beyond'],
    [{ faultOffset: 0xe0, faultRecords: 2 }, 'on top of each other'],
    [{ iotlbOffset: 0x101 }, 'multiple of 16'],
  ])('%j is refused', (options, why) => {
    expect(() => machine(options as VtdNode)).toThrow(why);
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MSI_ADDRESS, MSI_DATA, REMAPPABLE_RTE, RTE, remappableAddressOf } from '../src/spec/index.js';
import { get, getAt } from '@doorbell/bits';
import { machine } from './machine.js';

const REQUESTER = 0x20;
const IOAPIC = 0xfec0_0000;
const LAPIC = 0xfee0_0000;

function delivered(cpus: Parameters<typeof machine>[0], messages: readonly [number, number][]) {
  const m = machine(cpus);
  for (const [address, data] of messages) m.fabric.write32(REQUESTER, 0, address, data);
  return m.apics.lapics.map((l) => l.pending());
}

describe('golden words', () => {
  it('MSI address and data (SDM vol. 3 §11.11)', () => {
    expect(get(0xfee0_300c, MSI_ADDRESS.DESTINATION)).toBe(3);
    expect([get(0xfee0_300c, MSI_ADDRESS.RH), get(0xfee0_300c, MSI_ADDRESS.DM)]).toEqual([1, 1]);
    expect([get(0xc121, MSI_DATA.TM), get(0xc121, MSI_DATA.LEVEL), get(0xc121, MSI_DATA.DELIVERY)]).toEqual([1, 1, 1]);
  });
  it('redirection entries: compatibility (82093AA §3.2.4) and remappable (VT-d fact sheet §8.1)', () => {
    const compatibility = Uint32Array.of(0x0001_8931, 0x0300_0000);
    expect(
      [RTE.VECTOR, RTE.DELIVERY, RTE.DM, RTE.TRIGGER, RTE.MASK, RTE.DESTINATION].map((f) => getAt(compatibility, 0, f)),
    ).toEqual([0x31, 1, 1, 1, 1, 3]);
    const remappable = Uint32Array.of(0x0000_0831, 0x0005_0000);
    const { HANDLE_LOW, FORMAT, HANDLE_HIGH } = REMAPPABLE_RTE;
    expect([HANDLE_LOW, FORMAT, HANDLE_HIGH].map((f) => getAt(remappable, 0, f))).toEqual([2, 1, 1]);
    expect(remappableAddressOf(0x8002)).toBe(0xfee0_0054);
  });
});

describe('local APICs', () => {
  it('take physical destinations, 0xff being everybody', () => {
    expect(delivered({ cpus: 3 }, [[LAPIC | 0x1000, 0x40]])).toEqual([[], [0x40], []]);
    expect(delivered({ cpus: 3 }, [[LAPIC | 0xf_f000, 0x41]])).toEqual([[0x41], [0x41], [0x41]]);
    expect(delivered({ cpus: 3 }, [[LAPIC | 0x9000, 0x41]])).toEqual([[], [], []]);
  });
  it('take flat logical destinations', () => {
    expect(delivered({ cpus: 3 }, [[LAPIC | 0x5004, 0x42]])).toEqual([[0x42], [], [0x42]]);
  });
  it('take cluster logical destinations after DFR says so', () => {
    const m = machine({
      cpus: [
        { id: 0, logicalId: 0x11 },
        { id: 1, logicalId: 0x22 },
      ],
    });
    for (const l of m.apics.lapics) l.write(0xe0, 0x0fff_ffff);
    m.fabric.write32(REQUESTER, 0, LAPIC | 0x2_3004, 0x50); // cluster 2, members 0 and 1
    m.fabric.write32(REQUESTER, 0, LAPIC | 0xf_1004, 0x51); // all clusters, member 0
    expect(m.apics.lapics.map((l) => l.pending())).toEqual([[0x51], [0x50]]);
  });
  it('x2APIC: 32-bit ids, clusters of sixteen, 0xffffffff everybody', () => {
    const m = machine({
      cpus: [
        { id: 0x123, x2apic: true },
        { id: 0x124, x2apic: true },
      ],
    });
    m.apics.deliver(0x60, 0x124, 0, 0, 0, 0);
    m.apics.deliver(0x61, 0x0012_0018, 1, 0, 0, 0);
    m.apics.deliver(0x62, 0xffff_ffff, 0, 0, 0, 0);
    expect(m.apics.lapics.map((l) => l.pending())).toEqual([
      [0x61, 0x62],
      [0x60, 0x61, 0x62],
    ]);
  });
  it('lowest priority goes to the lowest processor priority, equals take turns', () => {
    const m = machine({ cpus: 3 });
    m.apics.lapics[0]!.write(0x80, 0x50);
    for (const vector of [0x70, 0x71, 0x72]) m.fabric.write32(REQUESTER, 0, LAPIC | 0x7004, 0x100 | vector);
    expect(m.apics.lapics.map((l) => l.pending())).toEqual([[], [0x70, 0x72], [0x71]]);
  });
  it('acknowledge the highest class above the one in service, and end it by EOI', () => {
    const { cpu, apics, fabric } = machine();
    for (const vector of [0x31, 0x39, 0x52]) fabric.write32(REQUESTER, 0, LAPIC, vector);
    expect(cpu.acknowledge(0)).toBe(0x52);
    expect(apics.lapics[0]!.read(0x100 + 0x20)).toBe(1 << (0x52 & 31)); // ISR
    expect(cpu.acknowledge(0)).toBeNull(); // 0x3x is of a lower class
    cpu.end(0, 0x52);
    expect(cpu.acknowledge(0)).toBe(0x39);
    expect(cpu.acknowledge(0)).toBeNull();
    cpu.end(0, 0x39);
    expect(cpu.acknowledge(0)).toBe(0x31);
  });
  it('refuse vectors below 16 and anything while software-disabled', () => {
    expect(delivered({ cpus: 1 }, [[LAPIC, 0x0f]])).toEqual([[]]);
    expect(delivered({ cpus: [{ id: 0, enabled: false }] }, [[LAPIC, 0x40]])).toEqual([[]]);
  });
  it('count NMI, SMI, INIT and ExtINT; reserved modes go nowhere', () => {
    const m = machine();
    for (const mode of [2, 3, 4, 5, 6, 7]) m.fabric.write32(REQUESTER, 0, LAPIC, (mode << 8) | 0x40);
    expect([...m.apics.lapics[0]!.special]).toEqual([0, 0, 1, 0, 1, 1, 0, 1]);
    expect(m.cpu.pending(0)).toEqual([]);
  });
  it('tell deliveries in the words of CONTRACTS', () => {
    const m = machine();
    const events: unknown[] = [];
    m.platform.hooks.delivered.tap('test', (e) => events.push(e));
    m.fabric.write32(REQUESTER, 0, LAPIC | 0x1004, 0x8140);
    expect(events).toEqual([
      {
        controller: 'apic',
        vector: 0x40,
        destination: 1,
        destinationMode: 'logical',
        deliveryMode: 'lowest-priority',
        triggerMode: 'level',
        accepted: 1,
      },
    ]);
  });
  it('show their registers to the CPU, and note what is not there', () => {
    const { platform } = machine();
    expect(platform.cpu.read32(LAPIC + 0x30)).toBe(0x0005_0014);
    expect(platform.cpu.read32(LAPIC + 0xe0)).toBe(0xffff_ffff);
    platform.cpu.write32(LAPIC + 0x80, 0x20);
    expect([platform.cpu.read32(LAPIC + 0x80), platform.cpu.read32(LAPIC + 0xa0)]).toEqual([0x20, 0x20]);
    platform.cpu.write32(LAPIC + 0x320, 1);
    expect(platform.diagnostics.entries()[0]![0]).toContain('not modelled: write of 0x320');
  });
});

describe('IOAPIC', () => {
  const entry = (m: ReturnType<typeof machine>, pin: number, low: number, high: number) => {
    for (const [register, value] of [
      [0x11 + 2 * pin, high],
      [0x10 + 2 * pin, low],
    ] as const) {
      m.platform.cpu.write32(IOAPIC, register);
      m.platform.cpu.write32(IOAPIC + 0x10, value);
    }
  };
  const pinOf = (m: ReturnType<typeof machine>) =>
    m.platform.model('ioapic0') as unknown as { setLine(pin: number, on: boolean): void };

  it('sends edges once', () => {
    const m = machine({ cpus: 2, ioapics: [{}] });
    entry(m, 4, 0x51, 0x0100_0000);
    pinOf(m).setLine(4, true);
    expect(m.cpu.pending(1)).toEqual([0x51]);
    expect(m.cpu.acknowledge(1)).toBe(0x51);
    m.cpu.end(1, 0x51);
    pinOf(m).setLine(4, true);
    expect(m.cpu.pending(1)).toEqual([]);
  });
  it('sends levels again after EOI while they are asserted', () => {
    const m = machine({ ioapics: [{}] });
    entry(m, 5, 0x8052, 0);
    pinOf(m).setLine(5, true);
    for (let i = 0; i < 2; i++) {
      expect(m.cpu.acknowledge(0)).toBe(0x52);
      m.cpu.end(0, 0x52);
    }
    pinOf(m).setLine(5, false);
    expect(m.cpu.acknowledge(0)).toBe(0x52);
    m.cpu.end(0, 0x52);
    expect(m.cpu.acknowledge(0)).toBeNull();
  });
  it('reads back its version and entries', () => {
    const m = machine({ ioapics: [{ pins: 24 }] });
    entry(m, 2, 0x0001_8931, 0x0300_0000);
    const read = (register: number) => {
      m.platform.cpu.write32(IOAPIC, register);
      return m.platform.cpu.read32(IOAPIC + 0x10);
    };
    expect([read(1), read(0x14), read(0x15)]).toEqual([0x0017_0020, 0x0001_8931, 0x0300_0000]);
  });
});

describe('whatever is written', () => {
  it('messages, registers and lines never throw; a snapshot comes back as it was', () => {
    const u32 = fc.nat(0xffff_ffff);
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(0xf_ffff), u32, u32), { maxLength: 50 }), (writes) => {
        const m = machine({ cpus: 2, ioapics: [{}] });
        for (const [offset, a, b] of writes) {
          m.fabric.write32(a & 0xffff, 0, (LAPIC | (offset & ~3)) >>> 0, b);
          m.platform.cpu.write32(LAPIC + (offset & 0xffc), a);
          m.platform.cpu.write32(IOAPIC + (offset & 0x10), b & 0x3f);
          (m.platform.model('ioapic0') as unknown as { setLine(pin: number, on: boolean): void }).setLine(
            a & 31,
            !!(b & 1),
          );
          m.cpu.acknowledge(a & 3);
        }
        const state = structuredClone(m.apics.snapshot());
        m.apics.reset();
        m.apics.restore(state);
        expect(JSON.stringify(m.apics.snapshot())).toBe(JSON.stringify(state));
      }),
      { numRuns: 100, seed: 20261124 },
    );
  });
});

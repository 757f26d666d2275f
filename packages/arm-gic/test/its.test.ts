import fc from 'fast-check';
import { after, immediate, seeded } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { AT, GICD, GICR, ITS, mapc, mapd, mapti, RAM, Raw, USUAL } from './raw.js';

const errors: [string, readonly number[], string][] = [
  ['MAPD, DeviceID', mapd(0x2000), '0x10801'],
  ['MAPD, Size', mapd(2, 17), '0x10802'],
  ['MAPC, collection', mapc(0x2000, 0), '0x10903'],
  ['MAPC, target', mapc(2, 9), '0x10920'],
  ['MAPTI, DeviceID', mapti(0x2000, 0, 8192, 0), '0x10a01'],
  ['MAPTI, collection', mapti(0, 1, 8192, 0x2000), '0x10a03'],
  ['MAPTI, device not mapped', mapti(2, 0, 8192, 0), '0x10a04'],
  ['MAPTI, EventID', mapti(0, 8, 8192, 0), '0x10a05'],
  ['MAPTI, INTID', mapti(0, 1, 100, 0), '0x10a06'],
  ['MAPI, device not mapped: 0B, not 0A', [0xb, 2, 0, 0, 0], '0x10b04'],
  ['MAPI, EventID is no LPI', [0xb, 0, 1, 0, 0], '0x10b06'],
  ['MOVI, not mapped', [1, 0, 1, 0, 1], '0x10107'],
  ['MOVI, collection not mapped', [1, 0, 0, 0, 7], '0x10109'],
  ['INT, device not mapped', [3, 2, 0], '0x10304'],
  ['CLEAR carries 05', [4, 0, 1], '0x10507'],
  ['INV, not mapped', [0xc, 0, 3], '0x10c07'],
  ['INVALL, collection not mapped', [0xd, 0, 0, 0, 5], '0x10d09'],
  ['DISCARD, not mapped', [0xf, 0, 3], '0x10f07'],
];

describe.each([immediate(), after(2), seeded(5)])('command errors of a stalling ITS, $name', (policy) => {
  it.each(errors)('%s', (_n, command, number) => {
    const r = new Raw({}, policy).start();
    const { steps } = r.platform.trace.record(() => {
      r.send(...USUAL, command, mapd(3));
      r.platform.clock.settle();
    });
    expect(steps.filter((s) => s.why.startsWith('error')).map((s) => s.why)).toEqual([`error ${number}`]);
    expect(r.read(ITS + 0x90)).toBe((32 * USUAL.length) | 1); // on the bad command, Stalled
    // software mends it and asks to go on
    const at = AT.queue + 32 * USUAL.length;
    for (let i = 0; i < 8; i++) r.platform.memoryModel.write32(at + 4 * i, i === 0 ? 5 : 0);
    r.write(ITS + 0x88, r.cwriter | 1);
    r.platform.clock.settle();
    expect(r.read(ITS + 0x90)).toBe(r.cwriter);
    expect(r.message(3, 0)).toBe('UNMAPPED_EVENT');
  });
});

describe('messages', () => {
  const usual = () => {
    const r = new Raw().start();
    r.send(...USUAL);
    return r;
  };
  it.each([
    ['a mapped event', 1, 2, 'LPI 8200 at CPU 1'],
    ['the same EventID of another device', 0, 2, 'UNMAPPED_EVENT'],
    ['EventID beyond Size', 0, 8, 'EVENT_OUT_OF_RANGE'],
    ['a device that is not mapped', 2, 0, 'UNMAPPED_DEVICE'],
    ['a DeviceID beyond the table', 0x2000, 0, 'DEVICE_OUT_OF_RANGE'],
  ])('%s', (_n, device, event, expected) => {
    expect(usual().message(device, event)).toBe(expected);
  });

  it('a collection unmapped hides its events, and mapped again shows them', () => {
    const r = usual();
    r.send(mapc(0, 0, false));
    expect(r.message(0, 0)).toBe('UNMAPPED_COLLECTION');
    r.send(mapc(0, 1));
    expect(r.message(0, 0)).toBe('LPI 8192 at CPU 1');
  });

  it('ITS off, LPIs off, group off, INTID beyond IDbits', () => {
    const r = usual();
    r.write(ITS, 0);
    expect(r.message(0, 0)).toBe('ITS_DISABLED');
    r.write(ITS, 1);
    r.write(GICR, 0);
    expect(r.message(0, 0)).toBe('LPIS_OFF');
    r.platform.bus.write64(GICR + 0x70, 0, AT.configuration | 13); // 14 bits: 8192–16383
    r.write(GICR, 1);
    r.send(mapti(0, 1, 20000, 0));
    expect(r.message(0, 1)).toBe('LPI_OUT_OF_RANGE');
    r.write(GICD, 0x10);
    expect([r.message(0, 0), r.gic.acknowledge(0)]).toEqual(['GROUP_DISABLED', null]);
    r.write(GICD, 0x12);
    expect(r.gic.acknowledge(0)).toBe(8192);
  });

  it('a write of 16 bits is a 16-bit EventID; a CPU has DeviceID 0', () => {
    const r = usual();
    r.platform.bus.write16(ITS + 0x10040, 0);
    expect(r.gic.acknowledge(0)).toBe(8192);
  });

  it('several before the acknowledge are one interrupt; the pending bit is in memory', () => {
    const r = usual();
    r.message(0, 0);
    r.message(0, 0);
    expect(r.platform.memoryModel.read32(AT.pending + 1024)).toBe(1);
    expect([r.gic.acknowledge(0), r.gic.acknowledge(0)]).toEqual([8192, null]);
    expect(r.platform.memoryModel.read32(AT.pending + 1024)).toBe(0);
  });

  it('what is pending survives EnableLPIs going off and on, PTZ or not', () => {
    const r = usual();
    r.message(0, 0);
    r.write(GICR, 0);
    r.write(GICR, 1);
    expect(r.gic.acknowledge(0)).toBe(8192);
  });

  it('takes the most urgent first', () => {
    const r = usual();
    r.send(mapti(0, 1, 8193, 0));
    r.platform.memoryModel.write8(AT.configuration + 1, 0x83);
    r.message(0, 0);
    r.message(0, 1);
    expect([r.gic.acknowledge(0), r.gic.acknowledge(0)]).toEqual([8193, 8192]);
  });
});

describe('the LPI configuration cache really caches', () => {
  it.each([
    ['nothing', [], false],
    ['SYNC', [5], false],
    ['INV of another event', [0xc, 1, 2], false],
    ['INV', [0xc, 0, 0], true],
    ['INVALL of the collection', [0xd, 0, 0, 0, 0], true],
    ['INVALL of another collection', [0xd, 0, 0, 0, 1], false],
  ] as const)('a byte that software changed is seen after %s: %#', (_n, command, seen) => {
    const r = new Raw().start();
    r.send(...USUAL);
    r.message(0, 0);
    r.gic.acknowledge(0);
    r.platform.memoryModel.write8(AT.configuration, 0xa2);
    if (command.length) r.send([...command]);
    expect(r.message(0, 0)).toBe(seen ? 'LPI_DISABLED' : 'LPI 8192 at CPU 0');
  });
});

describe('registers', () => {
  it('hold still while Enabled; BASER types are read-only; CBASER resets CREADR', () => {
    const r = new Raw().start();
    r.send(...USUAL);
    r.platform.bus.write64(ITS + 0x100, 0, 0);
    expect(r.read(ITS + 0x104)).toBe(0x8107_0000);
    r.write(ITS, 0);
    r.platform.bus.write64(ITS + 0x100, 0, 0);
    r.platform.bus.write64(ITS + 0x80, 0, 0);
    expect([r.read(ITS + 0x104), r.read(ITS + 0x90), r.read(ITS + 0x110)]).toEqual([0x0107_0000, 0, 0]);
    expect([r.read(ITS + 8), r.read(ITS + 12)]).toEqual([0x0001_efb1, 0x1f]); // GITS_TYPER as QEMU's
  });

  it('a CWRITER beyond the queue stops processing until a legal one', () => {
    const r = new Raw().start();
    r.write(ITS + 0x88, 0x8000);
    expect(r.read(ITS + 0x90)).toBe(0);
    r.send(...USUAL);
    expect(r.read(ITS + 0x90)).toBe(32 * USUAL.length);
  });

  it('a queue or tables outside memory stall or refuse, and never throw', () => {
    const r = new Raw().start();
    r.write(ITS, 0);
    r.platform.bus.write64(ITS + 0x80, 0x8000_0000, 0x1000);
    r.write(ITS, 1);
    r.platform.bus.write64(ITS + 0x88, 0, 32);
    expect(r.read(ITS + 0x90)).toBe(1);
  });

  it('message-based SPIs through the distributor', () => {
    const r = new Raw().start();
    r.write(GICD + 0x84 + 4, 0xffff_ffff); // IGROUPR2
    r.write(GICD + 0x108, 1 << 6);
    r.platform.bus.write64(GICD + 0x6000 + 8 * 70, 0, 1);
    r.write(GICD + 0x40, 70);
    expect([r.gic.pending(1), r.gic.acknowledge(1), r.gic.acknowledge(1)]).toEqual([[70], 70, null]);
    r.write(GICD + 0x40, 70); // active: not taken again before its end
    expect(r.gic.acknowledge(1)).toBeNull();
    r.gic.end(1, 70);
    expect(r.gic.acknowledge(1)).toBe(70);
  });

  it('state goes with a snapshot', () => {
    const r = new Raw().start();
    r.send(...USUAL);
    r.message(1, 2);
    const state = r.platform.snapshot();
    r.gic.acknowledge(1);
    r.platform.restore(state);
    expect(r.gic.acknowledge(1)).toBe(8200);
  });
});

describe('whatever software writes', () => {
  const word = fc.oneof(
    fc.integer({ min: 0, max: 0xffff_ffff }),
    fc.nat(15),
    fc.constant(0x8000_0000),
    fc.nat(0x300).map((n) => RAM + 4 * n),
  );
  it('random commands, tables and messages never throw', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(word, { minLength: 8, maxLength: 8 }), { maxLength: 20 }),
        fc.array(word, { minLength: 32, maxLength: 32 }),
        fc.array(fc.tuple(fc.nat(0xffff), fc.nat(20)), { maxLength: 8 }),
        fc.boolean(),
        (commands, table, messages, stall) => {
          const r = new Raw({ commandErrors: stall ? 'stall' : 'skip' }).start();
          r.send(...USUAL);
          for (const at of [AT.devices + 16, AT.collections + 16, AT.itt + 12])
            table.forEach((w, i) => r.platform.memoryModel.write32(at + 4 * i, w));
          for (const c of commands)
            r.send([(c[0]! & ~0xff) | [1, 3, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15, 99][c[7]! % 13]!, ...c.slice(1)]);
          for (const [device, event] of messages) r.message(device % 8, event);
          for (const cpu of [0, 1]) while (r.gic.acknowledge(cpu) !== null);
        },
      ),
      { numRuns: 300, seed: 20261124 },
    );
  });
});

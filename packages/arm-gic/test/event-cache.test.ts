import { describe, expect, it } from 'vitest';
import { AT, ITS, mapc, mapd, mapti, Raw } from './raw.js';

/** Device 0: events 0 and 1 are LPIs 8192 and 8193 at CPU 0. */
const start = (): Raw => {
  const r = new Raw().start();
  r.send(mapd(0), mapc(0, 0), mapc(1, 1), mapti(0, 0, 8192, 0), mapti(0, 1, 8193, 0));
  expect(r.message(0, 0)).toBe('LPI 8192 at CPU 0');
  r.gic.acknowledge(0);
  return r;
};

/** The tables are the ITS's own: software that writes there is heard at the next command at the earliest. */
describe('the ITS keeps events that it translated', () => {
  it.each([
    ['nothing', (): void => undefined, 'LPI 8192 at CPU 0'],
    ['SYNC, as any command', (r: Raw) => r.send([5]), 'UNMAPPED_EVENT'],
    ['GITS_CTLR off and on', (r: Raw) => (r.write(ITS, 0), r.write(ITS, 1)), 'UNMAPPED_EVENT'],
    ['a restored snapshot', (r: Raw) => r.its.restore(r.its.snapshot()), 'UNMAPPED_EVENT'],
  ] as const)('until a command or a register write: %s', (_n, then, expected) => {
    const r = start();
    for (let i = 0; i < 3; i++) r.platform.memoryModel.write32(AT.itt + 4 * i, 0);
    then(r);
    expect(r.message(0, 0)).toBe(expected);
  });

  it('MOVI, MAPC, DISCARD and MAPD take effect for the next message', () => {
    const r = start();
    r.send([1, 0, 0, 0, 1]); // MOVI to collection 1
    expect(r.message(0, 0)).toBe('LPI 8192 at CPU 1');
    r.gic.acknowledge(1);
    r.send(mapc(1, 0));
    expect(r.message(0, 0)).toBe('LPI 8192 at CPU 0');
    r.gic.acknowledge(0);
    r.send([0xf, 0, 0]);
    expect(r.message(0, 0)).toBe('UNMAPPED_EVENT');
    expect(r.message(0, 1)).toBe('LPI 8193 at CPU 0');
    r.gic.acknowledge(0);
    r.send(mapd(0, 3, false));
    expect(r.message(0, 1)).toBe('UNMAPPED_DEVICE');
  });

  it('a message while the ITS is off is dropped whatever it keeps', () => {
    const r = start();
    r.write(ITS, 0);
    expect(r.message(0, 0)).toBe('ITS_DISABLED');
  });
});

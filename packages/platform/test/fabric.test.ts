import { describe, expect, it } from 'vitest';
import {
  EXEC,
  mapId,
  newOutcome,
  newRequest,
  parseBdf,
  READ,
  showBdf,
  splitIova,
  TRANSLATED,
  TRANSLATION_REQUEST,
  UNTRANSLATED,
  Verdict,
  WRITE,
} from '../src/index.js';
import { plugin, shifting, small, thrown } from './helpers.js';

const setUp = () => {
  const p = small();
  const unit = shifting('iommu0', 0x1000);
  const other = shifting('iommu1', 0x2000);
  const fabric = p.fabric();
  return { p, fabric, unit, other };
};

describe('routing', () => {
  it('sends a requester’s DMA to the unit that claims it, under the unit’s own id', () => {
    const { p, fabric, unit, other } = setUp();
    fabric.claim(unit, 0, 65536, 0x1_0000);
    fabric.claim(other, 0x20, 2, 7); // a later claim wins
    expect(fabric.write32(0x1f, 0, 0x100, 1)).toBe(Verdict.translated);
    expect(fabric.write32(0x21, 0, 0x100, 2)).toBe(Verdict.translated);
    expect([p.memory.read32(0x1100), p.memory.read32(0x2100)]).toEqual([1, 2]);
    expect([unit.seen[0]!.stream, other.seen[0]!.stream]).toEqual([0x1_001f, 8]);
    expect([fabric.unitOf(0x21), fabric.streamOf(0x21)]).toEqual([other, 8]);
  });

  it('sends it straight to the bus where nobody claims it', () => {
    const { p, fabric } = setUp();
    expect(fabric.write32(0x10, 0, 0x200, 3)).toBe(Verdict.bypass);
    expect([p.memory.read32(0x200), fabric.landed, fabric.outcome.pa]).toEqual([3, true, 0x200]);
    const out = newOutcome();
    expect(fabric.translate({ ...newRequest(), hi: 1, lo: 8 }, out)).toBe(Verdict.bypass);
    expect([out.pa, out.permissions]).toEqual([0x1_0000_0008, READ | WRITE | EXEC]);
  });

  it('carries kind, PASID, access, size and an MSI’s data to the unit', () => {
    const { fabric, unit } = setUp();
    fabric.claim(unit);
    fabric.write32(0x8, 0, 0x100, 0xcafe, 5, TRANSLATED);
    fabric.read(0x8, 1, 0x100, new Uint8Array(8), -1, UNTRANSLATED);
    fabric.write(0x8, 0, 0x100, Uint8Array.of(1, 2, 3, 0xff), 0xf_ffff, TRANSLATION_REQUEST);
    expect(unit.seen).toMatchObject([
      { requester: 8, lo: 0x100, size: 4, access: WRITE, kind: TRANSLATED, pasid: 5, data: 0xcafe },
      { requester: 8, hi: 1, lo: 0x100, size: 8, access: READ, kind: UNTRANSLATED, pasid: -1, data: 0 },
      { requester: 8, size: 4, access: WRITE, kind: TRANSLATION_REQUEST, pasid: 0xf_ffff, data: 0xff03_0201 },
    ]);
  });

  it('asks once a page, with addresses that carry into the upper word', () => {
    const { fabric, unit } = setUp();
    fabric.claim(unit);
    fabric.write(0x8, 0, 0xffff_f800, new Uint8Array(0x1000));
    expect(unit.seen.map((q) => [q.hi, q.lo, q.size])).toEqual([
      [0, 0xffff_f800, 0x800],
      [1, 0, 0x800],
    ]);
  });

  it('gives reads zeros from a fault on, and stops writes there', () => {
    const { p, fabric, unit } = setUp();
    fabric.claim(unit);
    p.memory.fill(0, 0x8000, 0x11);
    const bytes = new Uint8Array(0x20).fill(0xee);
    expect(fabric.read(0x8, 0, 0xdead_0000, bytes)).toBe(Verdict.fault);
    expect(bytes.every((b) => b === 0)).toBe(true);
    expect([fabric.landed, fabric.outcome.fault]).toEqual([false, 'NOT_HERE']);
    const before = p.memoryModel.digest();
    expect(fabric.write32(0x8, 0, 0xdead_0000, 1)).toBe(Verdict.fault);
    expect(fabric.write(0x8, 0, 0xdead_0000, bytes)).toBe(Verdict.fault);
    expect([p.memoryModel.digest(), fabric.landed]).toEqual([before, false]);
  });

  it('says whether anybody took it: RAM, a register or an interrupt unit', () => {
    const { p, fabric, unit } = setUp();
    expect(fabric.write32(0x8, 0, 0x9000_0000, 1)).toBe(Verdict.bypass);
    expect(fabric.landed).toBe(false);
    const writes: unknown[] = [];
    p.bus.map({
      name: 'doorbell',
      base: 0x9000_0000,
      size: 0x1000,
      sizes: [2, 4],
      read: () => 0x1234_5678,
      write: (...args) => void writes.push(args),
    });
    fabric.mapDeviceIds(0, 16, 0x500);
    fabric.write32(0x8, 0, 0x9000_0040, 0xa5);
    expect([fabric.landed, writes.pop()]).toEqual([true, [0x40, 4, 0xa5, 0x508]]);
    expect(fabric.deviceIdOf(0x10)).toBe(0x10); // identity where nothing says otherwise
    fabric.write(0x8, 0, 0x9000_0042, Uint8Array.of(1, 2, 3, 4, 5, 6));
    expect(writes).toEqual([
      [0x42, 2, 0x0201, 0x508],
      [0x44, 4, 0x0605_0403, 0x508],
    ]);
    const bytes = new Uint8Array(4);
    fabric.read(0x8, 0, 0x9000_0000, bytes);
    expect([...bytes]).toEqual([0x78, 0x56, 0x34, 0x12]);
    // The unit says interrupt, and nobody takes interrupts.
    fabric.claim(unit, 0x8, 1);
    expect(fabric.write32(0x8, 0, 0xfee0_0000, 1)).toBe(Verdict.interrupt);
    expect(fabric.landed).toBe(false);
    fabric.claim({ name: 'ir', translate: () => Verdict.interrupt, interrupt: (q) => q.data === 0x31 }, 0x8, 1);
    fabric.write32(0x8, 0, 0xfee0_0000, 0x31);
    expect(fabric.landed).toBe(true);
    fabric.write(0x8, 0, 0xfee0_0000, Uint8Array.of(0x32, 0, 0, 0));
    expect(fabric.landed).toBe(false);
    expect(fabric.read(0x8, 0, 0xfee0_0000, bytes)).toBe(Verdict.interrupt);
    expect([fabric.landed, ...bytes]).toEqual([false, 0, 0, 0, 0]);
  });

  it('throws nothing at addresses that a guest chose', () => {
    const { fabric } = setUp();
    for (const hi of [0xf_ffff, 0x1000_0000, 0xffff_ffff]) {
      expect(fabric.write32(0x8, hi, 0, 1)).toBe(Verdict.bypass);
      fabric.read(0x8, hi, 0xffff_fffc, new Uint8Array(16));
      expect(fabric.landed).toBe(false);
    }
  });

  it('refuses what is no requester id', () => {
    const { fabric } = setUp();
    for (const id of [-1, 0x1_0000, 2 ** 32 + 1.5])
      expect(thrown(() => fabric.write32(id, 0, 0, 0)).code).toBe('BAD_REQUESTER');
  });

  it('has a fabric per segment', () => {
    const p = small();
    p.fabric(1).claim(shifting('x', 0));
    expect([p.fabric(0).unitOf(0), p.fabric(1).segment, p.fabric(1) === p.fabric(1)]).toEqual([undefined, 1, true]);
  });
});

describe('id maps of host bridges', () => {
  it('become wires: later entries win, ids without an entry go straight through', () => {
    const iommu = plugin('x,iommu', { model: { create: (c) => shifting(c.node.name, 0x1000) } });
    const p = small()
      .use(iommu, plugin('x,host', {}), plugin('x,its', {}))
      .node(
        { name: 'iommu0', compatible: 'x,iommu' },
        { name: 'iommu1', compatible: 'x,iommu' },
        { name: 'its0', compatible: 'x,its' },
        {
          name: 'pci0',
          compatible: 'x,host',
          segment: 2,
          iommuMap: [
            { inputBase: 0, count: 0x100, outputBase: 0x1000, to: 'iommu0' },
            { inputBase: 0x20, count: 1, outputBase: 0, to: 'iommu1' },
          ],
          msiMap: [{ inputBase: 8, count: 8, outputBase: 0x80, to: 'its0' }],
        },
      )
      .compose();
    const f = p.fabric(2);
    expect([8, 0x20, 0x100].map((id) => [f.unitOf(id)?.name, f.streamOf(id), f.deviceIdOf(id)])).toEqual([
      ['iommu0', 0x1008, 0x80],
      ['iommu1', 0, 0x20],
      [undefined, 0, 0x100],
    ]);
    const map = p.allNodes[3]!.iommuMap!;
    expect([mapId(map, 0x20), mapId(map, 0x21), mapId(map, 0x100)]).toEqual([
      { to: 'iommu1', id: 0 },
      { to: 'iommu0', id: 0x1021 },
      null,
    ]);
  });
});

describe('the trace', () => {
  it('tells each hop of a transaction, and the model’s steps between', () => {
    const { p, fabric, unit } = setUp();
    fabric.claim(unit, 0, 16, 0x40);
    const { steps } = p.trace.record(() => fabric.write32(0x8, 0, 0x100, 0xcafe, 3));
    expect(steps).toEqual([
      {
        by: 'host bridge of segment 0',
        what: 'route',
        at: null,
        words: [],
        decoded: '0000:00:01.0 writes 4 bytes at 0x100, PASID 3',
        why: 'iommu0 claims it and sees stream 0x48',
      },
      {
        by: 'system bus',
        what: 'RAM',
        at: 0x1100,
        words: [0xcafe],
        decoded: 'writes 4 bytes',
        why: 'DeviceID 0x8 travels beside it',
      },
    ]);
    const faulted = p.trace.record(() => fabric.read(0x8, 0, 0xdead_0000, new Uint8Array(8)));
    expect(faulted.steps.map((s) => s.what)).toEqual(['route']);
    const nowhere = p.trace.record(() => fabric.read(0x20, 0, 0x9000_0000, new Uint8Array(8)));
    expect(nowhere.steps.map((s) => [s.what, s.why])).toEqual([
      ['route', 'no unit claims it: it goes straight to the bus'],
      ['nothing', 'not all of it was taken'],
    ]);
  });

  it('costs nothing when nobody listens: models are told of the switch, steps are not built', () => {
    const { trace } = small();
    const switched: boolean[] = [];
    trace.onSwitch((on) => void switched.push(on));
    const stop = [trace.listen(() => undefined), trace.listen(() => undefined)];
    stop[0]!();
    expect([trace.on, switched]).toEqual([true, [false, true]]);
    stop[1]!();
    stop[1]!();
    expect([trace.on, switched]).toEqual([false, [false, true, false]]);
  });

  it('stops recording when the body throws', () => {
    const { trace } = small();
    expect(() =>
      trace.record(() => {
        throw new RangeError('x');
      }),
    ).toThrow('x');
    expect(trace.on).toBe(false);
  });
});

describe('names and addresses', () => {
  it('reads and writes bus:device.function', () => {
    expect(showBdf(0x20)).toBe('0000:00:04.0');
    expect(parseBdf(' 0001:ff:1f.7 ')).toEqual({ segment: 1, requester: 0xffff });
    expect(parseBdf('00:04.0')).toEqual({ segment: 0, requester: 0x20 });
    for (const text of ['00:20.0', '00:04.8', '0:4.0', 'x']) expect(parseBdf(text)).toBeNull();
  });

  it('splits what callers give as an IOVA, and refuses what is none', () => {
    expect(splitIova(0xffff_ffff_ffff_fffen)).toEqual({ hi: 0xffff_ffff, lo: 0xffff_fffe });
    expect(splitIova(2 ** 52 + 1)).toEqual({ hi: 0x10_0000, lo: 1 });
    for (const bad of [-1, 1.5, 2 ** 53, NaN, -1n, 1n << 64n])
      expect(thrown(() => splitIova(bad)).code).toBe('BAD_ADDRESS');
  });
});

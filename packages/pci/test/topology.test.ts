import { Platform } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import {
  ACS,
  Acs,
  at,
  ATS,
  conventionalBridge,
  downstreamPort,
  edu,
  ExtCapId,
  nvmeLike,
  PCI,
  pciHost,
  pcieToPciBridge,
  pciToPcieBridge,
  rootPort,
  testFunction,
  upstreamPort,
  type Placed,
} from '../src/index.js';
import { board } from './board.js';
import { testRoot, type DoorbellModel } from './root.js';

const f = (n = 1) => testFunction({ msix: n });
const groupsOf = (functions: readonly Placed[]) => {
  const { pci } = board(functions);
  const byGroup = new Map<number, string[]>();
  for (const d of pci.functions)
    byGroup.set(d.isolation.group, [...(byGroup.get(d.isolation.group) ?? []), d.name.slice(5)]);
  return [...byGroup.values()];
};

/** A tree with every kind of bridge. */
const everything = (): Placed[] => [
  at('01.0', rootPort([at('00.0', nvmeLike())], { acs: true })),
  at(
    '02.0',
    rootPort([at('00.0', pcieToPciBridge([at('01.0', f()), at('02.0', conventionalBridge([at('03.0', f())]))]))]),
  ),
  at(
    '03.0',
    rootPort(
      [
        at(
          '00.0',
          upstreamPort([
            at('00.0', downstreamPort([at('00.0', f())], { acs: true })),
            at('01.0', downstreamPort([at('00.0', f()), at('00.1', f())], { acs: true })),
          ]),
        ),
      ],
      { acs: true },
    ),
  ),
  at('05.0', edu()),
];

describe('enumeration', () => {
  it('numbers buses depth first and finds every function', () => {
    const { pci } = board(everything());
    expect(pci.functions.map((d) => d.name.slice(5)).sort()).toEqual(
      [
        ...['00:01.0', '01:00.0', '00:02.0', '02:00.0', '03:01.0', '03:02.0', '04:03.0'],
        ...['00:03.0', '05:00.0', '06:00.0', '07:00.0', '06:01.0', '08:00.0', '08:00.1', '00:05.0'],
      ].sort(),
    );
    expect(pci.unplaced).toEqual([]);
    const seen = pci.functions.filter((d) => !d.isBridge).map((d) => d.bars.filter((b) => b).map((b) => b!.address));
    const flat = seen.flat();
    expect(new Set(flat).size).toBe(flat.length);
    expect(flat.every((a) => a >= 0xe000_0000)).toBe(true);
  });

  it('keeps bus numbers that firmware left, and gives others what is free', () => {
    const { pci } = board([
      at('01.0', rootPort([at('00.0', f())])),
      at('02.0', rootPort([at('00.0', f())], { buses: { secondary: 0x40, subordinate: 0x4f } })),
    ]);
    expect(pci.functions.filter((d) => !d.isBridge).map((d) => d.name)).toEqual(['0000:40:00.0', '0000:50:00.0']);
  });

  it('numbers bridges whose firmware numbers clash anew', () => {
    const buses = { secondary: 3, subordinate: 3 };
    const { pci } = board([
      at('01.0', rootPort([at('00.0', f())], { buses })),
      at('02.0', rootPort([at('00.0', f())], { buses })),
    ]);
    expect(pci.functions.filter((d) => !d.isBridge).map((d) => d.name)).toEqual(['0000:03:00.0', '0000:04:00.0']);
  });

  it('reaches every BAR through its bridges, and no BAR of a function that is switched off', () => {
    const { pci } = board(everything());
    for (const d of pci.functions) {
      if (d.isBridge || !d.bars[0]) continue;
      const live = d.vendor === 0x1234 ? d.bar(0).read32(0) : d.msixVectors;
      expect(live).toBe(d.vendor === 0x1234 ? 0x010000ed : d.msixVectors);
      if (d.vendor !== 0x1234 && d.deviceId === 0x0d0c) {
        d.bar(0).write32(8, 0x1234);
        expect(d.bar(0).read32(8)).toBe(0x1234);
        d.setCommand(2, 0);
        expect(d.bar(0).read32(8)).toBe(0);
      }
    }
  });

  it('places a prefetchable 64-bit BAR above 4 GiB, also behind bridges', () => {
    const big = {
      ...f(),
      bars: { 0: { size: 2 ** 33, width: 64 as const, prefetchable: true }, 2: { size: 0x1000 }, 4: { size: 0x2000 } },
    };
    const { pci } = board([
      at('01.0', rootPort([at('00.0', upstreamPort([at('00.0', downstreamPort([at('00.0', big)]))]))])),
    ]);
    const d = pci.functions.find((x) => !x.isBridge)!;
    expect(d.bars[0]).toMatchObject({ width: 64, prefetchable: true, size: 2 ** 33, address: 0x80_0000_0000 });
    expect(d.bars[2]!.address).toBeLessThan(2 ** 32);
    d.bar(0).write32(8, 7);
    expect(d.bar(0).read32(8)).toBe(7);
  });

  it('names what found no room and leaves it off', () => {
    const { pci } = board([at('01.0', { ...testFunction(), bars: { 0: { size: 2 ** 30 } } })]);
    expect(pci.unplaced).toEqual(['0000:00:01.0 BAR 0']);
    expect(pci.get('00:01.0').read(4) & 2).toBe(0);
    expect(() => pci.get('00:01.0').bar(0)).toThrow(expect.objectContaining({ code: 'NO_BAR' }));
  });

  it('names bridges for which no bus number is left, and closes them', () => {
    const bridge = () => rootPort([at('00.0', f())]);
    const { pci } = board([at('01.0', bridge()), at('02.0', bridge()), at('03.0', bridge())], {
      ecam: { base: 0xb000_0000, firstBus: 0x10, buses: 3 },
    });
    expect(pci.functions.map((d) => d.name.slice(5))).toEqual(['10:01.0', '10:02.0', '10:03.0', '11:00.0', '12:00.0']);
    expect(pci.unnumbered).toEqual(['0000:10:03.0']);
    expect(pci.get('10:03.0').read(0x18)).toBe(0x10);
  });

  it('says NO_SUCH_FUNCTION with what there is', () => {
    const { pci } = board([at('01.0', f())]);
    expect(() => pci.get('00:09.0')).toThrow(/there are: 0000:00:01.0/);
    expect(pci.find('nonsense')).toBeUndefined();
  });

  it('announces each function once', () => {
    const { platform, pci } = board(everything(), { enumerate: false });
    const seen: string[] = [];
    platform.hooks.deviceAdded.tap('test', (d) => seen.push(d.name));
    pci.enumerate();
    pci.enumerate();
    expect(seen.length).toBe(15);
  });
});

describe('requester ids', () => {
  const sent = (functions: readonly Placed[], bdf: string) => {
    const { pci, doorbell } = board(functions);
    const d = pci.get(bdf);
    pci.enableMsixRange(d, 1, 1);
    d.bar(0).write32(0x14, 0);
    return { source: doorbell.writes[0]?.source, aliases: d.aliases };
  };
  it('pass root ports and switches unchanged', () => {
    expect(sent(everything(), '08:00.1')).toEqual({ source: 0x0801, aliases: [0x0801] });
  });
  it('become (secondary bus, 00.0) at a PCIe-to-PCI bridge', () => {
    expect(sent(everything(), '03:01.0')).toEqual({ source: 0x0300, aliases: [0x0308, 0x0300] });
  });
  it('become the bridge at a conventional bridge, and what is above it takes that over', () => {
    expect(sent(everything(), '04:03.0')).toEqual({ source: 0x0300, aliases: [0x0418, 0x0310, 0x0300] });
    const plain = [at('1e.0', conventionalBridge([at('01.0', f())]))];
    expect(sent(plain, '01:01.0')).toEqual({ source: 0x00f0, aliases: [0x0108, 0x00f0] });
  });
  it('become (secondary bus, 00.0) at a bridge of the quirk list, where it hangs below a PCIe port', () => {
    const ich = () => conventionalBridge([at('01.0', f())], { vendor: 0x8086, device: 0x244e });
    const below = [at('1c.0', rootPort([at('00.0', ich())]))];
    expect(sent(below, '02:01.0')).toEqual({ source: 0x0200, aliases: [0x0208, 0x0200] });
    expect(sent([at('1e.0', ich())], '01:01.0')).toEqual({ source: 0x00f0, aliases: [0x0108, 0x00f0] });
  });
  it('become the bridge at a PCI-to-PCIe bridge', () => {
    const reverse = [at('04.0', pciToPcieBridge([at('00.0', f())]))];
    expect(sent(reverse, '01:00.0')).toEqual({ source: 0x0020, aliases: [0x0100, 0x0020] });
  });
  it('are another function’s where a known device sends so', () => {
    const marvell = testFunction({ msix: 1, vendor: 0x1b4b, device: 0x9123, dmaAlias: 0x11 });
    expect(sent([at('02.0', marvell)], '00:02.0')).toEqual({ source: 0x0011, aliases: [0x0010, 0x0011] });
  });
});

describe('isolation groups', () => {
  it('keep functions behind ports with ACS apart', () => {
    expect(groupsOf(everything())).toEqual([
      ['00:01.0'],
      ['00:02.0', '02:00.0', '03:01.0', '03:02.0', '04:03.0'],
      ['00:03.0'],
      ['00:05.0'],
      ['01:00.0'],
      ['05:00.0'],
      ['06:00.0'],
      ['06:01.0'],
      ['07:00.0'],
      ['08:00.0', '08:00.1'],
    ]);
  });
  it('join a root port without ACS with what is below it', () => {
    expect(groupsOf([at('01.0', rootPort([at('00.0', f())])), at('02.0', rootPort([at('00.0', f())]))])).toEqual([
      ['00:01.0', '01:00.0'],
      ['00:02.0', '02:00.0'],
    ]);
  });
  it('join the functions of a device of which one lacks ACS', () => {
    const acs = Acs.SV | Acs.RR | Acs.CR | Acs.UF;
    const with_ = testFunction({ acs });
    expect(groupsOf([at('01.0', with_), at('01.1', with_)])).toEqual([['00:01.0'], ['00:01.1']]);
    expect(groupsOf([at('01.0', with_), at('01.1', with_), at('01.2', f())])).toEqual([
      ['00:01.0', '00:01.1', '00:01.2'],
    ]);
    // An implemented capability without a bit says that there is no such traffic.
    expect(groupsOf([at('01.0', testFunction({ acs: Acs.SV })), at('01.1', with_)])).toEqual([
      ['00:01.0'],
      ['00:01.1'],
    ]);
  });
  it('join everything below a switch of which one port lacks ACS', () => {
    const ports = (acs: boolean) => [
      at(
        '01.0',
        rootPort(
          [
            at(
              '00.0',
              upstreamPort([
                at('00.0', downstreamPort([at('00.0', f())], { acs: true })),
                at('01.0', downstreamPort([at('00.0', f())], { acs })),
              ]),
            ),
          ],
          { acs: true },
        ),
      ),
    ];
    expect(groupsOf(ports(true)).length).toBe(6);
    expect(groupsOf(ports(false))).toEqual([['00:01.0'], ['01:00.0'], ['02:00.0', '02:01.0', '03:00.0', '04:00.0']]);
  });
  it('carry a witness that names the bridge and the bit', () => {
    const { pci } = board(everything());
    expect(pci.get('03:01.0').isolation).toMatchObject({ isolated: false });
    expect(pci.get('03:01.0').isolation.witness).toContain(
      'all functions behind 0000:02:00.0 share a conventional bus',
    );
    expect(pci.get('08:00.0').isolation.witness).toEqual([
      '0000:08:00.0 has no ACS capability: functions of a device may reach each other',
      '0000:08:00.1 has no ACS capability: functions of a device may reach each other',
    ]);
    expect(pci.get('01:00.0').isolation).toEqual({
      group: expect.any(Number) as number,
      isolated: true,
      witness: ['0000:01:00.0 alone uses 0000:01:00.0', '0000:00:01.0 has ACS SV RR CR UF on'],
    });
    const lone = board([at('01.0', rootPort([at('00.0', f())]))]).pci.get('01:00.0');
    expect(lone.isolation.isolated).toBe(true); // the port shares its group, and uses no id of its own
    expect(lone.isolation.witness[0]).toMatch(/00:01.0 has no ACS capability/);
  });
  it('keep segments apart', () => {
    const { pci } = board([at('01.0', f())]);
    expect(pci.get('0000:00:01.0').segment).toBe(0);
    expect(pci.find('0001:00:01.0')).toBeUndefined();
    const { plugin } = testRoot();
    const host = (segment: number) =>
      pciHost(
        {
          segment,
          ecam: { base: 0x40_0000_0000 + segment * 2 ** 28 },
          windows: [{ base: 0xc000_0000 + segment * 2 ** 24, size: 2 ** 24 }],
        },
        [at('01.0', rootPort([at('00.0', f())]))],
      );
    const platform = new Platform({ memory: [{ base: 0, size: 2 ** 20 }] }).use(plugin, host(0), host(3)).compose();
    const two = platform.service(PCI);
    expect(two.functions.map((d) => d.name)).toEqual(['0000:00:01.0', '0000:01:00.0', '0003:00:01.0', '0003:01:00.0']);
    expect(two.functions.map((d) => d.isolation.group)).toEqual([0, 0, 1, 1]);
    for (const d of [two.get('0003:01:00.0'), two.get('01:00.0')]) {
      two.enableMsixRange(d, 1, 1);
      d.bar(0).write32(0x14, 0);
    }
    expect((platform.model('root0') as unknown as DoorbellModel).writes.map((w) => w.value)).toEqual([0x40, 0x41]);
  });
});

describe('peer-to-peer', () => {
  /** Function A writes to B's BAR: does the write pass the root? */
  const write = (functions: readonly Placed[], a: string, b: string) => {
    const { pci, platform } = board(functions);
    const [from, to] = [pci.get(a), pci.get(b)];
    from.setBusMaster(true);
    let passed = 0;
    const fabric = platform.fabric(0);
    fabric.claim({
      name: 'gate',
      translate: (_, out) => {
        passed++;
        out.code = 1;
        return 2;
      },
    });
    const bar = from.bar(0);
    bar.write32(0, to.bar(0).address + 8);
    bar.write32(8, 0xbeef);
    bar.write32(12, 2);
    return { passed, arrived: to.bar(0).read32(8) === 0xbeef };
  };
  const sw = (acs: boolean): Placed[] => [
    at(
      '01.0',
      rootPort([
        at(
          '00.0',
          upstreamPort([
            at('00.0', downstreamPort([at('00.0', f())], { acs })),
            at('01.0', downstreamPort([at('00.0', f())], { acs })),
          ]),
        ),
      ]),
    ),
  ];
  it('turns inside a switch whose port does not redirect: no translation unit sees it', () => {
    expect(write(sw(false), '03:00.0', '04:00.0')).toEqual({ passed: 0, arrived: true });
  });
  it('goes up to the root with P2P Request Redirect on', () => {
    expect(write(sw(true), '03:00.0', '04:00.0')).toEqual({ passed: 1, arrived: false });
  });
  it('turns with Direct Translated P2P on for translated requests only', () => {
    const port = (slot: string) => at(slot, downstreamPort([at('00.0', testFunction({ ats: true }))], { acs: true }));
    for (const dt of [false, true]) {
      const { pci, platform } = board([at('01.0', rootPort([at('00.0', upstreamPort([port('00.0'), port('01.0')]))]))]);
      const [from, to, above] = ['03:00.0', '04:00.0', '02:00.0'].map((x) => pci.get(x));
      from!.setBusMaster(true);
      from!.write(from!.extendedCapability(ExtCapId.ats) + ATS.$.at, 0x8000_0000);
      const control = above!.extendedCapability(ExtCapId.acs) + ACS.$.at;
      if (dt) above!.write(control, (above!.acs().control | Acs.DT) << 16);
      let passed = 0;
      platform.fabric(0).claim({ name: 'gate', translate: () => (passed++, 2) });
      const bar = from!.bar(0);
      bar.write32(0, to!.bar(0).address + 8);
      bar.write32(8, 0xbeef);
      bar.write32(12, 2);
      expect([passed, to!.bar(0).read32(8)]).toEqual([1, 0]);
      bar.write32(12, 2 | (2 << 4));
      expect([passed, to!.bar(0).read32(8)]).toEqual(dt ? [1, 0xbeef] : [2, 0]);
    }
  });
  it('turns on a conventional bus', () => {
    const bus = [at('01.0', conventionalBridge([at('01.0', f()), at('02.0', f())]))];
    expect(write(bus, '01:01.0', '01:02.0')).toEqual({ passed: 0, arrived: true });
  });
});

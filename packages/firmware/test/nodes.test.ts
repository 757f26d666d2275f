import { dirname, join } from 'node:path';
import { mapId } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { describeMachine, platformNodes, readMachine, type InputFile, type MachineNodes } from '@doorbell/firmware';
import { filesNamed, input, needs, shortName, SHARED } from './support/shared.js';
import * as small from './support/small.js';

const nodesOf = (...files: readonly InputFile[]): MachineNodes => platformNodes(readMachine(files));
const find = (m: MachineNodes, name: string) => m.nodes.find((n) => n.name === name)!;
const one = (kind: string): InputFile => small.SMALL.find((f) => f.name === kind)!;

describe('nodes from ACPI', () => {
  it('sends scoped functions to their unit and all others to the one that includes all', () => {
    const m = nodesOf(one('DMAR.dat'), one('APIC.dat'), one('MCFG.dat'));
    const host = find(m, 'pci0');
    expect(mapId(host.iommuMap!, 0x10)).toEqual({ to: 'dmar0', id: 0x10 }); // 00:02.0
    expect(mapId(host.iommuMap!, 0x18)).toEqual({ to: 'dmar1', id: 0x18 });
    expect(mapId(host.iommuMap!, 0xf0f8)).toEqual({ to: 'dmar1', id: 0xf0f8 }); // the IOAPIC's f0:1f.0
    expect(host).toMatchObject({ reg: [{ base: 0xe0000000, size: 0x10000000 }], segment: 0 });
    expect(find(m, 'dmar0')).toMatchObject({
      compatible: 'intel,vtd',
      reg: [{ base: 0xfed90000, size: 0x1000 }],
      options: { reserved: [{ first: 0x7f800000, last: 0x7fffffff, streams: [0x10] }], hostAddressWidth: 39 },
    });
    expect(m.nodes.map((n) => n.name)).toEqual(['apic', 'ioapic0', 'ioapic1', 'dmar0', 'dmar1', 'pci0']);
    expect(m.omitted).toEqual([]);
  });

  it('a bridge scope covers the bridge and the buses from its secondary to its subordinate one', () => {
    const table = small.file('DMAR.dat', small.dmar(1, small.drhd(0xfed90000, 0, small.scope(2, 0, 0, [0x1c, 0]))));
    const bridge = small.dumpOf('00:1c.0', { 0x08: [0, 0, 4, 6], 0x0e: [1], 0x18: [0, 2, 4] });
    const map = find(nodesOf(table, small.file('pci.txt', small.dump(bridge))), 'pci0').iommuMap!;
    expect([0xe0, 0x200, 0x4ff].map((id) => mapId(map, id)?.to)).toEqual(['dmar0', 'dmar0', 'dmar0']);
    expect([0xe1, 0x1ff, 0x500].map((id) => mapId(map, id))).toEqual([null, null, null]);
    const without = nodesOf(table);
    expect(find(without, 'pci0').iommuMap).toHaveLength(1);
    expect(without.omitted.map((o) => o.why).join()).toMatch(/buses below it are unknown/);
  });

  it('the narrower scope decides, whichever unit comes first', () => {
    const [wide, narrow] = [small.scope(2, 0, 0, [0x1c, 0]), small.scope(1, 0, 0, [0x1c, 0], [0, 0])];
    const bridge = small.dumpOf('00:1c.0', { 0x08: [0, 0, 4, 6], 0x0e: [1], 0x18: [0, 2, 4] });
    const pci = small.file('pci.txt', small.dump(bridge, small.dumpOf('02:00.0', {})));
    for (const [a, b] of [
      [wide, narrow],
      [narrow, wide],
    ] as const) {
      const table = small.dmar(1, small.drhd(0xfed90000, 0, a), small.drhd(0xfed91000, 0, b));
      const map = find(nodesOf(small.file('DMAR.dat', table), pci), 'pci0').iommuMap!;
      const [outer, inner] = a === wide ? ['dmar0', 'dmar1'] : ['dmar1', 'dmar0'];
      expect([0x200, 0x208].map((id) => mapId(map, id)?.to)).toEqual([inner, outer]);
    }
  });

  it('follows a root complex through the SMMU to the ITS, shifting ids twice', () => {
    const its = 48;
    const smmu = its + 24;
    const table = small.iort(
      small.itsGroup(7),
      small.smmuV3(0x9050000, small.mapping(0x10000, 0x8000, 0x40000, its)),
      small.rootComplex(1, small.mapping(0, 0x10000, 0x10000, smmu)),
    );
    const m = nodesOf(small.file('IORT.dat', table), small.file('APIC.dat', small.madt([], [7])));
    const host = find(m, 'pci1');
    expect(host.iommuMap).toEqual([{ inputBase: 0, count: 0x10000, outputBase: 0x10000, to: 'smmu0' }]);
    expect(host.msiMap).toEqual([{ inputBase: 0, count: 0x8000, outputBase: 0x40000, to: 'its0' }]);
  });

  it('CPUs have the APIC ids of the MADT; those that it lists as disabled are not there', () => {
    const cpus = [0, 2, 4, 0x102].map((id) => ({ id, there: id !== 2 }));
    const m = nodesOf(one('DMAR.dat'), small.file('APIC.dat', small.madtOfCpus(...cpus)));
    expect(find(m, 'apic').options).toEqual({ cpus: [0, 4, 0x102] });
  });

  it('an Arm machine without an IORT has GIC and frame, and no APIC; the frame takes all MSIs', () => {
    const m = nodesOf(small.file('APIC.dat', small.madtWithFrame(3)));
    expect(m.nodes.map((n) => n.compatible)).toEqual(['arm,gic-v3', 'arm,gic-v2m-frame', 'doorbell,pci-host-ecam']);
    expect(mapId(find(m, 'pci0').msiMap!, 0x18)).toEqual({ to: 'v2m0', id: 0x18 });
    const older = nodesOf(small.file('APIC.dat', small.madtWithFrame(2)));
    expect(find(older, 'gic0').compatible).toBe('arm,gic-400');
    // Root complexes whose mappings lead to no ITS likewise.
    const iort = small.file('IORT.dat', small.iort(small.rootComplex(0)));
    expect(find(nodesOf(iort, small.file('APIC.dat', small.madtWithFrame(3))), 'pci0').msiMap).toHaveLength(1);
  });

  it('reserved memory of an IORT is kept at the SMMU that its mappings name', () => {
    const [one, two] = [48, 48 + 68];
    const table = small.iort(
      small.smmuV3(0x9050000),
      small.smmuV3(0x9070000),
      small.rmr([[0x80000000, 0x10000]], small.mapping(0, 1, 0x40, two)),
      small.rootComplex(0, small.mapping(0, 8, 0, one), small.mapping(8, 8, 0x40, two)),
    );
    const m = nodesOf(small.file('IORT.dat', table));
    expect(find(m, 'smmu0').options).not.toHaveProperty('reserved');
    expect(find(m, 'smmu1').options!['reserved']).toMatchObject([{ first: 0x80000000, streams: [0x40] }]);
  });

  it('IVRS: device entries to the IOMMU, its special devices too, memory blocks as reserved', () => {
    const m = nodesOf(one('IVRS.dat'));
    const map = find(m, 'pci0').iommuMap!;
    expect([8, 0xa0, 0xfffe].map((id) => mapId(map, id)?.to)).toEqual(['ivhd0', 'ivhd0', 'ivhd0']);
    expect(mapId(map, 7)).toBeNull();
    expect(find(m, 'ivhd0').options!['reserved']).toEqual([
      { first: 0x7f800000, last: 0x7f800fff, why: 'IVMD', streams: [0x10] },
    ]);
  });
});

describe('nodes from device trees', () => {
  it('keeps maps, finds RAM, and leaves out what a disabled node would be', () => {
    const m = nodesOf(
      small.file(
        'x.dtb',
        small.fdt({
          '#address-cells': 1,
          '#size-cells': 1,
          'memory@40000000': { device_type: 'memory', reg: [0x40000000, 0x10000000] },
          'its@8080000': { compatible: 'arm,gic-v3-its', reg: [0x8080000, 0x20000], phandle: 1 },
          'smmu@9050000': { compatible: 'arm,smmu-v3', reg: [0x9050000, 0x20000], phandle: 2, status: 'disabled' },
          'pcie@10000000': {
            device_type: 'pci',
            compatible: 'pci-host-ecam-generic',
            reg: [0x30000000, 0x1000000],
            'bus-range': [0, 15],
            'iommu-map': [0, 2, 0, 0x10000],
            'msi-map': [0, 1, 0x100, 0x10000],
          },
        }),
      ),
    );
    expect(m.memory).toEqual([{ base: 0x40000000, size: 0x10000000 }]);
    expect(m.nodes.map((n) => n.name)).toEqual(['its0', 'pci0']);
    expect(find(m, 'pci0').msiMap).toEqual([{ inputBase: 0, count: 0x10000, outputBase: 0x100, to: 'its0' }]);
    expect(find(m, 'pci0').iommuMap).toBeUndefined();
    expect(m.omitted.map((o) => o.why).join()).toMatch(/iommu-map leads to/);
  });
});

describe('masks and parents of device trees', () => {
  const nodes = (host: small.Spec): MachineNodes =>
    nodesOf(
      small.file(
        'x.dtb',
        small.fdt({
          '#address-cells': 1,
          '#size-cells': 1,
          'its@8080000': { compatible: 'arm,gic-v3-its', reg: [0x8080000, 0x20000], phandle: 1, '#msi-cells': 1 },
          'its@8180000': { compatible: 'arm,gic-v3-its', reg: [0x8180000, 0x20000], phandle: 3, '#msi-cells': 1 },
          'smmu@9050000': { compatible: 'arm,smmu-v3', reg: [0x9050000, 0x20000], phandle: 2, '#iommu-cells': 1 },
          'pcie@10000000': { device_type: 'pci', reg: [0x30000000, 0x1000000], ...host },
        }),
      ),
    );
  const streams = (map: number[], mask: number, ...ids: number[]) => {
    const iommuMap = find(nodes({ 'iommu-map': map, 'iommu-map-mask': mask }), 'pci0').iommuMap!;
    return ids.map((id) => mapId(iommuMap, id));
  };

  it('a mask of 0 makes all requesters one stream', () => {
    expect(streams([0, 2, 0x11, 0x1000], 0, 0, 0x100, 0xffff)).toEqual(
      new Array(3).fill({ to: 'smmu0', id: 0x11, shared: true }),
    );
  });
  it('a mask of device bits folds the buses, one of bus bits the functions', () => {
    expect(streams([0, 2, 0x40, 0x10], 0xff, 0x3, 0x103, 0x10).map((x) => x?.id)).toEqual([0x43, 0x43, undefined]);
    expect(streams([0x100, 2, 0x700, 0x100], 0xff00, 0x100, 0x1ff, 0x200)).toEqual([
      { to: 'smmu0', id: 0x700, shared: true },
      { to: 'smmu0', id: 0x700, shared: true },
      null,
    ]);
  });
  it('where entries overlap the first one holds, as of_map_id reads them', () => {
    const m = nodes({ 'iommu-map': [0, 2, 0, 0x1000, 0x100, 2, 0x9000, 0x100] });
    expect(mapId(find(m, 'pci0').iommuMap!, 0x108)).toEqual({ to: 'smmu0', id: 0x108 });
  });
  it('an msi-parent has as many cells as its controller says; the cell is no phandle', () => {
    const m = nodes({ 'msi-parent': [1, 3] });
    expect(find(m, 'pci0').msiMap).toEqual([{ inputBase: 0, count: 65536, outputBase: 0, to: 'its0' }]);
    const hosts = describeMachine([
      small.file(
        'y.dtb',
        small.fdt({ i: { phandle: 1, '#msi-cells': 1 }, p: { device_type: 'pci', 'msi-parent': [1, 1] } }),
      ),
    ]).pciHosts;
    expect(hosts[0]!.msiParents).toEqual(['/i']);
  });
});

describe.skipIf(!needs('nodes of real machines', null))('nodes of real machines', () => {
  it('the trees of QEMU virt and of a P4080', () => {
    const virt = nodesOf(input(join(SHARED, 'captures/arm-smmuv3-its-nvme/virt.dtb')));
    expect(find(virt, 'smmu0')).toMatchObject({ compatible: 'arm,smmu-v3', reg: [{ base: 0x9050000, size: 0x20000 }] });
    expect(find(virt, 'its0').reg).toEqual([{ base: 0x8080000, size: 0x20000 }]);
    const all = { inputBase: 0, count: 65536, outputBase: 0 };
    expect(virt.nodes.at(-1)).toMatchObject({
      compatible: 'doorbell,pci-host-ecam',
      iommuMap: [{ ...all, to: 'smmu0' }],
      msiMap: [{ ...all, to: 'its0' }],
    });
    expect(virt.memory).toHaveLength(1);
    const p4080 = nodesOf(input(join(SHARED, 'machines/powerpc/p4080ds.dtb')));
    const count = (c: string): number => p4080.nodes.filter((n) => n.compatible === c).length;
    expect([count('fsl,pamu'), count('fsl,mpic'), count('fsl,mpic-msi')]).toEqual([5, 1, 3]);
    expect(find(p4080, 'pamu0')).toMatchObject({ endian: 'big', reg: [{ base: 0xffe020000, size: 0x1000 }] });
  });

  it('names are unique, maps lead to nodes that are there, ranges are whole', () => {
    let machines = 0;
    const tables = filesNamed(/^(DMAR|IVRS|IORT|APIC|MCFG)\.dat$/);
    for (const path of filesNamed(/^(DMAR|IVRS|IORT)\.dat$|\.dtb$/)) {
      const dir = dirname(path);
      const files = path.endsWith('.dtb') ? [input(path)] : tables.filter((f) => dirname(f) === dir).map(input);
      const { nodes } = nodesOf(...files);
      const names = nodes.map((n) => n.name);
      expect(new Set(names).size, shortName(path)).toBe(names.length);
      for (const n of nodes) {
        for (const r of n.reg ?? []) expect(Number.isSafeInteger(r.base) && r.size > 0, `${path} ${n.name}`).toBe(true);
        for (const e of [...(n.iommuMap ?? []), ...(n.msiMap ?? [])]) {
          expect(names, shortName(path)).toContain(e.to);
          expect(e.count, shortName(path)).toBeGreaterThan(0);
        }
      }
      machines++;
    }
    console.info(`nodes of ${machines} machines`);
    expect(machines).toBeGreaterThan(300);
  });
});

describe('nodes from a QorIQ tree', () => {
  const cells = { '#address-cells': 1, '#size-cells': 1 };
  const bank = { compatible: 'fsl,mpic-msi' };
  const tree = small.file(
    'x.dtb',
    small.fdt({
      ...cells,
      mpic: { compatible: 'fsl,mpic', reg: [0x40000, 0x40000] },
      'msi@41600': { ...bank, reg: [0x41600, 0x200, 0x44140, 4], phandle: 1 },
      'msi@41800': { ...bank, reg: [0x41800, 0x200], phandle: 2, 'msi-available-ranges': [64, 32, 3, 32, 224, 32] },
      'pcie@200000': { device_type: 'pci', reg: [0x200000, 0x1000], 'fsl,msi': 2 },
      'iommu@20000': {
        ...cells,
        compatible: 'fsl,pamu',
        reg: [0x20000, 0x3000],
        ranges: [0, 0x20000, 0x3000],
        'pamu@0': { reg: [0, 0x1000] },
        'pamu@1000': { reg: [0x1000, 0x1000], status: 'disabled' },
        'pamu@2000': { reg: [0x2000, 0x1000] },
      },
    }),
  );
  it('a bank has its ranges and its doorbell, and `fsl,msi` says whose bank it is', () => {
    const m = nodesOf(tree);
    expect(find(m, 'msi0').options).toMatchObject({ doorbell: '0x44140' });
    expect(find(m, 'msi0').options).not.toHaveProperty('ranges');
    // prettier-ignore
    const ranges = [[64, 32], [224, 32]];
    expect(find(m, 'msi1').options).toMatchObject({ doorbell: '0x41940', ranges });
    expect(describeMachine([tree]).msiControllers.map((c) => c.vectors)).toEqual([256, 64]);
    expect(m.nodes.find((n) => n.options?.['node'] === '/pcie@200000')!.msiMap).toEqual([
      { inputBase: 0, count: 65536, outputBase: 0, to: 'msi1' },
    ]);
  });
  it('a PAMU that is switched off is none', () => {
    const pamus = nodesOf(tree).nodes.filter((n) => n.compatible === 'fsl,pamu');
    expect(pamus.map((n) => n.reg![0]!.base)).toEqual([0x20000, 0x22000]);
  });
});

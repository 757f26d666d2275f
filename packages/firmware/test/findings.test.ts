import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { describeMachine, findingKinds, type InputFile } from '@doorbell/firmware';
import * as s from './support/small.js';

const src = fileURLToPath(new URL('../src', import.meta.url));
const page = fileURLToPath(new URL('../../../docs/findings.md', import.meta.url));

const f = s.file;
const gfx = s.scope(1, 0, 0, [2, 0]);
const dmar = (...structures: s.Bits[][]): InputFile => f('DMAR.dat', s.dmar(1, ...structures));
const unit = s.drhd(0xfed90000, 1);
const ivrs = (...blocks: s.Bits[][]): InputFile => f('IVRS.dat', s.ivrs(...blocks));
const iommu = (...entries: s.Bits[][]): s.Bits[] => s.ivhd(0x11, 2, 0xfeb80000, ...entries);
const iort = (...nodes: s.Bits[][]): InputFile => f('IORT.dat', s.iort(...nodes));
const tree = (spec: s.Spec): InputFile => f('x.dtb', s.fdt({ '#address-cells': 1, '#size-cells': 1, ...spec }));
const pci = (...functions: string[]): InputFile => f('pci.txt', s.dump(...functions));
const its = 48;
const badSum = s.dmar(1, unit);
badSum[9] = badSum[9]! ^ 1;

/** The smallest input that shows a mistake, and where it is said to be. */
const CASES: readonly (readonly [code: string, offset: number | null, ...files: InputFile[]])[] = [
  ['ACPI_CHECKSUM', 9, f('DMAR.dat', badSum)],
  ['ACPI_TRAILING_BYTES', 64, f('DMAR.dat', Uint8Array.from([...s.dmar(1, unit), 0, 0]))],
  ['ACPI_TRUNCATED', 60, f('DMAR.dat', s.dmar(1, unit).slice(0, 60))],
  ['ACPI_TABLE_TWICE', null, dmar(unit), f('dmar.bin', s.dmar(1, unit))],
  ['VIOT_UNSUPPORTED', 36, f('VIOT.dat', s.table('VIOT', s.u16(0), s.u16(48), s.u64(0)))],
  ['MADT_IOAPIC_TWICE', 56, f('APIC.dat', s.madt([2, 2]))],
  ['MADT_ITS_TWICE', 64, f('APIC.dat', s.madt([], [1, 1]))],
  ['MADT_BAD_LENGTH', 44, f('APIC.dat', s.table('APIC', s.u64(0), 1, 4, 0, 0))],
  ['MCFG_BASE', 44, f('MCFG.dat', s.mcfg([0xe0001000, 0, 0, 255]))],
  ['MCFG_BUS_RANGE', 54, f('MCFG.dat', s.mcfg([0xe0000000, 0, 9, 3]))],
  ['MCFG_OVERLAP', 60, f('MCFG.dat', s.mcfg([0xe0000000, 0, 0, 255], [0xe0000000, 1, 0, 255]))],
  ['MCFG_BAD_LENGTH', 44, f('MCFG.dat', s.table('MCFG', s.u64(0), 1))],
  ['DMAR_BAD_LENGTH', 50, dmar([s.u16(0), s.u16(99)])],
  ['DMAR_UNKNOWN_TYPE', 64, dmar(unit, [s.u16(77), s.u16(4)])],
  ['DMAR_NO_UNIT', 48, dmar()],
  ['DMAR_NO_INTERRUPT_REMAPPING', 37, f('DMAR.dat', s.dmar(0, unit))],
  ['DMAR_X2APIC_OPT_OUT', 37, f('DMAR.dat', s.dmar(3, unit))],
  ['DMAR_UNIT_BASE', 56, dmar(s.drhd(0, 1))],
  ['DMAR_UNIT_BASE_UNALIGNED', 56, dmar(s.drhd(0xfed90010, 1))],
  ['DMAR_UNIT_BASE_TWICE', 80, dmar(s.drhd(0xfed90000, 0, gfx), unit)],
  ['DMAR_UNIT_EMPTY', 48, dmar(s.drhd(0xfed91000, 0), unit)],
  ['DMAR_INCLUDE_ALL_NOT_LAST', 48, dmar(unit, s.drhd(0xfed91000, 0, gfx))],
  ['DMAR_INCLUDE_ALL_TWICE', 64, dmar(unit, s.drhd(0xfed91000, 1))],
  ['DMAR_INCLUDE_ALL_SCOPE', 64, dmar(s.drhd(0xfed91000, 1, gfx))],
  ['DMAR_NO_INCLUDE_ALL', 48, dmar(s.drhd(0xfed91000, 0, gfx))],
  ['DMAR_SEGMENT_UNKNOWN', 54, dmar(unit), f('MCFG.dat', s.mcfg([0xe0000000, 3, 0, 255]))],
  ['DMAR_RMRR_EMPTY', 64, dmar(unit, s.rmrr(0x7f000000, 0x7effffff, gfx))],
  ['DMAR_RMRR_UNALIGNED', 64, dmar(unit, s.rmrr(0x7f000000, 0x7f001000, gfx))],
  ['DMAR_RMRR_NO_SCOPE', 64, dmar(unit, s.rmrr(0x7f000000, 0x7f000fff))],
  ['DMAR_RMRR_DEVICE', 64, dmar(unit, s.rmrr(0x7f000000, 0x7f000fff, gfx))],
  ['DMAR_RMRR_OVER_MSI', 64, dmar(unit, s.rmrr(0xfee00000, 0xfee00fff, gfx))],
  ['DMAR_RMRR_BEYOND_WIDTH', 80, dmar(unit, s.rmrr(0x10000000000, 0x10000000fff, gfx))],
  ['DMAR_RMRR_OVERLAP', 96, dmar(unit, s.rmrr(0x7f000000, 0x7f001fff, gfx), s.rmrr(0x7f001000, 0x7f002fff, gfx))],
  ['DMAR_SCOPE_BAD_LENGTH', 64, dmar(s.drhd(0xfed90000, 1, [1, 99, 0, 0, 0, 0, 0, 0]))],
  ['DMAR_SCOPE_UNKNOWN_TYPE', 64, dmar(s.drhd(0xfed90000, 1, s.scope(9, 0, 0, [2, 0])))],
  ['DMAR_SCOPE_UNRESOLVED', 64, dmar(s.drhd(0xfed90000, 0, s.scope(1, 0, 0, [1, 0], [0, 0])))],
  [
    'DMAR_SCOPE_NOT_A_BRIDGE',
    64,
    dmar(s.drhd(0xfed90000, 0, s.scope(1, 0, 0, [4, 0], [0, 0]))),
    pci(s.dumpOf('00:04.0', {})),
  ],
  ['DMAR_SCOPE_ABSENT', 64, dmar(s.drhd(0xfed90000, 0, gfx)), pci(s.dumpOf('00:04.0', {}))],
  [
    'DMAR_SCOPE_ABSENT', // also in lists that `iommus` does not show: an ATSR
    72,
    dmar(unit, [s.u16(2), s.u16(16), 0, 0, s.u16(0), ...gfx]),
    pci(s.dumpOf('00:04.0', {})),
  ],
  ['DMAR_SCOPE_TWICE', 88, dmar(s.drhd(0xfed90000, 0, gfx), s.drhd(0xfed91000, 0, gfx))],
  [
    'DMAR_IOAPIC_TWICE',
    72,
    dmar(s.drhd(0xfed90000, 1, s.scope(3, 2, 0xf0, [0x1f, 0]), s.scope(3, 2, 0xf0, [0x1e, 0]))),
  ],
  [
    'DMAR_SOURCE_SHARED',
    72,
    dmar(s.drhd(0xfed90000, 1, s.scope(3, 2, 0xf0, [0x1f, 0]), s.scope(3, 3, 0xf0, [0x1f, 0]))),
  ],
  ['DMAR_IOAPIC_UNKNOWN', 64, dmar(s.drhd(0xfed90000, 1, s.scope(3, 2, 0xf0, [0x1f, 0]))), f('APIC.dat', s.madt([7]))],
  ['DMAR_IOAPIC_MISSING', 48, dmar(unit), f('APIC.dat', s.madt([7]))],
  ['DMAR_NAMESPACE_UNKNOWN', 64, dmar(s.drhd(0xfed90000, 1, s.scope(5, 9, 0, [2, 0])))],
  ['IVRS_BAD_LENGTH', 50, ivrs([0x11, 0, s.u16(99)])],
  ['IVRS_UNKNOWN_BLOCK', 48, ivrs([0x51, 0, s.u16(4)])],
  ['IVRS_NO_IOMMU', 48, ivrs()],
  ['IVRS_BASE', 56, ivrs(s.ivhd(0x11, 2, 0))],
  ['IVRS_BASE_UNALIGNED', 56, ivrs(s.ivhd(0x11, 2, 0xfeb81000))],
  ['IVRS_BASE_TWICE', 96, ivrs(iommu(), s.ivhd(0x11, 3, 0xfeb80000))],
  ['IVRS_BLOCKS_DISAGREE', 54, ivrs(s.ivhd10(2, 0xfeb00000), iommu())],
  ['IVRS_SCOPES_DIFFER', 48, ivrs(s.ivhd10(2, 0xfeb80000), iommu(s.special(1, 4, 0xa0)))],
  ['IVRS_UNKNOWN_ENTRY', 88, ivrs(iommu([60, 0, 0, 0]))],
  ['IVRS_ENTRY_BAD_LENGTH', 88, ivrs(iommu([72, 0, 0, 0]))],
  ['IVRS_IOAPIC_TWICE', 96, ivrs(iommu(s.special(1, 4, 0xa0), s.special(1, 4, 0xa8)))],
  ['IVRS_IOAPIC_UNKNOWN', 88, ivrs(iommu(s.special(1, 4, 0xa0))), f('APIC.dat', s.madt([7]))],
  ['IVRS_IOAPIC_MISSING', 48, ivrs(iommu()), f('APIC.dat', s.madt([7]))],
  ['IVRS_SPECIAL_UNKNOWN', 95, ivrs(iommu(s.special(9, 4, 0xa0)))],
  ['IVRS_RANGE_UNTERMINATED', 88, ivrs(iommu([3, s.u16(8), 0]))],
  ['IVRS_RANGE_END_ALONE', 88, ivrs(iommu([4, s.u16(8), 0]))],
  ['IVRS_RANGE_REVERSED', 92, ivrs(iommu([3, s.u16(8), 0], [4, s.u16(7), 0]))],
  ['IVRS_RANGE_OVERLAP', 132, ivrs(iommu([2, s.u16(8), 0]), s.ivhd(0x11, 3, 0xfeb00000, [2, s.u16(8), 0]))],
  ['IVRS_IVMD_EMPTY', 112, ivrs(iommu(), s.ivmd(0x20, 0, 0, 0x1000, 0))],
  ['IVRS_IVMD_DEVICE', 88, ivrs(iommu(), s.ivmd(0x21, 8, 0, 0x1000, 0x1000))],
  ['IVRS_IVMD_UNALIGNED', 104, ivrs(iommu(), s.ivmd(0x20, 0, 0, 0x1000, 1))],
  ['IVRS_IVMD_OVER_MSI', 104, ivrs(iommu(), s.ivmd(0x20, 0, 0, 0xfee00000, 0x1000))],
  ['IVRS_IVMD_OVERLAP', 136, ivrs(iommu(), s.ivmd(0x20, 0, 0, 0x1000, 0x2000), s.ivmd(0x20, 0, 0, 0x2000, 0x2000))],
  ['IVRS_IVMD_OVERLAP', 136, ivrs(iommu(), s.ivmd(0x21, 8, 0, 0x1000, 0x1000), s.ivmd(0x21, 8, 0, 0x1000, 0x1000))],
  ['IVRS_IVMD_RANGE_REVERSED', 92, ivrs(iommu(), s.ivmd(0x22, 9, 3, 0x1000, 0x1000))],
  ['IVRS_IOMMU_ABSENT', 52, ivrs(iommu()), pci(s.dumpOf('00:04.0', {}))],
  ['IORT_NODE_COUNT', 36, f('IORT.dat', s.table('IORT', s.u32(5), s.u32(48), s.u32(0)))],
  ['IORT_BAD_LENGTH', 49, iort([0, s.u16(4), 0, ...new Array<number>(12).fill(0)])],
  ['IORT_UNKNOWN_NODE', 48, iort(s.iortNode(99, []))],
  ['IORT_NODE_TOO_SHORT', 49, iort(s.iortNode(4, []))],
  ['IORT_BAD_REFERENCE', 96, iort(s.rootComplex(0, s.mapping(0, 1, 0, 4000)))],
  ['IORT_WRONG_TARGET', 96, iort(s.rootComplex(0, s.mapping(0, 1, 0, 48)))],
  ['IORT_CYCLE', 48, iort(s.smmuV3(0x9050000, s.mapping(0, 1, 0, 48)))],
  ['IORT_ITS_UNKNOWN', 68, iort(s.itsGroup(5)), f('APIC.dat', s.madt([], [0]))],
  ['IORT_NO_ITS', 36, iort(s.smmuV3(0x9050000))],
  ['IORT_SMMU_BASE', 64, iort(s.smmuV3(0x9051000))],
  ['IORT_SMMU_BASE_TWICE', 132, iort(s.smmuV3(0x9050000), s.smmuV3(0x9050000))],
  ['IORT_SMMU_UNUSED', 48, iort(s.smmuV3(0x9050000))],
  ['IORT_ID_COUNT_OFF_BY_ONE', 112, iort(s.itsGroup(0), s.rootComplex(0, s.mapping(0, 65537, 0, its)))],
  ['IORT_ID_OVERLAP', 112, iort(s.itsGroup(0), s.rootComplex(0, s.mapping(0, 99, 0, its), s.mapping(9, 9, 900, its)))],
  ['IORT_OUTPUT_OVERLAP', 136, iort(s.itsGroup(0), s.rootComplex(0, s.mapping(0, 9, 0, its), s.mapping(9, 9, 0, its)))],
  [
    'IORT_OUTPUT_OVERLAP', // of two segments
    172,
    iort(s.itsGroup(0), s.rootComplex(0, s.mapping(0, 9, 0, its)), s.rootComplex(1, s.mapping(0, 9, 8, its))),
  ],
  ['IORT_ID_WRAPS', 108, iort(s.itsGroup(0), s.rootComplex(0, s.mapping(0xffffffff, 2, 0, its)))],
  ['IORT_RMR_EMPTY', 84, iort(s.rmr([[0x10000, 0]]))],
  ['IORT_RMR_UNALIGNED', 76, iort(s.rmr([[0x11000, 0x1000]]))],
  [
    'IORT_RMR_OVERLAP',
    96,
    iort(
      s.rmr([
        [0x10000, 0x20000],
        [0x20000, 0x10000],
      ]),
    ),
  ],
  ['DT_NODE_DISABLED', -1, tree({ 'a@0': { status: 'disabled' } })],
  ['DT_PHANDLE_TWICE', -1, tree({ a: { phandle: 1 }, b: { phandle: 1 } })],
  ['DT_PHANDLE_MISSING', -1, tree({ a: { 'iommu-map': [0, 9, 0, 1] } })],
  [
    'DT_PHANDLE_CYCLE',
    -1,
    tree({
      a: { phandle: 1, 'interrupt-parent': 2, 'interrupt-controller': [], interrupts: 1 },
      b: { phandle: 2, 'interrupt-parent': 1, 'interrupt-controller': [], interrupts: 1 },
    }),
  ],
  ['DT_BAD_PROPERTY', -1, tree({ a: { 'iommu-map': [0, 9, 0] } })],
  ['DT_REG_MISSING', -1, tree({ a: { compatible: 'arm,smmu-v3' } })],
  [
    'DT_REG_UNTRANSLATED',
    -1,
    tree({ bus: { '#address-cells': 1, '#size-cells': 1, a: { compatible: 'arm,smmu-v3', reg: [1, 1] } } }),
  ],
  [
    'DT_MAP_OVERLAP',
    -1,
    tree({
      i: { compatible: 'arm,smmu-v3', reg: [0x10000, 1], phandle: 1 },
      a: { 'iommu-map': [0, 1, 0, 9, 8, 1, 99, 9] },
    }),
  ],
  [
    'DT_MAP_OUTPUT_OVERLAP',
    -1,
    tree({
      i: { compatible: 'arm,smmu-v3', reg: [0x10000, 1], phandle: 1 },
      a: { 'iommu-map': [0, 1, 0, 9, 9, 1, 8, 9] },
    }),
  ],
  [
    'DT_MAP_OUTPUT_OVERLAP', // of two hosts
    -1,
    tree({
      i: { compatible: 'arm,smmu-v3', reg: [0x10000, 1], phandle: 1 },
      a: { 'iommu-map': [0, 1, 0, 9] },
      b: { 'iommu-map': [0, 1, 8, 9] },
    }),
  ],
  [
    'DT_MAP_EMPTY',
    -1,
    tree({ i: { compatible: 'arm,smmu-v3', reg: [0x10000, 1], phandle: 1 }, a: { 'iommu-map': [0, 1, 0, 0] } }),
  ],
  ['DT_MAP_TARGET', -1, tree({ i: { phandle: 1 }, a: { 'iommu-map': [0, 1, 0, 1] } })],
  ['DT_MAP_OTHER_KIND', -1, tree({ i: { phandle: 1, '#iommu-cells': 1 }, a: { 'iommu-map': [0, 1, 0, 1] } })],
  ['DT_MSI_UNKNOWN', -1, tree({ m: { compatible: 'fsl,ipic-msi', reg: [0x7c0, 0x40] } })],
  ['DT_STUB', -1, tree({ chosen: {} }), f('APIC.dat', s.madt([2]))],
  ['SEVERAL_DESCRIPTIONS', null, dmar(unit), ivrs(iommu())],
  ['DT_MAP_TARGET_DISABLED', -1, tree({ i: { phandle: 1, status: 'disabled' }, a: { 'iommu-map': [0, 1, 0, 1] } })],
  [
    'DT_BASE_TWICE',
    -1,
    tree({ a: { compatible: 'arm,smmu-v3', reg: [0x10000, 1] }, b: { compatible: 'arm,smmu-v3', reg: [0x10000, 1] } }),
  ],
  ['DT_IOMMU_UNKNOWN', -1, tree({ a: { compatible: 'rockchip,iommu', '#iommu-cells': 0 } })],
  ['DT_NO_IOMMU', -1, tree({})],
  ['DT_TRAILING_BYTES', -1, f('x.dtb', Uint8Array.from([...s.fdt({}), 1]))],
  ['DT_SEVERAL_TREES', -1, tree({}), f('y.dtb', s.fdt({}))],
  [
    'DT_MSI_RANGES',
    -1,
    tree({ m: { compatible: 'fsl,mpic-msi', reg: [0x41600, 0x80], 'msi-available-ranges': [3, 32] } }),
  ],
  ['PAMU_NO_PAGES', -1, tree({ p: { compatible: 'fsl,pamu', reg: [0x20000, 0x2000] } })],
  [
    'PAMU_LIODN_TWICE',
    -1,
    tree({ p: { compatible: 'fsl,pamu', reg: [0x20000, 0x1000] }, a: { 'fsl,liodn': 5 }, b: { 'fsl,liodn': 5 } }),
  ],
  ['PAMU_LIODN_RANGE', -1, tree({ p: { compatible: 'fsl,pamu', reg: [0x20000, 0x1000] }, a: { 'fsl,liodn': 5000 } })],
  [
    'PAMU_LIODN_UNASSIGNED',
    -1,
    tree({ p: { compatible: 'fsl,pamu', reg: [0x20000, 0x1000] }, a: { 'fsl,liodn-reg': [1, 2] } }),
  ],
  ['PAMU_PARENT_UNKNOWN', -1, tree({ p: { compatible: 'fsl,pamu', reg: [0x20000, 0x2000] }, a: { 'fsl,liodn': 5 } })],
  ['LSPCI_CUT', -1, f('pci.txt', s.dump(s.dumpOf('00:04.0', {}).slice(0, 200)))],
  ['LSPCI_HOLE', -1, f('pci.txt', s.dump('00:04.0 x\n00: 86 80\n10: 00\n\n'))],
  ['LSPCI_ORPHAN_DATA', -1, f('pci.txt', s.dump('00: 86 80\n\n', s.dumpOf('00:04.0', {})))],
  ['PCI_FUNCTION_TWICE', -1, pci(s.dumpOf('00:04.0', {}), s.dumpOf('00:04.0', {}))],
  ['PCI_CAPABILITY_LOOP', -1, pci(s.dumpOf('00:04.0', { 0x34: [0x40], 0x40: [1, 0x40] }))],
  ['PCI_CAPABILITY_POINTER', -1, pci(s.dumpOf('00:04.0', { 0x34: [0x10] }))],
  ['PCI_BRIDGE_MISSING', -1, pci(s.dumpOf('05:04.0', {}))],
  ['PCI_UNREADABLE', -1, pci(s.dumpOf('00:04.0', { 0: new Array<number>(256).fill(255) }))],
  ['NOT_DESCRIBED', null, pci(s.dumpOf('00:04.0', {}))],
  ['NO_PCI_DUMP', null, dmar(unit)],
  ['NO_MADT', null, dmar(unit)],
];

describe('findings', () => {
  it.each(CASES)('%s', (code, offset, ...rest) => {
    const files = rest as InputFile[];
    const all = describeMachine(files).findings;
    const found = all.find((x) => x.code === code);
    expect(found, `only ${all.map((x) => x.code).join(', ')}`).toBeDefined();
    if (offset !== -1) expect(found!.offset).toBe(offset);
    expect(found).toMatchObject({ severity: findingKinds[code as keyof typeof findingKinds].severity });
    expect(found!.message).not.toBe('');
  });

  it('a sound machine has no errors or warnings', () => {
    const one = (name: string): InputFile => s.SMALL.find((x) => x.name === name)!;
    for (const name of ['DMAR.dat', 'IVRS.dat', 'IORT.dat', 'small.dtb']) {
      const bad = describeMachine([one(name)]).findings.filter((x) => x.severity !== 'info');
      expect(bad, name).toEqual([]);
    }
  });

  it('one thing said twice is no contradiction: a scope in one unit, a memory block for two devices', () => {
    const twice = [dmar(s.drhd(0xfed90000, 1, gfx, gfx))];
    const shared = [ivrs(iommu(), s.ivmd(0x21, 8, 0, 0x1000, 0x1000), s.ivmd(0x21, 9, 0, 0x1000, 0x1000))];
    for (const files of [twice, shared])
      expect(describeMachine(files).findings.filter((x) => x.severity !== 'info')).toEqual([]);
  });

  it('a VIOT does describe an IOMMU, if one that is not decoded', () => {
    const viot = f('VIOT.dat', s.table('VIOT', s.u16(0), s.u16(48), s.u64(0)));
    const codes = describeMachine([viot]).findings.map((x) => x.code);
    expect(codes).toContain('VIOT_UNSUPPORTED');
    expect(codes).not.toContain('NOT_DESCRIBED');
  });

  it('every declared code is made somewhere in the sources, in a sentence each', () => {
    const text = readdirSync(src, { recursive: true, encoding: 'utf8' })
      .filter((n) => n.endsWith('.ts') && !n.startsWith('findings'))
      .map((n) => readFileSync(join(src, n), 'utf8'))
      .join('\n');
    for (const [code, kind] of Object.entries(findingKinds)) {
      expect(text.includes(`'${code}'`), `${code} is never made`).toBe(true);
      expect(kind.consequence, code).toMatch(/^[\s\S]+[.]$/);
      expect(kind.remedy, code).not.toBe('');
    }
  });

  it('docs/findings.md has them all (DOORBELL_UPDATE=1 writes it)', () => {
    const want = render();
    if (process.env['DOORBELL_UPDATE'] === '1') writeFileSync(page, want);
    expect(readFileSync(page, 'utf8')).toBe(want);
  });
});

function render(): string {
  const sections: readonly (readonly [string, RegExp])[] = [
    ['Any ACPI table, MADT, MCFG, VIOT', /^(ACPI|MADT|MCFG|VIOT|NO_MADT|SEVERAL)/],
    ['DMAR (Intel VT-d)', /^DMAR/],
    ['IVRS (AMD-Vi)', /^IVRS/],
    ['IORT (Arm)', /^IORT/],
    ['Device trees', /^(DT|PAMU)/],
    ['lspci dumps and PCI', /^(NO_PCI|LSPCI|PCI|NOT_DESCRIBED)/],
  ];
  const out = [
    '# Findings of `doorbell machine`',
    '',
    'Written from the sources by `DOORBELL_UPDATE=1 npx vitest run packages/firmware/test/findings.test.ts`; the same test fails when',
    'this page and the sources differ. Each finding carries table and byte offset (for text the line). Severity `error` makes the',
    'exit code 1. Not every code is a mistake: `info` says what cannot be known, or what an owner may want to know.',
  ];
  const seen = new Set<string>();
  for (const [title, pattern] of sections) {
    out.push('', `## ${title}`, '');
    for (const [code, k] of Object.entries(findingKinds)) {
      if (!pattern.test(code) || seen.has(code)) continue;
      seen.add(code);
      out.push(`- \`${code}\` (${k.severity}): ${k.consequence} *${k.remedy}*`);
    }
  }
  expect(seen.size).toBe(Object.keys(findingKinds).length);
  return out.join('\n') + '\n';
}

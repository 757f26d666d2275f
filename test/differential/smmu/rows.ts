import { WRITE } from '@doorbell/platform';
import { AT, BASE, type Config } from './config.js';

const { ste, cd } = BASE;
const STE = (f: Record<string, number>): Partial<Config> => ({ ste: { ...ste, ...f } });
const CD = (f: Record<string, number>): Partial<Config> => ({ cd: { ...cd, ...f } });
const PTE = (level: number, d: Config['descriptors'][number], more: Partial<Config> = {}): Partial<Config> => ({
  ...more,
  descriptors: { [level]: d },
});
const W = { access: WRITE };
const IOVA = BASE.iova % 2 ** 32;
const NOWHERE = 0x6000_0000;

/** [structure, field and value: what it shows, configuration]. Each is a distinct (structure, field, verdict). */
export const ROWS: readonly (readonly [string, Partial<Config>])[] = [
  ['read through four levels', {}],
  ['write through four levels', W],
  // stream table
  ['STRTAB_BASE_CFG.LOG2SIZE too small', { log2size: 5 }],
  ['CR2.RECINVSID = 0', { log2size: 5, cr2: 0 }],
  ['STRTAB_BASE outside memory', { strtab: NOWHERE }],
  // STE
  ['STE.V = 0', STE({ V: 0 })],
  ['STE.Config = 0', STE({ Config: 0 })],
  ['STE.Config = 1', STE({ Config: 1 })],
  ['STE.Config = 4, bypass', { ...STE({ Config: 4 }), iova: AT.target }],
  ['STE.Config = 6, stage 2', STE({ Config: 6 })],
  ['STE.Config = 7, nested', STE({ Config: 7 })],
  ['STE.S1STALLD', STE({ S1STALLD: 1 })],
  ['STE.S1CDMax', STE({ S1CDMax: 3 })],
  ['STE.S1ContextPtr outside memory', STE({ S1ContextPtr: NOWHERE })],
  ['STE.SHCFG = 1', STE({ SHCFG: 1 })],
  ['STE.S1CIR, S1COR, S1CSH', STE({ S1CIR: 1, S1COR: 1, S1CSH: 3 })],
  ['STE.CONT', STE({ CONT: 3 })],
  ['STE.PRIVCFG without ATTR_PERMS_OVR', STE({ PRIVCFG: 2, INSTCFG: 3 })],
  // CD
  ['CD.V = 0', CD({ V: 0 })],
  ['CD.A = 0', CD({ A: 0 })],
  ['CD.S = 1', CD({ S: 1 })],
  ['CD.ENDI = 1', CD({ ENDI: 1 })],
  ['CD.AA64 = 0', CD({ AA64: 0 })],
  ['CD.HA = 1', CD({ HA: 1 })],
  ['CD.HAFT = 1 without HA', CD({ HAFT: 1 })],
  ['CD.HD = 1', CD({ HD: 1 })],
  ['CD.T0SZ = 15', CD({ T0SZ: 15 })],
  ['CD.T0SZ = 25, three levels', CD({ T0SZ: 25 })],
  ['CD.T0SZ = 32: start at level 1 with 4 entries', { ...CD({ T0SZ: 32 }), iova: 0x0345_6000 }],
  ['CD.T0SZ = 39: start at level 2', { ...CD({ T0SZ: 39 }), iova: 0x34_5000 }],
  ['CD.T0SZ = 40', { ...CD({ T0SZ: 40 }), iova: 0x34_5000 }],
  ['CD.T0SZ = 32, input beyond', CD({ T0SZ: 32 })],
  ['CD.TG0 = 3', CD({ TG0: 3 })],
  ['CD.TG0 = 2, 16 KiB pages', CD({ TG0: 2 })],
  ['CD.TG0 = 1, 64 KiB pages', CD({ TG0: 1 })],
  ['CD.EPD0 = 1', CD({ EPD0: 1 })],
  ['CD.IPS = 0, TTB0 beyond', CD({ IPS: 0, TTB0: 2 ** 33 })],
  ['CD.IPS = 7 acts as OAS', CD({ IPS: 7 })],
  ['CD.TTB0 outside memory', CD({ TTB0: NOWHERE })],
  ['CD.R = 0 and no mapping', { ...CD({ R: 0 }), ...PTE(3, { lo: 0 }) }],
  ['CD.EPD1 = 0 with TG1 reserved', CD({ EPD1: 0, T1SZ: 16, TG1: 0 })],
  ['CD.EPD1 = 0, good', CD({ EPD1: 0, T1SZ: 16, TG1: 2, TTB1: AT.tables })],
  ['CD.ASID = 0xffff', CD({ ASID: 0xffff })],
  ['CD.PAN without privilege', CD({ PAN: 1 })],
  ['CD.WXN, data', { ...CD({ WXN: 1 }), ...W }],
  // descriptors
  ['level 0 invalid', PTE(0, { lo: 0 })],
  ['level 1 invalid', PTE(1, { lo: 0 })],
  ['level 2 invalid', PTE(2, { lo: 0 })],
  ['level 3 invalid, read', PTE(3, { lo: 0 })],
  ['level 3 invalid, write', PTE(3, { lo: 0 }, W)],
  ['level 3 with bits 1:0 = 01', PTE(3, { clear: 2 })],
  ['level 3 with bits 1:0 = 10', PTE(3, { clear: 1 })],
  ['level 0 block', { leaf: 0, iova: 0x80_4c00_0000 }],
  ['level 1 block of 1 GiB', { leaf: 1 }],
  ['level 2 block of 2 MiB', { leaf: 2 }],
  ['level 2 block of 32 MiB, 16 KiB granule', { ...CD({ TG0: 2 }), leaf: 2 }],
  ['level 2 block of 512 MiB, 64 KiB granule', { ...CD({ TG0: 1 }), leaf: 2 }],
  ['level 1 next table outside memory', PTE(1, { lo: NOWHERE | 3 })],
  ['level 2 next table outside memory', PTE(2, { lo: NOWHERE | 3 }, W)],
  ['level 1 next table beyond IPS', { ...CD({ IPS: 0 }), ...PTE(1, { setHi: 1 }) }],
  ['leaf beyond IPS', { ...CD({ IPS: 0 }), ...PTE(3, { setHi: 1 }) }],
  ['AF = 0', PTE(3, { clear: 0x400 })],
  ['AP[2] = 1, write', PTE(3, { set: 0x80 }, W)],
  ['AP[2] = 1, read', PTE(3, { set: 0x80 })],
  ['AP[1] = 0', PTE(3, { clear: 0x40 })],
  ['UXN, PXN, data', PTE(3, { setHi: 3 << 21 }, W)],
  ['contiguous hint, software bits', PTE(3, { setHi: (1 << 20) | (0xf << 23) })],
  ['APTable[1] at level 1, write', PTE(1, { setHi: 1 << 30 }, W)],
  ['APTable[1] at level 1, read', PTE(1, { setHi: 1 << 30 })],
  ['APTable[1] at level 1, HAD0 = 1, write', { ...CD({ HAD0: 1 }), ...PTE(1, { setHi: 1 << 30 }, W) }],
  ['APTable[1] above an invalid leaf, write', { ...W, descriptors: { 1: { setHi: 1 << 30 }, 3: { lo: 0 } } }],
  // caches: the leaf is taken away after a first DMA; is the second one still translated?
  ...(
    [
      ['nothing', []],
      ['TLBI_NH_VA', [0x12, 5 << 16, IOVA, 1]],
      ['TLBI_NH_VA of another ASID', [0x12, 6 << 16, IOVA, 1]],
      ['TLBI_NH_VA of another page', [0x12, 5 << 16, IOVA + 0x1000, 1]],
      ['TLBI_NH_VAA', [0x13, 0, IOVA, 1]],
      ['TLBI_NH_ASID', [0x11, 5 << 16]],
      ['TLBI_NH_ASID of another ASID', [0x11, 6 << 16]],
      ['TLBI_NH_ALL', [0x10]],
      ['TLBI_NSNH_ALL', [0x30]],
      ['TLBI_NH_VA, range of 8 pages', [0x12 | (7 << 12), 5 << 16, IOVA | (1 << 10), 1]],
      ['TLBI_NH_VA, range that ends before', [0x12 | (7 << 12), 5 << 16, (IOVA - 0x8000) | (1 << 10), 1]],
      ['CFGI_STE', [0x03, 0x20]],
      ['CFGI_ALL', [0x04, 0, 31]],
    ] as const
  ).map(([name, command]): readonly [string, Partial<Config>] => [
    `PTE changed, ${name}`,
    { ...W, before: { change: PTE(3, { lo: 0 }), commands: command.length ? [command, [0x46]] : [] } },
  ]),
  ...(
    [
      ['nothing', []],
      ['CFGI_STE', [0x03, 0x20]],
      ['CFGI_STE of another stream', [0x03, 0x21]],
      ['CFGI_STE_RANGE', [0x04, 0x20, 4]],
      ['CFGI_ALL', [0x04, 0, 31]],
      ['TLBI_NSNH_ALL', [0x30]],
    ] as const
  ).map(([name, command]): readonly [string, Partial<Config>] => [
    `STE changed to abort, ${name}`,
    { ...W, before: { change: STE({ Config: 0 }), commands: command.length ? [command, [0x46]] : [] } },
  ]),
  ...(
    [
      ['CFGI_CD', [0x05, 0x20]],
      ['CFGI_CD_ALL', [0x06, 0x20]],
      ['TLBI_NSNH_ALL', [0x30]],
    ] as const
  ).map(([name, command]): readonly [string, Partial<Config>] => [
    `CD.V cleared, ${name}`,
    { ...W, before: { change: CD({ V: 0 }), commands: [command, [0x46]] } },
  ]),
  // commands
  ...(
    [
      ['opcode 0', [0]],
      ['unknown opcode 0x7f', [0x7f]],
      ['PREFETCH_CONFIG', [0x01, 0x20]],
      ['CFGI_STE with SSec', [0x03 | (1 << 10), 0x20]],
      ['TLBI_EL2_ALL without HYP', [0x20]],
      ['TLBI_S12_VMALL without stage 2', [0x28]],
      ['ATC_INV without ATS', [0x40]],
      ['PRI_RESP without PRI', [0x41]],
      ['RESUME without stalls', [0x44]],
      ['SYNC with CS = 3', [0x46 | (3 << 12)]],
      ['TLBI_NH_VA with TG and no range', [0x12, 0, 1 << 10]],
    ] as const
  ).map(([name, command]): readonly [string, Partial<Config>] => [
    `command ${name}`,
    { ...W, before: { change: {}, commands: [command, [0x46]] } },
  ]),
];

/** A two-level stream table is sticky in QEMU until reset: these come last. */
export const TWO_LEVEL: readonly (readonly [string, Partial<Config>])[] = [
  ['L1STD.SPAN = 7, SPLIT 6', { twoLevel: { split: 6, span: 7 }, log2size: 10 }],
  ['L1STD.SPAN = 9, SPLIT 8', { twoLevel: { split: 8, span: 9 }, log2size: 12 }],
  ['L1STD.SPAN = 11, SPLIT 10', { twoLevel: { split: 10, span: 11 }, log2size: 16 }],
  ['L1STD.SPAN = 0', { twoLevel: { split: 6, span: 0 }, log2size: 10 }],
  ['L1STD.SPAN > SPLIT + 1', { twoLevel: { split: 6, span: 9 }, log2size: 10 }],
  ['StreamID beyond SPAN', { twoLevel: { split: 8, span: 3 }, log2size: 12 }],
  ['StreamID beyond LOG2SIZE, two-level', { twoLevel: { split: 6, span: 7 }, log2size: 5 }],
];

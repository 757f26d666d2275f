import type { InputFile } from '@doorbell/firmware';
import { mend } from './mutate.js';

/** Little-endian bytes: numbers are bytes, [value, size] pairs wider ones, strings themselves. */
export type Bits = number | readonly [value: number | bigint, size: number] | string;
export function bytes(...parts: readonly Bits[]): Uint8Array {
  const out: number[] = [];
  for (const p of parts) {
    if (typeof p === 'number') out.push(p & 0xff);
    else if (typeof p === 'string') for (const c of p) out.push(c.charCodeAt(0));
    else for (let i = 0, v = BigInt(p[0]); i < p[1]; i++, v >>= 8n) out.push(Number(v & 0xffn));
  }
  return Uint8Array.from(out);
}
export const u16 = (v: number): Bits => [v, 2];
export const u32 = (v: number): Bits => [v, 4];
export const u64 = (v: number | bigint): Bits => [v, 8];

/** An ACPI table around `body` (what follows the header of 36 bytes), with length and checksum. */
export function table(signature: string, ...body: readonly Bits[]): Uint8Array {
  const rest = bytes(...body);
  return mend(
    Uint8Array.from([
      ...bytes(signature, u32(36 + rest.length), 2, 0, 'DOORBL', 'EXAMPLE ', u32(1), 'DRBL', u32(1)),
      ...rest,
    ]),
  );
}
export const file = (name: string, data: Uint8Array): InputFile => ({ name, bytes: data });

/** A device scope: type, enumeration id, start bus, path of (device, function). */
export const scope = (
  type: number,
  id: number,
  bus: number,
  ...path: readonly (readonly [number, number])[]
): Bits[] => [type, 6 + 2 * path.length, u16(0), id, bus, ...path.flat()];
const sized = (type: number, fixed: readonly Bits[], scopes: readonly Bits[]): Bits[] => {
  const rest = bytes(...fixed, ...scopes);
  return [u16(type), u16(4 + rest.length), ...rest];
};
export const drhd = (base: number | bigint, flags: number, ...scopes: readonly Bits[][]): Bits[] =>
  sized(0, [flags, 0, u16(0), u64(base)], scopes.flat());
export const rmrr = (base: number | bigint, limit: number | bigint, ...scopes: readonly Bits[][]): Bits[] =>
  sized(1, [u16(0), u16(0), u64(base), u64(limit)], scopes.flat());
/** A DMAR of 39-bit machines: flags, then structures. */
export const dmar = (flags: number, ...structures: readonly Bits[][]): Uint8Array =>
  table('DMAR', 38, flags, ...new Array<number>(10).fill(0), ...structures.flat());

/** An IVHD block of type 10h (48882 5.2.2): device, base, entries. */
export const ivhd10 = (device: number, base: number | bigint, ...entries: readonly Bits[][]): Bits[] => {
  const rest = bytes(...entries.flat());
  return [0x10, 0xb0, u16(24 + rest.length), u16(device), u16(0x40), u64(base), u16(0), u16(0), u32(0), ...rest];
};
/** An IVHD block of type 11h or 40h. */
export const ivhd = (
  type: 0x11 | 0x40,
  device: number,
  base: number | bigint,
  ...entries: readonly Bits[][]
): Bits[] => {
  const rest = bytes(...entries.flat());
  const head: Bits[] = [type, 0xb0, u16(40 + rest.length), u16(device), u16(0x40), u64(base), u16(0), u16(0), u32(0)];
  return [...head, u64(0), u64(0), ...rest];
};
export const special = (variety: number, handle: number, source: number): Bits[] => [
  72,
  u16(0),
  0,
  handle,
  u16(source),
  variety,
];
export const ivmd = (type: number, device: number, aux: number, start: number | bigint, length: number): Bits[] => [
  type,
  8,
  u16(32),
  u16(device),
  u16(aux),
  u64(0),
  u64(start),
  u64(length),
];
export const ivrs = (...blocks: readonly Bits[][]): Uint8Array =>
  table('IVRS', u32(0x203043), u64(0), ...blocks.flat());

/** A MADT of processors with these APIC ids; those that are not there are disabled. */
export const madtOfCpus = (...cpus: readonly { readonly id: number; readonly there: boolean }[]): Uint8Array =>
  table(
    'APIC',
    u32(0xfee00000),
    u32(1),
    ...cpus.flatMap(({ id, there }, i): Bits[] =>
      id < 255 ? [0, 8, i, id, u32(there ? 1 : 0)] : [9, 16, u16(0), u32(id), u32(there ? 1 : 0), u32(i)],
    ),
  );
/** A MADT of an Arm machine without ITS: a distributor of this version and one GICv2m frame of 64 SPIs. */
export const madtWithFrame = (version: number): Uint8Array =>
  table(
    'APIC',
    u32(0),
    u32(0),
    ...[12, 24, u16(0), u32(0), u64(0x8000000), u32(0), version, 0, 0, 0],
    ...[13, 24, u16(0), u32(0), u64(0x8020000), u32(1), u16(64), u16(80)],
  );
/** A MADT with IOAPICs of these ids and ITSs of these. */
export const madt = (ioapics: readonly number[], its: readonly number[] = []): Uint8Array =>
  table(
    'APIC',
    u32(0xfee00000),
    u32(1),
    ...ioapics.flatMap((id, i): Bits[] => [1, 12, id, 0, u32(0xfec00000 + 0x1000 * i), u32(24 * i)]),
    ...its.flatMap((id, i): Bits[] => [15, 20, u16(0), u32(id), u64(0x8080000 + 0x20000 * i), u32(0)]),
  );
export const mcfg = (...rows: readonly (readonly [base: number, segment: number, first: number, last: number])[]) =>
  table('MCFG', u64(0), ...rows.flatMap(([b, s, f, l]): Bits[] => [u64(b), u16(s), f, l, u32(0)]));

/** Mapping of an IORT node: input, count (stored minus one), output, target offset, single flag. */
export const mapping = (input: number, count: number, output: number, target: number, single = 0): Bits[] => [
  u32(input),
  u32(single ? 0 : count - 1),
  u32(output),
  u32(target),
  u32(single),
];
/** One IORT node; mappings stand behind its own fields. */
export function iortNode(type: number, fields: readonly Bits[], ...mappings: readonly Bits[][]): Bits[] {
  const own = bytes(...fields);
  const length = 16 + own.length + 20 * mappings.length;
  const at = mappings.length > 0 ? 16 + own.length : 0;
  return [type, u16(length), 1, u32(0), u32(mappings.length), u32(at), ...own, ...mappings.flat()];
}
export const itsGroup = (...ids: readonly number[]): Bits[] => iortNode(0, [u32(ids.length), ...ids.map(u32)]);
/** 68 bytes and its mappings. */
export const smmuV3 = (base: number, ...mappings: readonly Bits[][]): Bits[] =>
  iortNode(4, [u64(base), u32(0), u32(0), u64(0), u32(0), u32(0), u32(0), u32(0), u32(0), u32(0), u32(0)], ...mappings);
export const rootComplex = (segment: number, ...mappings: readonly Bits[][]): Bits[] =>
  iortNode(2, [u64(0), u32(0), u32(segment), u32(64)], ...mappings);
export const rmr = (ranges: readonly (readonly [base: number, length: number])[], ...mappings: Bits[][]): Bits[] => {
  const descriptors = ranges.flatMap(([b, l]): Bits[] => [u64(b), u64(l), u32(0)]);
  const own: Bits[] = [u32(0), u32(ranges.length), u32(28)];
  return iortNode(6, [...own, ...descriptors], ...mappings);
};
export const iort = (...nodes: readonly Bits[][]): Uint8Array => {
  return table('IORT', u32(nodes.length), u32(48), u32(0), ...nodes.flat());
};

/** A flattened tree from nested objects; numbers are cells, strings strings. */
export interface Spec {
  readonly [name: string]: number | readonly number[] | string | readonly string[] | Spec;
}
export function fdt(root: Spec): Uint8Array {
  const structure: number[] = [];
  const strings: number[] = [];
  const names = new Map<string, number>();
  const be = (v: number): number[] => [(v >>> 24) & 255, (v >>> 16) & 255, (v >>> 8) & 255, v & 255];
  const pad = (): void => {
    while (structure.length % 4 !== 0) structure.push(0);
  };
  const text = (s: string): number[] => [...s].map((c) => c.charCodeAt(0)).concat(0);
  const node = (name: string, spec: Spec): void => {
    structure.push(...be(1), ...text(name));
    pad();
    for (const [key, value] of Object.entries(spec)) {
      if (typeof value === 'object' && !Array.isArray(value)) continue;
      const list = (Array.isArray(value) ? value : [value]) as (number | string)[];
      const data = list.flatMap((v) => (typeof v === 'number' ? be(v) : text(v)));
      if (!names.has(key)) {
        names.set(key, strings.length);
        strings.push(...text(key));
      }
      structure.push(...be(3), ...be(data.length), ...be(names.get(key)!), ...data);
      pad();
    }
    for (const [key, value] of Object.entries(spec)) {
      if (typeof value === 'object' && !Array.isArray(value)) node(key, value as Spec);
    }
    structure.push(...be(2));
  };
  node('', root);
  structure.push(...be(9));
  const [reserve, at] = [40, 56];
  const stringsAt = at + structure.length;
  const head = [
    0xd00dfeed,
    stringsAt + strings.length,
    at,
    stringsAt,
    reserve,
    17,
    16,
    0,
    strings.length,
    structure.length,
  ];
  return Uint8Array.from([...head.flatMap(be), ...new Array<number>(16).fill(0), ...structure, ...strings]);
}

/** One function of a dump: 256 bytes with these capabilities patched in. */
export function dumpOf(bdf: string, patch: Readonly<Record<number, readonly number[]>>, size = 256): string {
  const config = new Uint8Array(size);
  config.set([0x36, 0x1b, 0x10, 0x00, 0x07, 0x05, 0x10, 0x00, 2, 2, 8, 1]);
  for (const [at, data] of Object.entries(patch)) config.set(data, Number(at));
  const rows = Array.from({ length: size / 16 }, (_, i) => {
    const row = Array.from(config.subarray(16 * i, 16 * i + 16), (b) => b.toString(16).padStart(2, '0'));
    return `${(16 * i).toString(16).padStart(2, '0')}: ${row.join(' ')}`;
  });
  return [`${bdf} 0108: 1b36:0010 (rev 02)`, ...rows, '', ''].join('\n');
}
export const dump = (...functions: readonly string[]): Uint8Array => Uint8Array.from(Buffer.from(functions.join('')));

const its = 48;
const smmu = its + 24;
/** One small valid input of each kind. */
export const SMALL: readonly InputFile[] = [
  file(
    'DMAR.dat',
    dmar(
      1,
      drhd(0xfed90000, 0, scope(1, 0, 0, [2, 0])),
      drhd(0xfed91000, 1, scope(3, 2, 0xf0, [0x1f, 0])),
      rmrr(0x7f800000, 0x7fffffff, scope(1, 0, 0, [2, 0])),
    ),
  ),
  file(
    'IVRS.dat',
    ivrs(
      ivhd10(2, 0xfeb80000, [3, u16(8), 0], [4, u16(0xfffe), 0], special(1, 4, 0xa0)),
      ivhd(0x11, 2, 0xfeb80000, [3, u16(8), 0], [4, u16(0xfffe), 0], special(1, 4, 0xa0)),
      ivmd(0x21, 0x10, 0, 0x7f800000, 0x1000),
    ),
  ),
  file(
    'IORT.dat',
    iort(itsGroup(0), smmuV3(0x9050000, mapping(0, 65536, 0, its)), rootComplex(0, mapping(0, 65536, 0, smmu))),
  ),
  file('APIC.dat', madt([2, 4], [0])),
  file('MCFG.dat', mcfg([0xe0000000, 0, 0, 255])),
  file(
    'small.dtb',
    fdt({
      '#address-cells': 2,
      '#size-cells': 2,
      'its@8080000': { compatible: 'arm,gic-v3-its', reg: [0, 0x8080000, 0, 0x20000], phandle: 1 },
      'smmu@9050000': { compatible: 'arm,smmu-v3', reg: [0, 0x9050000, 0, 0x20000], '#iommu-cells': 1, phandle: 2 },
      'pcie@10000000': {
        device_type: 'pci',
        'iommu-map': [0, 2, 0, 0x10000],
        'msi-map': [0, 1, 0, 0x10000],
      },
    }),
  ),
  file('pci.txt', dump(dumpOf('00:04.0', { 0x34: [0x40], 0x40: [0x11, 0, 4, 0] }), dumpOf('00:05.0', {}))),
];

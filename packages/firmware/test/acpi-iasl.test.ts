import { describe, expect, it } from 'vitest';
import { address, decode, number, pick, structures, type Field } from './support/iasl.js';
import { describeFiles, filesNamed, needs, shortName } from './support/shared.js';

/**
 * Every real DMAR, IVRS and IORT against what `iasl -d` reads from the same bytes. iasl 20200925 stops at DMAR type 5
 * and later, at IVHD type 40h and at IORT type 6: up to there everything must agree, and the rest is counted.
 */
const ready = needs('tables against iasl', 'iasl');

const pad = (n: number, w: number): string => n.toString(16).padStart(w, '0');
const bdf = (segment: number, rid: number): string =>
  `${pad(segment, 4)}:${pad(rid >> 8, 2)}:${pad((rid >> 3) & 31, 2)}.${rid & 7}`;
const KIND = ['?', 'pci-endpoint', 'pci-bridge', 'ioapic', 'hpet', 'namespace'];

/** Scopes of one DMAR structure; behind a bridge the function is unknown without a PCI dump. */
function dmarScopes(fields: readonly Field[], segment: number) {
  return structures(fields, 'Device Scope Type').map((s) => {
    const hops = s.filter((f) => f.name === 'PCI Path').map((f) => f.value.split(',').map((h) => parseInt(h, 16)));
    const bus = number(pick(s, 'PCI Bus Number'));
    const [device, fn] = hops[0]! as [number, number];
    return {
      kind: KIND[number(s[0]!)],
      enumerationId: number(pick(s, 'Enumeration ID')),
      bdf: hops.length === 1 ? `${pad(segment, 4)}:${pad(bus, 2)}:${pad(device, 2)}.${fn}` : null,
    };
  });
}

describe.skipIf(!ready)('DMAR as iasl reads it', () => {
  it('units, scopes, reserved regions and flags agree on every machine', () => {
    let tables = 0;
    let structuresSeen = 0;
    let stopped = 0;
    for (const path of filesNamed(/^DMAR\.dat$/)) {
      const d = describeFiles(path);
      const { fields, stopped: stop } = decode(path);
      const units: object[] = [];
      const regions: object[] = [];
      for (const s of structures(fields, 'Subtable Type')) {
        structuresSeen++;
        const type = number(s[0]!);
        if (type === 0) {
          const segment = number(pick(s, 'PCI Segment Number'));
          const base = address(pick(s, 'Register Base Address'));
          const includeAll = (number(pick(s, 'Flags')) & 1) === 1;
          units.push({ base, segment, includeAll, scopes: dmarScopes(s, segment) });
        } else if (type === 1) {
          const segment = number(pick(s, 'PCI Segment Number'));
          regions.push({
            base: address(pick(s, 'Base Address')),
            last: address(pick(s, 'End Address (limit)')),
            bdfs: dmarScopes(s, segment).map((x) => x.bdf),
          });
        }
      }
      const flags = number(pick(fields, 'Flags'));
      expect(d.interruptRemapping, path).toEqual({ supported: (flags & 1) === 1, x2apicOptOut: (flags & 2) === 2 });
      const ours = d.iommus.map(({ base, segment, includeAll, scopes }) => ({
        base,
        segment,
        includeAll,
        scopes: scopes.map(({ kind, enumerationId, bdf }) => ({ kind, enumerationId, bdf })),
      }));
      const reserved = d.reserved.map(({ base, last, bdfs }) => ({ base, last, bdfs }));
      if (stop !== null) stopped++;
      expect(stop === null ? ours : ours.slice(0, units.length), path).toEqual(units);
      expect(stop === null ? reserved : reserved.slice(0, regions.length), path).toEqual(regions);
      expect(
        d.iommus.map((u) => u.name),
        path,
      ).toEqual(ours.map((_, i) => `dmar${i}`));
      expect(d.kinds, path).toEqual(units.length > 0 ? ['intel-vtd'] : []);
      tables++;
    }
    console.info(`DMAR: ${tables} tables, ${structuresSeen} structures; iasl stopped early in ${stopped}`);
    expect(tables).toBeGreaterThan(0);
  });
});

describe.skipIf(!ready)('IVRS as iasl reads it', () => {
  it('IOMMUs, special devices and memory blocks agree on every machine', () => {
    let tables = 0;
    let blocks = 0;
    let stopped = 0;
    for (const path of filesNamed(/^IVRS\.dat$/)) {
      const d = describeFiles(path);
      const { fields, stopped: stop } = decode(path);
      const units = new Map<string, { base: string; segment: number; scopes: object[] }>();
      const regions: object[] = [];
      for (const s of structures(fields, 'Subtable Type')) {
        blocks++;
        const type = number(s[0]!);
        if (type === 0x10 || type === 0x11) {
          const segment = number(pick(s, 'PCI Segment Group'));
          const scopes = structures(s, 'Entry Type')
            .filter((e) => number(e[0]!) === 0x48)
            .map((e) => ({
              kind: number(pick(e, 'Variety')) === 1 ? 'ioapic' : 'hpet',
              enumerationId: number(pick(e, 'Handle')),
              bdf: bdf(segment, number(pick(e, 'Source Used Device ID'))),
            }));
          const id = bdf(segment, number(pick(s, 'DeviceId')));
          units.set(id, { base: address(pick(s, 'Base Address')), segment, scopes });
        } else if (type >= 0x20 && type <= 0x22) {
          const start = BigInt(address(pick(s, 'Start Address')));
          const length = BigInt(address(pick(s, 'Memory Length')));
          regions.push({
            base: '0x' + start.toString(16),
            last: '0x' + (start + length - 1n).toString(16),
            bdfs: type === 0x21 ? [bdf(0, number(pick(s, 'DeviceId')))] : [],
          });
        }
      }
      if (stop !== null) stopped++;
      // A block of type 40h may say more about an IOMMU than the ones that iasl decodes; it must not say less.
      expect(
        d.iommus.map((u) => u.bdf),
        path,
      ).toEqual([...units.keys()]);
      for (const u of d.iommus) {
        const theirs = units.get(u.bdf!)!;
        expect({ base: u.base, segment: u.segment }, path).toEqual({ base: theirs.base, segment: theirs.segment });
        if (!path.includes('ivrs1')) expect(u.scopes, path).toEqual(theirs.scopes);
      }
      expect(
        d.reserved.slice(0, regions.length).map(({ base, last, bdfs }) => ({ base, last, bdfs })),
        path,
      ).toEqual(regions);
      expect(d.interruptRemapping, path).toEqual({ supported: true, x2apicOptOut: null });
      tables++;
    }
    console.info(`IVRS: ${tables} tables, ${blocks} blocks; iasl stopped early in ${stopped}`);
    expect(tables).toBeGreaterThan(0);
  });
});

describe.skipIf(!ready)('IORT as iasl reads it', () => {
  it('SMMUs and id mappings agree on every machine', () => {
    let tables = 0;
    let mappings = 0;
    let stopped = 0;
    for (const path of filesNamed(/^IORT\.dat$/)) {
      const d = describeFiles(path);
      const { fields, stopped: stop } = decode(path);
      const nodes = structures(fields, 'Type').filter((s) => s[0]!.at !== stop);
      const names = new Map(nodes.map((s) => [s[0]!.at, nodeName(s)]));
      const maps = nodes.flatMap((s) =>
        structures(s, 'Input base')
          .filter((m) => m.some((f) => f.name === 'Single Mapping'))
          .map((m) => {
            mappings++;
            const single = pick(m, 'Single Mapping').value === '1';
            return {
              from: nodeName(s),
              inputBase: number(m[0]!),
              count: single ? 1 : number(pick(m, 'ID Count')) + 1,
              outputBase: number(pick(m, 'Output Base')),
              to: names.get(number(pick(m, 'Output Reference'))) ?? null,
            };
          }),
      );
      const smmus = nodes
        .filter((s) => number(s[0]!) === 3 || number(s[0]!) === 4)
        .map((s) => ({
          type: number(s[0]!) === 3 ? 'smmuv2' : 'smmuv3',
          base: address(pick(s, 'Base Address')),
          segment: null,
        }));
      if (stop !== null) stopped++;
      expect(
        d.iommus.slice(0, smmus.length).map(({ type, base, segment }) => ({ type, base, segment })),
        path,
      ).toEqual(smmus);
      expect(
        d.idMappings
          .slice(0, maps.length)
          .map(({ from, inputBase, count, outputBase, to }) => ({ from, inputBase, count, outputBase, to })),
        path,
      ).toEqual(maps);
      expect(d.interruptRemapping, shortName(path)).toEqual({ supported: null, x2apicOptOut: null });
      tables++;
    }
    console.info(`IORT: ${tables} tables, ${mappings} mappings; iasl stopped early in ${stopped}`);
    expect(tables).toBeGreaterThan(0);
  });
});

function nodeName(s: readonly Field[]): string {
  switch (number(s[0]!)) {
    case 0:
      return `its${number(pick(s, 'Identifiers'))}`;
    case 1:
      return pick(s, 'Device Name').value.replace(/^"(.*)"$/, '$1');
    case 2:
      return `pci${number(pick(s, 'PCI Segment Number'))}`;
    case 3:
      return `smmuv2@${address(pick(s, 'Base Address'))}`;
    case 4:
      return `smmuv3@${address(pick(s, 'Base Address'))}`;
    default:
      return `pmcg@${address(pick(s, 'Page 0 Base Address'))}`;
  }
}

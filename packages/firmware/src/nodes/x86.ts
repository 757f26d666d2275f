import { parseBdf, type IdMapEntry, type PlatformNode } from '@doorbell/platform';
import type { Machine } from '../machine/read.js';
import type { MachineDescription, ScopeDescription } from '../machine/types.js';
import { ridToBdf } from '../lspci/dump.js';
import { COMPATIBLE, placed, type NodeParts, type Omissions } from './parts.js';

const PAGE = 0x1000n;
const everyId = { inputBase: 0, count: 65536, outputBase: 0 };

/** Local APICs and IOAPICs of MADT; units of DMAR or IVRS; who is behind which unit. */
export function x86Nodes(machine: Machine, d: MachineDescription, omissions: Omissions): NodeParts {
  const units: PlatformNode[] = [];
  const { madt, dmar, ivrs } = machine;
  if (madt) {
    units.push(
      ...placed(
        { name: 'apic', compatible: COMPATIBLE.apic, options: { cpus: madt.apicIds.length > 0 ? madt.apicIds : 1 } },
        0xfee00000n,
        0x100000n,
        omissions,
      ),
    );
    madt.ioapics.forEach((a, i) => {
      const options = { id: a.id, gsiBase: a.gsiBase };
      units.push(
        ...placed({ name: `ioapic${i}`, compatible: COMPATIBLE.ioapic, options }, BigInt(a.address), PAGE, omissions),
      );
    });
  }
  const maps = new Map<number, IdMapEntry[]>();
  const mapOf = (segment: number): IdMapEntry[] => maps.get(segment) ?? maps.set(segment, []).get(segment)!;

  if (dmar) {
    dmar.drhds.forEach((drhd, i) => {
      const { name, scopes } = d.iommus[i]!;
      const width = dmar.hostAddressWidth;
      const options = {
        ...(width !== null && width >= 32 && width <= 52 && { hostAddressWidth: width }),
        ...(dmar.interruptRemapping === false && { remapInterrupts: false }),
        ...(dmar.x2apicOptOut === true && { x2apic: false }),
        reserved: reservedOf(d, scopes, drhd.includeAll, drhd.segment),
      };
      const size = PAGE << BigInt(drhd.sizeLog2Pages);
      units.push(
        ...placed({ name, compatible: COMPATIBLE.vtd, segment: drhd.segment, options }, drhd.base, size, omissions),
      );
    });
    // Later entries win: the unit for everything else first, then bridges from the widest on, then single functions. Of two
    // that say the same the first counts, as in Linux.
    for (const segment of new Set(dmar.drhds.map((drhd) => drhd.segment))) {
      const own = d.iommus.filter((_, i) => dmar.drhds[i]?.segment === segment).reverse();
      const all = own.filter((u) => u.includeAll).map((u) => ({ ...everyId, to: u.name }));
      const named = own.flatMap((u) => u.scopes.flatMap((s) => scopeIds(machine, s, u.name, omissions)));
      mapOf(segment).push(...all, ...named.sort((a, b) => b.count - a.count));
    }
  } else if (ivrs) {
    for (const u of d.iommus) {
      const blocks = ivrs.ivhds.filter((b) => ridToBdf(b.segment, b.deviceId) === u.bdf);
      const best = blocks.reduce((a, b) => (b.type > a.type ? b : a));
      const options = {
        function: u.bdf,
        capability: best.capabilityOffset,
        aliases: best.ranges.flatMap(({ first, last, alias }) => (alias === null ? [] : [{ first, last, alias }])),
        reserved: reservedOf(d, u.scopes, true, best.segment),
      };
      units.push(
        ...placed(
          { name: u.name, compatible: COMPATIBLE.amdVi, segment: best.segment, options },
          best.base,
          0x80000n,
          omissions,
        ),
      );
      const map = mapOf(best.segment);
      if (best.allDevices) map.push({ ...everyId, to: u.name });
      for (const r of best.ranges)
        map.push({ inputBase: r.first, count: r.last - r.first + 1, outputBase: r.first, to: u.name });
      for (const s of u.scopes) map.push(...scopeIds(machine, s, u.name, omissions));
    }
  }
  const named = new Set(units.map((u) => u.name));
  const hosts = [...maps].map(([segment, all]) => ({
    name: `pci${segment}`,
    compatible: COMPATIBLE.pciHost,
    segment,
    iommuMap: all.filter((e) => named.has(e.to)),
  }));
  return { units, hosts };
}

/** The requester ids of a scope. A bridge: itself, and every id on the buses below it. */
function scopeIds(machine: Machine, s: ScopeDescription, to: string, omissions: Omissions): IdMapEntry[] {
  if (s.bdf === null) {
    omissions.add(to, `a ${s.kind} scope behind a bridge: its function is unknown without a PCI dump`);
    return [];
  }
  const rid = ridOf(s.bdf);
  if (rid < 0) {
    omissions.add(to, `a ${s.kind} scope names ${s.bdf}, which no function can be`);
    return [];
  }
  const own = { inputBase: rid, count: 1, outputBase: rid, to };
  if (s.kind !== 'pci-bridge') return [own];
  const facts = machine.pci?.byBdf.get(s.bdf)?.facts;
  const { secondary = null, subordinate = null } = facts ?? {};
  if (secondary === null || subordinate === null || secondary === 0 || subordinate < secondary) {
    omissions.add(to, `bridge ${s.bdf}: the buses below it are unknown without its bytes in a PCI dump`);
    return [own];
  }
  const inputBase = secondary << 8;
  return [own, { inputBase, count: (subordinate - secondary + 1) << 8, outputBase: inputBase, to }];
}

/** The requester id of a function; -1 for one that a damaged table made up. */
const ridOf = (bdf: string): number => parseBdf(bdf)?.requester ?? -1;

/** RMRR and IVMD of functions that this unit is for; for a unit that takes the rest, those of functions no scope of it names, too. */
function reservedOf(d: MachineDescription, scopes: readonly ScopeDescription[], rest: boolean, segment: number) {
  const own = new Set(scopes.map((s) => s.bdf));
  const others = new Set(d.iommus.flatMap((u) => u.scopes.map((s) => s.bdf)).filter((bdf) => !own.has(bdf)));
  return d.reserved.flatMap((r) => {
    if (r.segment !== segment && r.segment !== null) return [];
    const mine = r.bdfs.filter((b): b is string => b !== null && (own.has(b) || (rest && !others.has(b))));
    const everyone = r.kind === 'ivmd' && r.bdfs.length === 0;
    const [first, last] = [BigInt(r.base), BigInt(r.last)];
    if ((mine.length === 0 && !everyone) || last < first || last > BigInt(Number.MAX_SAFE_INTEGER)) return [];
    const streams = r.functions
      ? span(ridOf(r.functions.first), ridOf(r.functions.last))
      : mine.map(ridOf).filter((rid) => rid >= 0);
    const range = { first: Number(first), last: Number(last), why: r.kind.toUpperCase() };
    return [streams.length > 0 ? { ...range, streams } : range];
  });
}

const span = (first: number, last: number): number[] =>
  Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);

import type { DeviceScope, DmarTable } from '../acpi/dmar.js';
import { hex } from '../bytes.js';
import { resolvePath } from '../lspci/topology.js';
import type { Machine } from './read.js';
import type { Part, ScopeDescription, ScopeKind } from './types.js';

const KINDS: Readonly<Record<DeviceScope['type'], ScopeKind>> = {
  1: 'pci-endpoint',
  2: 'pci-bridge',
  3: 'ioapic',
  4: 'hpet',
  5: 'namespace',
};

/** Units and reserved regions of a DMAR table, with scopes resolved through the bridges of the dump. */
export function describeDmar(dmar: DmarTable, machine: Machine): Part {
  const found = machine.findings.at('DMAR');
  const names = new Map(dmar.andds.map((a) => [a.deviceNumber, a.name]));
  const reported = new Set<number>();

  const resolve = (scope: DeviceScope, segment: number): ScopeDescription => {
    const kind = KINDS[scope.type];
    const where = resolvePath(machine.pci, segment, scope.startBus, scope.path);
    const path = `bus ${hex(scope.startBus)}, path ${scope.path.map((h) => `${h.device.toString(16).padStart(2, '0')}.${h.function}`).join(' / ')}`;
    if (!reported.has(scope.offset)) {
      reported.add(scope.offset);
      if (where.bdf === null) {
        const code = where.reason === 'unknown' ? 'DMAR_SCOPE_UNRESOLVED' : 'DMAR_SCOPE_NOT_A_BRIDGE';
        found(code, scope.offset, `${kind} scope ${path}${where.at === null ? '' : `: bridge ${where.at}`}`);
        // Requester ids of IOAPICs and HPETs need not be functions.
      } else if (where.present === false && (scope.type === 1 || scope.type === 2)) {
        found('DMAR_SCOPE_ABSENT', scope.offset, `${kind} scope ${where.bdf}`);
      }
    }
    const described = { kind, enumerationId: scope.enumerationId, bdf: where.bdf };
    return scope.type === 5 ? { ...described, path: names.get(scope.enumerationId) ?? null } : described;
  };

  const iommus = dmar.drhds.map((d, i) => ({
    name: `dmar${i}`,
    type: 'vtd' as const,
    base: hex(d.base),
    segment: d.segment,
    includeAll: d.includeAll,
    bdf: null,
    scopes: d.scopes.map((s) => resolve(s, d.segment)),
  }));
  const reserved = dmar.rmrrs.map((r) => ({
    kind: 'rmrr' as const,
    base: hex(r.base),
    last: hex(r.limit),
    bdfs: r.scopes.map((s) => resolve(s, r.segment).bdf),
    segment: r.segment,
  }));
  // Not shown, but a scope of theirs that names nothing is as wrong.
  for (const list of dmar.scopeLists) for (const s of list.scopes) resolve(s, list.segment);
  checkOwners(dmar, iommus, machine);
  return { kinds: dmar.drhds.length > 0 ? ['intel-vtd'] : [], iommus, reserved };
}

/** Each IOAPIC in exactly one scope, each function in at most one unit. */
function checkOwners(dmar: DmarTable, iommus: NonNullable<Part['iommus']>, machine: Machine): void {
  const found = machine.findings.at('DMAR');
  const ioapics = new Map<number, number>();
  const owners = new Map<string, string>();
  const sources = new Map<string, number>();
  const segments = machine.mcfg?.regions.map((r) => r.segment) ?? [];
  dmar.drhds.forEach((d, i) => {
    if (segments.length > 0 && !segments.includes(d.segment))
      found(
        'DMAR_SEGMENT_UNKNOWN',
        d.offset + 6,
        `dmar${i} is for segment ${d.segment}; MCFG has ${segments.join(', ')}`,
      );
    d.scopes.forEach((s, k) => {
      if (s.type === 3) {
        const count = (ioapics.get(s.enumerationId) ?? 0) + 1;
        ioapics.set(s.enumerationId, count);
        if (count > 1) found('DMAR_IOAPIC_TWICE', s.offset, `IOAPIC ${s.enumerationId} is in ${count} scopes`);
        if (machine.madt && !machine.madt.ioapics.some((a) => a.id === s.enumerationId)) {
          found(
            'DMAR_IOAPIC_UNKNOWN',
            s.offset,
            `IOAPIC ${s.enumerationId}; MADT has ${machine.madt.ioapics.map((a) => a.id).join(', ') || 'none'}`,
          );
        }
      }
      const bdf = iommus[i]!.scopes[k]!.bdf;
      if (s.type === 3 && bdf !== null) {
        const other = sources.get(bdf);
        if (other !== undefined && other !== s.enumerationId)
          found('DMAR_SOURCE_SHARED', s.offset, `IOAPICs ${other} and ${s.enumerationId} both send as ${bdf}`);
        sources.set(bdf, s.enumerationId);
      }
      if (bdf === null || (s.type !== 1 && s.type !== 2)) return;
      const other = owners.get(bdf);
      if (other !== undefined && other !== `dmar${i}`)
        found('DMAR_SCOPE_TWICE', s.offset, `${bdf} is in scopes of ${other} and dmar${i}`);
      owners.set(bdf, `dmar${i}`);
    });
  });
  // Only remapping asks which unit an IOAPIC belongs to.
  if (dmar.drhds.length === 0 || dmar.interruptRemapping === false) return;
  for (const a of machine.madt?.ioapics ?? []) {
    if (!ioapics.has(a.id))
      found('DMAR_IOAPIC_MISSING', 48, `IOAPIC ${a.id} at ${hex(a.address)} (APIC, byte ${a.offset}) is in no scope`);
  }
}

import type { Ivhd, IvrsTable } from '../acpi/ivrs.js';
import { hex } from '../bytes.js';
import { ridToBdf } from '../lspci/dump.js';
import type { Machine } from './read.js';
import type { IommuDescription, Part, ScopeDescription } from './types.js';

/** IOMMUs and memory blocks of an IVRS table; several block types about one IOMMU make one entry. */
export function describeIvrs(ivrs: IvrsTable, machine: Machine): Part {
  const found = machine.findings.at('IVRS');
  const units: Ivhd[][] = [];
  for (const b of ivrs.ivhds) {
    const same = units.find((u) => u[0]!.deviceId === b.deviceId && u[0]!.segment === b.segment);
    if (same) same.push(b);
    else units.push([b]);
  }
  // The operating system uses the highest type that it knows.
  const chosen = units.map((u) => u.reduce((a, b) => (b.type > a.type ? b : a)));
  const iommus = units.map((blocks, i): IommuDescription => {
    const best = chosen[i]!;
    for (const b of blocks) {
      if (b.base !== best.base || b.capabilityOffset !== best.capabilityOffset) {
        found(
          'IVRS_BLOCKS_DISAGREE',
          b.offset + 6,
          `types ${hex(b.type)} and ${hex(best.type)} of ${ridToBdf(b.segment, b.deviceId)}: ${hex(b.base)} and ${hex(best.base)}`,
        );
      }
      if (specialsOf(b) !== specialsOf(best)) {
        found(
          'IVRS_SCOPES_DIFFER',
          b.offset,
          `types ${hex(b.type)} and ${hex(best.type)} of ${ridToBdf(b.segment, b.deviceId)} name different IOAPICs or HPETs`,
        );
      }
    }
    const bdf = ridToBdf(best.segment, best.deviceId);
    if (machine.pci && !machine.pci.byBdf.has(bdf)) found('IVRS_IOMMU_ABSENT', best.offset + 4, bdf);
    return {
      name: `ivhd${i}`,
      type: 'amd-vi',
      base: hex(best.base),
      segment: best.segment,
      includeAll: best.allDevices,
      bdf,
      scopes: scopesOf(best),
      blockTypes: blocks.map((b) => hex(b.type)),
      aliases: best.ranges
        .filter((r) => r.alias !== null)
        .map((r) => ({
          first: ridToBdf(best.segment, r.first),
          last: ridToBdf(best.segment, r.last),
          alias: ridToBdf(best.segment, r.alias!),
        })),
      acpiDevices: best.acpiDevices.map((d) => ({
        hid: d.hid,
        uid: d.uid === null ? null : String(d.uid),
        bdf: ridToBdf(best.segment, d.id),
      })),
    };
  });
  checkSpecials(chosen, machine);
  checkRanges(chosen, machine);
  for (const m of ivrs.ivmds) {
    if (m.length === 0n) continue;
    const who = m.type === 0x20 ? 'all functions' : ridToBdf(m.segment, m.deviceId);
    found(
      'IVRS_IVMD_DEVICE',
      m.offset,
      `${hex(m.start)}–${hex(m.start + m.length - 1n)} for ${who}${m.type === 0x22 ? ` to ${ridToBdf(m.segment, m.lastDeviceId)}` : ''}`,
    );
  }

  const reserved = ivrs.ivmds.map((m) => {
    const last = m.start + m.length - 1n;
    const range = {
      kind: 'ivmd' as const,
      base: hex(m.start),
      last: hex(last < 0n ? 0n : last),
      segment: m.segment,
      flags: m.flags,
    };
    if (m.type === 0x21) return { ...range, bdfs: [ridToBdf(m.segment, m.deviceId)] };
    if (m.type === 0x20) return { ...range, bdfs: [] };
    const functions = { first: ridToBdf(m.segment, m.deviceId), last: ridToBdf(m.segment, m.lastDeviceId) };
    return { ...range, bdfs: [], first: functions.first, functions };
  });
  return { kinds: iommus.length > 0 ? ['amd-vi'] : [], iommus, reserved };
}

const scopesOf = (b: Ivhd): ScopeDescription[] =>
  b.specials
    .filter((s) => s.variety === 1 || s.variety === 2)
    .map((s) => ({
      kind: s.variety === 1 ? 'ioapic' : 'hpet',
      enumerationId: s.handle,
      bdf: ridToBdf(b.segment, s.sourceId),
    }));

const specialsOf = (b: Ivhd): string =>
  scopesOf(b)
    .map((s) => `${s.kind} ${s.enumerationId} ${s.bdf}`)
    .sort()
    .join();

/** No function behind two IOMMUs of a segment. */
function checkRanges(blocks: readonly Ivhd[], machine: Machine): void {
  const found = machine.findings.at('IVRS');
  blocks.forEach((b, i) => {
    for (const other of blocks.slice(0, i)) {
      if (other.segment !== b.segment) continue;
      const twin = b.ranges.find((r) => other.ranges.some((o) => o.first <= r.last && r.first <= o.last));
      if (twin)
        found(
          'IVRS_RANGE_OVERLAP',
          twin.offset,
          `${ridToBdf(b.segment, twin.first)}–${ridToBdf(b.segment, twin.last)} is behind ${ridToBdf(b.segment, b.deviceId)} and ${ridToBdf(other.segment, other.deviceId)}`,
        );
    }
  });
}

/** Each IOAPIC in exactly one special-device entry of the blocks that are used. */
function checkSpecials(blocks: readonly Ivhd[], machine: Machine): void {
  const found = machine.findings.at('IVRS');
  const sources = new Map<number, number>();
  for (const b of blocks) {
    for (const s of b.specials) {
      if (s.variety !== 1) continue;
      const other = sources.get(s.handle);
      if (other !== undefined) {
        found(
          'IVRS_IOAPIC_TWICE',
          s.offset,
          `IOAPIC ${s.handle} sends as ${ridToBdf(b.segment, other)} and as ${ridToBdf(b.segment, s.sourceId)}`,
        );
      } else if (machine.madt && !machine.madt.ioapics.some((a) => a.id === s.handle)) {
        found(
          'IVRS_IOAPIC_UNKNOWN',
          s.offset,
          `IOAPIC ${s.handle}; MADT has ${machine.madt.ioapics.map((a) => a.id).join(', ') || 'none'}`,
        );
      }
      sources.set(s.handle, s.sourceId);
    }
  }
  if (blocks.length === 0) return;
  for (const a of machine.madt?.ioapics ?? []) {
    if (!sources.has(a.id))
      found(
        'IVRS_IOAPIC_MISSING',
        48,
        `IOAPIC ${a.id} at ${hex(a.address)} (APIC, byte ${a.offset}) is in no special-device entry`,
      );
  }
}

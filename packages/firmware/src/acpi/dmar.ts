import { hex, overlaps64 } from '../bytes.js';
import type { Findings, TableFindings } from '../findings/index.js';
import { openTable, type AcpiHeader } from './header.js';
import type { Bytes } from '../bytes.js';

/** Device scope types: 1 endpoint, 2 bridge and all below, 3 IOAPIC, 4 HPET, 5 ACPI namespace device. */
export type ScopeType = 1 | 2 | 3 | 4 | 5;

/** "Start on `startBus`"; every hop but the last is a bridge, the last is the device. */
export interface DeviceScope {
  readonly offset: number;
  readonly type: ScopeType;
  readonly enumerationId: number;
  readonly startBus: number;
  readonly path: readonly { readonly device: number; readonly function: number }[];
}

/** Type 0: a remapping unit. */
export interface Drhd {
  readonly offset: number;
  readonly includeAll: boolean;
  readonly segment: number;
  readonly base: bigint;
  /** Register space, log2 of 4 KiB pages (newer revisions; else 0). */
  readonly sizeLog2Pages: number;
  readonly scopes: readonly DeviceScope[];
}
/** Type 1: memory that devices use behind the operating system's back. `limit` is inclusive. */
export interface Rmrr {
  readonly offset: number;
  readonly segment: number;
  readonly base: bigint;
  readonly limit: bigint;
  readonly scopes: readonly DeviceScope[];
}
/** Types 2 ATSR, 5 SATC, 6 SIDP: flags and a scope list. */
export interface ScopeList {
  readonly offset: number;
  readonly type: 'ATSR' | 'SATC' | 'SIDP';
  readonly flags: number;
  readonly segment: number;
  readonly scopes: readonly DeviceScope[];
}
/** Type 3. */
export interface Rhsa {
  readonly offset: number;
  readonly base: bigint;
  readonly proximityDomain: number;
}
/** Type 4. */
export interface Andd {
  readonly offset: number;
  readonly deviceNumber: number;
  readonly name: string;
}

export interface DmarTable {
  readonly header: AcpiHeader;
  /** Host address width in bits; null where the file ends before. */
  readonly hostAddressWidth: number | null;
  readonly interruptRemapping: boolean | null;
  readonly x2apicOptOut: boolean | null;
  readonly dmaControlOptIn: boolean | null;
  readonly drhds: readonly Drhd[];
  readonly rmrrs: readonly Rmrr[];
  readonly scopeLists: readonly ScopeList[];
  readonly rhsas: readonly Rhsa[];
  readonly andds: readonly Andd[];
}

/** Bytes of each structure before its scopes; types that no clause defines are skipped by their length. */
const FIXED: Readonly<Record<number, number>> = { 0: 16, 1: 24, 2: 8, 3: 20, 4: 9, 5: 8, 6: 8 };
const LISTS = { 2: 'ATSR', 5: 'SATC', 6: 'SIDP' } as const;
const NAMES = ['DRHD', 'RMRR', 'ATSR', 'RHSA', 'ANDD', 'SATC', 'SIDP'];

/** Reads a DMAR table (VT-d 8.1). Errors: `FirmwareError` if it is none; all else is a finding. */
export function readDmar(file: string, data: Uint8Array, findings: Findings): DmarTable {
  const { header, bytes, found } = openTable(file, data, 'DMAR', findings);
  const drhds: Drhd[] = [];
  const rmrrs: Rmrr[] = [];
  const scopeLists: ScopeList[] = [];
  const rhsas: Rhsa[] = [];
  const andds: Andd[] = [];
  const flags = bytes.has(37, 1) ? bytes.u8(37) : null;
  if (header.length < 48)
    found('DMAR_BAD_LENGTH', 4, `the table has ${header.length} bytes, its fixed part alone is 48`);

  let at = 48;
  while (at < bytes.length) {
    if (!bytes.has(at, 4)) {
      found('DMAR_BAD_LENGTH', at, `${bytes.length - at} bytes are left, a structure starts with 4`);
      break;
    }
    const type = bytes.u16(at);
    const length = bytes.u16(at + 2);
    const what = NAMES[type] ?? `structure of type ${type}`;
    const fixed = FIXED[type] ?? 4;
    if (length < fixed || !bytes.has(at, length)) {
      const why = length < fixed ? `its fixed part has ${fixed}` : `${bytes.length - at} are left in the table`;
      found('DMAR_BAD_LENGTH', at + 2, `${what} at ${at} says ${length} bytes, ${why}`);
      break;
    }
    const end = at + length;
    const scopes = (from: number): DeviceScope[] => readScopes(bytes, at + from, end, what, found);
    switch (type) {
      case 0: {
        const includeAll = (bytes.u8(at + 4) & 1) === 1;
        const sizeLog2Pages = bytes.u8(at + 5) & 0xf;
        drhds.push({
          offset: at,
          includeAll,
          sizeLog2Pages,
          segment: bytes.u16(at + 6),
          base: bytes.u64(at + 8),
          scopes: scopes(16),
        });
        break;
      }
      case 1:
        rmrrs.push({
          offset: at,
          segment: bytes.u16(at + 6),
          base: bytes.u64(at + 8),
          limit: bytes.u64(at + 16),
          scopes: scopes(24),
        });
        break;
      case 2:
      case 5:
      case 6: {
        const flags = type === 6 ? 0 : bytes.u8(at + 4);
        scopeLists.push({ offset: at, type: LISTS[type], flags, segment: bytes.u16(at + 6), scopes: scopes(8) });
        break;
      }
      case 3:
        rhsas.push({ offset: at, base: bytes.u64(at + 8), proximityDomain: bytes.u32(at + 16) });
        break;
      case 4: {
        const name = bytes.text(at + 8, length - 8);
        if (name.length === length - 8)
          found('DMAR_NAME_UNTERMINATED', at + 8, `ANDD ${bytes.u8(at + 7)} has no NUL in ${length - 8} bytes`);
        andds.push({ offset: at, deviceNumber: bytes.u8(at + 7), name });
        break;
      }
      default:
        found('DMAR_UNKNOWN_TYPE', at, `structure of type ${type}, ${length} bytes`);
    }
    at = end;
  }
  const table: DmarTable = {
    header,
    hostAddressWidth: bytes.has(36, 1) ? bytes.u8(36) + 1 : null,
    interruptRemapping: flags === null ? null : (flags & 1) === 1,
    x2apicOptOut: flags === null ? null : (flags & 2) === 2,
    dmaControlOptIn: flags === null ? null : (flags & 4) === 4,
    drhds,
    rmrrs,
    scopeLists,
    rhsas,
    andds,
  };
  checkDmar(table, found);
  return table;
}

function readScopes(bytes: Bytes, from: number, end: number, what: string, found: TableFindings): DeviceScope[] {
  const scopes: DeviceScope[] = [];
  let at = from;
  while (at < end) {
    const length = end - at >= 2 ? bytes.u8(at + 1) : 0;
    // A path has at least one (device, function) pair.
    if (length < 8 || length % 2 !== 0 || at + length > end) {
      found(
        'DMAR_SCOPE_BAD_LENGTH',
        at,
        `a scope of ${what} says ${length} bytes; ${end - at} are left in its structure`,
      );
      break;
    }
    const type = bytes.u8(at);
    if (type < 1 || type > 5) {
      found('DMAR_SCOPE_UNKNOWN_TYPE', at, `scope type ${type} in ${what}`);
    } else {
      const path = [];
      for (let p = at + 6; p < at + length; p += 2) path.push({ device: bytes.u8(p), function: bytes.u8(p + 1) });
      scopes.push({
        offset: at,
        type: type as ScopeType,
        enumerationId: bytes.u8(at + 4),
        startBus: bytes.u8(at + 5),
        path,
      });
    }
    at += length;
  }
  return scopes;
}

const MSI_FIRST = 0xfee00000n;
const MSI_LAST = 0xfeefffffn;
const PAGE = 0xfffn;

/** What the table alone shows. Checks that need MADT or a PCI dump are made where those are known. */
function checkDmar(t: DmarTable, found: TableFindings): void {
  // VT-d 8.1: host address width; processors have between 32 and 52 (later 57) bits.
  if (t.hostAddressWidth !== null && (t.hostAddressWidth < 32 || t.hostAddressWidth > 64)) {
    found('DMAR_HOST_WIDTH', 36, `host address width of ${t.hostAddressWidth} bits`);
  }
  if (t.interruptRemapping === false) found('DMAR_NO_INTERRUPT_REMAPPING', 37, 'the INTR_REMAP flag is 0');
  if (t.x2apicOptOut === true) found('DMAR_X2APIC_OPT_OUT', 37, 'the X2APIC_OPT_OUT flag is 1');
  if (t.drhds.length === 0) found('DMAR_NO_UNIT', 48, 'the table has no DRHD');
  checkUnits(t, found);

  t.rmrrs.forEach((r, i) => {
    const range = `RMRR ${hex(r.base)}–${hex(r.limit)}`;
    if (r.limit <= r.base) {
      found('DMAR_RMRR_EMPTY', r.offset, range);
      return;
    }
    if ((r.base & PAGE) !== 0n || (r.limit & PAGE) !== PAGE) found('DMAR_RMRR_UNALIGNED', r.offset, range);
    if (r.scopes.length === 0) found('DMAR_RMRR_NO_SCOPE', r.offset, range);
    else found('DMAR_RMRR_DEVICE', r.offset, `${range} for ${r.scopes.length} device${r.scopes.length > 1 ? 's' : ''}`);
    const width = t.hostAddressWidth ?? 64;
    if (width >= 32 && width < 64 && r.limit >> BigInt(width) !== 0n)
      found('DMAR_RMRR_BEYOND_WIDTH', r.offset + 16, `${range}, host address width ${width}`);
    if (overlaps64({ first: r.base, last: r.limit }, { first: MSI_FIRST, last: MSI_LAST }))
      found('DMAR_RMRR_OVER_MSI', r.offset, range);
    for (const o of t.rmrrs.slice(0, i)) {
      if (o.limit > o.base && overlaps64({ first: o.base, last: o.limit }, { first: r.base, last: r.limit })) {
        found('DMAR_RMRR_OVERLAP', r.offset, `${range} and ${hex(o.base)}–${hex(o.limit)} at ${o.offset}`);
      }
    }
  });
  for (const r of t.rhsas) {
    if (!t.drhds.some((d) => d.base === r.base)) found('DMAR_RHSA_UNKNOWN_UNIT', r.offset, `RHSA for ${hex(r.base)}`);
  }
  const numbers = new Set(t.andds.map((a) => a.deviceNumber));
  for (const owner of [...t.drhds, ...t.rmrrs, ...t.scopeLists]) {
    for (const s of owner.scopes) {
      if (s.type === 5 && !numbers.has(s.enumerationId)) {
        found('DMAR_NAMESPACE_UNKNOWN', s.offset, `namespace scope for ACPI device number ${s.enumerationId}`);
      }
    }
  }
}

function checkUnits(t: DmarTable, found: TableFindings): void {
  t.drhds.forEach((d, i) => {
    const functions = d.scopes.filter((s) => s.type === 1 || s.type === 2);
    if (!d.includeAll && d.scopes.length === 0) found('DMAR_UNIT_EMPTY', d.offset, `dmar${i} at ${hex(d.base)}`);
    if (d.includeAll && functions.length > 0)
      found(
        'DMAR_INCLUDE_ALL_SCOPE',
        functions[0]!.offset,
        `dmar${i} includes all and names ${functions.length} functions`,
      );
    if (d.base === 0n || d.base === 0xffff_ffff_ffff_ffffn) {
      found('DMAR_UNIT_BASE', d.offset + 8, `dmar${i} at ${hex(d.base)}`);
      return;
    }
    if ((d.base & PAGE) !== 0n) found('DMAR_UNIT_BASE_UNALIGNED', d.offset + 8, `dmar${i} at ${hex(d.base)}`);
    const twin = t.drhds.findIndex((o) => o.base === d.base);
    if (twin < i) found('DMAR_UNIT_BASE_TWICE', d.offset + 8, `dmar${twin} and dmar${i} at ${hex(d.base)}`);
  });
  for (const segment of new Set(t.drhds.map((d) => d.segment))) {
    const units = t.drhds.filter((d) => d.segment === segment);
    const all = units.filter((d) => d.includeAll);
    if (all.length === 0)
      found('DMAR_NO_INCLUDE_ALL', units[0]!.offset, `no INCLUDE_PCI_ALL unit in segment ${segment}`);
    if (all.length > 1)
      found('DMAR_INCLUDE_ALL_TWICE', all[1]!.offset, `${all.length} INCLUDE_PCI_ALL units in segment ${segment}`);
    if (all.length > 0 && !units.at(-1)!.includeAll) {
      found(
        'DMAR_INCLUDE_ALL_NOT_LAST',
        all[0]!.offset,
        `the INCLUDE_PCI_ALL unit ${hex(all[0]!.base)} is not the last of segment ${segment}`,
      );
    }
  }
}

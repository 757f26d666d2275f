import { hex, overlaps64, type Bytes } from '../bytes.js';
import type { Findings, TableFindings } from '../findings/index.js';
import { openTable, type AcpiHeader } from './header.js';

/** IOAPIC (variety 1) or HPET (variety 2) and the requester id of its interrupts. */
export interface SpecialDevice {
  readonly offset: number;
  readonly variety: number;
  /** IOAPIC id or HPET number. */
  readonly handle: number;
  readonly sourceId: number;
  readonly data: number;
}
/** Devices that the block is about. `alias`: the id that their requests carry instead of their own. */
export interface IvhdRange {
  readonly offset: number;
  readonly first: number;
  readonly last: number;
  readonly alias: number | null;
  /** DTE bits that firmware wants: 0 INIT, 1 EINT, 2 NMI, 5:4 SysMgt, 6 LINT0, 7 LINT1. */
  readonly data: number;
  /** Extended data of types 70/71 (31: ATS disabled). */
  readonly extended: number | null;
}
/** Type 240: a device of the ACPI namespace. */
export interface AcpiDevice {
  readonly offset: number;
  readonly id: number;
  readonly hid: string;
  readonly cid: string;
  readonly uid: string | bigint | null;
}
/** One hardware definition block. Several types (10h, 11h, 40h) may describe one IOMMU. */
export interface Ivhd {
  readonly offset: number;
  readonly type: 0x10 | 0x11 | 0x40;
  readonly flags: number;
  readonly deviceId: number;
  readonly capabilityOffset: number;
  readonly base: bigint;
  readonly segment: number;
  readonly info: number;
  /** 10h: feature reporting; 11h and 40h: attributes. */
  readonly features: number;
  readonly efr: bigint | null;
  readonly efr2: bigint | null;
  /** Type 1: every device of the segment. */
  readonly allDevices: boolean;
  readonly ranges: readonly IvhdRange[];
  readonly specials: readonly SpecialDevice[];
  readonly acpiDevices: readonly AcpiDevice[];
}
/** Memory that devices use behind the operating system's back: 20h all, 21h one device, 22h a range. */
export interface Ivmd {
  readonly offset: number;
  readonly type: 0x20 | 0x21 | 0x22;
  /** 0 unity (identity map), 1 IR, 2 IW, 3 exclusion range. */
  readonly flags: number;
  readonly deviceId: number;
  readonly lastDeviceId: number;
  readonly segment: number;
  readonly start: bigint;
  readonly length: bigint;
}
export interface IvrsTable {
  readonly header: AcpiHeader;
  readonly info: number | null;
  readonly ivhds: readonly Ivhd[];
  readonly ivmds: readonly Ivmd[];
}

/** Reads an IVRS table (48882 chapter 5). Errors: `FirmwareError` if it is none; all else is a finding. */
export function readIvrs(file: string, data: Uint8Array, findings: Findings): IvrsTable {
  const { header, bytes, found } = openTable(file, data, 'IVRS', findings);
  const ivhds: Ivhd[] = [];
  const ivmds: Ivmd[] = [];
  if (header.length < 48)
    found('IVRS_BAD_LENGTH', 4, `the table has ${header.length} bytes, its fixed part alone is 48`);
  let at = 48;
  while (at < bytes.length) {
    const type = bytes.u8(at);
    const length = bytes.has(at, 4) ? bytes.u16(at + 2) : 0;
    const fixed = type === 0x10 ? 24 : type === 0x11 || type === 0x40 ? 40 : type >= 0x20 && type <= 0x22 ? 32 : 4;
    if (length < fixed || !bytes.has(at, length)) {
      const what = `block of type ${hex(type)} says ${length} bytes`;
      found('IVRS_BAD_LENGTH', at + 2, `${what}; at least ${fixed} are needed, ${bytes.length - at} are left`);
      break;
    }
    if (type === 0x10 || type === 0x11 || type === 0x40) ivhds.push(readIvhd(bytes, at, type, length, found));
    else if (type === 0x20 || type === 0x21 || type === 0x22) {
      ivmds.push({
        offset: at,
        type,
        flags: bytes.u8(at + 1),
        deviceId: bytes.u16(at + 4),
        lastDeviceId: bytes.u16(at + 6),
        segment: bytes.u16(at + 8),
        start: bytes.u64(at + 16),
        length: bytes.u64(at + 24),
      });
    } else found('IVRS_UNKNOWN_BLOCK', at, `block of type ${hex(type)}, ${length} bytes`);
    at += length;
  }
  const table = { header, info: bytes.has(36, 4) ? bytes.u32(36) : null, ivhds, ivmds };
  checkIvrs(table, found);
  return table;
}

function readIvhd(bytes: Bytes, at: number, type: 0x10 | 0x11 | 0x40, length: number, found: TableFindings): Ivhd {
  const wide = type !== 0x10;
  return {
    offset: at,
    type,
    flags: bytes.u8(at + 1),
    deviceId: bytes.u16(at + 4),
    capabilityOffset: bytes.u16(at + 6),
    base: bytes.u64(at + 8),
    segment: bytes.u16(at + 16),
    info: bytes.u16(at + 18),
    features: bytes.u32(at + 20),
    efr: wide ? bytes.u64(at + 24) : null,
    efr2: wide ? bytes.u64(at + 32) : null,
    ...readEntries(bytes, at + (wide ? 40 : 24), at + length, type, found),
  };
}

/** Length of an entry: 4 << (type >> 6) below 128; 240 carries the length of its UID. */
function entryLength(bytes: Bytes, at: number, end: number): number {
  const type = bytes.u8(at);
  if (type < 128) return 4 << (type >> 6);
  return type === 240 && at + 22 <= end ? 22 + bytes.u8(at + 21) : 0;
}

type Entries = Pick<Ivhd, 'allDevices' | 'ranges' | 'specials' | 'acpiDevices'>;

function readEntries(bytes: Bytes, from: number, end: number, block: number, found: TableFindings): Entries {
  const ranges: IvhdRange[] = [];
  const specials: SpecialDevice[] = [];
  const acpiDevices: AcpiDevice[] = [];
  let allDevices = false;
  let open: IvhdRange | null = null;
  let at = from;
  while (at < end) {
    const type = bytes.u8(at);
    const length = entryLength(bytes, at, end);
    if (length === 0 || at + length > end) {
      found(
        'IVRS_ENTRY_BAD_LENGTH',
        at,
        `entry of type ${type} in a block of type ${hex(block)}; ${end - at} bytes are left in the block`,
      );
      break;
    }
    if (type === 0 || type === 64) {
      at += length; // padding
      continue;
    }
    const id = bytes.u16(at + 1);
    const data = bytes.u8(at + 3);
    if (open !== null && type !== 4 && type !== 72 && type !== 240) {
      found(
        'IVRS_RANGE_UNTERMINATED',
        open.offset,
        `the range from ${hex(open.first)} is followed by an entry of type ${type} at ${at}`,
      );
      open = null;
    }
    switch (type) {
      case 1:
        allDevices = true;
        break;
      case 2:
        ranges.push({ offset: at, first: id, last: id, alias: null, data, extended: null });
        break;
      case 66:
        ranges.push({ offset: at, first: id, last: id, alias: bytes.u16(at + 5), data, extended: null });
        break;
      case 70:
        ranges.push({ offset: at, first: id, last: id, alias: null, data, extended: bytes.u32(at + 4) });
        break;
      case 3:
        open = { offset: at, first: id, last: id, alias: null, data, extended: null };
        break;
      case 67:
        open = { offset: at, first: id, last: id, alias: bytes.u16(at + 5), data, extended: null };
        break;
      case 71:
        open = { offset: at, first: id, last: id, alias: null, data, extended: bytes.u32(at + 4) };
        break;
      case 4:
        if (open === null) found('IVRS_RANGE_END_ALONE', at, `end of range at id ${hex(id)}`);
        else if (id < open.first) found('IVRS_RANGE_REVERSED', at, `range from ${hex(open.first)} to ${hex(id)}`);
        else ranges.push({ ...open, last: id });
        open = null;
        break;
      case 72: {
        const special = {
          offset: at,
          variety: bytes.u8(at + 7),
          handle: bytes.u8(at + 4),
          sourceId: bytes.u16(at + 5),
          data,
        };
        if (special.variety !== 1 && special.variety !== 2)
          found('IVRS_SPECIAL_UNKNOWN', at + 7, `special device of variety ${special.variety}`);
        specials.push(special);
        break;
      }
      case 240:
        if (block !== 0x40)
          found('IVRS_HID_IN_OLD_BLOCK', at, `ACPI device ${bytes.text(at + 4, 8)} in a block of type ${hex(block)}`);
        acpiDevices.push({
          offset: at,
          id,
          hid: bytes.text(at + 4, 8).trim(),
          cid: bytes.text(at + 12, 8).trim(),
          uid: readUid(bytes, at),
        });
        break;
      default:
        found('IVRS_UNKNOWN_ENTRY', at, `entry of type ${type}`);
    }
    at += length;
  }
  if (open !== null)
    found('IVRS_RANGE_UNTERMINATED', open.offset, `the range from ${hex(open.first)} has no end in its block`);
  return { allDevices, ranges, specials, acpiDevices };
}

function readUid(bytes: Bytes, at: number): string | bigint | null {
  const size = bytes.u8(at + 21);
  if (bytes.u8(at + 20) === 2) return bytes.text(at + 22, size);
  return bytes.u8(at + 20) === 1 && size === 8 ? bytes.u64(at + 22) : null;
}

/** Whether two blocks are for the very same devices. */
const sameDevices = (a: Ivmd, b: Ivmd): boolean =>
  a.type === b.type && a.segment === b.segment && a.deviceId === b.deviceId && a.lastDeviceId === b.lastDeviceId;

const MSI = { first: 0xfee00000n, last: 0xfeefffffn };

function checkIvrs(t: IvrsTable, found: TableFindings): void {
  if (t.ivhds.length === 0) found('IVRS_NO_IOMMU', 48, 'the table has no hardware definition block');
  for (const b of t.ivhds) {
    // 48882: revision 1 tables hold blocks with fixed-length entries only.
    if (b.type === 0x40 && t.header.revision < 2)
      found('IVRS_REVISION', b.offset, `block of type 0x40 in a table of revision ${t.header.revision}`);
    if (b.base === 0n || b.base === 0xffff_ffff_ffff_ffffn)
      found('IVRS_BASE', b.offset + 8, `IOMMU ${hex(b.deviceId)} at ${hex(b.base)}`);
    else if ((b.base & 0x3fffn) !== 0n)
      found('IVRS_BASE_UNALIGNED', b.offset + 8, `IOMMU ${hex(b.deviceId)} at ${hex(b.base)}`);
    const twin = t.ivhds.find(
      (o) => o.offset < b.offset && o.base === b.base && (o.deviceId !== b.deviceId || o.segment !== b.segment),
    );
    if (twin && b.base !== 0n)
      found('IVRS_BASE_TWICE', b.offset + 8, `IOMMUs ${hex(twin.deviceId)} and ${hex(b.deviceId)} at ${hex(b.base)}`);
  }
  t.ivmds.forEach((m, i) => {
    const last = m.start + m.length - 1n;
    const range = `IVMD ${hex(m.start)}–${hex(last < 0n ? 0n : last)}`;
    if (m.length === 0n) {
      found('IVRS_IVMD_EMPTY', m.offset + 24, `IVMD of 0 bytes at ${hex(m.start)}`);
      return;
    }
    if ((m.start & 0xfffn) !== 0n || (m.length & 0xfffn) !== 0n) found('IVRS_IVMD_UNALIGNED', m.offset + 16, range);
    if (overlaps64({ first: m.start, last }, MSI)) found('IVRS_IVMD_OVER_MSI', m.offset + 16, range);
    if (m.type === 0x22 && m.lastDeviceId < m.deviceId) {
      found('IVRS_IVMD_RANGE_REVERSED', m.offset + 4, `${range} for ${hex(m.deviceId)} to ${hex(m.lastDeviceId)}`);
    }
    for (const o of t.ivmds.slice(0, i)) {
      const same = { first: o.start, last: o.start + o.length - 1n };
      // One range listed again for another device is how a shared block is written.
      const shared = o.start === m.start && o.length === m.length && !sameDevices(o, m);
      if (o.length > 0n && !shared && overlaps64(same, { first: m.start, last })) {
        found('IVRS_IVMD_OVERLAP', m.offset + 16, `${range} and ${hex(o.start)}–${hex(same.last)} at ${o.offset}`);
      }
    }
  });
}

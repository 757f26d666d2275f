import { hex } from '../bytes.js';
import type { Findings } from '../findings/index.js';
import { openTable, type AcpiHeader } from './header.js';

export interface IoApic {
  readonly offset: number;
  readonly id: number;
  readonly address: number;
  readonly gsiBase: number;
}
export interface GicIts {
  readonly offset: number;
  readonly id: number;
  readonly base: bigint;
}
/** A GICv2m frame. SPI count and base are null where the frame's own MSI_TYPER decides (flag bit 0 clear). */
export interface GicMsiFrame {
  readonly offset: number;
  readonly id: number;
  readonly base: bigint;
  readonly spiCount: number | null;
  readonly spiBase: number | null;
}
export interface Gicd {
  readonly offset: number;
  readonly base: bigint;
  readonly version: number;
}
export interface Gicr {
  readonly offset: number;
  readonly base: bigint;
  readonly length: number;
}

/** MADT ("APIC"): what MSIs and wired interrupts end in. */
export interface MadtTable {
  readonly header: AcpiHeader;
  readonly ioapics: readonly IoApic[];
  readonly its: readonly GicIts[];
  readonly msiFrames: readonly GicMsiFrame[];
  readonly gicds: readonly Gicd[];
  readonly gicrs: readonly Gicr[];
  /** Local APICs, x2APICs or GIC CPU interfaces that are enabled. */
  readonly cpus: number;
  /** APIC ids of the x86 processors among them, in the order of the table; two entries may name one. */
  readonly apicIds: readonly number[];
}

const FIXED: Readonly<Record<number, number>> = {
  0: 8,
  1: 12,
  9: 16,
  0x0b: 76,
  0x0c: 24,
  0x0d: 24,
  0x0e: 16,
  0x0f: 20,
};

/** Reads a MADT (ACPI 5.2.12). Errors: `FirmwareError` if it is none; all else is a finding. */
export function readMadt(file: string, data: Uint8Array, findings: Findings): MadtTable {
  const { header, bytes, found } = openTable(file, data, 'APIC', findings);
  const ioapics: IoApic[] = [];
  const its: GicIts[] = [];
  const msiFrames: GicMsiFrame[] = [];
  const gicds: Gicd[] = [];
  const gicrs: Gicr[] = [];
  let cpus = 0;
  const apicIds = new Set<number>();
  if (header.length < 44)
    found('MADT_BAD_LENGTH', 4, `the table has ${header.length} bytes, its fixed part alone is 44`);
  let at = 44;
  while (at < bytes.length) {
    const length = bytes.has(at, 2) ? bytes.u8(at + 1) : 0;
    const type = bytes.u8(at);
    const fixed = FIXED[type] ?? 2;
    if (length < fixed || !bytes.has(at, length)) {
      found(
        'MADT_BAD_LENGTH',
        at,
        `entry of type ${type} says ${length} bytes; at least ${fixed} are needed, ${bytes.length - at} are left`,
      );
      break;
    }
    // Firmware lists more processors than there are: bit 0 says that one is there.
    if (type === 0 && (bytes.u32(at + 4) & 1) === 1) apicIds.add(bytes.u8(at + 3));
    else if (type === 9 && (bytes.u32(at + 8) & 1) === 1) apicIds.add(bytes.u32(at + 4));
    else if (type === 0x0b && (bytes.u32(at + 12) & 1) === 1) cpus++;
    else if (type === 1) {
      ioapics.push({ offset: at, id: bytes.u8(at + 2), address: bytes.u32(at + 4), gsiBase: bytes.u32(at + 8) });
    } else if (type === 0x0c) gicds.push({ offset: at, base: bytes.u64(at + 8), version: bytes.u8(at + 20) });
    else if (type === 0x0d) {
      const given = (bytes.u32(at + 16) & 1) === 1;
      const spiCount = given ? bytes.u16(at + 20) : null;
      const spiBase = given ? bytes.u16(at + 22) : null;
      msiFrames.push({ offset: at, id: bytes.u32(at + 4), base: bytes.u64(at + 8), spiCount, spiBase });
    } else if (type === 0x0e) gicrs.push({ offset: at, base: bytes.u64(at + 4), length: bytes.u32(at + 12) });
    else if (type === 0x0f) its.push({ offset: at, id: bytes.u32(at + 4), base: bytes.u64(at + 8) });
    at += length;
  }
  ioapics.forEach((a, i) => {
    if (ioapics.findIndex((b) => b.id === a.id) < i) found('MADT_IOAPIC_TWICE', a.offset, `IOAPIC id ${a.id}`);
  });
  its.forEach((a, i) => {
    if (its.findIndex((b) => b.id === a.id) < i) found('MADT_ITS_TWICE', a.offset, `ITS id ${a.id}`);
    // IHI 0069: ITS frames are 64 KiB aligned.
    if (a.base === 0n || (a.base & 0xffffn) !== 0n)
      found('MADT_ITS_BASE', a.offset + 8, `ITS ${a.id} at ${hex(a.base)}`);
  });
  return { header, ioapics, its, msiFrames, gicds, gicrs, cpus: cpus + apicIds.size, apicIds: [...apicIds] };
}

import { Bytes } from '../bytes.js';
import { FirmwareError } from '../errors.js';
import type { Findings, TableFindings } from '../findings/index.js';

/** ACPI 5.2.6: the header that all tables share. */
export interface AcpiHeader {
  readonly signature: string;
  readonly length: number;
  readonly revision: number;
  readonly oemId: string;
  readonly oemTableId: string;
  readonly oemRevision: number;
}

/** A table whose header was read: `bytes` ends where the table or the file ends, whichever is first. */
export interface OpenTable {
  readonly header: AcpiHeader;
  readonly bytes: Bytes;
  readonly found: TableFindings;
}

export const ACPI_HEADER = 36;

/** The four characters at the start of a file, if they could be an ACPI signature. */
export function acpiSignature(data: Uint8Array): string | null {
  if (data.length < 4) return null;
  const s = String.fromCharCode(data[0]!, data[1]!, data[2]!, data[3]!);
  return /^[A-Z0-9_]{4}$/.test(s) ? s : null;
}

/**
 * Checks header, length and checksum. Errors: `FirmwareError` where the file cannot be this table at all; a wrong
 * length or checksum is a finding, and the part that is there is read.
 */
export function openTable(file: string, data: Uint8Array, signature: string, findings: Findings): OpenTable {
  const again = `copy ${signature} again from /sys/firmware/acpi/tables, as root`;
  if (data.length < ACPI_HEADER) {
    throw new FirmwareError(
      file,
      { offset: data.length },
      `an ACPI table has a header of 36 bytes, this file ends before`,
      again,
    );
  }
  const raw = new Bytes(data);
  const is = raw.text(0, 4);
  if (is !== signature) {
    throw new FirmwareError(file, { offset: 0 }, `signature ${JSON.stringify(is)} is not "${signature}"`, again);
  }
  const length = raw.u32(4);
  if (length < ACPI_HEADER) {
    throw new FirmwareError(file, { offset: 4 }, `table length ${length} is less than its header's 36`, again);
  }
  const found = findings.at(signature);
  if (length > data.length) {
    found('ACPI_TRUNCATED', data.length, `the table says ${length} bytes, the file ends after ${data.length}`);
  } else {
    if (length < data.length) {
      found('ACPI_TRAILING_BYTES', length, `${data.length - length} bytes stand behind the table's ${length}`);
    }
    let sum = 0;
    for (let i = 0; i < length; i++) sum = (sum + data[i]!) & 0xff;
    if (sum !== 0) found('ACPI_CHECKSUM', 9, `the bytes add up to 0x${sum.toString(16)} instead of 0`);
  }
  const header = {
    signature,
    length,
    revision: raw.u8(8),
    oemId: raw.text(10, 6).trim(),
    oemTableId: raw.text(16, 8).trim(),
    oemRevision: raw.u32(24),
  };
  return { header, bytes: new Bytes(data, length), found };
}

import { FirmwareError } from '../errors.js';
import type { FindingCode, Findings } from '../findings/index.js';

/** One function of a dump. */
export interface DumpedFunction {
  readonly domain: number;
  readonly bus: number;
  readonly device: number;
  readonly function: number;
  /** `0000:00:04.0` */
  readonly bdf: string;
  /** Configuration space from offset 0 without holes; 0, 64, 256 or 4096 bytes in a whole dump. */
  readonly config: Uint8Array;
  /** `1b36:0010` and `0108` where the header line has them as numbers. */
  readonly textId: string | null;
  readonly textClass: string | null;
  /** Vectors named by decoded text, for dumps without bytes; null where the text does not say. */
  readonly textMsi: number | null;
  readonly textMsix: number | null;
  /** Bridges, by decoded text: the buses on their other side. */
  readonly textBuses: { readonly secondary: number; readonly subordinate: number } | null;
  readonly line: number;
}

const DEVICE = /^(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])(?: (.*))?$/i;
const DATA = /^([0-9a-f]{2,8}):((?: [0-9a-f]{2})*)(.*)$/i;
const MAX_CONFIG = 4096;
/** Readers of the format take no longer lines (pciutils: 253); the search for numbers takes quadratic time. */
const MAX_LINE = 1024;

/** `domain:bus:device.function` with at least four, two, two digits. */
export const formatBdf = (domain: number, bus: number, device: number, fn: number): string =>
  `${domain.toString(16).padStart(4, '0')}:${bus.toString(16).padStart(2, '0')}:${device.toString(16).padStart(2, '0')}.${fn}`;

/** The function of a 16-bit requester id. */
export const ridToBdf = (domain: number, rid: number): string =>
  formatBdf(domain, (rid >> 8) & 0xff, (rid >> 3) & 0x1f, rid & 7);

/** Whether a line near the start names a function, as each form of lspci output has it. */
export const looksLikeDump = (data: Uint8Array): boolean =>
  String.fromCharCode(...data.subarray(0, 0x2000))
    .split(/\r?\n/)
    .some((line) => DEVICE.test(line));

interface Draft extends Omit<DumpedFunction, 'config' | `text${string}`> {
  bytes: number[];
  broken: boolean;
  textId: string | null;
  textClass: string | null;
  textMsi: number | null;
  textMsix: number | null;
  textBuses: DumpedFunction['textBuses'];
  /** The line of its second listing, in which bytes would be another function's or another time's. */
  again: number | null;
}

/**
 * Reads any form of lspci output: -x, -xxx, -xxxx or none, with or without domains and decoded text.
 * Errors: `FirmwareError` if no line names a function. Damage is a finding with its line, and what is whole is kept.
 */
export function readDump(file: string, data: Uint8Array, findings: Findings): DumpedFunction[] {
  let text = '';
  for (let i = 0; i < data.length; i += 0x8000) text += String.fromCharCode(...data.subarray(i, i + 0x8000));
  // Some editors put a byte order mark first; quoted and indented listings have the same margin on every line.
  const lines = text.replace(/^\xef\xbb\xbf/, '').split('\n');
  const margin = marginOf(lines);
  // What stands behind the last newline: empty, or a line that was cut.
  const cut = lines.pop() ?? '';
  const drafts: Draft[] = [];
  const byBdf = new Map<string, Draft>();
  let current: Draft | null = null;
  let offset = 0;
  let lost = 0;
  let ignored = 0;
  let blank = false;
  const found = (code: FindingCode, at: number, line: number, message: string): void =>
    findings.add(code, message, { table: file, offset: at, line });

  const take = (raw: string, at: number, line: number): void => {
    const line_ = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
    const s = line_.startsWith(margin) ? line_.slice(margin.length) : line_.trim() === margin.trim() ? '' : line_;
    if (s === '') {
      blank ||= current !== null;
      current = null;
      return;
    }
    const header = DEVICE.exec(s);
    if (header) {
      const draft = startFunction(header, line);
      const twin = byBdf.get(draft.bdf);
      if (twin) {
        // One listing may have the text and another the bytes.
        twin.textId ??= draft.textId;
        twin.textClass ??= draft.textClass;
        if (twin.bytes.length > 0) twin.again = line;
      } else {
        drafts.push(draft);
        byBdf.set(draft.bdf, draft);
      }
      current = twin ?? draft;
      return;
    }
    const bytes = DATA.exec(s);
    if (bytes) {
      if (current === null) {
        if (lost++ === 0) found('LSPCI_ORPHAN_DATA', at, line, 'bytes before any header line');
      } else if (current.again !== null) {
        found('PCI_FUNCTION_TWICE', at, line, `${current.bdf} has bytes in lines ${current.line} and ${current.again}`);
        current = startFunction(DEVICE.exec(current.bdf)!, line); // its bytes go nowhere
      } else addBytes(current, bytes, (code, message) => found(code, at, line, message));
    } else if (/^\s/.test(s)) readText(current, s);
    else if (ignored++ < 3) found('LSPCI_IGNORED_LINE', at, line, JSON.stringify(s.slice(0, 60)));
  };

  lines.forEach((line, i) => {
    take(line, offset, i + 1);
    offset += line.length + 1;
  });
  if (cut !== '') {
    take(cut, offset, lines.length + 1);
    found('LSPCI_CUT', data.length, lines.length + 1, `the last line has no end: ${JSON.stringify(cut.slice(0, 60))}`);
  } else if (current !== null && endsBlank(drafts, blank)) {
    found('LSPCI_NO_FINAL_BLANK', data.length, lines.length, `no empty line behind ${drafts.at(-1)!.bdf}`);
  }
  if (drafts.length === 0) {
    throw new FirmwareError(
      file,
      { line: 1 },
      'no line names a PCI function, and it is no ACPI table and no device tree either',
      'give output of lspci -xxxx, a *.dtb or an ACPI table',
    );
  }
  for (const d of drafts) {
    const n = d.bytes.length;
    const whole = n === 0 || n === 64 || n === 128 || n === 256 || n === MAX_CONFIG;
    if (!whole && !d.broken)
      findings.add('LSPCI_SHORT_CONFIG', `${d.bdf} has ${n} bytes`, { table: file, offset: null, line: d.line });
  }
  return drafts.map(({ bytes, broken: _, again: __, ...d }) => ({ ...d, config: Uint8Array.from(bytes) }));
}

/** Whether an empty line ends each function of this listing, as far as it shows: in lists of one line each none does. */
const endsBlank = (drafts: readonly Draft[], blank: boolean): boolean =>
  blank || drafts.length === 1 || drafts.at(-1)!.bytes.length > 0;

/** What stands before every line of a quoted or indented listing. */
function marginOf(lines: readonly string[]): string {
  if (lines.some((l) => DEVICE.test(l.trimEnd()))) return '';
  for (const line of lines) {
    const margin = /^(?:\s+|(?:> ?)+)(?=[0-9a-f])/i.exec(line)?.[0] ?? '';
    if (margin !== '' && DEVICE.test(line.slice(margin.length).trimEnd())) return margin;
  }
  return '';
}

function startFunction(header: RegExpExecArray, line: number): Draft {
  const [domain, bus, device, fn] = [
    parseInt(header[1] ?? '0', 16),
    parseInt(header[2]!, 16),
    parseInt(header[3]!, 16),
    Number(header[4]),
  ];
  const rest = (header[5] ?? '').slice(0, MAX_LINE);
  // -n: "0108: 1b36:0010"; -nn: "… [0108]: … [1b36:0010]"
  const numeric = /^(?:Class )?([0-9a-f]{4}): ([0-9a-f]{4}:[0-9a-f]{4})/i.exec(rest);
  const both = /\[([0-9a-f]{4})\]: .*\[([0-9a-f]{4}:[0-9a-f]{4})\]/i.exec(rest);
  const words = numeric ?? both;
  return {
    domain,
    bus,
    device,
    function: fn,
    bdf: formatBdf(domain, bus, device, fn),
    textClass: words?.[1]?.toLowerCase() ?? null,
    textId: words?.[2]?.toLowerCase() ?? null,
    textMsi: null,
    textMsix: null,
    textBuses: null,
    line,
    bytes: [],
    broken: false,
    again: null,
  };
}

function addBytes(d: Draft, data: RegExpExecArray, found: (code: FindingCode, message: string) => void): void {
  if (d.broken) return;
  const at = parseInt(data[1]!, 16);
  const values = data[2]!.trim();
  const bytes = values === '' ? [] : values.split(' ').map((b) => parseInt(b, 16));
  if (at !== d.bytes.length) {
    found('LSPCI_HOLE', `${d.bdf}: bytes at 0x${at.toString(16)} where 0x${d.bytes.length.toString(16)} follows`);
    d.broken = true;
    return;
  }
  if (at + bytes.length > MAX_CONFIG) {
    found('LSPCI_BAD_LINE', `${d.bdf}: bytes beyond 4096`);
    d.broken = true;
    return;
  }
  d.bytes.push(...bytes);
  if (data[3]!.trim() !== '' || bytes.length === 0) {
    found('LSPCI_BAD_LINE', `${d.bdf}: ${JSON.stringify(data[0].slice(0, 60))} is not all bytes`);
    d.broken = true;
  }
}

/** Decoded capabilities: "MSI: Enable- Count=1/8 …", "MSI-X: Enable+ Count=16 …"; before 2009 "TabSize=". */
function readText(d: Draft | null, line: string): void {
  if (d === null) return;
  // Text that lists capabilities lists all of them ("<access denied>" stands where it does not).
  if (/^\s+Capabilities: \[[0-9a-f]+/i.test(line)) {
    d.textMsi ??= 0;
    d.textMsix ??= 0;
  }
  const buses = /^\s+Bus: primary=[0-9a-f]{2}, secondary=([0-9a-f]{2}), subordinate=([0-9a-f]{2})/i.exec(line);
  if (buses) d.textBuses = { secondary: parseInt(buses[1]!, 16), subordinate: parseInt(buses[2]!, 16) };
  const msix = /Capabilities: \[[0-9a-f]+\] MSI-X: .*?(?:Count|TabSize)=(\d+)/i.exec(line);
  if (msix) d.textMsix = Number(msix[1]);
  const msi = /Capabilities: \[[0-9a-f]+\] (?:MSI|Message Signalled Interrupts): .*?(?:Count|Queue)=\d+\/(\d+)/i.exec(
    line,
  );
  if (msi) d.textMsi = Number(msi[1]);
}

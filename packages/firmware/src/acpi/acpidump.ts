import { FirmwareError } from '../errors.js';

const HEAD = /^([A-Z0-9_!]{4})\d* @ (?:0x)?[0-9a-f]+\s*$/i;
const ROW = /^\s+([0-9a-f]{4,}): ((?:[0-9a-f]{2} ){0,15}[0-9a-f]{2})(?:\s|$)/i;

/** True for the text that `acpidump` prints: `DMAR @ 0x…`, then rows of bytes. */
export function isAcpidump(data: Uint8Array): boolean {
  const first = String.fromCharCode(...data.subarray(0, 200)).trimStart();
  return HEAD.test(first.split(/\r?\n/, 1)[0]!);
}

/**
 * The tables in what `acpidump` printed, in its order; those with a signature that `wanted` refuses are passed over.
 * Errors: `FirmwareError` naming the line where a row does not follow the one before.
 */
export function readAcpidump(
  file: string,
  data: Uint8Array,
  wanted: (signature: string) => boolean,
): { readonly signature: string; readonly bytes: Uint8Array }[] {
  let text = '';
  for (let i = 0; i < data.length; i += 0x8000) text += String.fromCharCode(...data.subarray(i, i + 0x8000));
  const tables: { signature: string; bytes: number[] }[] = [];
  let current: number[] | null = null;
  text.split('\n').forEach((line, i) => {
    const head = HEAD.exec(line);
    if (head) {
      const signature = head[1]!.toUpperCase();
      current = wanted(signature) ? [] : null;
      if (current) tables.push({ signature, bytes: current });
      return;
    }
    const row = ROW.exec(line);
    if (!row || current === null) return;
    const at = parseInt(row[1]!, 16);
    if (at !== current.length) {
      throw new FirmwareError(
        file,
        { line: i + 1 },
        `bytes at 0x${at.toString(16)} where 0x${current.length.toString(16)} follows`,
        'copy the whole output of acpidump again',
      );
    }
    for (const byte of row[2]!.split(' ')) current.push(parseInt(byte, 16));
  });
  return tables.map(({ signature, bytes }) => ({ signature, bytes: Uint8Array.from(bytes) }));
}

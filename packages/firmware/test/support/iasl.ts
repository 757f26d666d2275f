import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** One decoded line: `[0D0h 0208   2]  PCI Path : 1F,00`. */
export interface Field {
  readonly at: number;
  readonly name: string;
  readonly value: string;
}
export interface Decoded {
  readonly fields: readonly Field[];
  /** Offset of the structure that this iasl does not know and stops at; null if it read the table to its end. */
  readonly stopped: number | null;
}

/** What `iasl -d` says about a table. */
export function decode(path: string): Decoded {
  const dir = mkdtempSync(join(tmpdir(), 'doorbell-iasl-'));
  try {
    execFileSync('iasl', ['-p', join(dir, 'out'), '-d', path], { stdio: 'ignore' });
    return parse(readFileSync(join(dir, 'out.dsl'), 'latin1'));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function parse(text: string): Decoded {
  const fields: Field[] = [];
  let stopped: number | null = null;
  let structure = 0;
  for (const line of text.split('\n')) {
    const m = /^\[[0-9A-F]+h (\d+) +\d+\] +([^:]+?) : (.*)$/.exec(line);
    if (m) {
      const field = { at: Number(m[1]), name: m[2]!, value: m[3]!.trim() };
      fields.push(field);
      if (field.name === 'Subtable Type' || field.name === 'Type') structure = field.at;
    } else if (/^\s+Single Mapping : /.test(line)) {
      fields.push({ at: -1, name: 'Single Mapping', value: line.split(':')[1]!.trim() });
    } else if (/Unknown|terminates in the middle|Invalid/.test(line)) stopped ??= structure;
  }
  return { fields, stopped };
}

export const number = (f: Field): number => parseInt(f.value, 16);
export const address = (f: Field): string => '0x' + BigInt('0x' + f.value.split(' ')[0]!).toString(16);

/** Splits at each field of that name: one list per structure, the field itself first. */
export function structures(fields: readonly Field[], start: string): Field[][] {
  const out: Field[][] = [];
  for (const f of fields) {
    if (f.name === start) out.push([f]);
    else out.at(-1)?.push(f);
  }
  return out;
}
export function pick(fields: readonly Field[], name: string): Field {
  const f = fields.find((x) => x.name === name);
  if (!f) throw new Error(`no field ${name} among ${fields.map((x) => x.name).join(', ')}`);
  return f;
}

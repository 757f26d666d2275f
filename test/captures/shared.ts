import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { PhysicalMemory } from '@doorbell/platform';

/** Captures of real kernels: not part of the repository. */
export const SHARED = process.env['DOORBELL_SHARED'] ?? join(import.meta.dirname, '../../../shared');

export const captureDirectory = (name: string): string => join(SHARED, 'captures', name);

/** Says loudly why a capture's tests do not run. */
export function present(name: string): boolean {
  const there = existsSync(join(captureDirectory(name), 'truth.json'));
  if (!there) console.warn(`skipped: capture ${name}: not found below ${SHARED} (set DOORBELL_SHARED)`);
  return there;
}

export const json = (name: string, file: string): unknown =>
  JSON.parse(readFileSync(join(captureDirectory(name), file), 'utf8'));

export const gzippedJson = (name: string, file: string): unknown =>
  JSON.parse(gunzipSync(readFileSync(join(captureDirectory(name), file))).toString('utf8'));

/** Loads the PT_LOAD segments of a gzipped ELF64 core by their physical addresses. */
export function loadElf(name: string, file: string, memory: PhysicalMemory): void {
  const elf = gunzipSync(readFileSync(join(captureDirectory(name), file)));
  const at = Number(elf.readBigUInt64LE(32));
  const size = elf.readUInt16LE(54);
  const count = elf.readUInt16LE(56);
  for (let i = 0; i < count; i++) {
    const p = at + i * size;
    if (elf.readUInt32LE(p) !== 1) continue;
    const offset = Number(elf.readBigUInt64LE(p + 8));
    const address = Number(elf.readBigUInt64LE(p + 24));
    const length = Number(elf.readBigUInt64LE(p + 32));
    memory.writeBytes(address, elf.subarray(offset, offset + length));
  }
}

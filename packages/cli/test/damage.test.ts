import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { FirmwareError, readMachine, type InputFile } from '@doorbell/firmware';
import { beforeAll, describe, expect, it } from 'vitest';
import type { DoorbellConfig } from '../src/config.js';
import { Backends } from '../src/run/backends.js';
import { buildPlatform } from '../src/run/build.js';
import { drive } from '../src/run/drive.js';

const MACHINES = new URL('../../../examples/machines/', import.meta.url);
const RUNS = process.env['DOORBELL_LONG'] === '1' ? 800 : 60;
let backends: Backends;
beforeAll(async () => {
  const file = '../../../doorbell.config.js';
  backends = new Backends(((await import(file)) as { default: DoorbellConfig }).default);
});

/** xorshift32: the same seed gives the same damage. */
function random(seed: number): (below: number) => number {
  let x = seed;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}

const filesOf = (machine: string): InputFile[] => {
  const dir = fileURLToPath(new URL(`${machine}/`, MACHINES));
  return readdirSync(dir)
    .filter((f) => /\.(?:dat|dtb|txt)$/.test(f))
    .map((name) => ({ name, bytes: new Uint8Array(readFileSync(dir + name)) }));
};

/** A few bytes changed, or the end cut off; checksums of tables made right again, so that the damage gets further in. */
function damage(files: readonly InputFile[], pick: (below: number) => number): InputFile[] {
  const out = files.map(({ name, bytes }) => ({ name, bytes: bytes.slice() }));
  for (let k = pick(5); k >= 0; k--) {
    const f = out[pick(out.length)]!;
    const at = pick(f.bytes.length);
    if (f.name.endsWith('.txt')) f.bytes[at] = '0123456789abcdef'.charCodeAt(pick(16));
    else f.bytes[at] = pick(256);
    if (pick(30) === 0) f.bytes = f.bytes.slice(0, at + 1);
  }
  for (const { name, bytes } of out) {
    if (!name.endsWith('.dat') || bytes.length < 36) continue;
    bytes[9] = 0;
    bytes[9] = -bytes.reduce((sum, b) => sum + b, 0) & 0xff;
  }
  return out;
}

describe('damaged machines: an answer or a sentence, never anything else', () => {
  it.each(readdirSync(MACHINES))('%s', (machine) => {
    const files = filesOf(machine);
    const pick = random(0x5eed);
    let answered = 0;
    for (let n = 0; n < RUNS; n++) {
      try {
        const built = buildPlatform(readMachine(damage(files, pick)), backends);
        const { failures } = drive(built.platform, { hosts: built.hosts, standIns: built.standIns, vectors: 4 });
        for (const f of [...built.failures, ...failures]) expect(f.code).toMatch(/^[A-Z_0-9]+$/);
        built.platform.dispose();
        answered++;
      } catch (error) {
        if (!(error instanceof FirmwareError)) throw error;
      }
    }
    expect(answered).toBeGreaterThan(RUNS / 3);
  });
});

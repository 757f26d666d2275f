import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  describeMachine,
  describeRead,
  FirmwareError,
  findingKinds,
  platformNodes,
  readMachine,
  type InputFile,
} from '@doorbell/firmware';
import { SMALL } from './support/small.js';
import { cutAt, flip, mend, random } from './support/mutate.js';
import { filesNamed, needs, shortName } from './support/shared.js';

/**
 * Bad input: whatever the bytes, there is an answer with findings, or a `FirmwareError` that names file and place.
 * Never another exception, never a hang, never damage without a word. DOORBELL_LONG=1 takes every input and tries tens of times as much (minutes).
 */
const LONG = process.env['DOORBELL_LONG'] === '1';
const ready = needs('damaged copies of real inputs (small built-in ones are damaged all the same)', null);

let slowest = { ms: 0, what: '' };
let answered = 0;
let refused = 0;

/** The answer, or the refusal; anything else fails the test by throwing. */
function attempt(files: readonly InputFile[], what: string): ReturnType<typeof describeMachine> | FirmwareError {
  const begun = performance.now();
  let result: ReturnType<typeof describeMachine> | FirmwareError;
  try {
    const machine = readMachine(files);
    const text = JSON.stringify((result = describeRead(machine)));
    platformNodes(machine, result);
    if (!text.startsWith('{')) throw new Error(`${what}: no JSON object`);
    for (const f of result.findings) if (!(f.code in findingKinds)) throw new Error(`${what}: unknown code ${f.code}`);
    answered++;
  } catch (error) {
    if (!(error instanceof FirmwareError)) throw new Error(`${what}: ${String(error)}`, { cause: error });
    if (!error.message.includes(error.file ?? '') || error.message.includes('\n'))
      throw new Error(`${what}: does not name its file in one line: ${error.message}`);
    refused++;
    result = error;
  }
  const ms = performance.now() - begun;
  if (ms > slowest.ms) slowest = { ms, what };
  return result;
}

const damaged = (r: ReturnType<typeof attempt>): boolean =>
  r instanceof FirmwareError || r.findings.some((f) => f.severity === 'error' || f.code === 'LSPCI_NO_FINAL_BLANK');

const samples: InputFile[] = [...SMALL];
beforeAll(() => {
  if (!ready) return;
  const take = (paths: readonly string[], every: number): void => {
    paths.forEach((path, i) => {
      if (i % every === 0) samples.push({ name: basename(path), bytes: readFileSync(path) });
    });
  };
  take(filesNamed(/^DMAR\.dat$/), LONG ? 1 : 20);
  take(filesNamed(/^IVRS\.dat$/), LONG ? 1 : 12);
  take(filesNamed(/^IORT\.dat$/), 1);
  take(filesNamed(/^APIC\.dat$/), LONG ? 4 : 60);
  take(filesNamed(/^MCFG\.dat$/), LONG ? 8 : 80);
  take(filesNamed(/^VIOT\.dat$/), 1);
  take(filesNamed(/\.dtb$/), LONG ? 1 : 4);
  take(
    filesNamed(/\.txt$/).filter((f) => f.includes('/lspci/')),
    LONG ? 1 : 6,
  );
});

const isTable = (f: InputFile): boolean => /^[A-Z]{4}\./.test(f.name);
const isDump = (f: InputFile): boolean => f.name.endsWith('.txt');

describe('damaged input', { timeout: LONG ? 1_800_000 : 60_000 }, () => {
  it('a table or tree cut anywhere is refused or says that something is missing', () => {
    for (const f of samples.filter((x) => !isDump(x))) {
      const step = f.bytes.length > 4096 ? Math.ceil(f.bytes.length / (LONG ? 4096 : 257)) : 1;
      for (let end = 0; end < f.bytes.length; end += step) {
        const r = attempt([{ name: f.name, bytes: cutAt(f.bytes, end) }], `${f.name} cut at ${end}`);
        expect(damaged(r), `${f.name} of ${f.bytes.length} cut at ${end} is a silent half-answer`).toBe(true);
      }
    }
  });

  it('a dump cut anywhere but behind an empty line says so', () => {
    for (const f of samples.filter(isDump)) {
      const text = Buffer.from(f.bytes).toString('latin1');
      const step = Math.ceil(text.length / (LONG ? 3000 : 400));
      for (let end = 0; end < text.length; end += step) {
        const r = attempt([{ name: f.name, bytes: cutAt(f.bytes, end) }], `${f.name} cut at ${end}`);
        if (!/\n\r?\n$/.test(text.slice(0, end))) expect(damaged(r), `${f.name} cut at ${end}`).toBe(true);
      }
    }
  });

  it('a changed byte of a table is noticed by its checksum', () => {
    for (const f of samples.filter(isTable)) {
      const whole = attempt([f], f.name);
      if (whole instanceof FirmwareError || whole.findings.some((x) => x.code === 'ACPI_CHECKSUM')) continue;
      for (let at = 0; at < Math.min(f.bytes.length, 512); at++) {
        const bytes = f.bytes.slice();
        bytes[at] = bytes[at]! ^ 0x10;
        expect(damaged(attempt([{ name: f.name, bytes }], `${f.name} byte ${at}`)), `${f.name} byte ${at}`).toBe(true);
      }
    }
  });

  it('random damage with a right checksum neither throws nor hangs', () => {
    const next = random(6);
    for (const f of samples) {
      const rounds = (LONG ? 600 : 60) / (f.bytes.length > 20_000 ? 6 : 1);
      for (let i = 0; i < rounds; i++) {
        const bytes = flip(f.bytes, next);
        attempt([{ name: f.name, bytes: isTable(f) ? mend(bytes) : bytes }], `${f.name} round ${i}`);
      }
    }
  });

  it('garbage under any name is refused or explained', () => {
    const next = random(7);
    const names = ['DMAR.dat', 'IVRS.dat', 'IORT.dat', 'APIC.dat', 'MCFG.dat', 'VIOT.dat', 'x.dtb', 'pci.txt', 'what'];
    for (let i = 0; i < (LONG ? 20_000 : 900); i++) {
      const bytes = Uint8Array.from({ length: Math.floor(next() * 300) }, () => Math.floor(next() * 256));
      const name = names[i % names.length]!;
      // A right start gets the noise past the front door.
      if (i % 3 === 0 && isTable({ name, bytes }) && bytes.length > 36) {
        for (let k = 0; k < 4; k++) bytes[k] = name.charCodeAt(k);
        new DataView(bytes.buffer).setUint32(4, bytes.length, true);
        mend(bytes);
      }
      attempt([{ name, bytes }], `garbage ${i} as ${name}`);
    }
  });

  it('a line of half a megabyte is read once', () => {
    const bytes = Buffer.from(`00:04.0 ${'[0000]: '.repeat(65_536)}\n`);
    attempt([{ name: 'pci.txt', bytes }], 'a line of numbers that never end');
  });

  it('nothing, or nothing of use, is refused by name', () => {
    expect(() => readMachine([])).toThrow(FirmwareError);
    expect(() => describeMachine([{ name: 'notes.md', bytes: new Uint8Array(3) }])).toThrow(/notes\.md/);
    expect(() => describeMachine([{ name: 'DMAR.dat', bytes: new Uint8Array(0) }])).toThrow(/DMAR\.dat: byte 0/);
  });

  it('no single input takes long', () => {
    console.info(
      `fuzz: ${samples.length} inputs, ${answered} answers, ${refused} refusals; slowest ${slowest.ms.toFixed(0)} ms: ${slowest.what}`,
    );
    expect(answered + refused).toBeGreaterThan(1000);
    // An answer to damaged input takes milliseconds; a second would be a loop that runs over a damaged count.
    expect(slowest.ms).toBeLessThan(LONG ? 5000 : 2000);
  });
});

describe.skipIf(!ready)('real inputs in whole directories', () => {
  it('every file of the shared machines is read or refused by name', () => {
    for (const path of filesNamed(/\.(dat|dtb|txt)$/)) {
      attempt([{ name: basename(path), bytes: readFileSync(path) }], shortName(path));
    }
  });
});

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { openSession, questionOf } from '@doorbell/inspect';
import { describe, expect, it } from 'vitest';
import { contributions } from './config.js';
import { readFixture } from './mini.js';
import { readTruth } from './truth.js';

const FIXTURES = join(import.meta.dirname, 'fixtures');
const snapshot = (name: string) => join(FIXTURES, `${name}.snapshot.gz`);
const truthOf = (name: string) =>
  readTruth(JSON.parse(gunzipSync(readFileSync(join(FIXTURES, `${name}.truth.json.gz`))).toString('utf8')));

/** Linux on QEMU in other configurations, and how many facts each has. Nothing but the snapshots is kept of them. */
const MACHINES = {
  'x86-vtd-passthrough': 105,
  'x86-vtd-high-busy': 260,
  'x86-vtd-39bit-noremap': 233,
  'x86-vtd-bridges': 395,
  'arm-smmuv3-16k': 229,
  'arm-smmuv3-torn-down': 151,
  'arm-smmuv3-gicv4': 216,
  'arm-gicv2m': 198,
  'arm-smmuv3-acpi': 138,
} as const;

describe.each(Object.entries(MACHINES))('%s', (name, count) => {
  it('answers every fact as QEMU did and as an independent walk says', async () => {
    const session = await openSession(snapshot(name), await contributions());
    const { facts, total } = truthOf(name);
    for (const { question, said, expected, source } of facts)
      expect({ source, said: said(session.explain(question)) }).toEqual({ source, said: expected });
    expect([facts.length, total]).toEqual([count, count]);
  });

  it('was taken from a capture without a problem', () => {
    expect(readFixture(snapshot(name)).problems).toEqual([]);
  });
});

describe('sentences', () => {
  const reason = async (name: string, question: object): Promise<string> => {
    const { reason: why, verdict } = (await openSession(snapshot(name), await contributions())).explain(
      questionOf(question),
    );
    return `${verdict}: ${why}`;
  };
  const dma = (requester: string, iova: string) => ({ dma: { requester, iova } });
  const msi = (requester: string, address: string, data: string) => ({ msi: { requester, address, data } });

  it.each([
    [
      'x86-vtd-39bit-noremap',
      dma('00:04.0', '0x8000000000'),
      /^fault: ADDRESS_BEYOND_MGAW: context entry at 0x\w+: .* beyond MGAW = 39 bits$/,
    ],
    [
      'x86-vtd-39bit-noremap',
      msi('00:04.0', '0xfee01004', '0x4021'),
      /^delivered: it is delivered as vector 33 to logical destination 1: GSTS.IRES = 0: passed unchanged$/,
    ],
    [
      'x86-vtd-39bit-noremap',
      msi('00:04.0', '0xfee01004', '0x4321'),
      /^blocked: RESERVED_DELIVERY_MODE: delivery mode 3 is reserved$/,
    ],
    [
      'x86-vtd-passthrough',
      dma('04:01.0', '0x1234567'),
      /^bypass: it passes unchanged to 0x1234567: context entry at 0x\w+: TT = pass-through$/,
    ],
    [
      'x86-vtd-passthrough',
      dma('00:04.0', '0xfee00000'),
      /^fault: INVALID_INTERRUPT_REQUEST: only an aligned DWORD write/,
    ],
    [
      'x86-vtd-passthrough',
      msi('00:04.0', '0xfee01018', '0x123456'),
      /^blocked: REQUEST_RESERVED_BITS: SHV = 1: bits 31:16 must be zero$/,
    ],
    ['arm-smmuv3-torn-down', dma('00:01.0', '0x1234'), /^fault: STE_ABORT: STE at 0x\w+: Config = 0xx aborts/],
  ])('of %s: %j', async (name, question, expected) => {
    expect(await reason(name, question)).toMatch(expected);
  });
});

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import {
  encodeSnapshot,
  openSession,
  questionOf,
  takeSnapshot,
  type Question,
  type SnapshotFile,
} from '@doorbell/inspect';
import { afterAll, describe, expect, it } from 'vitest';
import { contributions } from './config.js';
import { captureDirectory, present } from './shared.js';
import { readTruth } from './truth.js';

const FIXTURES = join(import.meta.dirname, 'fixtures');
const fixture = (name: string) => join(FIXTURES, `${name}.snapshot.gz`);
const fixtureTruth = (name: string) =>
  readTruth(JSON.parse(gunzipSync(readFileSync(join(FIXTURES, `${name}.truth.json.gz`))).toString('utf8')));
const readFixture = (name: string): SnapshotFile =>
  JSON.parse(gunzipSync(readFileSync(fixture(name))).toString('utf8')) as SnapshotFile;

const scratch = mkdtempSync(join(tmpdir(), 'doorbell-snapshot-'));
afterAll(() => rmSync(scratch, { recursive: true }));
const saved = (name: string, value: unknown): string => {
  const path = join(scratch, name);
  writeFileSync(path, typeof value === 'string' ? value : gzipSync(JSON.stringify(value)));
  return path;
};

const NAMES = ['x86-vtd-nvme', 'arm-smmuv3-its-nvme'] as const;

describe.each(NAMES)('the snapshot of %s', (name) => {
  it('answers every fact as Linux and QEMU did', async () => {
    const session = await openSession(fixture(name), await contributions());
    const { facts } = fixtureTruth(name);
    for (const { question, said, expected, source } of facts)
      expect({ source, said: said(session.explain(question)) }).toEqual({ source, said: expected });
    console.info(`${name}: ${facts.length} questions agreed on the snapshot`);
  });

  it('holds the event records and the mappings that are no question', async () => {
    const session = await openSession(fixture(name), await contributions());
    // Contents of buffers are user data: no snapshot has them.
    const states = fixtureTruth(name).states.filter((s) => s.kind !== 'content');
    for (const s of states) expect([s.kind, s.check(session)]).toEqual([s.kind, '']);
  });

  it('says what it left out', () => {
    expect(readFixture(name).leftOut.join('\n')).toMatch(/memory that is no table[^]*configuration space/);
  });

  it.skipIf(!present(name))('is what the capture gives, byte for byte', async () => {
    const again = await takeSnapshot(captureDirectory(name), await contributions());
    const bytes = encodeSnapshot(again, true);
    expect(Buffer.from(bytes).toString()).toBe(Buffer.from(encodeSnapshot(readFixture(name), true)).toString());
    expect(readFileSync(fixture(name)).length).toBeLessThan(100_000);
  });

  it.skipIf(!present(name))('answers as the full dump does, whatever is asked', async () => {
    const plugins = await contributions();
    const [full, small] = [
      await openSession(captureDirectory(name), plugins),
      await openSession(fixture(name), plugins),
    ];
    const questions = [...fixtureTruth(name).facts.map((f) => f.question), ...randomQuestions(name, 800)];
    const tally: Record<string, number> = {};
    for (const q of questions) {
      const answer = full.explain(q);
      expect(small.explain(q)).toEqual(answer);
      tally[answer.verdict] = (tally[answer.verdict] ?? 0) + 1;
    }
    console.info(`${name}: ${questions.length} questions, full dump and snapshot agree`, tally);
  });
});

/** Addresses near those of the facts and anywhere, ids that exist and that do not. */
function randomQuestions(name: string, count: number): Question[] {
  const { facts } = fixtureTruth(name);
  let seed = 12345;
  const next = (n: number) => (seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fff_ffff) % n;
  return Array.from({ length: count }, () => {
    const f = facts[next(facts.length)]!.question;
    const requester = next(4) === 0 ? `0x${next(0x10000).toString(16)}` : f.requester;
    const near = (f.kind === 'dma' ? f.iova : f.address) + BigInt(next(0x8000)) * 0x400n;
    const address = `0x${(next(5) === 0 ? BigInt(next(0x7fff_ffff)) << BigInt(next(32)) : near).toString(16)}`;
    if (next(3) === 0) {
      const low = near & 0xffffcn;
      const doorbell = name.startsWith('x86') ? 0xfee00000n | low : near & ~3n;
      return questionOf({ msi: { requester, address: `0x${doorbell.toString(16)}`, data: next(64) } });
    }
    return questionOf({ dma: { requester, iova: address, access: next(2) ? 'write' : 'read' } });
  });
}

describe('a snapshot that is none', () => {
  it.each([
    ['text', 'hello', /neither gzip nor JSON/],
    ['empty', '', /neither gzip nor JSON/],
    ['other', '{"format":"zip"}', /format is "zip"/],
    ['half', '{"format":"doorbell-snapshot","version":1}', /nodes is missing/],
    ['cut', '{"format":', /JSON/],
  ])('%s is refused with the file and the reason', async (name, text, why) => {
    const path = saved(name, text);
    await expect(openSession(path, [])).rejects.toThrow(why);
    await expect(openSession(path, [])).rejects.toThrow(path);
  });

  it('of another version is told from a damaged one', async () => {
    const path = saved('future', { ...readFixture('x86-vtd-nvme'), version: 2 });
    await expect(openSession(path, [])).rejects.toMatchObject({ code: 'WRONG_VERSION' });
  });

  it('with a damaged page names it', async () => {
    const file = readFixture('x86-vtd-nvme');
    const [first] = Object.keys(file.pages);
    const path = saved('page', { ...file, pages: { ...file.pages, [first!]: 'zz' } });
    await expect(openSession(path, await contributions())).rejects.toThrow(`page ${first} is damaged`);
  });

  it('that leads outside its extents says what is missing instead of guessing', async () => {
    const file = readFixture('x86-vtd-nvme');
    const context = file.extents.find((e) => e.what === 'context table')!;
    const extents = file.extents.filter((e) => e !== context);
    const path = saved('hole', { ...file, extents });
    const session = await openSession(path, await contributions());
    const ask = () => session.explain(questionOf({ dma: { requester: '00:04.0', iova: '0xfff8f000' } }));
    expect(ask).toThrow(/which the .* does not hold/);
  });
});

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { buildProgram } from '@doorbell/cli';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { captureDirectory, json, present } from './shared.js';
import { readTruth, type Fact } from './truth.js';

const FIXTURES = join(import.meta.dirname, 'fixtures');
const X86 = join(FIXTURES, 'x86-vtd-nvme.snapshot.gz');
const ARM = join(FIXTURES, 'arm-smmuv3-its-nvme.snapshot.gz');
const ROOT = join(import.meta.dirname, '../..');
const config = join(ROOT, 'doorbell.config.js');

const scratch = mkdtempSync(join(tmpdir(), 'doorbell-explain-'));
afterAll(() => rmSync(scratch, { recursive: true }));

let out = '';
let err = '';
beforeEach(() => {
  out = err = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((out += String(text)), true));
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((err += String(text)), true));
});
afterEach(() => vi.restoreAllMocks());

/** The exit code of one command line. */
async function run(...words: string[]): Promise<number> {
  process.exitCode = undefined;
  await buildProgram().parseAsync([...words, '--config', config], { from: 'user' });
  const code = Number(process.exitCode ?? 0);
  process.exitCode = undefined;
  return code;
}
const ask = (what: string, words: string, { json = false, batch }: { json?: boolean; batch?: string } = {}) =>
  run(
    ...['explain', what, ...(words === '' ? [] : words.split(' '))],
    ...(json ? ['--json'] : []),
    ...(batch === undefined ? [] : ['--batch', batch]),
  );
const lines = (): Record<string, unknown>[] =>
  out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
const file = (name: string, text: string): string => {
  const path = join(scratch, name);
  writeFileSync(path, text);
  return path;
};

describe('doorbell explain, one question', () => {
  it('a translated DMA: verdict, walk and the sentence', async () => {
    expect(await ask(X86, 'dma 00:04.0 0xfff8f000')).toBe(0);
    const text = stripVTControlCharacters(out);
    expect(text).toMatch(/^00:04\.0 reads 0xfff8f000 {2}→ {2}0x7021000 \(4 KiB page, rw\)/);
    expect(text).toMatch(/root entry[^]*context entry[^]*level 4[^]*▶ +second-level PTE, level 1 {2}@ 0x68a6c78/);
    expect(text).toMatch(/Why: it goes to 0x7021000 by second-level PTE, level 1 at 0x68a6c78/);
  });

  it.each([
    [X86, 'dma 00:08.0 0x110000', 'FAULT READ_WITHOUT_PERMISSION (0x6), recorded', /✗.*level 1/, /map the page/],
    [X86, 'msi 00:08.0 0xfee00010 0x0', 'BLOCKED IRTE_SOURCE_ID (0x26), recorded', /✗ IRTE 0/, /forged/],
    [ARM, 'dma 00:04.0 0x12345000', 'FAULT F_TRANSLATION (0x10), recorded', /✗.*stage-1 descriptor, level 0/, /map/],
    [ARM, 'msi 00:01.0 0xfffff040 5', 'BLOCKED EVENT_OUT_OF_RANGE, not recorded', /✗.*GITS DTE/, /EventID/],
  ])('%s %s: %s', async (what, words, verdict, mark, remedy) => {
    expect(await ask(what, words)).toBe(1);
    const text = stripVTControlCharacters(out);
    expect(text).toContain(`→  ${verdict}`);
    expect(text).toMatch(mark);
    expect(text.slice(text.indexOf('What would have to change'))).toMatch(remedy);
  });

  it('--json has the fields of the contract', async () => {
    expect(await ask(X86, 'dma 00:04.0 0xfff8f000', { json: true })).toBe(0);
    const [answer] = lines();
    expect(answer).toMatchObject({ verdict: 'translated', pa: '0x7021000', pageSize: 4096, permissions: 'rw' });
    const steps = answer!['steps'] as Record<string, unknown>[];
    expect(steps.at(-1)).toMatchObject({
      what: 'second-level PTE, level 1',
      at: '0x68a6c78',
      words: ['0x07021003', '0x00000000'],
      decoded: expect.stringMatching(/^SLPTE\{/) as unknown,
    });
    expect(await ask(ARM, 'msi 00:01.0 0xfffff040 0', { json: true })).toBe(0);
    expect(lines()[1]).toMatchObject({
      verdict: 'delivered',
      interrupt: {
        controller: 'gicv3-its',
        doorbell: '0x8090040',
        deviceId: 8,
        eventId: 0,
        intid: 8193,
        collection: 0,
        cpu: 0,
        enabled: true,
      },
    });
  });

  it('an id as a hex string, a function behind a bridge, the IOAPIC', async () => {
    for (const [words, verdict] of [
      ['dma 0x20 0xfff8f000', 'translated'],
      ['msi ioapic 0xfee00010 0x1', 'delivered'],
      ['dma 0000:03:01.0 0xfff00000', 'fault'],
    ] as const) {
      out = '';
      await ask(X86, words, { json: true });
      expect([words, lines()[0]!['verdict']]).toEqual([words, verdict]);
    }
    out = '';
    await ask(X86, 'dma 03:01.0 0x1000', { json: true });
    expect(JSON.stringify(lines()[0]!['steps'])).toContain('0000:03:01.0, seen as 0000:03:00.0');
  });

  it.each([
    ['nothing', '', /usage|no question|doorbell explain WHAT/],
    ['half a question', 'dma 00:04.0', /doorbell explain WHAT/],
    ['no address', 'dma 00:04.0 here', /iova is "here"/],
    ['no data', 'msi 00:04.0 0xfee00000 0x100000000', /data .* at most 32 bits/],
    ['no function', 'dma nvme0 0x1000', /nvme0 is no requester/],
  ])('%s: exit code 2 and one line on stderr', async (_, words, why) => {
    expect(await ask(X86, words)).toBe(2);
    expect(err).toMatch(why);
    expect(err.trimEnd().split('\n')).toHaveLength(1);
  });

  it.each([
    ['no such file', join(scratch, 'nowhere')],
    ['a file that is nothing', file('nothing.txt', 'hello')],
    ['an empty directory', scratch],
  ])('%s: exit code 2, and with --json an object', async (_, what) => {
    expect(await ask(what, 'dma 00:04.0 0x1000', { json: true })).toBe(2);
    expect(lines()[0]).toMatchObject({ input: what, error: expect.any(String) as unknown });
    expect(err).not.toMatch(/ at .*\.[jt]s/);
  });
});

describe('packages/inspect/OUTPUT.md', () => {
  const file = join(ROOT, 'packages/inspect/OUTPUT.md');
  const page = readFileSync(file, 'utf8');
  const shown = [...page.matchAll(/^\$ doorbell explain (\S+) (.*)\n([^]*?)\n```$/gm)].map((m) => m.slice(1));
  let now = page;
  it.each(shown)('%s %s prints what the page shows', async (what, words, expected) => {
    await ask(join(FIXTURES, what), words);
    const printed = stripVTControlCharacters(out).trimEnd();
    now = now.replace(expected, () => printed);
    // UPDATE_OUTPUT=1 brings the page up to date where models have found better words.
    if (process.env['UPDATE_OUTPUT'] === undefined) expect(printed).toBe(expected);
  });
  it('shows eight', () => expect(shown).toHaveLength(8));
  afterAll(() => void (process.env['UPDATE_OUTPUT'] !== undefined && writeFileSync(file, now)));
});

describe('doorbell explain --batch', () => {
  it('answers each line in order; a malformed one is an error object, and the rest goes on', async () => {
    const questions = [
      '{"dma":{"requester":"00:04.0","iova":"0xfff8f000","access":"read"}}',
      '{"dma":',
      '{"msi":{"requester":"00:04.0","address":"0xfee00298","data":"0x0"}}',
      '{"dma":{"requester":"00:04.0","iova":"0xfff8f000","access":"sniff"}}',
      '',
      '{"dma":{"requester":"00:08.0","iova":"0x110000"}}',
    ];
    expect(await ask(X86, '', { batch: file('some.jsonl', questions.join('\n') + '\n'), json: true })).toBe(1);
    const answers = lines();
    expect(answers.map((a) => a['verdict'] ?? 'error')).toEqual([
      'translated',
      'error',
      'delivered',
      'error',
      'error',
      'fault',
    ]);
    expect(answers[3]!['error']).toMatch(/access is "sniff"/);
  });

  it('exits 0 when every line was answered, faults included', async () => {
    const batch = file('fault.jsonl', '{"dma":{"requester":"00:08.0","iova":"0x110000"}}\n');
    expect(await ask(X86, '', { batch, json: true })).toBe(0);
  });

  it('a missing file is exit code 2', async () => {
    expect(await ask(X86, '', { batch: join(scratch, 'none.jsonl'), json: true })).toBe(2);
    expect(err).toMatch(/none\.jsonl/);
  });

  it('may do without --json', async () => {
    const batch = file('plain.jsonl', '{"dma":{"requester":"00:04.0","iova":"0xfff8f000"}}\n');
    expect(await ask(X86, '', { batch })).toBe(0);
    expect(stripVTControlCharacters(out)).toBe('00:04.0 reads 0xfff8f000  →  0x7021000 (4 KiB page, rw)\n');
  });
});

describe('doorbell explain on a live platform', () => {
  const machine = join(ROOT, 'examples/machines/q35-vtd');
  it.skipIf(!existsSync(machine))('asks a machine directory as after `doorbell run`', async () => {
    // The driver gives handle 0 to the first function that has MSIs; a second one must not use it.
    const requesters = ['00:00.0', '00:01.0', '00:02.0', '00:03.0', '00:04.0', '00:05.0', '00:06.0', '00:1f.2'];
    const verdicts: unknown[] = [];
    for (const r of requesters) {
      out = '';
      await ask(machine, `msi ${r} 0xfee00018 0x0`, { json: true });
      verdicts.push(lines()[0]!['verdict']);
    }
    expect(new Set(verdicts)).toEqual(new Set(['delivered', 'blocked']));
  });

  it('asks a platform module', async () => {
    const module = file(
      'platform.mjs',
      `import { Platform } from ${JSON.stringify(join(ROOT, 'packages/platform/dist/index.js'))};
export default () => new Platform({ memory: [{ base: 0, size: 2 ** 24 }] }).compose();`,
    );
    // The module brings its own copy of the platform where tests run from sources: a sentence, not a stack trace.
    const code = await ask(module, 'dma 00:04.0 0x1000', { json: true });
    expect([0, 2]).toContain(code);
    expect(err).not.toMatch(/ at .*\.[jt]s:\d/);
  });
});

describe('doorbell snapshot', () => {
  it('of what is no capture: exit code 2', async () => {
    expect(await run('snapshot', join(scratch, 'nowhere'), '-o', join(scratch, 'x.gz'))).toBe(2);
    expect(err).toMatch(/there is no such file/);
  });

  it.skipIf(!present('x86-vtd-nvme'))(
    'writes a file, says what it left out, and the file is asked like the capture',
    async () => {
      const output = join(scratch, 'x86.json');
      expect(await run('snapshot', captureDirectory('x86-vtd-nvme'), '-o', output)).toBe(0);
      expect(out).toMatch(/left out: memory that is no table/);
      out = '';
      await ask(output, 'dma 00:04.0 0xfff8f000', { json: true });
      expect(lines()[0]).toMatchObject({ verdict: 'translated', pa: '0x7021000' });
    },
  );
});

const built = existsSync(join(ROOT, 'packages/cli/dist/main.js'));
describe.skipIf(!built || !present('x86-vtd-nvme'))('a whole dump in one process', () => {
  it('2,200 questions in under 10 s and under 400 MB', () => {
    const { facts } = readTruth(json('x86-vtd-nvme', 'truth.json'));
    const texts = Array.from({ length: 2200 }, (_, i) => lineOf(facts[i % facts.length]!));
    const batch = file('many.jsonl', texts.join('\n') + '\n');
    const program = `import { main } from ${JSON.stringify(join(ROOT, 'packages/cli/dist/main.js'))};
await main(process.argv.slice(1));
process.stderr.write('peak ' + process.resourceUsage().maxRSS);`;
    const words = ['explain', captureDirectory('x86-vtd-nvme'), '--batch', batch, '--json'];
    const begun = performance.now();
    const child = spawnSync(process.execPath, ['--input-type=module', '-e', program, '--', ...words], {
      cwd: ROOT,
      encoding: 'utf8',
      maxBuffer: 2 ** 28,
    });
    const seconds = (performance.now() - begun) / 1000;
    expect(child.stdout.trimEnd().split('\n')).toHaveLength(2200);
    const peak = Number(/peak (\d+)/.exec(child.stderr)?.[1]) / 1024;
    console.info(`2,200 questions to a dump of 134 MB: ${seconds.toFixed(2)} s, peak ${peak.toFixed(0)} MB`);
    expect(seconds).toBeLessThan(60); // 1 to 3 s alone on a machine; two cores may be shared by ten processes
    expect(peak).toBeLessThan(400);
  });
});

const lineOf = ({ question: q }: Fact): string =>
  q.kind === 'dma'
    ? JSON.stringify({ dma: { requester: q.requester, iova: `0x${q.iova.toString(16)}`, access: q.access } })
    : JSON.stringify({ msi: { requester: q.requester, address: `0x${q.address.toString(16)}`, data: q.data } });

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { openSession, questionOf, takeSnapshot, type Session } from '@doorbell/inspect';
import { DoorbellError, saveRaw } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { ARM, coreOf, message, Mini, read, readFixture, refusal, X86 } from './mini.js';

const mini = new Mini();

describe('a capture without firmware tables', () => {
  it('is asked by the kind of its registers', async () => {
    const session = await mini.open({});
    expect(session.explain(read)).toMatchObject({
      verdict: 'translated',
      pa: '0x7021000',
      pageSize: 4096,
      permissions: 'rw',
    });
    expect(session.explain(message)).toMatchObject({ verdict: 'delivered', interrupt: { vector: 39, destination: 1 } });
    expect(session.problems.join('\n')).toMatch(/no ACPI tables/);
  });

  it('tells of a table that is cut off', async () => {
    const dmar = Buffer.alloc(60);
    dmar.write('DMAR');
    dmar.writeUInt32LE(168, 4);
    const { problems } = await mini.open({ 'DMAR.dat': dmar });
    expect(problems).toContain('DMAR: the table says 168 bytes, the file ends after 60');
  });

  it('cannot say which id the IOAPIC has', async () => {
    const q = questionOf({ msi: { requester: 'ioapic', address: '0xfee00010', data: '0x1' } });
    expect(refusal(await mini.open({}), q)).toMatchObject({ code: 'BAD_QUESTION' });
  });

  it('may be gzipped, raw from address 0, or raw with its base in the name', async () => {
    for (const files of [
      { 'memory.elf': null, 'memory.elf.gz': gzipSync(mini.elf, { level: 1 }) },
      { 'memory.elf': null, vmcore: mini.elf },
    ])
      expect((await mini.open(files)).explain(read).verdict).toBe('translated');
    const { memory } = await openSession(X86, mini.plugins);
    const bank = memory.banks.find((b) => mini.root >= b.base && mini.root < b.base + b.size)!;
    const raw = Buffer.concat([...saveRaw(memory, bank.base, bank.size)].map((b) => Buffer.from(b)));
    const name = `ram@0x${bank.base.toString(16)}.raw`;
    expect((await mini.open({ 'memory.elf': null, [name]: raw })).explain(read).verdict).toBe('translated');
  });

  it('may hold register values by name', async () => {
    const { words } = mini.registers;
    const named = {
      CAP: '0xd2008c222f0606',
      ECAP: '0xf00f4a',
      GSTS: words['0x1c'],
      RTADDR: words['0x20'],
      IRTA: words['0xb8'],
    };
    const session = await mini.open({
      'registers.json': JSON.stringify({ kind: 'vtd', base: mini.registers.base, named }),
    });
    expect(session.explain(message)).toMatchObject({ verdict: 'delivered', interrupt: { vector: 39 } });
  });
});

describe('damaged dumps', () => {
  it('cut: what is there is asked, and what is not is named', async () => {
    for (const [name, bytes] of [
      ['memory.elf', mini.elf.subarray(0, 0x10_0000)],
      ['memory.elf.gz', gzipSync(mini.elf, { level: 1 }).subarray(0, 3000)],
    ] as const) {
      const session = await mini.open({ 'memory.elf': null, [name]: bytes });
      expect(session.problems.join('\n')).toMatch(/ends after \d+ bytes: memory 0x/);
      const error = refusal(session);
      expect(error).toMatchObject({ code: 'NOT_IN_CAPTURE' });
      expect(error.message).toMatch(/the walk reached .* at 0x[0-9a-f]+, which the input does not hold/);
      // As far as the walk got, and nothing made of what is not there.
      expect((error.details['steps'] as object[]).at(-1)).toMatchObject({ words: [], why: 'not in the input' });
    }
  });

  it.each([
    ['empty', Buffer.alloc(0), /memory dump|empty/],
    ['text', Buffer.from('not a dump'), /memory\.elf: the file ends/],
    ['headers only', 30, /ends after 30 bytes/],
  ])('%s: the sentence names the file', async (_, content, why) => {
    const bytes = typeof content === 'number' ? mini.elf.subarray(0, content) : content;
    const dir = mini.directory({ 'memory.elf': bytes });
    await expect(openSession(dir, mini.plugins)).rejects.toThrow(why);
    await expect(openSession(dir, mini.plugins)).rejects.toMatchObject({ code: 'UNREADABLE_INPUT' });
  });

  it('a gzip stream with a flipped bit is read as far as it goes', async () => {
    const bytes = gzipSync(mini.elf, { level: 1 });
    bytes[2000] = bytes[2000]! ^ 0xff;
    const dir = mini.directory({ 'memory.elf': null, 'memory.elf.gz': bytes });
    const session = await openSession(dir, mini.plugins).catch((error: unknown) => error);
    if (session instanceof DoorbellError) expect(session.message).toMatch(/memory\.elf\.gz/);
    else expect((session as Session).problems.join('\n')).toMatch(/memory\.elf\.gz/);
  });

  it('there is none, or no directory', async () => {
    await expect(mini.open({ 'memory.elf': null })).rejects.toThrow(/there is no memory dump/);
    await expect(openSession(join(mini.scratch, 'nowhere'), mini.plugins)).rejects.toThrow(/there is no such file/);
  });
});

describe('damaged registers', () => {
  it('missing, where firmware describes the unit: nothing is guessed', async () => {
    const file = readFixture(X86);
    const path = join(mini.scratch, 'no-registers.json');
    writeFileSync(path, JSON.stringify({ ...file, registers: {} }));
    const session = await openSession(path, mini.plugins);
    expect(refusal(session)).toMatchObject({ code: 'NOT_IN_CAPTURE' });
    expect(refusal(session).message).toMatch(/no registers of dmar0 at 0xfed90000/);
  });

  it('missing altogether, and nothing else says what there is: nothing is guessed either', async () => {
    const session = await mini.open({ 'registers.json': null });
    expect(session.problems.join('\n')).toMatch(/there is no registers.json/);
    expect(refusal(session)).toMatchObject({ code: 'NOT_IN_CAPTURE' });
  });

  it('no JSON: said with the place', async () => {
    const session = await mini.open({ 'registers.json': '{"kind": "vtd", ' });
    expect(session.problems.join('\n')).toMatch(/registers.json: no JSON/);
  });

  it('without the root table: named', async () => {
    const words = Object.fromEntries(Object.entries(mini.registers.words).filter(([at]) => at !== '0x20'));
    const session = await mini.open({ 'registers.json': JSON.stringify({ ...mini.registers, words }) });
    expect(session.problems.join('\n')).toMatch(/RTADDR is missing/);
    expect(refusal(session)).toMatchObject({ code: 'NOT_IN_CAPTURE' });
  });

  it('of a unit that nobody models: NO_BACKEND', async () => {
    const session = await mini.open({
      'registers.json': JSON.stringify({ kind: 'other', base: '0xfed80000', words: { '0x0': '0x1' } }),
    });
    expect(refusal(session)).toMatchObject({ code: 'NO_BACKEND' });
  });
});

describe('damaged tables', () => {
  it('a root table outside memory is a fault that names the address', async () => {
    const session = await mini.open({ 'registers.json': mini.withWords({ '0x20': '0x0', '0x24': '0x7f' }) });
    const answer = session.explain(read);
    expect(answer).toMatchObject({ verdict: 'fault', fault: { code: '0x8', name: 'ROOT_TABLE_READ_ERROR' } });
    expect(answer.missing).toEqual(['0x7f00000000']);
  });

  it('tables in a circle end, in questions and in snapshots', async () => {
    const session = await mini.open({});
    const { steps } = session.explain(read);
    const entry = steps.find((s) => s.what === 'second-level PTE, level 3')!;
    const page = Number(entry.at) - (Number(entry.at) % 4096);
    for (let i = 0; i < 512; i++) session.memory.write64(page + 8 * i, 0, page + 3);
    expect(session.explain(read).verdict).toBe('translated');
    const circular = coreOf(session.memory);
    expect((await takeSnapshot(mini.directory({ 'memory.elf': circular }), mini.plugins)).extents.length).toBeLessThan(
      100,
    );
  });

  it('random damage never ends in anything but an answer', async () => {
    const session = await mini.open({});
    let seed = 7;
    const next = (m: number) => (seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fff_ffff) % m;
    const tables = ['0x5d41000', '0x5d61000', '0x5d6c000', '0x4a00000'].map(Number);
    const seen = new Set<string>();
    for (let i = 0; i < 400; i++) {
      const at = tables[next(tables.length)]! + 4 * next(1024);
      session.memory.write32(at, (session.memory.read32(at) ^ (1 << next(32))) >>> 0);
      const requester = `00:${next(32).toString(16).padStart(2, '0')}.0`;
      const dma = questionOf({ dma: { requester, iova: next(0x7fff_ffff) * 4, access: next(2) ? 'write' : 'read' } });
      const msi = questionOf({ msi: { requester, address: 0xfee00000 + 4 * next(0x40000), data: next(65536) } });
      for (const q of [dma, msi, read, message]) {
        const answer = session.explain(q);
        seen.add('fault' in answer ? answer.fault.name : answer.verdict);
      }
    }
    expect(seen.size).toBeGreaterThan(4);
  });
});

describe('any file of a capture damaged at random', () => {
  it('ends in an answer or in one of our errors, never in another', async () => {
    const core = coreOf((await openSession(ARM, mini.plugins)).memory, 183);
    const { blocks } = readFixture(ARM).registers as { blocks: unknown[] };
    const table = (name: string) => readFileSync(join(import.meta.dirname, 'fixtures/virt-acpi', name));
    const whole: Record<string, Uint8Array> = {
      'memory.elf': core,
      'registers.json': Buffer.from(JSON.stringify({ blocks })),
      'IORT.dat': table('IORT.dat'),
      'APIC.dat': table('APIC.dat'),
      'MCFG.dat': table('MCFG.dat'),
    };
    const questions = [
      questionOf({ dma: { requester: '00:01.0', iova: '0xfffdf000' } }),
      questionOf({ msi: { requester: '00:01.0', address: '0xfffff040', data: 0 } }),
      questionOf({ dma: { requester: '0x12345', iova: '0x0' } }),
    ];
    let seed = 11;
    const next = (m: number) => (seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fff_ffff) % m;
    const ends: Record<string, number> = {};
    const count = (end: string) => void (ends[end] = (ends[end] ?? 0) + 1);
    for (let i = 0; i < 60; i++) {
      const victim = Object.keys(whole)[next(5)]!;
      const bytes = Buffer.from(whole[victim]!);
      // A dump's content is tables and buffers, damaged elsewhere; here its headers are.
      const reach = victim === 'memory.elf' ? 300 : bytes.length;
      for (let k = 0; k < 3; k++) bytes[next(reach)] = victim === 'registers.json' ? 0x20 + next(0x5f) : next(256);
      const cut = next(5) === 0 ? bytes.subarray(0, next(bytes.length)) : bytes;
      try {
        const session = await mini.open({ ...whole, [victim]: cut });
        for (const q of questions) {
          try {
            count(session.explain(q).verdict);
          } catch (error) {
            if (!(error instanceof DoorbellError)) throw error;
            count(error.code);
          }
        }
      } catch (error) {
        if (!(error instanceof DoorbellError)) throw error;
        count(`unreadable: ${error.code}`);
      }
    }
    console.info('damaged captures ended in', ends);
    expect(ends['translated']).toBeGreaterThan(10);
  });
});

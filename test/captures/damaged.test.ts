import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { openSession, questionOf, takeSnapshot, type Session, type SnapshotFile } from '@doorbell/inspect';
import { DoorbellError, saveElfCore, saveRaw, type CaptureContribution } from '@doorbell/platform';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { contributions } from './config.js';
import { readTruth } from './truth.js';

/*
 * Small captures made of a fixture: a directory with a memory dump and registers.json, changed in one way each. There are no firmware
 * tables in them, so they also show what is asked without.
 */
const fixture = join(import.meta.dirname, 'fixtures/x86-vtd-nvme.snapshot.gz');
const scratch = mkdtempSync(join(tmpdir(), 'doorbell-damaged-'));
afterAll(() => rmSync(scratch, { recursive: true }));

let plugins: CaptureContribution[];
let elf: Buffer;
let registers: { kind: string; base: string; words: Record<string, string> };
let root = 0;
beforeAll(async () => {
  plugins = await contributions();
  const { memory } = await openSession(fixture, plugins);
  elf = Buffer.concat([...saveElfCore(memory, { machine: 62 })].map((b) => Buffer.from(b)));
  const file = JSON.parse(gunzipSync(readFileSync(fixture)).toString('utf8')) as SnapshotFile;
  registers = file.registers as typeof registers;
  root = Number(registers.words['0x20']);
});

let n = 0;
/** Opens a directory with these files; null leaves one out. */
async function open(files: Record<string, Uint8Array | string | null>): Promise<Session> {
  return openSession(directory(files), plugins);
}
function directory(files: Record<string, Uint8Array | string | null>): string {
  const dir = join(scratch, `c${n++}`);
  mkdirSync(dir);
  const all = { 'memory.elf': elf, 'registers.json': JSON.stringify(registers), ...files };
  for (const [name, content] of Object.entries(all)) if (content !== null) writeFileSync(join(dir, name), content);
  return dir;
}
const withWords = (words: Record<string, string>) =>
  JSON.stringify({ ...registers, words: { ...registers.words, ...words } });

const read = questionOf({ dma: { requester: '00:04.0', iova: '0xfff8f000' } });
const message = questionOf({ msi: { requester: '00:04.0', address: '0xfee00298', data: '0x0' } });
const refusal = (session: Session, question = read): DoorbellError => {
  try {
    session.explain(question);
  } catch (error) {
    if (error instanceof DoorbellError) return error;
    throw error;
  }
  throw new Error('this was answered');
};

describe('a capture without firmware tables', () => {
  it('is asked by the kind of its registers', async () => {
    const session = await open({});
    expect(session.explain(read)).toMatchObject({
      verdict: 'translated',
      pa: '0x7021000',
      pageSize: 4096,
      permissions: 'rw',
    });
    expect(session.explain(message)).toMatchObject({ verdict: 'delivered', interrupt: { vector: 39, destination: 1 } });
    expect(session.problems.join('\n')).toMatch(/no ACPI tables/);
  });

  it('cannot say which id the IOAPIC has', async () => {
    const q = questionOf({ msi: { requester: 'ioapic', address: '0xfee00010', data: '0x1' } });
    expect(refusal(await open({}), q)).toMatchObject({ code: 'BAD_QUESTION' });
  });

  it('may be gzipped, raw from address 0, or raw with its base in the name', async () => {
    for (const files of [
      { 'memory.elf': null, 'memory.elf.gz': gzipSync(elf, { level: 1 }) },
      { 'memory.elf': null, vmcore: elf },
    ])
      expect((await open(files)).explain(read).verdict).toBe('translated');
    const { memory } = await openSession(fixture, plugins);
    const bank = memory.banks.find((b) => root >= b.base && root < b.base + b.size)!;
    const raw = Buffer.concat([...saveRaw(memory, bank.base, bank.size)].map((b) => Buffer.from(b)));
    const name = `ram@0x${bank.base.toString(16)}.raw`;
    expect((await open({ 'memory.elf': null, [name]: raw })).explain(read).verdict).toBe('translated');
  });

  it('may hold register values by name', async () => {
    const { words } = registers;
    const named = {
      CAP: '0xd2008c222f0606',
      ECAP: '0xf00f4a',
      GSTS: words['0x1c'],
      RTADDR: words['0x20'],
      IRTA: words['0xb8'],
    };
    const session = await open({ 'registers.json': JSON.stringify({ kind: 'vtd', base: registers.base, named }) });
    expect(session.explain(message)).toMatchObject({ verdict: 'delivered', interrupt: { vector: 39 } });
  });
});

describe('other states of the unit', () => {
  it('translation off: DMA passes, messages are still remapped', async () => {
    const session = await open({ 'registers.json': withWords({ '0x1c': '0x47000000' }) });
    expect(session.explain(read)).toMatchObject({ verdict: 'bypass', pa: '0xfff8f000' });
    expect(session.explain(message).verdict).toBe('delivered');
  });

  it('interrupt remapping off: a compatibility message passes unchanged', async () => {
    const session = await open({ 'registers.json': withWords({ '0x1c': '0xc4000000' }) });
    const q = questionOf({ msi: { requester: '00:04.0', address: '0xfee01004', data: '0x41' } });
    const interrupt = {
      vector: 65,
      destination: 1,
      destinationMode: 'logical',
      deliveryMode: 'fixed',
      triggerMode: 'edge',
    };
    expect(session.explain(q)).toMatchObject({ verdict: 'delivered', interrupt });
  });

  it('scalable mode: DMA says NOT_MODELLED, messages are answered', async () => {
    const session = await open({ 'registers.json': withWords({ '0x20': `0x${(root | 0x400).toString(16)}` }) });
    expect(refusal(session)).toMatchObject({ code: 'NOT_MODELLED' });
    expect(refusal(session).message).toMatch(/scalable mode/);
    expect(session.explain(message).verdict).toBe('delivered');
  });

  it('a DWORD write to 0xFEEx_xxxx is an interrupt request, a read a fault', async () => {
    const session = await open({});
    const at = (access: string) => questionOf({ dma: { requester: '00:04.0', iova: '0xfee00298', access } });
    expect(session.explain(at('write')).verdict).toBe('interrupt');
    expect(session.explain(at('read')).verdict).toBe('fault');
  });
});

describe('damaged dumps', () => {
  it('cut: what is there is asked, and what is not is named', async () => {
    for (const [name, bytes] of [
      ['memory.elf', elf.subarray(0, 0x10_0000)],
      ['memory.elf.gz', gzipSync(elf, { level: 1 }).subarray(0, 3000)],
    ] as const) {
      const session = await open({ 'memory.elf': null, [name]: bytes });
      expect(session.problems.join('\n')).toMatch(/ends after \d+ bytes: memory 0x/);
      const error = refusal(session);
      expect(error).toMatchObject({ code: 'NOT_IN_CAPTURE' });
      expect(error.message).toMatch(/the walk reached .* at 0x[0-9a-f]+, which the input does not hold/);
      expect(error.details['steps']).not.toEqual([]);
    }
  });

  it.each([
    ['empty', Buffer.alloc(0), /memory dump|empty/],
    ['text', Buffer.from('not a dump'), /memory\.elf: the file ends/],
    ['headers only', 30, /ends after 30 bytes/],
  ])('%s: the sentence names the file', async (_, content, why) => {
    const bytes = typeof content === 'number' ? elf.subarray(0, content) : content;
    const dir = directory({ 'memory.elf': bytes });
    await expect(openSession(dir, plugins)).rejects.toThrow(why);
    await expect(openSession(dir, plugins)).rejects.toMatchObject({ code: 'UNREADABLE_INPUT' });
  });

  it('a gzip stream with a flipped bit is read as far as it goes', async () => {
    const bytes = gzipSync(elf, { level: 1 });
    bytes[2000] = bytes[2000]! ^ 0xff;
    const dir = directory({ 'memory.elf': null, 'memory.elf.gz': bytes });
    const session = await openSession(dir, plugins).catch((error: unknown) => error);
    if (session instanceof DoorbellError) expect(session.message).toMatch(/memory\.elf\.gz/);
    else expect((session as Session).problems.join('\n')).toMatch(/memory\.elf\.gz/);
  });

  it('there is none, or no directory', async () => {
    await expect(open({ 'memory.elf': null })).rejects.toThrow(/there is no memory dump/);
    await expect(openSession(join(scratch, 'nowhere'), plugins)).rejects.toThrow(/there is no such file/);
  });
});

describe('damaged registers', () => {
  it('missing, where firmware describes the unit: nothing is guessed', async () => {
    const file = JSON.parse(gunzipSync(readFileSync(fixture)).toString('utf8')) as SnapshotFile;
    const path = join(scratch, 'no-registers.json');
    writeFileSync(path, JSON.stringify({ ...file, registers: {} }));
    const session = await openSession(path, plugins);
    expect(refusal(session)).toMatchObject({ code: 'NOT_IN_CAPTURE' });
    expect(refusal(session).message).toMatch(/no registers of dmar0 at 0xfed90000/);
  });

  it('missing altogether, and nothing else says what there is: nothing is guessed either', async () => {
    const session = await open({ 'registers.json': null });
    expect(session.problems.join('\n')).toMatch(/there is no registers.json/);
    expect(refusal(session)).toMatchObject({ code: 'NOT_IN_CAPTURE' });
  });

  it('no JSON: said with the place', async () => {
    const session = await open({ 'registers.json': '{"kind": "vtd", ' });
    expect(session.problems.join('\n')).toMatch(/registers.json: no JSON/);
  });

  it('without the root table: named', async () => {
    const words = Object.fromEntries(Object.entries(registers.words).filter(([at]) => at !== '0x20'));
    const session = await open({ 'registers.json': JSON.stringify({ ...registers, words }) });
    expect(session.problems.join('\n')).toMatch(/RTADDR is missing/);
    expect(refusal(session)).toMatchObject({ code: 'NOT_IN_CAPTURE' });
  });

  it('of a unit that nobody models: NO_BACKEND', async () => {
    const session = await open({
      'registers.json': JSON.stringify({ kind: 'other', base: '0xfed80000', words: { '0x0': '0x1' } }),
    });
    expect(refusal(session)).toMatchObject({ code: 'NO_BACKEND' });
  });
});

describe('damaged tables', () => {
  it('a root table outside memory is a fault that names the address', async () => {
    const session = await open({ 'registers.json': withWords({ '0x20': '0x0', '0x24': '0x7f' }) });
    const answer = session.explain(read);
    expect(answer).toMatchObject({ verdict: 'fault', fault: { code: '0x8', name: 'ROOT_TABLE_READ_ERROR' } });
    expect(answer.missing).toEqual(['0x7f00000000']);
  });

  it('tables in a circle end, in questions and in snapshots', async () => {
    const session = await open({});
    const { steps } = session.explain(read);
    const entry = steps.find((s) => s.what === 'second-level PTE, level 3')!;
    const page = Number(entry.at) - (Number(entry.at) % 4096);
    for (let i = 0; i < 512; i++) session.memory.write64(page + 8 * i, 0, page + 3);
    expect(session.explain(read).verdict).toBe('translated');
    const circular = Buffer.concat([...saveElfCore(session.memory, { machine: 62 })].map((b) => Buffer.from(b)));
    expect((await takeSnapshot(directory({ 'memory.elf': circular }), plugins)).extents.length).toBeLessThan(100);
  });

  it('random damage never ends in anything but an answer', async () => {
    const session = await open({});
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

describe('states of an Arm machine', () => {
  const arm = join(import.meta.dirname, 'fixtures/arm-smmuv3-its-nvme.snapshot.gz');
  const msi = (data: number, address = '0xfffff040') => questionOf({ msi: { requester: '00:01.0', address, data } });
  const dma = questionOf({ dma: { requester: '00:01.0', iova: '0xfffdf000' } });
  /** A session whose memory was changed at a word of the walk of `question`. */
  const changed = async (what: string, word: number, change: (old: number) => number, question = dma) => {
    const session = await openSession(arm, plugins);
    const step = session.explain(question).steps.find((s) => s.what === what)!;
    const at = Number(step.at) - (Number(step.at) % 4) + 4 * word;
    session.memory.write32(at, change(session.memory.read32(at)) >>> 0);
    return session;
  };
  const config = (value: number) => (old: number) => (old & ~0xe) | (value << 1);

  it('an STE that bypasses: nothing is walked, and the doorbell is written where it is', async () => {
    const session = await changed('STE', 0, config(4));
    expect(session.explain(dma)).toMatchObject({ verdict: 'bypass', pa: '0xfffdf000' });
    expect(session.explain(msi(0, '0x8090040'))).toMatchObject({ verdict: 'delivered', interrupt: { intid: 8193 } });
    expect(session.explain(msi(0))).toMatchObject({
      verdict: 'blocked',
      fault: { code: null, name: 'NOT_A_DOORBELL' },
    });
  });

  it('an STE that aborts is silent, one that is not valid is recorded', async () => {
    const aborting = await changed('STE', 0, config(0));
    const fault = { code: null, name: 'STE_ABORT' };
    expect(aborting.explain(dma)).toMatchObject({ verdict: 'fault', fault, recorded: false });
    expect(aborting.explain(msi(0))).toMatchObject({ verdict: 'blocked', fault });
    const invalid = await changed('STE', 0, (old) => old & ~1);
    expect(invalid.explain(dma)).toMatchObject({
      verdict: 'fault',
      fault: { code: '0x4', name: 'C_BAD_STE' },
      recorded: true,
    });
  });

  it('a table outside memory is F_WALK_EABT, and the address is named', async () => {
    const session = await changed('stage-1 descriptor, level 1', 1, () => 0xff);
    const answer = session.explain(dma);
    expect(answer).toMatchObject({ verdict: 'fault', fault: { name: 'F_WALK_EABT' } });
    expect(answer.missing).toHaveLength(1);
  });

  it('a disabled LPI is pending and blocked, an unmapped event is refused', async () => {
    const what = 'LPI 8193 configuration byte';
    const shift = Number((await openSession(arm, plugins)).explain(msi(0)).steps.find((s) => s.what === what)!.at) % 4;
    const disabled = await changed(what, 0, (old) => old & ~(1 << (8 * shift)), msi(0));
    expect(disabled.explain(msi(0))).toMatchObject({ verdict: 'blocked', fault: { code: null, name: 'LPI_DISABLED' } });
    const unmapped = await changed('GITS ITE', 0, (old) => old & ~1, msi(0));
    expect(unmapped.explain(msi(0))).toMatchObject({ fault: { name: 'UNMAPPED_EVENT' } });
  });

  const without = async (change: (file: { -readonly [K in keyof SnapshotFile]: SnapshotFile[K] }) => void) => {
    const file = JSON.parse(gunzipSync(readFileSync(arm)).toString('utf8')) as SnapshotFile;
    change(file);
    const path = join(scratch, `arm${n++}.json`);
    writeFileSync(path, JSON.stringify(file));
    return openSession(path, plugins);
  };
  type Blocks = { blocks: { base: string; registers: Record<string, { value: string }> }[] };
  const set = (file: SnapshotFile, base: string, name: string, value: string) => {
    (file.registers as Blocks).blocks.find((b) => b.base === base)!.registers[name]!.value = value;
  };

  it('a disabled ITS, and a disabled SMMU with and without GBPA.ABORT', async () => {
    const noIts = await without((f) => set(f, '0x08080000', 'GITS_CTLR', '0x80000000'));
    expect(noIts.explain(msi(0))).toMatchObject({ fault: { code: null, name: 'ITS_DISABLED' } });
    const off = await without((f) => set(f, '0x09050000', 'CR0ACK', '0x0000000c'));
    expect(off.explain(dma)).toMatchObject({ verdict: 'bypass', pa: '0xfffdf000' });
    const aborting = await without((f) => {
      set(f, '0x09050000', 'CR0ACK', '0x0000000c');
      set(f, '0x09050000', 'GBPA', '0x00100000');
    });
    expect(aborting.explain(dma)).toMatchObject({ verdict: 'fault', fault: { code: null, name: 'GBPA_ABORT' } });
  });

  it('ids of another number at the SMMU and at the ITS: each is found', async () => {
    const session = await without((f) => {
      f.nodes = f.nodes.map((node) => ({
        ...node,
        ...(node.iommuMap && { iommuMap: [{ inputBase: 0x100, count: 256, outputBase: 0, to: 'smmu0' }] }),
        ...(node.msiMap && { msiMap: [{ inputBase: 0x100, count: 256, outputBase: 0, to: 'its0' }] }),
      }));
      f.requesters = { ...f.requesters, aliases: {}, buses: {} };
    });
    const at = (requester: string) => questionOf({ msi: { requester, address: '0xfffff040', data: 0 } });
    const delivered = { verdict: 'delivered', interrupt: { deviceId: 8, intid: 8193 } };
    expect(session.explain(at('01:01.0'))).toMatchObject(delivered);
    // A hex string is the unit's own id.
    expect(session.explain(at('0x8'))).toMatchObject(delivered);
  });

  it('without a device tree: the SMMU is known by its registers, who takes messages is not', async () => {
    const file = JSON.parse(gunzipSync(readFileSync(arm)).toString('utf8')) as SnapshotFile;
    const { memory } = await openSession(arm, plugins);
    const core = Buffer.concat([...saveElfCore(memory, { machine: 183 })].map((b) => Buffer.from(b)));
    const [smmuv3] = (file.registers as Blocks).blocks.filter((b) => b.base === '0x09050000');
    const session = await openSession(
      directory({ 'memory.elf': core, 'registers.json': JSON.stringify({ smmuv3 }) }),
      plugins,
    );
    expect(session.explain(dma)).toMatchObject({ verdict: 'translated', pa: '0x440a6000' });
    expect(refusal(session, msi(0))).toMatchObject({ code: 'NOT_IN_CAPTURE' });
  });

  const acpi = (name: string) => readFileSync(join(import.meta.dirname, 'fixtures/virt-acpi', name));
  type Block = { kind: string; base: string; registers: Record<string, object> };
  const machine = async (change: (blocks: Block[]) => Block[], apic: string) => {
    const file = JSON.parse(gunzipSync(readFileSync(arm)).toString('utf8')) as SnapshotFile;
    const { memory } = await openSession(arm, plugins);
    const core = Buffer.concat([...saveElfCore(memory, { machine: 183 })].map((b) => Buffer.from(b)));
    const { blocks } = file.registers as { blocks: Block[] };
    const registers = Object.fromEntries(change(blocks).map((b, i) => [`${b.kind}${i}`, b]));
    const tables = { 'IORT.dat': acpi('IORT.dat'), 'APIC.dat': acpi(apic), 'MCFG.dat': acpi('MCFG.dat') };
    return directory({ 'memory.elf': core, 'registers.json': JSON.stringify(registers), ...tables });
  };

  it('booted with ACPI: every fact holds without a device tree', async () => {
    const session = await openSession(await machine((b) => b, 'APIC.dat'), plugins);
    const text = gunzipSync(
      readFileSync(join(import.meta.dirname, 'fixtures/arm-smmuv3-its-nvme.truth.json.gz')),
    ).toString();
    const { facts } = readTruth(JSON.parse(text));
    for (const { question, said, expected, source } of facts)
      expect({ source, said: said(session.explain(question)) }).toEqual({ source, said: expected });
    expect(facts).toHaveLength(984);
  });

  it.each([
    ['', 0x20000, 0x11],
    [' of GICv4', 0x40000, 0x13],
  ])('with four redistributors%s', async (_, stride, typer) => {
    const dir = await machine((blocks) => {
      const gicr = blocks.find((b) => b.kind === 'gicr')!;
      const cpus = [0, 1, 2, 3].map((cpu) => ({
        ...gicr,
        base: `0x${(0x080a0000 + cpu * stride).toString(16)}`,
        registers: {
          ...gicr.registers,
          GICR_TYPER: { offset: '0x8', width: 64, value: `0x${(cpu * 256 + typer).toString(16)}` },
        },
      }));
      return [...blocks.filter((b) => b !== gicr), ...cpus];
    }, 'APIC-4.dat');
    const session = await openSession(dir, plugins);
    expect(session.explain(msi(0))).toMatchObject({ verdict: 'delivered', interrupt: { intid: 8193, cpu: 0 } });
    // MAPC to the last of them.
    const step = session.explain(msi(0)).steps.find((s) => s.what === 'GITS CTE')!;
    session.memory.write32(Number(step.at), 1 | (3 << 1));
    expect(session.explain(msi(0))).toMatchObject({ verdict: 'delivered', interrupt: { intid: 8193, cpu: 3 } });
  });
});

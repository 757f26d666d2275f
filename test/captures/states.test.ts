import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { openSession, questionOf, takeSnapshot, type Session, type SnapshotFile } from '@doorbell/inspect';
import { PhysicalMemory } from '@doorbell/platform';
import { describe, expect, it } from 'vitest';
import { ARM, coreOf, message, Mini, read, readFixture, refusal } from './mini.js';
import { readTruth } from './truth.js';

const mini = new Mini();

describe('other states of the unit', () => {
  it('translation off: DMA passes, messages are still remapped', async () => {
    const session = await mini.open({ 'registers.json': mini.withWords({ '0x1c': '0x47000000' }) });
    expect(session.explain(read)).toMatchObject({ verdict: 'bypass', pa: '0xfff8f000' });
    expect(session.explain(message).verdict).toBe('delivered');
  });

  it('interrupt remapping off: a compatibility message passes unchanged', async () => {
    const session = await mini.open({ 'registers.json': mini.withWords({ '0x1c': '0xc4000000' }) });
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
    const rtaddr = `0x${(mini.root | 0x400).toString(16)}`;
    const directory = mini.directory({ 'registers.json': mini.withWords({ '0x20': rtaddr }) });
    const session = await openSession(directory, mini.plugins);
    expect(refusal(session)).toMatchObject({ code: 'NOT_MODELLED', details: { unit: 'dmar0', id: 0x20 } });
    expect(refusal(session).message).toContain(
      `dmar0 takes 0000:00:04.0 under id 0x20, but RTADDR (offset 0x20) = ${rtaddr} has TTM = 1, scalable mode`,
    );
    expect(session.explain(message).verdict).toBe('delivered');
    const { leftOut } = await takeSnapshot(directory, mini.plugins);
    expect(leftOut.join('\n')).toMatch(/tables of dmar0 .* scalable mode/);
  });

  it('a DWORD write to 0xFEEx_xxxx is an interrupt request, a read a fault', async () => {
    const session = await mini.open({});
    const at = (access: string) => questionOf({ dma: { requester: '00:04.0', iova: '0xfee00298', access } });
    expect(session.explain(at('write')).verdict).toBe('interrupt');
    expect(session.explain(at('read')).verdict).toBe('fault');
  });
});

it('a message into a domain without a doorbell: forged, or sent to the wrong address', async () => {
  const session = await mini.open({});
  const answer = session.explain(questionOf({ msi: { requester: '00:04.0', address: '0x1000', data: '0x0' } }));
  expect(answer).toMatchObject({ verdict: 'blocked', fault: { name: 'WRITE_WITHOUT_PERMISSION' } });
  expect(answer.remedy).toMatch(/^nothing, if the message is forged; else program the function .* or map the page/);
});

describe('other shapes of tables', () => {
  /** Words of the context entry of 00:04.0, and where its tables are. */
  const walk = (session: Session) => {
    const { steps } = session.explain(read);
    const at = (what: string) => Number(steps.find((s) => s.what === what)!.at);
    return {
      context: at('context entry'),
      level4: at('second-level PTE, level 4'),
      level3: at('second-level PTE, level 3'),
      leaf: at('second-level PTE, level 1'),
    };
  };

  it('three levels: AW = 1, and an address beyond 39 bits', async () => {
    const session = await mini.open({});
    const { context, level3 } = walk(session);
    session.memory.write32(context, (level3 & ~0xfff) | 1);
    session.memory.write32(context + 8, (session.memory.read32(context + 8) & ~7) | 1);
    const answer = session.explain(read);
    expect(answer).toMatchObject({ verdict: 'translated', pa: '0x7021000' });
    expect(answer.steps.some((s) => s.what === 'second-level PTE, level 4')).toBe(false);
    const beyond = questionOf({ dma: { requester: '00:04.0', iova: '0x8000000000' } });
    expect(session.explain(beyond)).toMatchObject({ verdict: 'fault', fault: { code: '0x4' } });
  });

  it('pass-through: TT = 2', async () => {
    const session = await mini.open({});
    const { context } = walk(session);
    session.memory.write32(context, (session.memory.read32(context) & ~0xc) | 8);
    expect(session.explain(read)).toMatchObject({ verdict: 'bypass', pa: '0xfff8f000' });
    expect(session.explain(message).verdict).toBe('delivered');
  });

  it('memory above 4 GiB: pages and tables', async () => {
    const session = await mini.open({});
    const { memory } = session;
    const { leaf, level4 } = walk(session);
    memory.write32(leaf + 4, 1);
    expect(session.explain(read)).toMatchObject({ verdict: 'translated', pa: '0x107021000' });
    // The level-4 table's successor moves to 4 GiB.
    const GIB4 = 2 ** 32;
    const whole = new PhysicalMemory([...memory.banks, { base: GIB4, size: 0x10_0000 }]);
    whole.restore(memory.snapshot());
    const table = new Uint8Array(4096);
    memory.readBytes(memory.read32(level4) & ~0xfff, table);
    whole.writeBytes(GIB4 + 0x3000, table);
    whole.write64(level4, 1, 0x3003);
    const core = coreOf(whole);
    const high = (await mini.open({ 'memory.elf': core })).explain(read);
    expect(high).toMatchObject({ verdict: 'translated', pa: '0x107021000' });
    expect(high.steps.find((s) => s.what === 'second-level PTE, level 3')!.at).toBe('0x100003018');
  });

  it('a flat image that covers where registers lie', async () => {
    const { memory } = await mini.open({});
    const flat = Buffer.alloc(0x800_0000);
    for (const bank of memory.banks.filter((b) => b.base + b.size <= flat.length))
      memory.readBytes(bank.base, flat.subarray(bank.base, bank.base + bank.size));
    // The unit's registers move into what the image calls memory.
    const session = await mini.open({
      'memory.elf': null,
      'memory@0x0.raw': flat,
      'registers.json': JSON.stringify({ ...mini.registers, base: '0x100000' }),
    });
    expect(session.explain(read)).toMatchObject({ verdict: 'translated', pa: '0x7021000' });
  });

  it('caching mode: what is not present is told from memory all the same', async () => {
    const session = await mini.open({ 'registers.json': mini.withWords({ '0x8': '0x222f0686' }) });
    expect(session.problems.filter((p) => !/firmware|ACPI|APIC/.test(p))).toEqual([]);
    const absent = questionOf({ dma: { requester: '00:08.0', iova: '0x110000' } });
    const [first, second] = [session.explain(absent), session.explain(absent)];
    expect(first).toMatchObject({ verdict: 'fault', fault: { code: '0x6' } });
    expect(second).toEqual(first);
    expect(session.explain(read).verdict).toBe('translated');
  });
});

describe('states of an Arm machine', () => {
  const msi = (data: number, address = '0xfffff040') => questionOf({ msi: { requester: '00:01.0', address, data } });
  const dma = questionOf({ dma: { requester: '00:01.0', iova: '0xfffdf000' } });
  /** A session whose memory was changed at a word of the walk of `question`. */
  const changed = async (what: string, word: number, change: (old: number) => number, question = dma) => {
    const session = await openSession(ARM, mini.plugins);
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
    const shift =
      Number((await openSession(ARM, mini.plugins)).explain(msi(0)).steps.find((s) => s.what === what)!.at) % 4;
    const disabled = await changed(what, 0, (old) => old & ~(1 << (8 * shift)), msi(0));
    expect(disabled.explain(msi(0))).toMatchObject({ verdict: 'blocked', fault: { code: null, name: 'LPI_DISABLED' } });
    const unmapped = await changed('GITS ITE', 0, (old) => old & ~1, msi(0));
    expect(unmapped.explain(msi(0))).toMatchObject({ fault: { name: 'UNMAPPED_EVENT' } });
  });

  type Blocks = { blocks: { base: string; registers: Record<string, { value: string }> }[] };
  const set = (file: SnapshotFile, base: string, name: string, value: string) => {
    (file.registers as Blocks).blocks.find((b) => b.base === base)!.registers[name]!.value = value;
  };

  it('a disabled ITS, and a disabled SMMU with and without GBPA.ABORT', async () => {
    const noIts = await mini.changed(ARM, (f) => set(f, '0x08080000', 'GITS_CTLR', '0x80000000'));
    expect(noIts.explain(msi(0))).toMatchObject({ fault: { code: null, name: 'ITS_DISABLED' } });
    const off = await mini.changed(ARM, (f) => set(f, '0x09050000', 'CR0ACK', '0x0000000c'));
    expect(off.explain(dma)).toMatchObject({ verdict: 'bypass', pa: '0xfffdf000' });
    const aborting = await mini.changed(ARM, (f) => {
      set(f, '0x09050000', 'CR0ACK', '0x0000000c');
      set(f, '0x09050000', 'GBPA', '0x00100000');
    });
    expect(aborting.explain(dma)).toMatchObject({ verdict: 'fault', fault: { code: null, name: 'GBPA_ABORT' } });
  });

  it('ids of another number at the SMMU and at the ITS: each is found', async () => {
    const session = await mini.changed(ARM, (f) => {
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
    const file = readFixture(ARM);
    const { memory } = await openSession(ARM, mini.plugins);
    const core = coreOf(memory, 183);
    const [smmuv3] = (file.registers as Blocks).blocks.filter((b) => b.base === '0x09050000');
    const session = await openSession(
      mini.directory({ 'memory.elf': core, 'registers.json': JSON.stringify({ smmuv3 }) }),
      mini.plugins,
    );
    expect(session.explain(dma)).toMatchObject({ verdict: 'translated', pa: '0x440a6000' });
    expect(refusal(session, msi(0))).toMatchObject({ code: 'NOT_IN_CAPTURE' });
  });

  const acpi = (name: string) => readFileSync(join(import.meta.dirname, 'fixtures/virt-acpi', name));
  type Block = { kind: string; base: string; registers: Record<string, object> };
  const machine = async (change: (blocks: Block[]) => Block[], apic: string) => {
    const file = readFixture(ARM);
    const { memory } = await openSession(ARM, mini.plugins);
    const core = coreOf(memory, 183);
    const { blocks } = file.registers as { blocks: Block[] };
    const registers = Object.fromEntries(change(blocks).map((b, i) => [`${b.kind}${i}`, b]));
    const tables = { 'IORT.dat': acpi('IORT.dat'), 'APIC.dat': acpi(apic), 'MCFG.dat': acpi('MCFG.dat') };
    return mini.directory({ 'memory.elf': core, 'registers.json': JSON.stringify(registers), ...tables });
  };

  it('booted with ACPI: every fact holds without a device tree', async () => {
    const session = await openSession(await machine((b) => b, 'APIC.dat'), mini.plugins);
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
    const session = await openSession(dir, mini.plugins);
    expect(session.explain(msi(0))).toMatchObject({ verdict: 'delivered', interrupt: { intid: 8193, cpu: 0 } });
    // MAPC to the last of them.
    const step = session.explain(msi(0)).steps.find((s) => s.what === 'GITS CTE')!;
    session.memory.write32(Number(step.at), 1 | (3 << 1));
    expect(session.explain(msi(0))).toMatchObject({ verdict: 'delivered', interrupt: { intid: 8193, cpu: 3 } });
  });
});

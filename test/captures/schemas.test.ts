import { openSession, questionOf } from '@doorbell/inspect';
import { describe, expect, it } from 'vitest';
import { ARM, coreOf, message, Mini, read, readFixture, refusal, X86 } from './mini.js';

const mini = new Mini();

describe('other forms of registers.json', () => {
  it.each([
    ['a list of blocks, with numbers', (r: object) => [r]],
    ['blocks by name', (r: object) => ({ vtd: r })],
    ['lists by name', (r: object) => ({ units: [r] })],
  ])('%s', async (_, shape) => {
    const { base, words, kind } = mini.registers;
    const numbers = Object.fromEntries(Object.entries(words).map(([at, w]) => [String(Number(at)), Number(w)]));
    // Zeros left out come back by `covered`, wherever the block stands.
    const sparse = Object.fromEntries(Object.entries(numbers).filter(([, w]) => w !== 0));
    const block = { kind, base: Number(base), covered: [0, 0x230], words: sparse };
    const session = await mini.open({ 'registers.json': JSON.stringify(shape(block)) });
    expect(session.explain(read)).toMatchObject({ verdict: 'translated', pa: '0x7021000' });
    expect(session.explain(message).verdict).toBe('delivered');
  });

  it('without IRTA messages are not answered, DMA is', async () => {
    const words = Object.fromEntries(Object.entries(mini.registers.words).filter(([at]) => at !== '0xb8'));
    const session = await mini.open({ 'registers.json': JSON.stringify({ ...mini.registers, words }) });
    expect(session.explain(read).verdict).toBe('translated');
    expect(refusal(session, message)).toMatchObject({ code: 'NOT_IN_CAPTURE' });
    expect(refusal(session, message).message).toMatch(/IRTA is missing/);
  });

  it('GIC and ITS are known by their registers where no device tree is', async () => {
    const { memory } = await openSession(ARM, mini.plugins);
    const { blocks } = readFixture(ARM).registers as { blocks: { kind: string }[] };
    const registers = Object.fromEntries(blocks.map((b) => [b.kind, b]));
    const session = await openSession(
      mini.directory({ 'memory.elf': coreOf(memory, 183), 'registers.json': JSON.stringify(registers) }),
      mini.plugins,
    );
    const q = questionOf({ msi: { requester: '00:01.0', address: '0xfffff040', data: 0 } });
    expect(session.explain(q)).toMatchObject({ verdict: 'delivered', interrupt: { intid: 8193, cpu: 0 } });
    expect(session.problems.join('\n')).toMatch(/its0: messages are taken to end there/);
  });
});

it('memory in two raw files, below and above 4 GiB', async () => {
  const session = await mini.open({});
  const { memory } = session;
  const leaf = session.explain(read).steps.findLast((s) => s.what === 'second-level PTE, level 1')!;
  const level2 = session.explain(read).steps.find((s) => s.what === 'second-level PTE, level 2')!;
  const high = Buffer.alloc(0x1000);
  memory.readBytes(Number(leaf.at) & ~0xfff, high);
  memory.write64(Number(level2.at), 1, 0x3);
  const low = Buffer.alloc(0x800_0000);
  for (const b of memory.banks.filter((x) => x.base + x.size <= low.length))
    memory.readBytes(b.base, low.subarray(b.base, b.base + b.size));
  const parts = { 'memory.elf': null, 'memory@0x0.raw': low, 'memory@0x100000000.raw': high };
  const answer = (await mini.open(parts)).explain(read);
  expect(answer).toMatchObject({ verdict: 'translated', pa: '0x7021000' });
  expect(answer.steps.findLast((s) => s.what === 'second-level PTE, level 1')!.at).toBe('0x100000c78');
});

it('addresses that nobody translates keep all of their 64 bits', async () => {
  const session = await mini.changed(X86, (f) => {
    const r = f.registers as { words: Record<string, string> };
    f.registers = { ...r, words: { ...r.words, '0x1c': '0x47000000' } };
  });
  const q = questionOf({ dma: { requester: '00:04.0', iova: '0x13be2a892276658' } });
  expect(session.explain(q)).toMatchObject({ verdict: 'bypass', pa: '0x13be2a892276658' });
});

it('a frame whose GIC nobody models: DMA is answered, messages say what is missing', async () => {
  const session = await mini.changed(ARM, (f) => {
    f.nodes = f.nodes
      .filter((n) => n.name !== 'its0')
      .map((n) => {
        if (n.name === 'gic0') return { ...n, compatible: 'somebody,gic' };
        return n.msiMap ? { ...n, msiMap: n.msiMap.map((e) => ({ ...e, to: 'v2m0' })) } : n;
      });
    f.nodes = [...f.nodes, { name: 'v2m0', compatible: 'arm,gic-v2m-frame', reg: [{ base: 0x8020000, size: 0x1000 }] }];
  });
  const dma = questionOf({ dma: { requester: '00:01.0', iova: '0xfffdf000' } });
  expect(session.explain(dma).verdict).toBe('translated');
  const q = questionOf({ msi: { requester: '00:01.0', address: '0xfffff040', data: 80 } });
  expect(refusal(session, q)).toMatchObject({ code: 'NO_BACKEND' });
  expect(refusal(session, q).message).toMatch(/v2m0/);
});

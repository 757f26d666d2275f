import { createHash } from 'node:crypto';
import { newOutcome, newRequest, parseBdf, Platform, READ, Verdict, WRITE, type Delivery } from '@doorbell/platform';
import { apic } from '@doorbell/x86-apic';
import { capture, vtd, type VtdUnit } from '@doorbell/x86-vtd';
import { beforeAll, describe, expect, it } from 'vitest';
import { gzippedJson, json, loadElf, present } from './shared.js';

const NAME = 'x86-vtd-nvme';
const there = present(NAME);

interface Fact {
  readonly kind: string;
  readonly requester: string;
  readonly iova?: string;
  readonly pa?: string;
  readonly perm?: string;
  readonly page_size?: number;
  readonly domain?: number;
  readonly access?: 'r' | 'w';
  readonly reason?: string;
  readonly ascii?: string;
  readonly msi?: { readonly address: string; readonly data: string };
  readonly delivers?: {
    readonly vector: number;
    readonly dest: number;
    readonly destmode: string;
    readonly delivery: number;
  };
}

interface Truth {
  readonly facts: readonly Fact[];
  readonly dma_aliases: { readonly map: Readonly<Record<string, string>> };
  readonly requesters: Readonly<Record<string, { readonly leaf_entries: number; readonly digest: string }>>;
}

const PERMISSIONS: Readonly<Record<number, string>> = { [READ]: 'r', [WRITE]: 'w', [READ | WRITE]: 'rw' };
const DELIVERY = ['fixed', 'lowest-priority', 'smi', 'reserved', 'nmi', 'init', 'reserved', 'extint'];

describe.skipIf(!there)(`${NAME}: a real kernel's tables`, () => {
  let platform: Platform;
  let unit: VtdUnit;
  let truth: Truth;
  let delivered: Delivery | null = null;
  beforeAll(() => {
    truth = json(NAME, 'truth.json') as Truth;
    const registers = json(NAME, 'registers.json');
    // The driver must not run here: it would set the unit up anew. Only the model is restored.
    platform = new Platform({ memory: [{ base: 0, size: 128 * 2 ** 20 }] })
      .use(apic({ cpus: 2 }), vtd())
      .node(capture.node(registers))
      .compose();
    platform.memoryModel.restore([]);
    loadElf(NAME, 'memory.elf.gz', platform.memoryModel);
    unit = platform.model('dmar0') as VtdUnit;
    expect(capture.restore(unit, registers)).toEqual({ problems: [] });
    platform.hooks.delivered.tap('test', (event) => void (delivered = event));
  });

  const id = (name: string) =>
    name.startsWith('0x') ? Number(name) : parseBdf(truth.dma_aliases.map[name] ?? name)!.requester;
  const request = newRequest();
  const out = newOutcome();
  const dma = (requester: string, iova: number, access: number) => {
    const stream = id(requester);
    Object.assign(request, {
      requester: stream,
      stream,
      hi: Math.floor(iova / 2 ** 32),
      lo: iova >>> 0,
      access,
      size: 4,
    });
    return unit.translate(request, out);
  };

  /** What the model says of a fact, in the fact's own fields. */
  const ask = (f: Fact): unknown => {
    switch (f.kind) {
      case 'translation': {
        const verdict = dma(f.requester, Number(f.iova), f.perm!.includes('r') ? READ : WRITE);
        if (verdict !== Verdict.translated) return { fault: out.fault };
        return { pa: out.pa, perm: PERMISSIONS[out.permissions], page_size: out.pageSize };
      }
      case 'content': {
        if (dma(f.requester, Number(f.iova), READ) !== Verdict.translated) return { fault: out.fault };
        const bytes = new Uint8Array(f.ascii!.length);
        platform.memoryModel.readBytes(out.pa, bytes);
        return { ascii: new TextDecoder().decode(bytes) };
      }
      case 'dma-fault':
        return dma(f.requester, Number(f.iova), f.access === 'w' ? WRITE : READ) === Verdict.fault
          ? { reason: out.code }
          : { pa: out.pa };
      default: {
        const stream = f.requester === 'ioapic' ? 0xff00 : id(f.requester);
        const lo = Number(f.msi!.address);
        Object.assign(request, {
          requester: stream,
          stream,
          hi: 0,
          lo,
          access: WRITE,
          size: 4,
          data: Number(f.msi!.data),
        });
        delivered = null;
        if (unit.translate(request, out) !== Verdict.interrupt || !unit.interrupt(request, out))
          return { reason: out.code };
        const { vector, destination, destinationMode, deliveryMode } = delivered as unknown as Delivery;
        return {
          vector,
          dest: destination,
          destmode: destinationMode,
          delivery: DELIVERY.indexOf(String(deliveryMode)),
        };
      }
    }
  };
  const expected = (f: Fact): unknown => {
    switch (f.kind) {
      case 'translation':
        return { pa: Number(f.pa), perm: f.perm, page_size: f.page_size };
      case 'content':
        return { ascii: f.ascii };
      case 'msi':
        return f.delivers;
      default:
        return { reason: Number(f.reason) };
    }
  };

  it('answers every fact of truth.json as Linux and QEMU did', () => {
    const agreed: Record<string, number> = {};
    for (const fact of truth.facts) {
      expect(['translation', 'content', 'dma-fault', 'msi', 'msi-fault']).toContain(fact.kind);
      expect({ fact, answer: ask(fact) }).toEqual({ fact, answer: expected(fact) });
      agreed[fact.kind] = (agreed[fact.kind] ?? 0) + 1;
    }
    console.info(`${NAME}: in file ${truth.facts.length}, agreed`, agreed);
    expect(agreed).toEqual({ translation: 577, 'dma-fault': 77, content: 52, msi: 29, 'msi-fault': 4 });
  });

  it('finds every leaf of every requester: the digests agree', () => {
    const mappings = gzippedJson(NAME, 'mappings.json.gz') as Record<string, [string, string, string, string][]>;
    let leaves = 0;
    for (const [requester, { leaf_entries, digest }] of Object.entries(truth.requesters)) {
      // Requesters that share a table are listed once.
      const twin = Object.keys(truth.requesters).find((r) => r in mappings && truth.requesters[r]!.digest === digest);
      const lines = (mappings[twin ?? requester] ?? []).map(([iova]) => {
        expect(dma(requester, parseInt(iova, 16), READ)).toBe(Verdict.translated);
        return `${iova} ${out.pa.toString(16)} ${out.pageSize.toString(16)} ${PERMISSIONS[out.permissions]}`;
      });
      expect(lines).toHaveLength(leaf_entries);
      expect(createHash('sha256').update(lines.join('\n')).digest('hex')).toBe(digest);
      leaves += lines.length;
    }
    console.info(`${NAME}: ${leaves} leaves`);
    expect(leaves).toBeGreaterThan(500);
  });

  it('disagrees when one bit of a deciding word is flipped', () => {
    const step = Math.floor(truth.facts.length / 60);
    let flipped = 0;
    for (const fact of truth.facts.filter((f, i) => i % step === 0 && f.kind !== 'content')) {
      if (flipped === 20) break;
      unit.dropCaches();
      const { steps } = platform.trace.record(() => ask(fact));
      const word = steps.filter((s) => s.at !== null && s.words.length > 0).at(-1);
      // A question that no word in memory decides: an address beyond MGAW.
      if (!word) continue;
      flipped++;
      // Bit 0 of a present entry is P or R; where nothing is present, it makes something present.
      const at = word.at!;
      const old = platform.memoryModel.read32(at);
      platform.memoryModel.write32(at, (old ^ (old & 1 || fact.access !== 'w' ? 1 : 2)) >>> 0);
      unit.dropCaches();
      expect({ fact, answer: ask(fact) }).not.toEqual({ fact, answer: expected(fact) });
      platform.memoryModel.write32(at, old);
    }
    unit.dropCaches();
    expect(flipped).toBe(20);
  });

  it('says what it cannot take over, and answers all the same', () => {
    expect(unit.restoreCapture({ kind: 'amdvi', words: {} }).problems).toContain(
      'these are registers of amdvi, not of a VT-d unit',
    );
    expect(unit.restoreCapture(null).problems).toContain('there are neither words nor named values');
    expect(unit.restoreCapture({ base: '0xfed90000', words: { '0x20': '0x5d41400', zz: 1 } }).problems).toEqual(
      expect.arrayContaining([expect.stringMatching(/scalable mode/), expect.stringMatching(/^zz: /)]),
    );
    const registers = json(NAME, 'registers.json') as { named: unknown };
    expect(unit.restoreCapture({ kind: 'vtd', named: registers.named })).toEqual({ problems: [] });
    expect(ask(truth.facts[0]!)).toEqual(expected(truth.facts[0]!));
  });
});

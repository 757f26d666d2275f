import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { captures, gicv3, its, type Gicv3, type Its } from '@doorbell/arm-gic';
import {
  newOutcome,
  newRequest,
  Platform,
  READ,
  Verdict,
  WRITE,
  type Delivery,
  type Restorable,
} from '@doorbell/platform';
import { beforeAll, describe, expect, it } from 'vitest';
import { capture, smmuv3, type Smmu } from '../src/index.js';
import { hostBridge } from './machine.js';

const shared = process.env['DOORBELL_SHARED'] ?? join(import.meta.dirname, '../../../../shared');
const directory = join(shared, 'captures/arm-smmuv3-its-nvme');
if (!existsSync(directory)) console.warn(`skipped: the Arm capture of a running Linux: no ${directory}`);

interface Truth {
  smmu: { streamTable: { address: string; log2size: number; split: number } };
  streams: { streamId: string; ste: string[]; cd?: string[] }[];
  translations: { streamId: string; iova: string; size: number; pa: string; perm: string }[];
  faults: { streamId: string; iova: string; access: string; result: string; record?: string[]; silent?: boolean }[];
  events: { index: number; raw: string[] }[];
  msi: {
    streamId: string;
    msi: { address: string; data: string };
    deviceId: string;
    eventId: number;
    lpi: number;
    collection: number;
    targetCpu: number;
    lpiEnabled: boolean;
  }[];
  its: {
    mappings: {
      deviceId: string;
      eventId: number;
      lpi: number;
      collection: number;
      targetCpu: number;
      enabled: boolean;
      pending: boolean;
      error?: string;
    }[];
  };
  deviceRegisters: { streamId: string; iova: string; result: string }[];
  factCount: number;
}

const REFUSALS: Readonly<Record<string, string>> = {
  'event-out-of-range': 'EVENT_OUT_OF_RANGE',
  'unmapped-event': 'UNMAPPED_EVENT',
  'unmapped-device': 'UNMAPPED_DEVICE',
};

/** The PT_LOAD segments of an ELF64 core, into memory; pages of zeros are left out. */
function load(platform: Platform, elf: Buffer): void {
  const phoff = Number(elf.readBigUInt64LE(32));
  for (let i = 0; i < elf.readUInt16LE(56); i++) {
    const h = phoff + i * elf.readUInt16LE(54);
    if (elf.readUInt32LE(h) !== 1) continue;
    const offset = Number(elf.readBigUInt64LE(h + 8));
    const address = Number(elf.readBigUInt64LE(h + 24));
    const size = Number(elf.readBigUInt64LE(h + 32));
    for (let at = 0; at < size; at += 0x1_0000) {
      const piece = elf.subarray(offset + at, offset + Math.min(at + 0x1_0000, size));
      if (piece.some((b) => b !== 0)) platform.memoryModel.writeBytes(address + at, piece);
    }
  }
}

describe.skipIf(!existsSync(directory))('tables that Linux wrote', () => {
  let platform: Platform;
  let smmu: Smmu;
  let truth: Truth;
  const problems: string[] = [];
  let asked = 0;

  beforeAll(() => {
    const json = (name: string): unknown => JSON.parse(readFileSync(join(directory, name), 'utf8'));
    truth = json('truth.json') as Truth;
    const registers = json('registers.json');
    platform = new Platform({
      memory: [{ base: 0x4000_0000, size: 2 ** 28 }],
      pages: { base: 0x4000_0000, size: 2 ** 28 },
    })
      .use(gicv3(), its(), smmuv3.virt(), ...hostBridge())
      .compose();
    platform.memoryModel.restore([]); // what our drivers wrote when they came up
    load(platform, gunzipSync(readFileSync(join(directory, 'memory.elf.gz'))));
    smmu = platform.model('smmu0') as Smmu;
    problems.push(...(platform.model('gic0') as Gicv3).restoreCapture(registers).problems);
    problems.push(...(platform.model('its0') as Its).restoreCapture(registers).problems);
    problems.push(...smmu.restoreCapture(registers).problems);
  });

  const ask = (stream: string, iova: string, access: number) => {
    const v = BigInt(iova);
    const request = { ...newRequest(), stream: Number(stream), requester: Number(stream), access };
    const out = newOutcome();
    request.hi = Number(v >> 32n);
    request.lo = Number(v & 0xffff_ffffn);
    asked++;
    return { verdict: smmu.translate(request, out), ...out };
  };

  it('restores without a problem', () => {
    expect(problems).toEqual([]);
  });

  it('agrees on every stream: the words of its STE and CD', () => {
    for (const s of truth.streams) {
      const { steps } = platform.trace.record(() => ask(s.streamId, '0x0', READ));
      const words = (what: string) =>
        steps.filter((step) => step.what === what).flatMap((step) => step.words.slice(0, 8));
      const quads = (list: string[]) =>
        list.flatMap((q) => [Number(BigInt(q) & 0xffff_ffffn), Number(BigInt(q) >> 32n)]);
      const ste = quads(s.ste);
      expect(words('STE').slice(0, ste.length)).toEqual(ste);
      if (s.cd) expect(words('CD')).toEqual(quads(s.cd));
    }
  });

  it('agrees on every translation, first byte and last', () => {
    for (const t of truth.translations) {
      const access = t.perm.includes('w') ? WRITE : READ;
      const pa = Number(t.pa);
      const got = ask(t.streamId, t.iova, access);
      expect([t.iova, got.verdict, got.pa, got.pageSize]).toEqual([t.iova, Verdict.translated, pa, t.size]);
      expect(ask(t.streamId, `0x${(BigInt(t.iova) + BigInt(t.size) - 4n).toString(16)}`, READ).pa).toBe(
        pa + t.size - 4,
      );
      if (!t.perm.includes('w')) expect(ask(t.streamId, t.iova, WRITE).fault).toBe('F_PERMISSION');
    }
    expect(truth.translations.length).toBe(932);
  });

  it('agrees on every fault, and on the words of its record but for CLASS', () => {
    const differ: string[] = [];
    for (const f of truth.faults) {
      const before = queue();
      const got = ask(f.streamId, f.iova, f.access === 'write' ? WRITE : READ);
      if (got.verdict !== Verdict.fault || (f.silent ? got.recorded : got.fault !== f.result))
        differ.push(`${f.streamId} ${f.iova} ${f.access}: ${f.result}, got ${got.verdict} ${got.fault}`);
      if (f.record) expect(before()).toEqual(f.record.map((r, i) => (i === 1 ? BigInt(r) | (2n << 40n) : BigInt(r))));
    }
    expect(differ).toEqual([]);
  });

  it('agrees on MSIs and on every mapped event', () => {
    const seen: Delivery[] = [];
    const refused: string[] = [];
    platform.hooks.delivered.tap('test', (d) => seen.push(d));
    platform.hooks.refused.tap('test', (r) => refused.push(r.name));
    for (const m of truth.msi) {
      const address = BigInt(m.msi.address);
      platform
        .fabric()
        .write32(Number(m.streamId), Number(address >> 32n), Number(address & 0xffff_ffffn), Number(m.msi.data));
      const { lpi: intid, eventId, collection, targetCpu: cpu } = m;
      if (m.lpiEnabled)
        expect(seen.pop()).toMatchObject({
          controller: 'gicv3-its',
          intid,
          eventId,
          collection,
          cpu,
          deviceId: Number(m.deviceId),
        });
      else expect(refused.pop()).toBe('LPI_DISABLED');
    }
    for (const m of truth.its.mappings) {
      platform.bus.deviceWrite32(0x0809_0040, m.eventId, Number(m.deviceId));
      const { lpi: intid, eventId, collection, targetCpu: cpu } = m;
      if (m.enabled) expect(seen.pop()).toMatchObject({ intid, eventId, collection, cpu });
      else expect(refused.pop()).toBe(m.error ? REFUSALS[m.error] : 'LPI_DISABLED');
    }
    expect([truth.msi.length, truth.its.mappings.length, refused]).toEqual([11, 23, []]);
  });

  it('finds what device registers point at, and the events that Linux left in the queue', () => {
    for (const r of truth.deviceRegisters) expect(ask(r.streamId, r.iova, READ).pa).toBe(Number(r.result));
    for (const e of truth.events) expect(read(0x4bc0_0000 + 32 * e.index)).toEqual(e.raw.map(BigInt));
    console.log(`${truth.factCount} facts in the file, ${asked} questions asked of the SMMU`);
  });

  it('answers the same from the memory that it names as its tables', () => {
    const contributions = [capture, ...captures];
    const registers: unknown = JSON.parse(readFileSync(join(directory, 'registers.json'), 'utf8'));
    const nodes = ['gic0', 'its0', 'smmu0'].map((name) => {
      const node = platform.allNodes.find((n) => n.name === name)!;
      const contribution = contributions.find((c) => c.compatible.includes(node.compatible))!;
      return contribution.node?.(node, registers) ?? node;
    });
    const small = new Platform({ memory: [{ base: 0x4000_0000, size: 2 ** 28 }] })
      .use(...contributions.map((c) => c.plugin()), ...hostBridge())
      .node(...nodes)
      .compose();
    small.memoryModel.restore([]);
    let bytes = 0;
    for (const { name, compatible } of nodes) {
      const contribution = contributions.find((c) => c.compatible.includes(compatible))!;
      for (const { at, size } of contribution.tables!(platform.model(name)!, platform.memoryModel)) {
        const piece = new Uint8Array(size);
        platform.memoryModel.readBytes(at, piece);
        small.memoryModel.writeBytes(at, piece);
        bytes += size;
      }
    }
    for (const { name } of nodes)
      expect((small.model(name) as unknown as Restorable).restoreCapture(registers).problems).toEqual([]);
    expect(bytes).toBeLessThan(600_000);
    const other = small.model('smmu0') as Smmu;
    for (const t of truth.translations) {
      const request = { ...newRequest(), stream: Number(t.streamId), lo: Number(BigInt(t.iova) & 0xffff_ffffn) };
      const out = newOutcome();
      expect([other.translate(request, out), out.pa]).toEqual([Verdict.translated, Number(t.pa)]);
    }
    const seen: Delivery[] = [];
    small.hooks.delivered.tap('test', (d) => seen.push(d));
    for (const m of truth.msi)
      small.fabric().write32(Number(m.streamId), 0, Number(BigInt(m.msi.address)), Number(m.msi.data));
    expect(seen.map((d) => d['intid'])).toEqual(truth.msi.map((m) => m.lpi));
  });

  const read = (at: number): bigint[] =>
    [0, 8, 16, 24].map((o) => {
      const { memoryModel: m } = platform;
      return (BigInt(m.read32(at + o + 4)) << 32n) | BigInt(m.read32(at + o));
    });
  /** Reads the record that the next question leaves. */
  const queue = (): (() => bigint[]) => {
    const prod = platform.bus.read32(0x0905_0000 + 0x100a8) & 0x7fff;
    return () => read(0x4bc0_0000 + 32 * prod);
  };
});

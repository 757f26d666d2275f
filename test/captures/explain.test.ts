import { openSession, type Session } from '@doorbell/inspect';
import { beforeAll, describe, expect, it } from 'vitest';
import { contributions } from './config.js';
import { captureDirectory, json, present } from './shared.js';
import { readTruth, type Fact, type Truth } from './truth.js';

/** What each shared capture's truth.json holds, by kind. */
const CAPTURES: Readonly<
  Record<string, { total: number; asked: Record<string, number>; states: Record<string, number> }>
> = {
  'x86-vtd-nvme': {
    total: 739,
    asked: { translation: 577, content: 52, 'dma-fault': 77, msi: 29, 'msi-fault': 4 },
    states: { content: 52 },
  },
  'arm-smmuv3-its-nvme': {
    total: 1013,
    asked: { streams: 6, translations: 932, faults: 31, deviceRegisters: 4, msi: 11 },
    states: { events: 6, 'its.mappings': 23 },
  },
};

const count = (kinds: readonly { readonly kind: string }[]): Record<string, number> => {
  const n: Record<string, number> = {};
  for (const { kind } of kinds) n[kind] = (n[kind] ?? 0) + 1;
  return n;
};

for (const [name, { total, asked, states }] of Object.entries(CAPTURES)) {
  describe.skipIf(!present(name))(`${name}: what a real kernel wrote`, () => {
    let session: Session;
    let truth: Truth;
    beforeAll(async () => {
      session = await openSession(captureDirectory(name), await contributions());
      truth = readTruth(json(name, 'truth.json'));
    });

    it('is restored without a problem', () => {
      expect(session.problems).toEqual([]);
    });

    it('answers every fact as Linux and QEMU did', () => {
      const begun = performance.now();
      for (const { question, said, expected, source } of truth.facts)
        expect({ source, said: said(session.explain(question)) }).toEqual({ source, said: expected });
      const ms = performance.now() - begun;
      expect(count(truth.facts)).toEqual(asked);
      console.info(`${name}: ${truth.facts.length} questions agreed in ${ms.toFixed(0)} ms`);
    });

    it('has one answer for one question, however often and in whatever order it is asked', () => {
      const some = truth.facts.filter((_, i) => i % 25 === 0);
      const first = some.map((f) => JSON.stringify(session.explain(f.question)));
      const again = [...some].reverse().map((f) => JSON.stringify(session.explain(f.question)));
      expect(again.reverse()).toEqual(first);
    });

    it('disagrees when one bit of a deciding word is flipped', () => {
      const { memory } = session;
      const breaks = (fact: Fact): boolean | null => {
        const answer = session.explain(fact.question);
        const at = answer.deciding === null ? null : answer.steps[answer.deciding]!.at;
        if (at === null || fact.kind === 'content' || fact.kind === 'streams') return null;
        const aligned = Number(at) - (Number(at) % 4);
        const old = memory.read32(aligned);
        const low = 8 * (Number(at) % 4);
        const differs = (bit: number) => {
          memory.write32(aligned, (old ^ (1 << (low + bit))) >>> 0);
          const said = JSON.stringify(fact.said(session.explain(fact.question)));
          memory.write32(aligned, old);
          return said !== JSON.stringify(fact.expected);
        };
        // Bit 0 makes an entry present or absent; an absent VMSAv8 descriptor needs two bits, so it cannot be sampled.
        if (answer.verdict === 'translated' || answer.verdict === 'delivered') return differs(0);
        return differs(0) || differs(1) || null;
      };
      const step = Math.floor(truth.facts.length / 40);
      const results = truth.facts.filter((_, i) => i % step === 0).flatMap((f) => breaks(f) ?? []);
      expect(results.length).toBeGreaterThanOrEqual(20);
      expect(results.slice(0, 20)).toEqual(Array(20).fill(true));
    });

    // Last: these write to the restored machine.
    it('holds what is no question: contents, events, mappings', () => {
      for (const state of truth.states) expect([state.kind, state.check(session)]).toEqual([state.kind, '']);
      expect(count(truth.states)).toEqual(states);
      const content = states['content'] ?? 0;
      expect(truth.total).toBe(total);
      expect(truth.facts.length + truth.states.length - content).toBe(total);
    });
  });
}

describe.skipIf(!present('x86-amdvi-nvme'))('x86-amdvi-nvme', () => {
  it('is answered, or says which unit nobody models', async () => {
    const session = await openSession(captureDirectory('x86-amdvi-nvme'), await contributions());
    const { facts } = readTruth(json('x86-amdvi-nvme', 'truth.json'));
    if (session.restored.unmodelled.size === 0) {
      for (const { question, said, expected, source } of facts.filter((f) => f.kind !== 'msi-fault'))
        expect({ source, said: said(session.explain(question)) }).toEqual({ source, said: expected });
      return;
    }
    console.warn('x86-amdvi-nvme: NO_BACKEND: no plugin of doorbell.config.js models amd,iommu');
    for (const { question } of facts) expect(() => session.explain(question)).toThrow(/amd,iommu/);
  });
});

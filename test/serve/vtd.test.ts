import { Q35, qemuAvailable } from '@doorbell/qemu';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Pair } from '../differential/vtd/compare.js';
import { Random, randomDma, randomInterrupt } from '../differential/vtd/random.js';
import { nameOf, ROWS } from '../differential/vtd/rows.js';
import { modelSide, qemuSide, type Sent, type Side } from '../differential/vtd/side.js';
import { Served, type ServedEvent } from './served.js';

const qemu = qemuAvailable('x86_64');
if (!qemu.available) console.warn(`skipped: VT-d scenarios through doorbell serve against QEMU: ${qemu.reason}`);
const SEEDS = process.env['DOORBELL_LONG'] === '1' ? 220 : 12;
const DELIVERY = ['fixed', 'lowest-priority', 'smi', 'reserved', 'nmi', 'init', 'reserved', 'extint'];

/** The differential scenarios' side, behind `doorbell serve`: what was sent comes from the events file. */
function servedSide(): Side {
  const served = new Served('q35-vtd', [
    'intel-iommu,intremap=on,aw-bits=48,caching-mode=off',
    ...[5, 6].map((slot) => `edu,addr=${slot}.0,dma_mask=0xffffffffffffffff`),
  ]);
  const { cpu, memory } = served;
  cpu.out32(0xcf8, 0x8000_0060);
  cpu.out32(0xcfc, (Q35.ecam | 1) >>> 0);
  const vectors = new Set<number>();
  const sent = (e: ServedEvent): Sent => ({
    destination: Number(e['destination']),
    logical: e['destinationMode'] === 'logical' ? 1 : 0,
    delivery: DELIVERY.indexOf(String(e['deliveryMode'])),
    vector: Number(e['vector']),
    level: e['triggerMode'] === 'level' ? 1 : 0,
  });
  return {
    name: 'model',
    cpu,
    memory,
    settle: () => undefined,
    sent: () => {
      const events = served.fresh().filter((e) => e.event === 'interrupt');
      for (const e of events) if (Number(e['accepted']) > 0) vectors.add(Number(e['vector']));
      return events.map(sent);
    },
    // a qtest access comes from no CPU: nobody reads a local APIC
    requested: () => [...vectors],
    close: () => served.close(),
  };
}

describe.each([
  ['in process', () => modelSide({}), true],
  ['on QEMU', () => qemuSide({}), qemu.available],
] as const)('VT-d scenarios through doorbell serve show what they show %s', (_, other, available) => {
  describe.skipIf(!available)(`(${ROWS.length} rows, ${SEEDS} seeds)`, () => {
    let pair: Pair;
    beforeAll(() => {
      pair = new Pair(servedSide(), other());
    });
    afterAll(() => {
      console.info(`${pair.compared} comparisons, ${pair.fields} fields; deviations`, Object.fromEntries(pair.hits));
      pair.close();
    });
    it.each(ROWS.map((row) => [nameOf(row), row] as const))('%s', (name, row) => {
      pair.begin(name, row.what);
      row.run(pair);
    });
    it('random configurations', () => {
      const verdicts = new Map<string, number>();
      for (let seed = 1; seed <= SEEDS; seed++) {
        pair.begin(`seed ${seed}`);
        const r = new Random(seed);
        if (seed % 3) randomDma(pair, r, 48, verdicts);
        else randomInterrupt(pair, r, verdicts);
      }
      expect(verdicts.size).toBeGreaterThan(2);
    });
  });
});

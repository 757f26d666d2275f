import { qemuAvailable, startVirt, type QemuMachine } from '@doorbell/qemu';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BASE, type Config } from './config.js';
import { DEVIATIONS, expected } from './deviations.js';
import { randomConfig } from './random.js';
import { ROWS, TWO_LEVEL } from './rows.js';
import { modelSide, qemuSide, run, type Result, type Side } from './sides.js';

const qemu = qemuAvailable('aarch64');
if (!qemu.available) console.warn(`skipped: SMMUv3 model against QEMU: ${qemu.reason}`);
const FIRST_SEED = 1;
const CONFIGURATIONS = process.env['DOORBELL_LONG'] ? 2000 : 200;

const hits = new Map<string, number>();
const verdicts = new Map<string, number>();
const verdict = (r: Result): string => r.events.map((e) => `0x${e.split(' ')[0]}`)[0] ?? r.effect;

describe.skipIf(!qemu.available)('SMMUv3 model and QEMU, one configuration after the other', () => {
  let machine: QemuMachine;
  let live: Side;
  const model = modelSide();
  beforeAll(() => {
    machine = startVirt({ devices: ['edu,dma_mask=0xffffffffffffffff,addr=4'] });
    live = qemuSide(machine);
  });
  afterAll(() => {
    machine.close();
    const table = (m: Map<string, number>) =>
      [...m].sort(([a], [b]) => a.localeCompare(b)).map(([k, n]) => `${k} ${n}`);
    console.log(`${ROWS.length + TWO_LEVEL.length} rows, seeds ${FIRST_SEED}–${FIRST_SEED + CONFIGURATIONS - 1}`);
    console.log(`verdicts: ${table(verdicts).join(', ')}`);
    console.log(`deviations: ${table(hits).join(', ')}`);
  });

  const compare = (c: Config) => {
    const ask = (config: Config) => run(model, config);
    const wanted = expected(c, ask, hits);
    const v = verdict(wanted);
    verdicts.set(v, (verdicts.get(v) ?? 0) + 1);
    return { got: run(live, c), wanted };
  };

  it.each(ROWS)('%s', (_name, changes) => {
    const { got, wanted } = compare({ ...BASE, ...changes });
    expect(got).toEqual(wanted);
  });

  it(`${CONFIGURATIONS} random configurations, at least half of which translate`, () => {
    let moved = 0;
    for (let seed = FIRST_SEED; seed < FIRST_SEED + CONFIGURATIONS; seed++) {
      const { got, wanted } = compare(randomConfig(seed));
      expect({ seed, ...got }).toEqual({ seed, ...wanted });
      if (got.effect === 'moved') moved++;
    }
    expect(moved).toBeGreaterThanOrEqual(CONFIGURATIONS / 2);
  });

  it.each(TWO_LEVEL)('%s', (_name, changes) => {
    const { got, wanted } = compare({ ...BASE, ...changes });
    expect(got).toEqual(wanted);
  });

  it('uses every deviation, and names each row once', () => {
    expect(DEVIATIONS.map((d) => d.id).filter((id) => !hits.has(id))).toEqual([]);
    const names = [...ROWS, ...TWO_LEVEL].map(([name]) => name);
    expect(new Set(names).size).toBe(names.length);
  });
});

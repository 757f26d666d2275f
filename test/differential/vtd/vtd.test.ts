import { qemuAvailable } from '@doorbell/qemu';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Pair } from './compare.js';
import { nameOf, ROWS } from './rows.js';
import { modelSide, qemuSide } from './side.js';

const qemu = qemuAvailable('x86_64');
if (!qemu.available) console.warn(`skipped: VT-d against QEMU: ${qemu.reason}`);

describe.skipIf(!qemu.available)('VT-d: the model and QEMU 7.2', () => {
  let pair: Pair;
  beforeAll(() => {
    pair = new Pair(modelSide({}), qemuSide({}));
  });
  afterAll(() => {
    console.info(
      'deviation hits',
      Object.fromEntries(pair.hits),
      `${pair.compared} comparisons, ${pair.fields} fields`,
    );
    pair.close();
  });

  it('rows are distinct', () => {
    expect(new Set(ROWS.map(nameOf)).size).toBe(ROWS.length);
  });

  it.each(ROWS.map((row) => [nameOf(row), row] as const))('%s', (name, row) => {
    pair.begin(name, row.what);
    row.run(pair);
  });
});

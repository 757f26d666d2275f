import { qemuAvailable, startPpcE500, type QemuMachine } from '@doorbell/qemu';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generator } from '../smmu/random.js';
import { DEVIATIONS, ROWS, ctpr, eoi, iack, ivpr, mask, msi, msir, msisr, setup, type Step } from './rows.js';
import { CPUS, modelSide, qemuSide, start, type Side } from './sides.js';

const qemu = qemuAvailable('ppc');
if (!qemu.available) console.warn(`skipped: MPIC model against QEMU: ${qemu.reason}`);
const STREAMS = process.env['DOORBELL_LONG'] ? 400 : 40;
const LENGTH = 60;

describe.skipIf(!qemu.available)('MPIC model and QEMU, one register access after the other', () => {
  let machine: QemuMachine;
  let live: Side;
  const model = modelSide();
  const hits = new Map<string, number>(Object.keys(DEVIATIONS).map((id) => [id, 0]));
  const taken = { vectors: 0, spurious: 0 };
  let reads = 0;
  beforeAll(() => {
    machine = startPpcE500({ cpus: CPUS });
    live = qemuSide(machine);
  });
  afterAll(() => {
    machine.close();
    const named = ROWS.filter(([name]) => !name.startsWith('deviation')).length;
    console.log(
      `${named} rows agree, ${ROWS.length - named} rows of deviations; ${STREAMS} streams (seeds 1–${STREAMS})`,
    );
    console.log(`${reads} reads compared; random: ${taken.vectors} vectors taken, ${taken.spurious} spurious`);
    console.log(`deviations hit: ${[...hits].map(([id, n]) => `${id} ${n}`).join(', ')}`);
  });

  /** Performs a step on both sides; a read has to give the same, or exactly what its deviation says. */
  function step(what: Step, n: number): number {
    if ('write' in what) {
      for (const side of [model, live]) side.registers.write32(what.write, what.value);
      return -1;
    }
    const ours = model.registers.read32(what.read);
    const theirs = live.registers.read32(what.read);
    reads++;
    const at = `step ${n}, 0x${what.read.toString(16)}`;
    if (what.deviation) {
      expect(ours, `${at}: the deviation is none any more`).not.toBe(theirs);
      hits.set(what.deviation.id, hits.get(what.deviation.id)! + 1);
    }
    expect(`${at}: ${theirs.toString(16)}`).toBe(`${at}: ${(what.deviation?.qemu ?? ours).toString(16)}`);
    return ours;
  }

  it.each(ROWS)('%s', (_name, steps) => {
    start(model);
    start(live);
    steps.forEach(step);
  });

  it('every deviation is used', () => {
    for (const [id, n] of hits) expect({ id, used: n > 0 }).toEqual({ id, used: true });
  });

  it(`${STREAMS} random streams of ${LENGTH}`, () => {
    for (let seed = 1; seed <= STREAMS; seed++) stream(seed);
    expect(taken.vectors).toBeGreaterThan(taken.spurious);
  });

  /** MSIs, acknowledges, ends, masks and priorities in any order, apart from what the deviations would make differ. */
  function stream(seed: number): void {
    const pick = generator(seed);
    let n = 0;
    const run = (...steps: readonly Step[]): number => steps.map((s) => step(s, n++)).at(-1) ?? -1;
    start(model);
    start(live);
    for (let c = 0; c < CPUS; c++) run(ctpr(0, c));
    for (let s = 0; s < 8; s++) run(...setup(s, 1 + pick(15), 0x20 + s, 1 + pick(2)));
    const source = () => pick(8);
    const actions: (() => void)[] = [
      () => run(msi(source(), pick(32))),
      () => run(msi(source(), pick(32))),
      () => run(msi(source(), pick(32))),
      () => run(msi(source(), pick(32))),
      () => run(msir(source()), msisr),
      () => {
        const s = source();
        run(msir(s), ...setup(s, pick(16), 0x20 + s, 1 + pick(2)), ivpr(s)); // IDR with nothing pending
      },
      () => {
        const s = source();
        run(msir(s), mask(s, pick(16), 0x20 + s), ivpr(s));
      },
      () => run(ctpr(pick(4) ? 0 : pick(16), pick(CPUS))),
      () => run(eoi(pick(CPUS))),
      () => acknowledge(pick(CPUS)),
      () => acknowledge(pick(CPUS)),
    ];
    const acknowledge = (c: number): void => {
      // Below one in service QEMU takes it all the same.
      if (model.model.next(c) < 0 && (model.model.raised(c).length > 0 || pick(3) > 0)) return;
      const vector = run(iack(c));
      if (vector === 0xffff) return void taken.spurious++;
      taken.vectors++;
      if (pick(2)) run(msir(vector - 0x20));
      if (pick(3)) run(eoi(c));
    };
    for (let i = 0; i < LENGTH; i++) actions[pick(actions.length)]!();
    for (let s = 0; s < 8; s++) run(ivpr(s), msir(s));
  }
});

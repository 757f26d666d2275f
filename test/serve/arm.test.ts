import { qemuAvailable, startVirt, VIRT, type QemuMachine } from '@doorbell/qemu';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Edu } from '../support/edu.js';
import { ROWS as ITS_ROWS, USUAL, type Action } from '../differential/its/rows.js';
import * as its from '../differential/its/sides.js';
import { BASE } from '../differential/smmu/config.js';
import { expected } from '../differential/smmu/deviations.js';
import { randomConfig } from '../differential/smmu/random.js';
import { ROWS, TWO_LEVEL } from '../differential/smmu/rows.js';
import * as smmu from '../differential/smmu/sides.js';
import { Served } from './served.js';

const qemu = qemuAvailable('aarch64');
if (!qemu.available) console.warn(`skipped: Arm scenarios through doorbell serve against QEMU: ${qemu.reason}`);
const SEEDS = process.env['DOORBELL_LONG'] === '1' ? 2000 : 24;

/** The SMMU scenarios' side: `edu` at 00:04.0 does the DMA. */
function smmuSide(served: Served): smmu.Side {
  const { cpu, memory } = served;
  const edu = new Edu(cpu, VIRT.ecam + (4 << 15), VIRT.bars);
  const dma = (direction: 'read' | 'write', at: number) => {
    edu.start(direction, at);
    expect(edu.busy).toBe(false);
  };
  return { cpu, memory, load: (at) => dma('read', at), store: (at) => dma('write', at) };
}

describe('SMMUv3 scenarios through doorbell serve', () => {
  const inProcess = smmu.modelSide();
  let served: Served;
  let side: smmu.Side;
  beforeAll(() => {
    served = new Served('virt-smmuv3', ['edu,addr=4,dma_mask=0xffffffffffffffff']);
    side = smmuSide(served);
  });
  afterAll(() => served.close());

  it.each([...ROWS, ...TWO_LEVEL])('in process: %s', (_, changes) => {
    const config = { ...BASE, ...changes };
    expect(smmu.run(side, config)).toEqual(smmu.run(inProcess, config));
  });

  it('a place in the PCI window that no BAR has reads ones', () => {
    const nobody = VIRT.bars + 0x800_0000;
    expect(served.cpu.read32(nobody)).toBe(0xffff_ffff);
    expect(served.ask(`read 0x${nobody.toString(16)} 0x2`)).toBe('OK 0xffff');
  });

  it(`in process: ${SEEDS} random configurations; every event record is an event line`, () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const config = randomConfig(seed);
      served.fresh();
      const got = smmu.run(side, config);
      expect({ seed, ...got }).toEqual({ seed, ...smmu.run(inProcess, config) });
      const faults = served.fresh().filter((e) => e.event === 'fault');
      expect(faults.map((f) => f['code'])).toEqual(got.events.map((e) => `0x${e.split(' ')[0]}`));
      for (const f of faults) expect(f).toMatchObject({ unit: 'smmu0', requester: 0x20 });
    }
  });

  describe.skipIf(!qemu.available)('and on QEMU, known deviations aside', () => {
    let machine: QemuMachine;
    let live: smmu.Side;
    beforeAll(() => {
      machine = startVirt({ devices: ['edu,addr=4,dma_mask=0xffffffffffffffff'] });
      live = smmu.qemuSide(machine);
    });
    afterAll(() => machine.close());
    it.each(ROWS)('%s', (_, changes) => {
      const config = { ...BASE, ...changes };
      const wanted = expected(config, (c) => smmu.run(side, c), new Map());
      expect(smmu.run(live, config)).toEqual(wanted);
    });
  });
});

describe('ITS scenarios through doorbell serve', () => {
  const inProcess = its.modelSide();
  let served: Served;
  let side: its.Side;
  const taken: number[][] = [[], []];
  beforeAll(() => {
    served = new Served('virt-smmuv3');
    const { cpu, memory } = served;
    side = {
      cpu,
      memory,
      taken: (c) => {
        for (const e of served.fresh()) taken[Number(e['cpu'])]?.push(Number(e['intid']));
        return taken[c]!;
      },
    };
  });
  afterAll(() => {
    console.info(`${ITS_ROWS.length} ITS rows on flat and indirect tables, ${taken.flat().length} interrupts`);
    served.close();
  });

  const act = (on: its.Side, action: Action): void => {
    if (Array.isArray(action)) its.send(on, action as number[]);
    else if ('message' in action) its.message(on, action.message);
    else if ('lpi' in action) on.memory.write8(its.AT.configuration + action.lpi, action.byte);
  };
  it.each(ITS_ROWS.flatMap((row) => [false, true].map((indirect) => [row[0], indirect, row[1]] as const)))(
    '%s, indirect %s',
    (_, indirect, actions) => {
      its.start(inProcess, { indirect });
      its.start(side, { indirect });
      const before = (s: its.Side) => [0, 1].map((c) => s.taken(c, 0).length);
      const [a, b] = [before(inProcess), before(side)];
      for (const action of [...USUAL, ...actions]) {
        act(inProcess, action);
        act(side, action);
        for (const c of [0, 1]) inProcess.taken(c, 0); // what the served CPUs did at once
      }
      expect(its.state(side, b, b)).toEqual(its.state(inProcess, a, a));
    },
  );
});

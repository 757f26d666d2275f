import { qemuAvailable, startVirt, type QemuMachine } from '@doorbell/qemu';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generator } from '../smmu/random.js';
import { op, ROWS, USUAL, type Action } from './rows.js';
import {
  AT,
  LPIS,
  message,
  modelSide,
  qemuSide,
  send,
  start,
  state,
  type Setup,
  type Side,
  type State,
} from './sides.js';

const qemu = qemuAvailable('aarch64');
if (!qemu.available) console.warn(`skipped: ITS model against QEMU: ${qemu.reason}`);
const STREAMS = process.env['DOORBELL_LONG'] ? 400 : 40;
const LENGTH = 24;

function act(side: Side, action: Action): void {
  if (Array.isArray(action)) send(side, action as number[]);
  else if ('message' in action) message(side, action.message);
  else if ('lpi' in action) side.memory.write8(AT.configuration + action.lpi, action.byte);
}

describe.skipIf(!qemu.available)('ITS model and QEMU, one command after the other', () => {
  let machine: QemuMachine;
  let live: Side;
  const model = modelSide();
  let deliveries = 0;
  const counts = new Map<string, number>();
  beforeAll(() => {
    machine = startVirt({ smmu: false });
    live = qemuSide(machine);
  });
  afterAll(() => {
    machine.close();
    console.log(
      `${ROWS.length} rows on flat and on indirect tables, ${STREAMS} streams of ${LENGTH} (seeds 1–${STREAMS}), ${deliveries} interrupts taken`,
    );
    console.log(`commands: ${[...counts].map(([k, n]) => `${k} ${n}`).join(', ')}`);
  });

  /** Both sides' state after each action. */
  function both(actions: readonly Action[], setup: Setup = {}): void {
    const before = [0, 1].map((c) => model.taken(c, 0).length);
    const liveBefore = [0, 1].map((c) => live.taken(c, 0).length);
    start(model, setup);
    start(live, setup);
    actions.forEach((action, n) => {
      act(model, action);
      act(live, action);
      const name = Array.isArray(action) ? `0x${Number(action[0]).toString(16)}` : Object.keys(action)[0]!;
      counts.set(name, (counts.get(name) ?? 0) + 1);
      const wanted: State = state(model, before, before);
      const count = wanted.taken.map((t, c) => liveBefore[c]! + t.length);
      expect({ n, action, ...state(live, liveBefore, count) }).toEqual({ n, action, ...wanted });
      if (n === actions.length - 1) deliveries += wanted.taken.flat().length;
    });
  }

  it.each(ROWS)('%s', (_name, actions) => {
    both([...USUAL, ...actions]);
    both([...USUAL, ...actions], { indirect: true });
  });

  it('a DeviceID whose level-1 entry is invalid', () => {
    both([...USUAL, op.mapd(0x2001), op.mapti(0x2001, 0, 8200, 0), op.int(0x2001, 0)], { indirect: true });
  });

  it(`${STREAMS} random streams`, () => {
    for (let seed = 1; seed <= STREAMS; seed++) both([...USUAL, ...stream(seed)], { indirect: seed % 2 === 0 });
  });
});

/** Mostly sensible commands over few devices, events, LPIs and collections, so that they meet. */
function stream(seed: number): Action[] {
  const pick = generator(seed);
  const device = () => pick(4);
  const event = () => pick(9);
  const icid = () => pick(4);
  const lpi = () => 8192 + pick(LPIS);
  const kinds: (() => Action)[] = [
    () => op.mapd(device(), 1 + pick(3), pick(4) > 0),
    () => op.mapc(icid(), pick(3), pick(4) > 0),
    () => op.mapti(device(), event(), lpi(), icid()),
    () => op.mapti(device(), event(), lpi(), icid()),
    () => op.movi(device(), event(), icid()),
    () => op.movall(pick(2), pick(2)),
    () => op.discard(device(), event()),
    () => op.int(device(), event()),
    () => op.int(device(), event()),
    () => op.clear(device(), event()),
    () => op.inv(device(), event()),
    () => op.invall(icid()),
    () => op.sync(pick(2)),
    () => ({ message: event() }),
  ];
  return Array.from({ length: LENGTH }, () => kinds[pick(kinds.length)]!());
}

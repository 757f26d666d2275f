import { MsiBlock, NumberSpace } from '@doorbell/irqchip';
import { method, type Mutant } from '../src/index.js';
import { MinimalRoot } from '../src/minimal/driver/irqchip.js';
import { MinimalIrqchip } from '../src/minimal/model/irqchip.js';
import { COMMAND } from '../src/minimal/spec/irqchip.js';

type Original = (...args: unknown[]) => unknown;
type Numbers = readonly { readonly number: number }[];

/** Mistakes in the minimal controller, in its hardware, and in the core it runs on. */
export const irqchipMutants: readonly Mutant[] = [
  {
    name: 'mask does nothing',
    plant: method(MinimalRoot, 'mask', () => undefined),
  },
  {
    name: 'what comes while it is masked is lost',
    plant: method(
      MinimalIrqchip,
      'ring',
      function (this: { enabled: Uint8Array; numbers: { first: number } }, ring: Original, at: number, number: number) {
        if (this.enabled[number - this.numbers.first]) ring(at, number);
      },
    ),
  },
  {
    name: 'unmasking raises an interrupt',
    plant: method(MinimalIrqchip, 'execute', function (this: MinimalIrqchip, execute: Original, command: number) {
      execute(command);
      if (command & COMMAND.ENABLE.mask) (this as unknown as { bits: Uint8Array[] }).bits[0]![command & 63] = 1;
    }),
  },
  {
    name: 'a freed number keeps what waits',
    plant: method(MinimalRoot, 'command', (command: Original, number: number, what: number) =>
      command(number, what & ~COMMAND.CLEAR.mask),
    ),
  },
  {
    name: 'a refusal is not noticed',
    plant: method(MinimalRoot, 'command', (command: Original, ...args: unknown[]) => {
      try {
        command(...args);
      } catch {
        return;
      }
    }),
  },
  {
    name: 'a refused allocation leaves numbers enabled',
    plant: method(
      MinimalRoot,
      'enableAll',
      function (this: { command(number: number, what: number): void }, _enableAll: Original, targets: Numbers) {
        for (const { number } of targets) this.command(number, COMMAND.ENABLE.mask | COMMAND.CLEAR.mask);
      },
    ),
  },
  {
    name: 'doorbells of the first CPU only',
    plant: method(MinimalRoot, 'doorbells', (doorbells: Original, device: unknown) => doorbells(device, [0])),
  },
  {
    name: 'a sender check that nobody does',
    plant: method(MinimalRoot, 'senderCheck', () => ({ scope: 'device', witness: 'trust me' })),
  },
  {
    name: 'the answer to a move is the wrong way round',
    plant: method(MsiBlock, 'setAffinity', (setAffinity: Original, ...args: unknown[]) => {
      const answer = setAffinity(...args) as { messageChanged: boolean };
      return { ...answer, messageChanged: !answer.messageChanged };
    }),
  },
  {
    name: 'runs are not aligned',
    plant: method(NumberSpace, 'takeBlock', (takeBlock: Original, count: number) => takeBlock(count)),
  },
  {
    name: 'a run takes no more than its vectors',
    plant: method(
      NumberSpace,
      'takeFor',
      function (this: NumberSpace, takeFor: Original, request: { count: number; contiguous: boolean }) {
        const taken = takeFor(request) as number[];
        this.give(taken.slice(request.count));
        return taken.slice(0, request.count);
      },
    ),
  },
  {
    name: 'available is one too many',
    plant: method(NumberSpace, 'exhausted', (exhausted: Original, needed: number, available: number) =>
      exhausted(needed, available + 1),
    ),
  },
  {
    name: 'a snapshot without what is pending',
    plant: method(MinimalIrqchip, 'snapshot', (snapshot: Original) => ({ ...(snapshot() as object), pending: [] })),
  },
];

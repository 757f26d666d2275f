import { ItsDriver, V2mDriver } from '@doorbell/arm-gic';
import { caughtBy, irqchipConformanceCases, method } from '@doorbell/conformance';
import { INTERRUPTS, type RootLevel } from '@doorbell/irqchip';
import { immediate } from '@doorbell/platform';
import { MsiBank } from '@doorbell/powerpc-mpic';
import { expect, it } from 'vitest';
import { irqchips } from './irqchips.js';

type Call = (...args: unknown[]) => unknown;

/** The class of a controller's driver, which its package keeps to itself. */
function driverOf(name: string): { prototype: unknown } {
  const { platform, devices } = irqchips.find((chip) => chip.name === name)!.factory({ completion: immediate() });
  return platform.service(INTERRUPTS).domainFor(devices[0]).root.constructor;
}

/** What the kit found when it first ran, planted again, and others. */
const MUTANTS: readonly (readonly [chip: string, mistake: string, plant: () => () => void])[] = [
  [
    'x86-apic',
    'an interrupt that waits where its vector was is nobody’s',
    method(driverOf('x86-apic'), 'owner', function (this: RootLevel, owner: Call, cpu: number, number: number) {
      const found = owner(cpu, number) as ReturnType<RootLevel['owner']>;
      return found && found.block.cpus[found.index] === cpu ? found : undefined;
    }),
  ],
  [
    'x86-apic',
    'vectors that were left are given out first',
    method(
      driverOf('x86-apic'),
      'avoidingLeft',
      function (this: { spaces: unknown[] }, _avoid: Call, cpu: number, take: Call) {
        return take(this.spaces[cpu]);
      },
    ),
  ],
  [
    'arm-gic ITS',
    'an LPI is masked without INV',
    method(
      ItsDriver,
      'configure',
      function (
        this: { parts: { gic: { configureLpi(intid: number, on: boolean): void } } },
        _configure: Call,
        share: { targets: { intid: number }[] },
        index: number,
        on: boolean,
      ) {
        this.parts.gic.configureLpi(share.targets[index]!.intid, on);
      },
    ),
  ],
  ['arm-gic ITS', 'all devices share one DeviceID', method(ItsDriver, 'deviceId', () => 8)],
  [
    'arm-gic GICv2m',
    'a freed SPI stays enabled',
    method(V2mDriver, 'prepare', (prepare: Call, request: unknown) => {
      const share = prepare(request) as { cancel: () => void; release: () => void };
      share.release = share.cancel;
      return share;
    }),
  ],
  ['powerpc-mpic 4.2', 'what strayed to an MSIR is its next user’s', method(MsiBank, 'drain', () => undefined)],
];

it.each(MUTANTS)('%s: the kit catches "%s"', (name, mistake, plant) => {
  const { factory, supports } = irqchips.find((chip) => chip.name === name)!;
  const by = caughtBy({ plant }, irqchipConformanceCases(factory, supports));
  console.log(`${name} mutant "${mistake}" ← ${by}`);
  expect(by).not.toBeNull();
});

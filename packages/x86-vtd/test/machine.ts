import {
  after,
  immediate,
  Platform,
  READ,
  seeded,
  WRITE,
  type CompletionPolicy,
  type Device,
} from '@doorbell/platform';
import { CPU_INTERFACE, INTERRUPTS, type CpuInterface, type InterruptCore } from '@doorbell/irqchip';
import { IOMMU, type IommuCore } from '@doorbell/iommu';
import { apic } from '@doorbell/x86-apic';
import { vtd, type VtdDriver, type VtdNode, type VtdUnit } from '../src/index.js';

export const RW = READ | WRITE;

/** A host bridge: all requesters to dmar0, all MSIs to the APICs. */
const HOST = {
  name: 'pci0',
  compatible: 'test,host-bridge',
  iommuMap: [{ inputBase: 0, count: 65536, outputBase: 0, to: 'dmar0' }],
  msiMap: [{ inputBase: 0, count: 65536, outputBase: 0, to: 'apic' }],
};

export interface TestMachine {
  readonly platform: Platform;
  readonly unit: VtdUnit;
  readonly driver: VtdDriver;
  readonly core: InterruptCore;
  readonly iommu: IommuCore;
  readonly cpu: CpuInterface;
}

export function machine(options: VtdNode = {}, completion: CompletionPolicy = immediate(), cpus = 4): TestMachine {
  const platform = new Platform({ memory: [{ base: 0, size: 2 ** 28 }], completion })
    .use(apic({ cpus, ioapics: [{}] }), vtd.q35(options), {
      name: 'test-host',
      apiVersion: 1,
      apply: ({ hooks }) =>
        hooks.block.tap('test-host', (node) =>
          node.compatible === HOST.compatible ? { compatible: [HOST.compatible] } : undefined,
        ),
    })
    .node(HOST)
    .compose();
  return {
    platform,
    unit: platform.model('dmar0') as VtdUnit,
    driver: platform.driver('dmar0') as VtdDriver,
    core: platform.service(INTERRUPTS),
    iommu: platform.service(IOMMU),
    cpu: platform.get(CPU_INTERFACE),
  };
}

/** A function without configuration space: enough for the cores. */
export const device = (requester: number, aliases: readonly number[] = [requester]): Device => ({
  name: `0000:${requester.toString(16).padStart(4, '0')}`,
  kind: 'pci',
  segment: 0,
  requester,
  aliases,
  dmaBits: 64,
  isolation: { group: requester, isolated: true, witness: [] },
});

/** The three kinds of completion, by name. */
export const POLICIES = [immediate(), after(3), seeded(1), seeded(2), seeded(3)];

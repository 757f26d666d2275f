import { CPU_INTERFACE, INTERRUPTS, type CpuInterface, type InterruptCore } from '@doorbell/irqchip';
import { IOMMU, type IommuCore } from '@doorbell/iommu';
import { gicv3, its, type Its } from '@doorbell/arm-gic';
import {
  definePlugin,
  immediate,
  newOutcome,
  newRequest,
  Platform,
  READ,
  WRITE,
  type CompletionPolicy,
  type Device,
  type Outcome,
  type Plugin,
  type Verdict,
} from '@doorbell/platform';
import { smmuv3, type Smmu, type SmmuDriver, type SmmuNodeOptions } from '../src/index.js';

export const RW = READ | WRITE;
export const RAM = 0x4000_0000;

/** A host bridge without PCI: requester ids to the SMMU and the ITS as they are. */
export const hostBridge = (to: { smmu?: string; msi?: string } = {}): Plugin[] => {
  const all = (unit: string) => [{ inputBase: 0, count: 65536, outputBase: 0, to: unit }];
  return [
    definePlugin('test-host', { compatible: ['test,host-bridge'] }, [
      {
        name: 'pci0',
        compatible: 'test,host-bridge',
        iommuMap: all(to.smmu ?? 'smmu0'),
        msiMap: all(to.msi ?? 'its0'),
      },
    ]),
  ];
};

export interface TestMachine {
  readonly platform: Platform;
  readonly smmu: Smmu;
  readonly driver: SmmuDriver;
  readonly its: Its;
  readonly core: InterruptCore;
  readonly iommu: IommuCore;
  readonly cpu: CpuInterface;
}

export function machine(options: SmmuNodeOptions = {}, completion: CompletionPolicy = immediate()): TestMachine {
  const platform = new Platform({ memory: [{ base: RAM, size: 2 ** 28 }], completion })
    .use(gicv3({ cpus: 2 }), its(), smmuv3.virt(options), ...hostBridge())
    .compose();
  return {
    platform,
    smmu: platform.model('smmu0') as Smmu,
    driver: platform.driver('smmu0') as SmmuDriver,
    its: platform.model('its0') as Its,
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

export interface Asked extends Outcome {
  readonly verdict: Verdict;
}

/** One question to the unit, through the host bridge. */
export function ask(platform: Platform, requester: number, iova: number, access = READ): Asked {
  const request = { ...newRequest(), requester, hi: Math.floor(iova / 2 ** 32), lo: iova >>> 0, access };
  const out = newOutcome();
  const verdict = platform.fabric().translate(request, out);
  return { ...out, verdict };
}

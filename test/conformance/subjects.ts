import { gicv3, its, itsNode, type Its } from '@doorbell/arm-gic';
import { smmuv3, smmuv3Node, type Smmu, type SmmuNodeOptions } from '@doorbell/arm-smmuv3';
import { plainDevice, type Subject, type SubjectFactory, type Supports } from '@doorbell/conformance';
import { Platform, definePlugin, type CompletionPolicy, type Plugin } from '@doorbell/platform';
import { apic } from '@doorbell/x86-apic';
import { vtd, type VtdNode, type VtdUnit } from '@doorbell/x86-vtd';

/** A back-end as the kit meets it. */
export interface BackEnd {
  readonly name: string;
  readonly supports: Supports;
  readonly factory: SubjectFactory;
}

/** Bus 0 goes to the first unit and bus 1 to the second; MSIs go to `msi`, or bus by bus to two controllers. */
const bridge = (units: readonly [string, string], msi: readonly [string, string]): Plugin =>
  definePlugin('kit-host', { compatible: ['kit,host'] }, [
    {
      name: 'pci0',
      compatible: 'kit,host',
      iommuMap: units.map((to, i) => ({ inputBase: 256 * i, count: 256, outputBase: 256 * i, to })),
      msiMap: msi.map((to, i) => ({ inputBase: 256 * i, count: 256, outputBase: 256 * i, to })),
    },
  ]);

const DEVICES: Subject['devices'] = [plainDevice(0x08), plainDevice(0x10), plainDevice(0x108)];

/** Two VT-d units in front of two local APICs. */
export const x86 = (options: VtdNode = {}, name = 'VT-d + APIC'): BackEnd => ({
  name,
  supports: {
    writeOnly: true,
    readOnly: true,
    faultsInARow: 1,
    anyLayout: true,
    spanningDomain: true,
    identity: true,
    affinity: true,
    softwareWindow: false,
    highWindow: false,
    doorbellPages: 0,
    hostileRegisters: [{ base: 0xfed9_0000, size: 0x300 }],
  },
  factory: ({ completion }: { completion: CompletionPolicy }) => {
    const platform = new Platform({ memory: [{ base: 0, size: 2 ** 30 }], completion })
      .use(
        apic({ cpus: 2 }),
        vtd({ ...options, name: 'dmar0', base: 0xfed9_0000 }, { ...options, name: 'dmar1', base: 0xfed9_1000 }),
        bridge(['dmar0', 'dmar1'], ['apic', 'apic']),
      )
      .compose();
    return {
      platform,
      devices: DEVICES,
      data: 0x1000_0000,
      cpus: [0, 1],
      refuse: (k) => {
        for (const unit of ['dmar0', 'dmar1']) (platform.model(unit) as VtdUnit).refuseCommand(k + 1);
      },
    };
  },
});

/** Two SMMUs and two ITSs of one GIC. */
export const arm = (options: SmmuNodeOptions = {}, name = 'SMMUv3 + ITS'): BackEnd => ({
  name,
  supports: {
    writeOnly: false, // VMSAv8-64 stage 1 has no write-only pages
    readOnly: true,
    faultsInARow: 3,
    anyLayout: true,
    spanningDomain: true,
    identity: true,
    affinity: true,
    softwareWindow: true,
    highWindow: true,
    doorbellPages: 1,
    hostileRegisters: [
      { base: 0x0905_0000, size: 0x200 },
      { base: 0x0808_0000, size: 0x200 },
    ],
  },
  factory: ({ completion }: { completion: CompletionPolicy }) => {
    const platform = new Platform({ memory: [{ base: 0x4000_0000, size: 2 ** 30 }], completion })
      .use(
        gicv3({ cpus: 2, redistributors: 0x080a_0000 }),
        its({ name: 'its0', commandErrors: 'stall' }),
        smmuv3({ ...options, name: 'smmu0', base: 0x0905_0000 }),
        bridge(['smmu0', 'smmu1'], ['its0', 'its1']),
      )
      .node(
        smmuv3Node({ ...options, name: 'smmu1', base: 0x0908_0000 }),
        itsNode({ name: 'its1', base: 0x0810_0000, commandErrors: 'stall' }),
      )
      .compose();
    return {
      platform,
      devices: DEVICES,
      data: 0x5000_0000,
      cpus: [0, 1],
      refuse: (k) => {
        for (const unit of ['smmu0', 'smmu1']) (platform.model(unit) as Smmu).refuseCommand(k);
        for (const its of ['its0', 'its1']) (platform.model(its) as Its).refuseCommand(k);
      },
    };
  },
});

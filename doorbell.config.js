// The plugins and boards that come with Doorbell. A doorbell.config.js of your own, in your project, takes the place of this one.
import { apic } from '@doorbell/x86-apic';
import { gicv2m, gicv3, its } from '@doorbell/arm-gic';
import { smmuv3 } from '@doorbell/arm-smmuv3';
import { vtd } from '@doorbell/x86-vtd';

const JUDGES = ['QEMU', 'Linux capture'];

export default {
  plugins: [
    {
      name: 'apic',
      package: '@doorbell/x86-apic',
      role: 'irqchip',
      compatible: ['intel,apic', 'intel,ioapic'],
      judgedBy: JUDGES,
      plugin: () => apic(),
    },
    {
      name: 'vtd',
      package: '@doorbell/x86-vtd',
      role: 'both',
      compatible: ['intel,vtd'],
      judgedBy: [...JUDGES, 'fact sheet'],
      plugin: () => vtd(),
    },
    {
      name: 'gicv3',
      package: '@doorbell/arm-gic',
      role: 'irqchip',
      compatible: ['arm,gic-v3'],
      judgedBy: JUDGES,
      plugin: () => gicv3(null),
    },
    {
      name: 'gicv3-its',
      package: '@doorbell/arm-gic',
      role: 'irqchip',
      compatible: ['arm,gic-v3-its'],
      judgedBy: JUDGES,
      plugin: () => its(null),
    },
    {
      name: 'gicv2m',
      package: '@doorbell/arm-gic',
      role: 'irqchip',
      compatible: ['arm,gic-v2m-frame'],
      judgedBy: ['fact sheet'],
      plugin: () => gicv2m(null),
    },
    {
      name: 'smmuv3',
      package: '@doorbell/arm-smmuv3',
      role: 'iommu',
      compatible: ['arm,smmu-v3'],
      judgedBy: JUDGES,
      plugin: () => smmuv3(null),
    },
  ],
  boards: [],
};

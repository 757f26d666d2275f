// The plugins and boards that come with Doorbell. A doorbell.config.js of your own, in your project, takes the place of this one.
import { apic, apicCapture } from '@doorbell/x86-apic';
import { captures as gicCaptures, gicv2, gicv2m, gicv3, GICV2_COMPATIBLES, its } from '@doorbell/arm-gic';
import { capture as smmuv3Capture, smmuv3 } from '@doorbell/arm-smmuv3';
import { fslPci } from '@doorbell/powerpc-fslpci';
import { mpic } from '@doorbell/powerpc-mpic';
import { pamu } from '@doorbell/powerpc-pamu';
import { serveQ35, serveVirt } from '@doorbell/boards';
import { vtd, vtdCapture } from '@doorbell/x86-vtd';

const withOptions = (node, options) => ({ ...node, options: { ...node.options, ...options } });
const gicCapture = (kind) => gicCaptures.find((c) => c.compatible.includes(kind));
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
      capture: apicCapture,
    },
    {
      name: 'vtd',
      package: '@doorbell/x86-vtd',
      role: 'both',
      compatible: ['intel,vtd'],
      judgedBy: [...JUDGES, 'fact sheet'],
      plugin: () => vtd(),
      capture: vtdCapture,
      // `doorbell run --tour` shows what these are good for by doing without.
      tour: {
        unverified: {
          node: (n) => withOptions(n, { verifySource: false }),
          what: 'IRTEs accept every sender (SVT = 0)',
        },
        small: {
          node: (n) => withOptions(n, { interruptEntries: 4 }),
          what: 'an interrupt remapping table of 4 entries',
        },
      },
    },
    {
      name: 'gicv3',
      package: '@doorbell/arm-gic',
      role: 'irqchip',
      compatible: ['arm,gic-v3'],
      judgedBy: JUDGES,
      plugin: () => gicv3(null),
      capture: gicCapture('arm,gic-v3'),
    },
    {
      name: 'gicv3-its',
      package: '@doorbell/arm-gic',
      role: 'irqchip',
      compatible: ['arm,gic-v3-its'],
      judgedBy: JUDGES,
      plugin: () => its(null),
      capture: gicCapture('arm,gic-v3-its'),
      tour: {
        unverified: {
          node: ({ name, reg }) => ({
            name,
            compatible: 'arm,gic-v2m-frame',
            reg: [{ base: reg[0].base, size: 0x1000 }],
          }),
          what: 'a GICv2m frame in place of the ITS: it does not see who writes',
        },
      },
    },
    {
      name: 'gicv2',
      package: '@doorbell/arm-gic',
      role: 'irqchip',
      compatible: GICV2_COMPATIBLES,
      judgedBy: JUDGES,
      plugin: () => gicv2(null),
      capture: gicCapture('arm,gic-400'),
    },
    {
      name: 'gicv2m',
      package: '@doorbell/arm-gic',
      role: 'irqchip',
      compatible: ['arm,gic-v2m-frame'],
      judgedBy: [...JUDGES, 'fact sheet'],
      plugin: () => gicv2m(null),
      capture: gicCapture('arm,gic-v2m-frame'),
    },
    {
      name: 'smmuv3',
      package: '@doorbell/arm-smmuv3',
      role: 'iommu',
      compatible: ['arm,smmu-v3'],
      judgedBy: JUDGES,
      plugin: () => smmuv3(null),
      capture: smmuv3Capture,
    },
    {
      name: 'mpic',
      package: '@doorbell/powerpc-mpic',
      role: 'irqchip',
      compatible: ['fsl,mpic', 'fsl,mpic-msi', 'fsl,mpic-msi-v4.3'],
      judgedBy: ['QEMU', 'fact sheet'],
      plugin: () => mpic(null),
    },
    {
      name: 'pamu',
      package: '@doorbell/powerpc-pamu',
      role: 'iommu',
      compatible: ['fsl,pamu', 'fsl,pamu-v1.0', 'fsl,qoriq-device-config-1.0', 'fsl,qoriq-device-config-2.0'],
      judgedBy: ['fact sheet'],
      plugin: () => pamu(),
    },
    {
      name: 'fsl-pci',
      package: '@doorbell/powerpc-fslpci',
      role: 'iommu',
      compatible: ['fsl,qoriq-pcie', 'fsl,mpc8548-pcie', 'fsl,p4080-pcie'],
      judgedBy: ['fact sheet'],
      plugin: () => fslPci(),
    },
  ],
  boards: [
    { name: 'q35-vtd', description: "QEMU's q35 with intel-iommu", serve: serveQ35 },
    { name: 'virt-smmuv3', description: "QEMU's virt with an SMMUv3 and an ITS", serve: serveVirt },
  ],
};

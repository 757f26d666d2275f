import { gicv3, itsNode, its } from '@doorbell/arm-gic';
import { smmuv3, smmuv3Node } from '@doorbell/arm-smmuv3';
import { IOMMU } from '@doorbell/iommu';
import { at, PCI, pciHost, rootPort, testFunction } from '@doorbell/pci';
import { Platform, type Plugin } from '@doorbell/platform';
import { apic } from '@doorbell/x86-apic';
import { vtd } from '@doorbell/x86-vtd';

const SEGMENTS = 3;
const FUNCTIONS = 4096;
const VECTORS = 8;
const all = (to: string) => [{ inputBase: 0, count: 65536, outputBase: 0, to }];

/** One PCIe segment: root ports with eight functions below each. */
function segment(i: number, functions: number, unit: string, controller: string): Plugin {
  const ports = Math.ceil(functions / 8);
  const below = (n: number) =>
    Array.from({ length: Math.min(8, functions - 8 * n) }, (_, fn) =>
      at(`00.${fn}`, testFunction({ msix: VECTORS, acs: 0x1d })),
    );
  return pciHost(
    {
      name: `pci${i}`,
      segment: i,
      ecam: { base: 0x10_0000_0000 + i * 2 ** 28 },
      windows: [
        { base: 0x20_0000_0000 + i * 2 ** 32, size: 2 ** 31 },
        { base: 0xc000_0000 + i * 2 ** 28, size: 2 ** 28 },
      ],
      iommuMap: all(unit),
      msiMap: all(controller),
    },
    Array.from({ length: ports }, (_, n) =>
      at(`${(1 + (n >> 3)).toString(16)}.${n & 7}`, rootPort(below(n), { acs: true })),
    ),
  );
}

const share = (i: number) => Math.min(1400, FUNCTIONS - 1400 * i);

function x86(): Platform {
  const units = Array.from({ length: SEGMENTS }, (_, i) => ({ base: 0xfed9_0000 + 0x1000 * i, segment: i }));
  return new Platform({ memory: [{ base: 0, size: 2 ** 31 }] })
    .use(apic({ cpus: 200 }), vtd(...units), ...units.map((_, i) => segment(i, share(i), `dmar${i}`, 'apic')))
    .compose();
}

function arm(): Platform {
  return new Platform({ memory: [{ base: 0x4000_0000, size: 2 ** 30 }] })
    .use(
      gicv3({ cpus: 4 }),
      its(null),
      smmuv3(null),
      ...Array.from({ length: SEGMENTS }, (_, i) => segment(i, share(i), `smmu${i}`, `its${i}`)),
    )
    .node(
      ...Array.from({ length: SEGMENTS }, (_, i) => smmuv3Node({ name: `smmu${i}`, base: 0x0a00_0000 + 0x2_0000 * i })),
      ...Array.from({ length: SEGMENTS }, (_, i) => itsNode({ name: `its${i}`, base: 0x0b00_0000 + 0x2_0000 * i })),
    )
    .compose();
}

/** From nothing to all vectors enabled: models, enumeration, a domain for each function, tables and queue processing included. */
export function boot(): void {
  console.log(`\nboot: ${FUNCTIONS} functions, ${VECTORS} vectors each, a domain for each; budget 2 s`);
  for (const [name, build, cpus] of [
    ['VT-d + APIC', x86, 200],
    ['SMMUv3 + ITS', arm, 4],
  ] as const) {
    const start = performance.now();
    const platform = build();
    const enumerated = performance.now();
    const iommu = platform.service(IOMMU);
    const pci = platform.service(PCI);
    let vectors = 0;
    for (const fn of pci.functions) {
      if (fn.msixVectors === 0) continue;
      const domain = iommu.createDomain({ type: 'unmanaged', devices: [fn] });
      iommu.attach(fn, domain);
      const { bytes } = iommu.msiDemand([fn], domain);
      if (bytes > 0) domain.reserveMsiWindow({ base: 0x800_0000, size: bytes });
      vectors += pci.enableMsixRange(fn, VECTORS, VECTORS, { cpus: [(vectors / VECTORS) % cpus] }).count;
    }
    const seconds = (from: number, to: number) => ((to - from) / 1000).toFixed(2);
    const end = performance.now();
    console.log(
      `  ${name.padEnd(14)} ${seconds(start, end)} s (models and enumeration ${seconds(start, enumerated)} s, attach and enable ${seconds(enumerated, end)} s), ${vectors} vectors`,
    );
    platform.dispose();
  }
}

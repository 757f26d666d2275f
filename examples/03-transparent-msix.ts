// The idea of the project: one client, one function, and nothing in the client says where MSIs go. Every architecture programs it differently.
import { q35, q35Memory, qoriq, qoriqMemory, virt, virtMemory } from '@doorbell/boards';
import { IOMMU } from '@doorbell/iommu';
import { at, PCI, TEST_FIRE, testFunction } from '@doorbell/pci';
import { hex64, Platform } from '@doorbell/platform';

const functions = [at('04.0', testFunction({ msix: 2 }))];
const boards: Record<string, () => Platform> = {
  'x86: VT-d': () => new Platform({ memory: q35Memory() }).use(q35({ functions })),
  'x86: no IOMMU': () => new Platform({ memory: q35Memory() }).use(q35({ functions, vtd: false })),
  'Arm: SMMUv3 + ITS': () => new Platform({ memory: virtMemory() }).use(virt({ functions })),
  'Arm: SMMUv3 + GICv2m': () => new Platform({ memory: virtMemory() }).use(virt({ functions, msi: 'gicv2m' })),
  'Arm: ITS, no IOMMU': () => new Platform({ memory: virtMemory() }).use(virt({ functions, smmu: false })),
  'PowerPC: PAMU + MPIC': () => new Platform({ memory: qoriqMemory() }).use(qoriq({ functions: [functions] })),
  'PowerPC: no PAMU': () => new Platform({ memory: qoriqMemory() }).use(qoriq({ functions: [functions], pamu: false })),
};

/** The client. Reserving a window is the only thing it may have to say, and it asks first. */
function client(platform: Platform): void {
  const [pci, iommu] = [platform.service(PCI), platform.service(IOMMU)];
  const fn = pci.get('00:04.0');
  if (iommu.unitOf(fn)) {
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [fn] });
    iommu.attach(fn, domain);
    if (iommu.msiDemand([fn], domain).pages > 0) iommu.placeMsiWindow(domain, [fn]);
  }
  const vectors = pci.enableMsixRange(fn, 2, 2);
  for (let i = 0; i < vectors.count; i++) {
    const { addressHi, addressLo, data } = vectors.message(i);
    console.log(`  vector ${i} writes 0x${data.toString(16)} to ${hex64(addressHi, addressLo)}`);
    fn.bar(0).write32(TEST_FIRE.$.at, i);
  }
}

for (const [name, build] of Object.entries(boards)) {
  console.log(name);
  const platform = build().compose();
  platform.hooks.delivered.tap('example', (d) => {
    const { vector, intid, source, bit } = d as unknown as Readonly<
      Record<'vector' | 'intid' | 'source' | 'bit', number | undefined>
    >;
    const what =
      source !== undefined
        ? `source ${source}, bit ${bit}`
        : intid !== undefined
          ? `INTID ${intid}`
          : `vector ${vector}`;
    console.log(`    ${d.controller} delivers ${what}`);
  });
  client(platform);
}

// Function B writes the interrupt message of function A. Who stops it? Nobody on a machine without remapping, VT-d by the sender's id,
// an Arm machine by giving every sender its own table; and each of them stops nothing once verification is off.
import { q35, q35Memory, qoriq, qoriqMemory, virt, virtMemory } from '@doorbell/boards';
import { IOMMU } from '@doorbell/iommu';
import { at, PCI, TEST_ADDRESS_HI, TEST_ADDRESS_LO, TEST_DATA, TEST_FIRE, TEST_GO, testFunction } from '@doorbell/pci';
import { hex64, Platform } from '@doorbell/platform';

const functions = [at('04.0', testFunction({ msix: 2 })), at('05.0', testFunction({ msix: 2 }))];
const x86 = (options = {}): Platform => new Platform({ memory: q35Memory() }).use(q35({ functions, ...options }));
const arm = (options = {}): Platform => new Platform({ memory: virtMemory() }).use(virt({ functions, ...options }));

const boards: Record<string, Platform> = {
  'x86 without IOMMU': x86({ vtd: false }),
  'x86, VT-d, interrupt remapping off': x86({ vtd: { remapInterrupts: false } }),
  'x86, VT-d, IRTEs that accept every sender': x86({ vtd: { verifySource: false } }),
  'x86, VT-d': x86(),
  'Arm, SMMUv3 and GICv2m': arm({ msi: 'gicv2m' }),
  'Arm, SMMUv3 and ITS': arm(),
  'PowerPC, PAMU, one MSI bank for both': new Platform({ memory: qoriqMemory() }).use(
    qoriq({ functions: [functions], liodns: 'function' }),
  ),
};

for (const [name, board] of Object.entries(boards)) {
  const platform = board.compose();
  const [pci, iommu] = [platform.service(PCI), platform.service(IOMMU)];
  const [a, b] = [pci.get('00:04.0'), pci.get('00:05.0')];
  for (const fn of [a, b]) {
    if (!iommu.unitOf(fn)) continue;
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [fn] });
    iommu.attach(fn, domain);
    if (iommu.msiDemand([fn], domain).pages > 0) iommu.placeMsiWindow(domain, [fn]);
  }
  const vectors = pci.enableMsixRange(a, 2, 2);
  pci.enableMsixRange(b, 1, 1); // B has an interrupt of its own: the doorbell is within its reach

  const heard: string[] = [];
  platform.hooks.delivered.tap('example', (d) => {
    const { intid, source, bit, vector } = d as unknown as Readonly<Record<string, number | undefined>>;
    heard.push(
      intid !== undefined ? `INTID ${intid}` : bit !== undefined ? `source ${source}, bit ${bit}` : `vector ${vector}`,
    );
  });
  platform.hooks.refused.tap('example', (r) => void heard.push(`blocked by ${r.by}: ${r.name}`));

  const { addressHi, addressLo, data } = vectors.message(1);
  a.bar(0).write32(TEST_FIRE.$.at, 1);
  const own = heard.splice(0)[0];
  // The attack: a DWORD write like any other.
  b.bar(0).write32(TEST_ADDRESS_HI.$.at, addressHi);
  b.bar(0).write32(TEST_ADDRESS_LO.$.at, addressLo);
  b.bar(0).write32(TEST_DATA.$.at, data);
  b.bar(0).write32(TEST_GO.$.at, TEST_GO.Write.mask);
  const forged = heard.find((h) => h.startsWith('blocked')) ?? heard[0] ?? 'nothing';
  console.log(`${name}\n  A writes 0x${data.toString(16)} to ${hex64(addressHi, addressLo)}: ${own}`);
  console.log(`  B writes the same: ${forged === own ? `${forged} — the CPU thinks it was A` : forged}`);
  const { isolated, witness } = iommu.msiIsolation(a);
  console.log(`  msiIsolation(A): ${isolated ? 'isolated' : 'NOT isolated'}: ${witness.join('; ')}`);
}

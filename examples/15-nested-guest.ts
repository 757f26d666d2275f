// A guest with an IOMMU of its own. The host's domain translates what the guest takes for physical addresses (stage 2); the guest's own tables come
// first (stage 1). The MSI window lies in the host's domain, so the guest sees the doorbell at an address of its own and maps it like any page.
import type { SmmuDriver } from '@doorbell/arm-smmuv3';
import { virt, virtMemory } from '@doorbell/boards';
import { IOMMU } from '@doorbell/iommu';
import { at, PCI, TEST_FIRE, testFunction } from '@doorbell/pci';
import { DoorbellError, hex, Platform, READ, Verdict, WRITE } from '@doorbell/platform';

const platform = new Platform({ memory: virtMemory() })
  .use(virt({ smmu: { stages: 'both', stage: 2 }, functions: [at('04.0', testFunction({ msix: 2 }))] }))
  .compose();
platform.hooks.delivered.tap('example', (d) => console.log('  arrived:', JSON.stringify(d)));
const fn = platform.service(PCI).get('00:04.0');
const iommu = platform.service(IOMMU);

console.log('The host gives the guest 64 KiB at 0x80000000, and a window for its MSIs');
const RAM = 0x4400_0000;
const GUEST = 0x8000_0000;
const vm = iommu.createDomain({ type: 'unmanaged', devices: [fn], name: 'vm' });
iommu.attach(fn, vm);
vm.map(GUEST, RAM, 0x1_0000, READ | WRITE);
const WINDOW = { base: 0x800_0000, size: 0x1000 };
vm.reserveMsiWindow(WINDOW);

console.log(
  'The guest writes tables into its memory: context descriptor, three levels, one page of data, the doorbell',
);
const words = (at: number, ...values: number[]) =>
  values.forEach((w, i) => platform.memory.write32(RAM + at + 4 * i, w >>> 0));
const TABLE = 3; // VMSAv8-64: a table
const PAGE = 0xc43; // a page that everybody reads and writes: AF, nG, AP[1]
words(0x0, 0xc000_0019, 0x0001_6205, GUEST + 0x1000, 0); // IHI 0070 §5.4: T0SZ 25, EPD1, V; IPS 5, AA64, R, A, ASID 1; TTB0
words(0x1000, (GUEST + 0x2000) | TABLE, 0); // level 1: 0 to 1 GiB
words(0x2000 + 8 * 2, (GUEST + 0x3000) | TABLE, 0); // level 2: from 0x400000
words(0x3000, (GUEST + 0x8000) | PAGE, 0); // 0x400000: data
words(0x3000 + 8, WINDOW.base | PAGE, 0); // 0x401000: the window
platform.memory.write32(RAM + 0x8000, 0xcafe);

const guestView = { doorbell: (ipa: number) => ipa - WINDOW.base + 0x40_1000 };
const nested = iommu.createDomain({ type: 'nested', parent: vm, guest: { tables: GUEST }, guestView });
iommu.move(fn, nested);

const read = (address: number) => {
  const bytes = new Uint8Array(4);
  const verdict = platform.fabric().read(fn.requester, 0, address, bytes);
  return verdict === Verdict.fault
    ? platform.fabric().outcome.fault
    : hex(new DataView(bytes.buffer).getUint32(0, true));
};
console.log(`  the function reads ${hex(0x40_0000)}: ${read(0x40_0000)}; ${hex(0x40_2000)}: ${read(0x40_2000)}`);

console.log('One call, and it is programmed with an address of the guest’s own');
const vectors = platform.service(PCI).enableMsixRange(fn, 1, 2);
console.log(`  window of the host ${hex(WINDOW.base)}, the function holds ${hex(vectors.message(0).addressLo)}`);
fn.bar(0).write32(TEST_FIRE.$.at, 0);
platform.settle();

console.log('The guest unmaps its page of data: its command is vetted, gets the VMID, and is queued');
words(0x3000, 0, 0);
console.log(`  until then the function reads ${hex(0x40_0000)}: ${read(0x40_0000)}, from the TLB`);
const smmu = platform.driver('smmu0') as SmmuDriver;
const tlbiAll = Uint32Array.of(0x11, 0, 0, 0); // IHI 0070 §4.4: CMD_TLBI_NH_ASID, ASID 0
tlbiAll[1] = 1 << 16; // ASID 1
smmu.guestInvalidate(nested.table!, [tlbiAll]);
console.log(`  now: ${read(0x40_0000)}`);
try {
  smmu.guestInvalidate(nested.table!, [Uint32Array.of(0x2a, 0, 0, 0)]); // CMD_TLBI_S2_IPA: the host’s own tables
} catch (error) {
  if (!(error instanceof DoorbellError)) throw error;
  console.log(`  refused: ${error.code}: ${error.message}`);
}
platform.dispose();

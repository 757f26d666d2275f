// A function is passed through to a guest. The VMM asks what the address space looks like, maps the guest's RAM, and gets signals; it has no line
// about MSI addresses beyond "the window may lie here", and the same VMM runs on every architecture.
import { q35, q35Memory, qoriq, qoriqMemory, virt, virtMemory } from '@doorbell/boards';
import { CPU_INTERFACE } from '@doorbell/irqchip';
import { at, PCI, TEST_FIRE, testFunction } from '@doorbell/pci';
import { DoorbellError, hex, Platform, READ, WRITE } from '@doorbell/platform';
import { Signal, VFIO } from '@doorbell/vfio';

const functions = [at('04.0', testFunction({ msix: 2 }))];
const boards: Record<string, { readonly platform: Platform; readonly ram: number }> = {
  'x86, VT-d': { platform: new Platform({ memory: q35Memory() }).use(q35({ functions })), ram: 0x400_0000 },
  'Arm, SMMUv3 and ITS': {
    platform: new Platform({ memory: virtMemory() }).use(virt({ functions })),
    ram: 0x4400_0000,
  },
  'Arm, SMMUv3 and GICv2m': {
    platform: new Platform({ memory: virtMemory() }).use(virt({ functions, msi: 'gicv2m' })),
    ram: 0x4400_0000,
  },
  'PowerPC, PAMU and MPIC': {
    platform: new Platform({ memory: qoriqMemory() }).use(qoriq({ functions: [functions] })),
    ram: 0x400_0000,
  },
};

/** The guest's RAM: 16 MiB at its address 0. */
const GUEST_RAM = 0x100_0000;

function vmm(platform: Platform, ram: number): void {
  const fn = platform.service(PCI).get('00:04.0');
  const vfio = platform.service(VFIO);
  const container = vfio.createContainer([fn], 'guest');
  const { msi } = container.info();
  console.log(
    msi.fixed
      ? `  MSIs: the hardware's own range ${hex(msi.fixed.first)}–${hex(msi.fixed.last)}, keep the guest's RAM out of it`
      : `  MSIs: ${hex(msi.bytes)} bytes wanted`,
  );
  if (msi.pages > 0) container.registerMsiWindow({ base: 0x800_0000, size: msi.bytes });
  container.map(0, ram, GUEST_RAM, READ | WRITE);

  let device;
  try {
    device = container.openDevice(fn);
  } catch (error) {
    if (!(error instanceof DoorbellError)) throw error;
    console.log(`  refused: ${error.code}: ${error.message}`);
    device = container.openDevice(fn, { allowUnsafeInterrupts: true });
  }
  const signals = [new Signal(), new Signal()];
  device.setInterrupts('msix', signals);
  console.log(`  ${device.name} holds ${hex(platform.service(PCI).vectorsOf(fn)!.message(1).addressLo)}`);

  device.bar(0).write32(TEST_FIRE.$.at, 1);
  // The host kernel's part: what CPU 0 takes goes to its owner.
  const cpus = platform.get(CPU_INTERFACE);
  for (let n = cpus.acknowledge(0); n !== null; n = cpus.acknowledge(0)) {
    cpus.end(0, n);
    console.log(`  CPU 0 takes ${n}: ${vfio.interrupt(0, n) ? 'a signal for the guest' : 'nobody’s'}`);
  }
  console.log(`  signals: ${signals.map((s) => s.take()).join(', ')}`);
  container.close();
}

for (const [name, { platform, ram }] of Object.entries(boards)) {
  console.log(name);
  vmm(platform.compose(), ram);
}

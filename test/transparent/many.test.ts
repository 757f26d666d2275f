import { q35, q35Memory, virt, virtMemory } from '@doorbell/boards';
import { CPU_INTERFACE, INTERRUPTS, type Message } from '@doorbell/irqchip';
import { IOMMU } from '@doorbell/iommu';
import {
  PCI,
  TEST_ADDRESS_HI,
  TEST_ADDRESS_LO,
  TEST_DATA,
  TEST_FIRE,
  TEST_GO,
  at,
  testFunction,
  type PciDevice,
} from '@doorbell/pci';
import {
  Platform,
  after,
  immediate,
  seeded,
  type CompletionPolicy,
  type MemoryBank,
  type Plugin,
} from '@doorbell/platform';
import { describe, expect, it } from 'vitest';

/** One kind of platform, with how many functions and vectors fit its controller. */
interface Cell {
  readonly name: string;
  readonly memory: () => MemoryBank[];
  readonly board: (functions: ReturnType<typeof at>[]) => Plugin;
  readonly functions: number;
  readonly vectors: number;
  /** Whether a message that another function sends arrives. */
  readonly forgery: 'refused' | 'accepted';
}

const many = { functions: 64, vectors: 8 };
/** QEMU's v2m frame has 64 SPIs. */
const few = { functions: 16, vectors: 4 };

const cells: readonly Cell[] = [
  { name: 'VT-d', memory: q35Memory, board: (functions) => q35({ cpus: 4, functions }), ...many, forgery: 'refused' },
  {
    name: 'VT-d, senders not verified',
    memory: q35Memory,
    board: (functions) => q35({ cpus: 4, functions, vtd: { verifySource: false } }),
    ...many,
    forgery: 'accepted',
  },
  {
    name: 'VT-d, interrupt remapping off',
    memory: q35Memory,
    board: (functions) => q35({ cpus: 4, functions, vtd: { remapInterrupts: false } }),
    ...many,
    forgery: 'accepted',
  },
  {
    name: 'SMMU, ITS',
    memory: virtMemory,
    board: (functions) => virt({ cpus: 4, functions }),
    ...many,
    forgery: 'refused',
  },
  {
    name: 'no SMMU, ITS',
    memory: virtMemory,
    board: (functions) => virt({ cpus: 4, functions, smmu: false }),
    ...many,
    forgery: 'refused',
  },
  {
    name: 'SMMU, v2m',
    memory: virtMemory,
    board: (functions) => virt({ cpus: 4, functions, msi: 'gicv2m' }),
    ...few,
    forgery: 'accepted',
  },
  {
    name: 'no SMMU, v2m',
    memory: virtMemory,
    board: (functions) => virt({ cpus: 4, functions, msi: 'gicv2m', smmu: false }),
    ...few,
    forgery: 'accepted',
  },
];

const place = (i: number) => `${(1 + (i >> 3)).toString(16).padStart(2, '0')}.${i & 7}`;
const policies = [immediate(), after(3), seeded(7)];

/** Enables every function in a domain of its own. The same lines for every cell. */
function enableAll(platform: Platform, vectors: number): PciDevice[] {
  const iommu = platform.service(IOMMU);
  const pci = platform.service(PCI);
  const fns = pci.functions.filter((f) => f.msixVectors > 0);
  fns.forEach((fn, i) => {
    if (iommu.unitOf(fn) && iommu.domainOf(fn).type === 'blocked') {
      const domain = iommu.createDomain({ type: 'unmanaged', devices: [fn] });
      iommu.attach(fn, domain);
      const { bytes } = iommu.msiDemand([fn], domain);
      if (bytes > 0) domain.reserveMsiWindow({ base: 0x800_0000, size: bytes });
    }
    pci.enableMsixRange(fn, vectors, vectors, { cpus: [i % 4] });
  });
  return fns;
}

function arrived(platform: Platform): string {
  platform.settle();
  const cpus = platform.get(CPU_INTERFACE);
  const core = platform.service(INTERRUPTS);
  const seen: string[] = [];
  for (let cpu = 0; cpu < 4; cpu++) {
    for (let n = cpus.acknowledge(cpu); n !== null; n = cpus.acknowledge(cpu)) {
      const owner = core.owner(cpu, n);
      if (owner?.block.device.kind === 'pci') seen.push(`${owner.block.device.name}[${owner.index}]@${cpu}`);
      cpus.end(cpu, n);
    }
  }
  return seen.sort().join();
}

/** The function itself writes 4 bytes wherever it is told. */
function write(fn: PciDevice, { addressHi, addressLo, data }: Message): void {
  const bar = fn.bar(0);
  bar.write32(TEST_ADDRESS_HI.$.at, addressHi);
  bar.write32(TEST_ADDRESS_LO.$.at, addressLo);
  bar.write32(TEST_DATA.$.at, data);
  bar.write32(TEST_GO.$.at, TEST_GO.Write.mask);
}

describe.each(cells)('$name', ({ memory, board, functions, vectors, forgery }) => {
  const compose = (completion: CompletionPolicy) =>
    new Platform({ memory: memory(), completion })
      .use(board(Array.from({ length: functions }, (_, i) => at(place(i), testFunction({ msix: vectors, acs: 0 })))))
      .compose();

  it.each(policies)(`every vector of ${functions} functions arrives as itself, hardware completing $name`, (policy) => {
    const platform = compose(policy);
    const fns = enableAll(platform, vectors);
    expect(fns).toHaveLength(functions);
    fns.forEach((fn, i) => {
      for (let v = 0; v < vectors; v++) {
        fn.bar(0).write32(TEST_FIRE.$.at, v);
        expect(arrived(platform)).toBe(`${fn.name}[${v}]@${i % 4}`);
      }
    });
  });

  it(`a message of one function that another one writes is ${forgery}`, () => {
    const platform = compose(immediate());
    const fns = enableAll(platform, vectors);
    const [attacker, victim] = [fns[0]!, fns[fns.length - 1]!];
    const message = platform.service(PCI).vectorsOf(victim)!.message(1);
    write(attacker, message);
    const cpu = (fns.length - 1) % 4;
    const seen = arrived(platform).includes(`${victim.name}[1]@${cpu}`);
    expect(seen ? 'accepted' : 'refused').toBe(forgery);
    write(victim, message);
    expect(arrived(platform)).toBe(`${victim.name}[1]@${cpu}`);
  });
});

import { HardwareError, Platform, type CompletionPolicy } from '@doorbell/platform';
import { INTERRUPTS, CPU_INTERFACE } from '@doorbell/irqchip';
import { IOMMU, type Domain } from '@doorbell/iommu';
import { CapId, PCI, TEST_FIRE, at, testFunction, type PciBus, type PciDevice, type Placed } from '@doorbell/pci';
import { check, equal, throwsCode } from './assert.js';
import { betweenSteps } from './between.js';
import type { ConformanceCase } from './case.js';

/** What has to stand on bus 0 of the platform: MSI-X, MSI with per-vector masking, MSI of 32 bits. */
export const kitFunctions = (): Placed[] => [
  at('01.0', testFunction({ msix: 8 })),
  at('02.0', testFunction({ msi: 4, perVectorMasking: true })),
  at('03.0', testFunction({ msi: 1, msi64: false })),
];

/** A composed platform whose segment 0 has the `kitFunctions`, all behind one unit. */
export type PciFactory = (completion: CompletionPolicy) => Platform;

const WINDOW = 0x800_0000;

/** PCI functions with real masks and pending bits, as their driver sees them. */
class PciLab {
  readonly pci: PciBus;
  readonly msix: PciDevice;
  readonly maskable: PciDevice;
  readonly narrow: PciDevice;

  constructor(readonly platform: Platform) {
    this.pci = platform.service(PCI);
    this.msix = this.pci.get('00:01.0');
    this.maskable = this.pci.get('00:02.0');
    this.narrow = this.pci.get('00:03.0');
  }

  /** A domain for the function, with a window if its MSIs are translated. */
  ready(fn: PciDevice, base = WINDOW): Domain {
    const domain = this.another(fn, base);
    this.platform.service(IOMMU).attach(fn, domain);
    return domain;
  }

  another(fn: PciDevice, base: number): Domain {
    const iommu = this.platform.service(IOMMU);
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [fn] });
    const { bytes } = iommu.msiDemand([fn], domain);
    if (bytes > 0) domain.reserveMsiWindow({ base, size: bytes });
    return domain;
  }

  /** The function has an event of its vector. */
  fire(fn: PciDevice, vector: number): void {
    fn.bar(0).write32(TEST_FIRE.$.at, vector);
  }

  /** Whose vectors have arrived: `name[index]`, sorted. */
  arrived(): string {
    this.platform.settle();
    const cpus = this.platform.get(CPU_INTERFACE);
    const core = this.platform.service(INTERRUPTS);
    const seen: string[] = [];
    const root = core.domainFor(this.msix).root;
    for (const cpu of root.cpus) {
      for (let n = cpus.acknowledge(cpu); n !== null; n = cpus.acknowledge(cpu)) {
        const owner = core.owner(cpu, n);
        if (owner?.block.device.kind === 'pci') seen.push(`${owner.block.device.name}[${owner.index}]`);
        cpus.end(cpu, n);
      }
    }
    return seen.sort().join();
  }

  /** Pending bits: of the PBA, or of the MSI capability. */
  pending(fn: PciDevice): number {
    const msix = fn.capability(CapId.msix);
    if (msix) {
      const place = fn.read(msix + 8);
      return fn.bar(place & 7).read32((place & ~7) >>> 0);
    }
    return fn.read(fn.capability(CapId.msi) + 20);
  }

  config(fn: PciDevice): string {
    return Array.from({ length: 64 }, (_, i) => fn.read(4 * i).toString(16)).join(' ');
  }
}

interface PciCase {
  readonly name: string;
  readonly run: (lab: PciLab, fresh: () => PciLab) => void;
}

const CASES: readonly PciCase[] = [
  {
    name: 'a masked vector waits in the pending bits and is sent once when unmasked',
    run: (lab) => {
      for (const fn of [lab.msix, lab.maskable]) {
        lab.ready(fn);
        const vectors = lab.pci.allocateVectors(fn, { min: 2, max: 2 });
        lab.fire(fn, 1);
        equal(lab.arrived(), `${fn.name}[1]`, 'unmasked');
        vectors.mask(1);
        lab.fire(fn, 1);
        lab.fire(fn, 1);
        lab.fire(fn, 0);
        equal(lab.arrived(), `${fn.name}[0]`, 'while vector 1 is masked');
        equal(lab.pending(fn) & 3, 2, 'pending bits');
        vectors.unmask(1);
        equal(lab.arrived(), `${fn.name}[1]`, 'after unmasking');
        equal(lab.pending(fn) & 3, 0, 'pending bits after it was sent');
        vectors.mask(1);
        vectors.unmask(1);
        equal(lab.arrived(), '', 'masked and unmasked without an event');
        vectors.free();
      }
    },
  },
  {
    name: 'the function holds what the chain composed, and nothing once disabled',
    run: (lab) => {
      lab.ready(lab.msix);
      const before = lab.platform.service(INTERRUPTS).digest();
      const vectors = lab.pci.enableMsixRange(lab.msix, 1, 8);
      equal(vectors.count, 8, 'vectors');
      for (let i = 0; i < 8; i++) {
        equal(JSON.stringify(vectors.message(i)), JSON.stringify(vectors.block.message(i)), `message ${i}`);
        lab.fire(lab.msix, i);
        equal(lab.arrived(), `${lab.msix.name}[${i}]`, `vector ${i}`);
      }
      lab.pci.disable(lab.msix);
      lab.fire(lab.msix, 0);
      equal(lab.arrived(), '', 'after disabling');
      equal(lab.platform.service(INTERRUPTS).digest(), before, 'allocators');
    },
  },
  {
    name: 'a function whose interrupts cannot be had keeps its configuration space',
    run: (lab) => {
      const iommu = lab.platform.service(IOMMU);
      const fn = lab.narrow;
      const domain = iommu.createDomain({ type: 'unmanaged', devices: [fn] });
      iommu.attach(fn, domain);
      const demand = iommu.msiDemand([fn], domain);
      const before = lab.config(fn);
      throwsCode('MSI_NOT_SUPPORTED', 'MSI-X on a function without', () => lab.pci.enableMsixRange(fn, 1, 1));
      if (demand.bytes > 0) {
        throwsCode('MSI_WINDOW_MISSING', 'no window', () => lab.pci.enableMsiRange(fn, 1, 1));
        if (domain.aperture.last >= 2 ** 33 + demand.bytes) {
          domain.reserveMsiWindow({ base: 2 ** 33, size: demand.bytes });
          throwsCode('MSI_WINDOW_UNREACHABLE', 'a window above 4 GiB', () => lab.pci.enableMsiRange(fn, 1, 1));
        }
        domain.reserveMsiWindow({ base: WINDOW, size: demand.bytes });
      }
      equal(lab.config(fn), before, 'configuration space');
      lab.pci.enableMsiRange(fn, 1, 1);
      lab.fire(fn, 0);
      equal(lab.arrived(), `${fn.name}[0]`, 'arrived at last');
    },
  },
  {
    name: 'a function moves between domains with its vectors live: none is lost at any step',
    run: (_, fresh) => {
      for (let n = 0; ; n++) {
        const lab = fresh();
        const fn = lab.msix;
        lab.ready(fn);
        lab.pci.enableMsixRange(fn, 3, 3);
        const to = lab.another(fn, 0xa00_0000);
        let step = 0;
        betweenSteps(
          lab.platform,
          () => {
            if (step++ === n) lab.fire(fn, 2);
          },
          () => lab.platform.service(IOMMU).move(fn, to),
        );
        if (step <= n) return;
        equal(lab.arrived(), `${fn.name}[2]`, `fired at step ${n} of ${step}`);
        equal(lab.platform.service(IOMMU).faults().length, 0, 'faults');
        lab.fire(fn, 0);
        equal(lab.arrived(), `${fn.name}[0]`, 'after the move');
      }
    },
  },
  {
    name: 'MSI without masks moves only where its address stays',
    run: (lab) => {
      const fn = lab.narrow;
      const from = lab.ready(fn);
      const vectors = lab.pci.enableMsiRange(fn, 1, 1);
      const message = JSON.stringify(vectors.message(0));
      const iommu = lab.platform.service(IOMMU);
      const elsewhere = lab.another(fn, 0xa00_0000);
      if (from.msiWindow) throwsCode('MSI_CANNOT_MOVE_LIVE', 'another base', () => iommu.move(fn, elsewhere));
      const same = lab.another(fn, WINDOW);
      try {
        iommu.move(fn, same);
        equal(iommu.domainOf(fn) === same, true, 'moved');
      } catch (error) {
        // A unit whose switch is not hitless has to refuse this one too.
        check(
          !(error instanceof HardwareError) && iommu.domainOf(fn) === from,
          `neither moved nor refused: ${String(error)}`,
        );
      }
      equal(JSON.stringify(vectors.message(0)), message, 'the message');
      lab.fire(fn, 0);
      equal(lab.arrived(), `${fn.name}[0]`, 'arrived');
    },
  },
];

/** What the PCI core shows on a platform with the `kitFunctions`. */
export function pciConformanceCases(factory: PciFactory, completion: CompletionPolicy): readonly ConformanceCase[] {
  const fresh = (): PciLab => new PciLab(factory(completion));
  return CASES.map((c) => ({ name: c.name, run: () => c.run(fresh(), fresh) }));
}

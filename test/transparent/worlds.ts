import { q35, q35Memory, qoriq, qoriqMemory, virt, virtMemory } from '@doorbell/boards';
import { CPU_INTERFACE } from '@doorbell/irqchip';
import { at, edu } from '@doorbell/pci';
import { Platform, type CompletionPolicy, type Machine } from '@doorbell/platform';
import {
  acknowledged,
  lapicState,
  qemuAvailable,
  startQ35,
  startVirt,
  type QemuArch,
  type QemuMachine,
} from '@doorbell/qemu';

/** An interrupt as a CPU sees it: `number@cpu`. */
export type Seen = string;

/** A machine with one `edu`, its CPUs' side of the interrupt controller, and a way to end it. */
export interface World {
  readonly platform: Platform;
  /** RAM for data. */
  readonly data: number;
  /** Everything that has arrived at any CPU so far. */
  readonly arrived: () => readonly Seen[];
  close(): void;
}

export interface Row {
  readonly name: string;
  readonly arch: 'x86' | 'arm' | 'powerpc';
  /** What the test needs besides Node; null: nothing. */
  readonly needs: QemuArch | null;
  /** `completion` is a matter of our models; a QEMU completes as it likes. */
  build(completion?: CompletionPolicy): World;
}

const CPUS = 2;
const EDU = 'edu,dma_mask=0xffffffffffffffff,addr=4';
const functions = [at('04.0', edu({ dmaBits: 64, msix: 4 }))];

function onModel(platform: Platform, data: number): World {
  const seen: Seen[] = [];
  const cpus = platform.get(CPU_INTERFACE);
  return {
    platform,
    data,
    arrived: () => {
      platform.settle();
      for (let cpu = 0; cpu < CPUS; cpu++) {
        for (let n = cpus.acknowledge(cpu); n !== null; n = cpus.acknowledge(cpu)) {
          cpus.end(cpu, n);
          seen.push(`${n}@${cpu}`);
        }
      }
      return seen;
    },
    close: () => platform.dispose(),
  };
}

function onQemu(machine: QemuMachine, platform: Platform, data: number, arrived: () => Seen[]): World {
  return { platform, data, arrived, close: () => (platform.dispose(), machine.close()) };
}

/** A platform of drivers alone: the hardware is a live QEMU. */
const drivers = (machine: Machine) => new Platform({ machine });

export const rows: readonly Row[] = [
  {
    name: 'VT-d on the model',
    arch: 'x86',
    needs: null,
    build: (completion) =>
      onModel(
        new Platform({ memory: q35Memory(), ...(completion && { completion }) })
          .use(q35({ cpus: CPUS, functions }))
          .compose(),
        0x10_0000,
      ),
  },
  {
    name: 'VT-d on QEMU',
    arch: 'x86',
    needs: 'x86_64',
    build: () => {
      const machine = startQ35({ cpus: CPUS, iommu: 'intel-iommu,intremap=on', devices: [EDU] });
      const requested = () =>
        Array.from({ length: CPUS }, (_, cpu) => lapicState(machine, cpu).requested.map((v) => `${v}@${cpu}`)).flat();
      return onQemu(
        machine,
        drivers(machine)
          .use(q35({ cpus: CPUS }))
          .compose(),
        0x10_0000,
        requested,
      );
    },
  },
  {
    name: 'SMMU+ITS on the model',
    arch: 'arm',
    needs: null,
    build: (completion) =>
      onModel(
        new Platform({ memory: virtMemory(), ...(completion && { completion }) })
          .use(virt({ cpus: CPUS, functions }))
          .compose(),
        0x4010_0000,
      ),
  },
  {
    name: 'SMMU+ITS on QEMU',
    arch: 'arm',
    needs: 'aarch64',
    build: () => {
      const machine = startVirt({ cpus: CPUS, devices: [EDU] });
      const log = () =>
        Array.from({ length: CPUS }, (_, cpu) => acknowledged(machine, cpu).intids.map((n) => `${n}@${cpu}`)).flat();
      return onQemu(
        machine,
        drivers(machine)
          .use(virt({ cpus: CPUS }))
          .compose(),
        0x4010_0000,
        log,
      );
    },
  },
  {
    name: 'PAMU+MPIC on the model',
    arch: 'powerpc',
    needs: null,
    build: (completion) =>
      onModel(
        new Platform({ memory: qoriqMemory(), ...(completion && { completion }) })
          .use(qoriq({ cpus: CPUS, functions: [functions] }))
          .compose(),
        0x10_0000,
      ),
  },
];

export const missing = (row: Row): string | null => {
  const answer = row.needs === null ? null : qemuAvailable(row.needs);
  return answer === null || answer.available ? null : answer.reason;
};

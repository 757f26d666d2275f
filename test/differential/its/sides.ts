import { Gicv3, Its } from '@doorbell/arm-gic';
import { definePlugin, Platform, type CpuPort, type MemoryPort } from '@doorbell/platform';
import { acknowledged, VIRT, type QemuMachine } from '@doorbell/qemu';

export const CPUS = 2;
/** LPIs that the streams use. */
export const LPIS = 32;
export const AT = {
  queue: 0x4400_0000,
  devices: 0x4401_0000,
  level2: 0x4402_0000,
  collections: 0x4403_0000,
  configuration: 0x4404_0000,
  /** One of 64 KiB per CPU. */
  pending: 0x4405_0000,
  /** One of 256 bytes per device. */
  itt: 0x4408_0000,
} as const;
const QUEUE_BYTES = 0x1000;

export interface Side {
  readonly cpu: CpuPort;
  readonly memory: MemoryPort;
  /** INTIDs acknowledged so far, in order. For QEMU: once at least `count` are there. */
  taken(cpu: number, count: number): number[];
}

/** What both sides let one see, as text. */
export interface State {
  readonly creadr: number;
  readonly devices: string[];
  readonly collections: string[];
  readonly itts: string[];
  readonly pending: string[];
  /** INTIDs per CPU; several at once may come in any order. */
  readonly taken: number[][];
}

export interface Setup {
  /** A two-level device table with 64 KiB pages. */
  readonly indirect?: boolean;
}

/** GIC, redistributors with LPI tables, ITS tables and queue; even LPIs are enabled. */
export function start({ cpu, memory }: Side, { indirect = false }: Setup = {}): void {
  cpu.write32(VIRT.its, 0);
  for (let c = 0; c < CPUS; c++) cpu.write32(VIRT.gicr + 0x20000 * c, 0);
  memory.fill(AT.queue, 0x9_0000, 0);
  for (let i = 0; i < LPIS; i++) memory.write8(AT.configuration + i, i % 2 ? 0xa2 : 0xa3);
  memory.barrier();
  cpu.write32(VIRT.gicd, 0x12); // ARE, EnableGrp1
  for (let c = 0; c < CPUS; c++) {
    const r = VIRT.gicr + 0x20000 * c;
    cpu.write32(r + 0x14, 0); // WAKER
    cpu.write64(r + 0x70, 0, AT.configuration | 15);
    cpu.write64(r + 0x78, 0x4000_0000, AT.pending + 0x1_0000 * c); // PTZ
    cpu.write32(r, 1);
  }
  if (indirect) memory.write64(AT.devices, 0x8000_0000, AT.level2);
  // 64 KiB pages, one of each; flat: 8,192 devices; indirect: level-1 entries for all, only the first page there
  cpu.write64(VIRT.its + 0x100, (indirect ? 0xc000_0000 : 0x8000_0000) >>> 0, AT.devices | 0x200);
  cpu.write64(VIRT.its + 0x108, 0x8000_0000, AT.collections | 0x200);
  cpu.write64(VIRT.its + 0x80, 0x8000_0000, AT.queue | (QUEUE_BYTES / 4096 - 1));
  cpu.write64(VIRT.its + 0x88, 0, 0);
  cpu.write32(VIRT.its, 1);
}

/** One 32-byte command; words not named are 0. */
export function send({ cpu, memory }: Side, words: readonly number[]): void {
  const at = cpu.read32(VIRT.its + 0x88) & 0xfffe0;
  for (let i = 0; i < 8; i++) memory.write32(AT.queue + at + 4 * i, (words[i] ?? 0) >>> 0);
  memory.barrier();
  cpu.write64(VIRT.its + 0x88, 0, (at + 32) % QUEUE_BYTES);
}

/** A message of DeviceID 0: a CPU's write to GITS_TRANSLATER. */
export const message = ({ cpu }: Side, event: number): void => cpu.write32(VIRT.its + 0x10040, event);

export function state(side: Side, takenBefore: readonly number[], takenNow: readonly number[]): State {
  const { cpu, memory } = side;
  const entries = (base: number, count: number, words: number): string[] => {
    const out: string[] = [];
    for (let n = 0; n < count; n++) {
      const w = Array.from({ length: words }, (_, i) => memory.read32(base + 4 * (words * n + i)));
      if (w.some((v) => v !== 0)) out.push(`${n}: ${w.map((v) => v.toString(16)).join(' ')}`);
    }
    return out;
  };
  const taken = takenBefore.map((from, c) =>
    side
      .taken(c, takenNow[c]!)
      .slice(from)
      .sort((a, b) => a - b),
  );
  return {
    creadr: cpu.read32(VIRT.its + 0x90),
    devices: [...entries(AT.devices, 64, 2), ...entries(AT.level2, 64, 2)],
    collections: entries(AT.collections, 16, 2),
    itts: [0, 1, 2, 3].flatMap((d) => entries(AT.itt + 0x100 * d, 8, 3).map((e) => `ITT ${d}, ${e}`)),
    pending: [0, 1].flatMap((c) =>
      entries(AT.pending + 0x1_0000 * c + 1024, LPIS / 32, 1).map((e) => `CPU ${c}, ${e}`),
    ),
    taken,
  };
}

/** Our models without drivers; the CPUs take whatever is pending when asked. */
export function modelSide(): Side {
  let gic: Gicv3 | undefined;
  const platform = new Platform({ memory: [{ base: VIRT.ram, size: 2 ** 28 }] })
    .use(
      definePlugin(
        'gic-alone',
        {
          compatible: ['gic'],
          model: {
            create: (ctx) =>
              (gic = new Gicv3('gic0', { distributor: VIRT.gicd, redistributors: VIRT.gicr }, ctx.host, {
                cpus: CPUS,
              })),
          },
        },
        [
          {
            name: 'gic0',
            compatible: 'gic',
            reg: [
              { base: VIRT.gicd, size: 0x10000 },
              { base: VIRT.gicr, size: 0x40000 },
            ],
          },
        ],
      ),
      definePlugin(
        'its-alone',
        {
          compatible: ['its'],
          model: { create: (ctx) => new Its('its0', VIRT.its, ctx.host, gic!, { commandErrors: 'skip' }) },
        },
        [{ name: 'its0', compatible: 'its', reg: [{ base: VIRT.its, size: 0x20000 }] }],
      ),
    )
    .compose();
  const taken: number[][] = Array.from({ length: CPUS }, () => []);
  return {
    cpu: platform.bus,
    memory: platform.memoryModel,
    taken(cpu) {
      for (let n = gic!.acknowledge(cpu); n !== null; n = gic!.acknowledge(cpu)) {
        taken[cpu]!.push(n);
        gic!.end(cpu, n);
      }
      return taken[cpu]!;
    },
  };
}

export function qemuSide(machine: QemuMachine): Side {
  const taken: number[][] = Array.from({ length: CPUS }, () => []);
  return {
    cpu: machine.cpu,
    memory: machine.memory,
    taken(cpu, count) {
      const list = taken[cpu]!;
      for (let polls = 0; ; polls++) {
        const { count: now, intids } = acknowledged(machine, cpu);
        if (now > list.length) list.push(...intids.slice(intids.length - (now - list.length)));
        if (list.length >= count || polls > 3000) return list;
        machine.cpu.read32(VIRT.gicd); // a round trip of time
      }
    },
  };
}

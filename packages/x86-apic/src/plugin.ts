import {
  API_VERSION,
  DoorbellError,
  token,
  type BlockDefinition,
  type PlatformNode,
  type Plugin,
  type Token,
} from '@doorbell/platform';
import { CPU_INTERFACE, INTERRUPTS, type CpuInterface } from '@doorbell/irqchip';
import { Apics } from './model/apics.js';
import { Ioapic, type IoapicOptions } from './model/ioapic.js';
import type { LapicOptions } from './model/lapic.js';
import { VectorAllocator } from './driver/vectors.js';
import { INTERRUPT_MESSAGES, MSI_BASE, MSI_SIZE, type InterruptMessages } from './spec/index.js';

export const APIC_COMPATIBLE = 'intel,apic';
export const IOAPIC_COMPATIBLE = 'intel,ioapic';

/** Where interrupt messages end, on the hardware side: remapping units hand their results to it. */
export const MESSAGES: Token<InterruptMessages> = token<InterruptMessages>(INTERRUPT_MESSAGES);
/** The local APICs of the platform, on the hardware side. */
export const APICS: Token<Apics> = token<Apics>('hardware:x86-apics');

/** A CPU: its APIC id, or more about its local APIC. */
export type CpuOption = number | LapicOptions;

export interface ApicOptions {
  /** How many CPUs (ids 0, 1, …), or each of them. Default 1. */
  readonly cpus?: number | readonly CpuOption[];
  /** Default: none. */
  readonly ioapics?: readonly (IoapicOptions & { readonly base?: number; readonly name?: string })[];
  /** The node's name. Default `apic`. */
  readonly name?: string;
}

/** Local APICs: model, vectors, CPU interface. IOAPICs: model. */
export function apic(options: ApicOptions = {}): Plugin {
  const nodes: PlatformNode[] = [
    {
      name: options.name ?? 'apic',
      compatible: APIC_COMPATIBLE,
      reg: [{ base: MSI_BASE, size: MSI_SIZE }],
      options: { cpus: options.cpus ?? 1 },
    },
    ...(options.ioapics ?? []).map(({ base, name, ...rest }, i) => ({
      name: name ?? `ioapic${i}`,
      compatible: IOAPIC_COMPATIBLE,
      reg: [{ base: base ?? 0xfec0_0000 + 0x1000 * i, size: 0x1000 }],
      options: rest,
    })),
  ];
  return {
    name: 'x86-apic',
    apiVersion: API_VERSION,
    apply(platform) {
      for (const block of [LOCAL_APICS, IO_APIC])
        platform.hooks.block.tap('x86-apic', (node) =>
          block.compatible.includes(node.compatible) ? block : undefined,
        );
      for (const node of nodes) platform.addNode(node);
    },
  };
}

const LOCAL_APICS: BlockDefinition = {
  compatible: [APIC_COMPATIBLE],
  check: checkCpus,
  model: {
    provides: [MESSAGES, APICS, CPU_INTERFACE],
    create(ctx) {
      const apics = new Apics(ctx.node.name, cpusOf(ctx.node), ctx.host, ctx.node.reg?.[0]?.base);
      ctx.provide(MESSAGES, apics);
      ctx.provide(APICS, apics);
      ctx.provide(CPU_INTERFACE, cpuInterface(apics));
      return apics;
    },
  },
  driver: {
    create(ctx) {
      const core = ctx.service(INTERRUPTS);
      const ids = cpusOf(ctx.node).map((cpu) => cpu.id);
      const vectors = new VectorAllocator(ctx.node.name, ids, {
        remapped: (device) => core.domainFor(device).levels.some((level) => level.renumbers),
        blocksOf: (device) => core.blocksOf(device),
      });
      core.addRoot(ctx.node.name, vectors);
      return {};
    },
  },
};

const IO_APIC: BlockDefinition = {
  compatible: [IOAPIC_COMPATIBLE],
  model: {
    wants: [APICS],
    create(ctx) {
      const ioapic = new Ioapic(
        ctx.node.name,
        ctx.node.reg?.[0]?.base ?? 0xfec0_0000,
        ctx.node.options ?? {},
        ctx.host,
      );
      ctx.optional(APICS)?.onEoi((vector) => ioapic.eoi(vector));
      return ioapic;
    },
  },
};

/** IRR, the interrupt acknowledge, EOI. */
const cpuInterface = (apics: Apics): CpuInterface => ({
  pending: (cpu) => apics.pending(cpu),
  acknowledge: (cpu) => {
    const vector = apics.lapics[cpu]?.acknowledge() ?? -1;
    return vector < 0 ? null : vector;
  },
  end: (cpu) => apics.lapics[cpu]?.eoi(),
});

function cpusOf(node: PlatformNode): LapicOptions[] {
  const cpus = (node.options?.['cpus'] ?? 1) as number | readonly CpuOption[];
  if (typeof cpus === 'number') return Array.from({ length: cpus }, (_, id) => ({ id }));
  return cpus.map((cpu) => (typeof cpu === 'number' ? { id: cpu } : cpu));
}

/** Errors: `BAD_OPTION`. */
function checkCpus(node: PlatformNode): DoorbellError[] {
  const problems: DoorbellError[] = [];
  const bad = (why: string, value: unknown) =>
    problems.push(
      new DoorbellError('BAD_OPTION', `${node.name}: cpus: ${why}`, 'give a number of CPUs or a list of APIC ids', {
        node: node.name,
        option: 'cpus',
        value,
      }),
    );
  const cpus = node.options?.['cpus'] ?? 1;
  if (typeof cpus === 'number') {
    if (!(Number.isInteger(cpus) && cpus >= 1 && cpus <= 4096))
      bad(`${cpus} is no number of CPUs from 1 to 4096`, cpus);
    return problems;
  }
  if (!Array.isArray(cpus) || cpus.length === 0) {
    bad('is neither a number nor a list', cpus);
    return problems;
  }
  const seen = new Set<number>();
  for (const { id, x2apic } of cpusOf(node)) {
    if (!(Number.isInteger(id) && id >= 0 && id < 0xffff_ffff)) bad(`${id} is no APIC id`, id);
    else if (id > 254 && !x2apic) bad(`APIC id ${id} needs x2apic`, id);
    if (seen.has(id)) bad(`APIC id ${id} is there twice`, id);
    seen.add(id);
  }
  return problems;
}

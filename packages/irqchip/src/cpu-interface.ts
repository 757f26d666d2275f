import {
  DoorbellError,
  token,
  type BlockContext,
  type HardwareHost,
  type Range,
  type Service,
  type Token,
} from '@doorbell/platform';

/**
 * A CPU's side of the interrupt controller: system registers or local APIC, not on the bus. On our models the controller provides
 * it; on live hardware it is a probe.
 */
export interface CpuInterface {
  /** Numbers that are pending or in service for a CPU (x86: IRR; GIC: pending at the interface; MPIC: pending), ascending. */
  pending(cpu: number): readonly number[];
  /** What the CPU would take next, now taken (IAR, IACK, INTA); null where nothing is pending. */
  acknowledge(cpu: number): number | null;
  end(cpu: number, number: number): void;
}

export const CPU_INTERFACE: Token<CpuInterface> = token<CpuInterface>('cpu-interface');

/** The CPUs' side of several controllers on one platform, each with numbers of its own. Earlier ones are taken first. */
class SharedCpuInterface implements CpuInterface {
  private readonly parts: { readonly part: CpuInterface; readonly numbers: Range }[] = [];

  add(part: CpuInterface, numbers: Range): void {
    this.parts.push({ part, numbers });
  }
  pending(cpu: number): readonly number[] {
    return this.parts.flatMap(({ part }) => part.pending(cpu)).sort((a, b) => a - b);
  }
  acknowledge(cpu: number): number | null {
    for (const { part } of this.parts) {
      const number = part.acknowledge(cpu);
      if (number !== null) return number;
    }
    return null;
  }
  end(cpu: number, number: number): void {
    for (const { part, numbers } of this.parts)
      if (number >= numbers.first && number <= numbers.last) part.end(cpu, number);
  }
  /** Its parts are models and keep their states themselves. */
  snapshot(): null {
    return null;
  }
  restore(): void {}
}

const SHARED: Service<CpuInterface, HardwareHost> = { token: CPU_INTERFACE, create: () => new SharedCpuInterface() };

/**
 * Joins a controller to the platform's `CPU_INTERFACE`, which others of its kind may join too; `numbers` are those that are its own.
 * Errors: `CPU_INTERFACE_TAKEN` where a controller provides the token for itself alone.
 */
export function joinCpuInterface(ctx: BlockContext<HardwareHost>, part: CpuInterface, numbers: Range): void {
  const shared = ctx.service(SHARED);
  if (!(shared instanceof SharedCpuInterface))
    throw new DoorbellError(
      'CPU_INTERFACE_TAKEN',
      `${ctx.node.name} cannot join a CPU interface that another controller has for itself`,
      'put one kind of interrupt controller on a platform',
      { node: ctx.node.name },
    );
  shared.add(part, numbers);
}

import { token, type Token } from '@doorbell/platform';

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

import { bit, bits, layout } from '@doorbell/bits';

/** The range whose DWORD writes are interrupt requests (SDM vol. 3 §11.11). */
export const MSI_BASE = 0xfee0_0000;
export const MSI_SIZE = 0x10_0000;

/** Address word of a message in compatibility format (SDM vol. 3 §11.11.1). */
export const MSI_ADDRESS = layout('MSI_ADDRESS', 'SDM vol. 3 §11.11.1', 0, 32, {
  PREFIX: bits(31, 20, { reset: 0xfee }),
  DESTINATION: bits(19, 12),
  RH: bit(3, { doc: 'redirection hint: deliver to one of the destinations' }),
  DM: bit(2, { is: { 0: 'physical', 1: 'logical' } }),
});

/** Data word of a message (SDM vol. 3 §11.11.2). */
export const MSI_DATA = layout('MSI_DATA', 'SDM vol. 3 §11.11.2', 0, 32, {
  TM: bit(15, { is: { 0: 'edge', 1: 'level' } }),
  LEVEL: bit(14),
  DELIVERY: bits(10, 8),
  VECTOR: bits(7, 0),
});

/** Delivery modes of messages, redirection entries and remapping entries. 3 and 6 are reserved (6 is start-up, from an ICR only). */
export const DeliveryMode = { fixed: 0, lowestPriority: 1, smi: 2, nmi: 4, init: 5, startUp: 6, extInt: 7 } as const;

/** The names that events and `explain` use. */
export const DELIVERY_NAMES: readonly string[] = [
  'fixed',
  'lowest-priority',
  'smi',
  'reserved',
  'nmi',
  'init',
  'reserved',
  'extint',
];

/**
 * Where interrupt messages end on x86: what a remapping unit hands its results to. Fields as on the wire; `destination` has 32
 * bits when the unit works in extended mode.
 */
export interface InterruptMessages {
  /** A message in compatibility format. `hi` carries destination bits 31:8 in its bits 31:8. */
  message(hi: number, lo: number, data: number): void;
  /** The same, already taken apart. `logical`, `level` and `hint` are 0 or 1. */
  deliver(vector: number, destination: number, logical: number, delivery: number, level: number, hint: number): void;
}

/** Name of the hardware token under which `InterruptMessages` is provided. */
export const INTERRUPT_MESSAGES = 'hardware:x86-interrupt-messages';

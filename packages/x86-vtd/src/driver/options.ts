/** A range that firmware keeps for streams (DMAR RMRR): mapped one to one in every domain of theirs, or refused. */
export interface ReservedOption {
  readonly first: number;
  readonly last: number;
  /** Source ids; absent: every stream of the unit. */
  readonly streams?: readonly number[];
  /** Firmware let go of it after boot (graphics, USB): passthrough may ignore it. */
  readonly relaxable?: boolean;
  /** For people. Default: `RMRR`. */
  readonly why?: string;
}

/** What the driver may be told beside what the unit's registers say. */
export interface DriverOptions {
  readonly reserved?: readonly ReservedOption[];
  /** Physical address bits (DMAR's host address width). Default: MGAW, at most 52. */
  readonly hostAddressWidth?: number;
  /** False: interrupt remapping stays off, and messages go out in compatibility format. */
  readonly remapInterrupts?: boolean;
  /** False: IRTEs accept every sender (SVT = 0). For trying out what verification is good for. */
  readonly verifySource?: boolean;
  /** 32-bit destinations where the unit has EIM. Default: true. */
  readonly x2apic?: boolean;
  /** A mistake put in on purpose, for showing that tests notice it. */
  readonly mutant?: DriverMutant | undefined;
  /** Entries of the interrupt remapping table: a power of two, 2 to 65536. Default 65536. */
  readonly interruptEntries?: number;
}

/** Options that only the driver reads: the model ignores them. */
export const DRIVER_OPTIONS = ['reserved', 'remapInterrupts', 'verifySource', 'x2apic', 'interruptEntries'] as const;

/** `forget-unmap-flush`: unmap invalidates nothing. `forget-entry-flush`: changed IRTEs stay cached. `wrong-sid`: entries name another device.
 * `no-compensation`: a refused attach leaves the new entry. */
export type DriverMutant = 'forget-unmap-flush' | 'forget-entry-flush' | 'wrong-sid' | 'no-compensation';
export const DRIVER_MUTANTS: readonly DriverMutant[] = [
  'forget-unmap-flush',
  'forget-entry-flush',
  'wrong-sid',
  'no-compensation',
];

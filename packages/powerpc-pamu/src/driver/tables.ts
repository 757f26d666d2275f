import { DoorbellError, token, type Service, type SoftwareHost } from '@doorbell/platform';
import { NumberSpace } from '@doorbell/irqchip';
import { LIODNS, OME_SIZE, PAACE_SIZE, SMALLEST } from '../spec/index.js';
import { PaaceWriter } from './paace-writer.js';
import type { PamuTable } from './table.js';

/** Entries of the two tables. LIBOS has 0x8000 secondary ones, Linux 0x800: here 32 LIODNs with 256 sub-windows each. */
const SECONDARIES = 0x2000;
/** Linux and the hypervisor use 16 operation mappings; nobody here maps operations, so all stay invalid. */
const OPERATIONS = 16;

/** The tables that all PAMUs of a platform share (A1): made when the first one asks. */
export class PamuTables {
  readonly primary: number;
  readonly secondary: number;
  readonly operations: number;
  readonly sizes = {
    primary: LIODNS * PAACE_SIZE,
    secondary: SECONDARIES * PAACE_SIZE,
    operations: Math.max(OPERATIONS * OME_SIZE, SMALLEST),
  };
  readonly writer: PaaceWriter;
  /** What each LIODN is attached to; absent: blocked. */
  readonly attached = new Map<number, PamuTable | 'identity'>();
  private readonly free: NumberSpace;

  constructor(readonly host: SoftwareHost) {
    this.primary = host.pages.allocate(this.sizes.primary);
    this.secondary = host.pages.allocate(this.sizes.secondary);
    this.operations = host.pages.allocate(this.sizes.operations);
    this.writer = new PaaceWriter(host.memory);
    this.free = new NumberSpace('secondary PAACEs', 0, SECONDARIES);
  }

  primaryAt(liodn: number): number {
    return this.primary + PAACE_SIZE * liodn;
  }
  secondaryAt(index: number): number {
    return this.secondary + PAACE_SIZE * index;
  }

  /** The first of `count - 1` consecutive secondary entries, or 0 where none are needed. Errors: `PAMU_SPAACT_EXHAUSTED`. */
  take(count: number): number {
    if (count === 1) return 0;
    try {
      return this.free.takeBlock(count - 1);
    } catch (cause) {
      if (!(cause instanceof DoorbellError) || cause.code !== 'IRQ_EXHAUSTED') throw cause;
      const { available } = cause.details;
      throw new DoorbellError(
        'PAMU_SPAACT_EXHAUSTED',
        `${count - 1} consecutive secondary PAACEs needed, ${String(available)} left`,
        'use fewer sub-windows or attach fewer LIODNs',
        { needed: count - 1, available },
        { cause },
      );
    }
  }

  /** Gives a block back: nobody can reach its entries any more. */
  give(first: number, count: number): void {
    for (let i = 0; i < count - 1; i++) this.writer.invalidate(this.secondaryAt(first + i));
    this.free.give(Array.from({ length: count - 1 }, (_, i) => first + i));
  }

  digest(): string {
    return this.free.digest();
  }
}

/** `context.service(PAMU_TABLES)`: the platform's one set. */
export const PAMU_TABLES: Service<PamuTables> = {
  token: token<PamuTables>('software:pamu-tables'),
  create: (host) => new PamuTables(host),
};

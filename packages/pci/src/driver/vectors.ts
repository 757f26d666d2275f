import { DoorbellError } from '@doorbell/platform';
import { sameMessage, type InterruptCore, type Message, type MsiBlock, type MsiOwner } from '@doorbell/irqchip';
import { COMMAND } from '../spec/index.js';
import type { PciDevice } from './device.js';
import { MsiProgrammer } from './msi.js';
import { MsixProgrammer, type Programmer } from './msix.js';

export type VectorKind = 'msix' | 'msi';

export interface EnableOptions {
  /** CPUs of the vectors; index modulo length. Default: the interrupt controller's first. */
  readonly cpus?: readonly number[];
}

/** Enabled vectors of one function. */
export class Vectors {
  private state: 'live' | 'stopped' | 'freed' = 'live';

  constructor(
    readonly device: PciDevice,
    readonly kind: VectorKind,
    /** Vectors that the caller may use. */
    readonly count: number,
    /** The interrupt numbers behind them; MSI: a power of two, at least `count`. */
    readonly block: MsiBlock,
    private readonly programmer: Programmer,
    private readonly owner: ProgrammedOwner,
    private readonly release: () => void,
  ) {}

  /** Vector `index`'s message as read back from the function. Errors: `BAD_VECTOR`. */
  message(index: number): Message {
    this.check(index);
    return this.programmer.read(index);
  }

  /**
   * Aims a vector at another CPU. `messageChanged`: the function had to be programmed again. Errors: `BAD_VECTOR`, `NO_SUCH_CPU`,
   * `MSI_ONE_ADDRESS` where the vector's message would leave the others' (several vectors of MSI without a remapper), `MSI_CANNOT_MOVE_LIVE` where
   * a message sent meanwhile could be half of the old and half of the new.
   */
  setAffinity(index: number, cpu: number): { messageChanged: boolean; alongWith: readonly string[] } {
    this.check(index);
    const before = this.block.cpus[index]!;
    const moved = this.block.setAffinity(index, cpu);
    const { misfit } = this.owner;
    if (misfit === null) return moved;
    this.block.setAffinity(index, before);
    if (misfit === 'torn') throw cannotMoveLive(this.device);
    throw oneAddress(this.device, this.block.count, `its vector ${index} cannot leave CPU ${before} alone`);
  }

  /** Holds a vector back: at the function where it can mask, else at the interrupt controller. Events become pending. */
  mask(index: number): void {
    this.check(index);
    if (this.programmer.canMask) this.programmer.mask(index, true);
    else this.block.mask(index);
  }
  unmask(index: number): void {
    this.check(index);
    if (this.programmer.canMask) this.programmer.mask(index, false);
    else this.block.unmask(index);
  }

  /** Whether the function may send them. */
  get live(): boolean {
    return this.state === 'live';
  }

  /**
   * Turns the capability off, then gives the numbers back. Idempotent. Errors: `HardwareError` where a controller refuses to forget them: the
   * function is silent, and the next call goes on from there.
   */
  free(): void {
    if (this.state === 'freed') return;
    if (this.live) {
      this.state = 'stopped';
      this.programmer.stop();
      this.block.owner = undefined;
    }
    this.block.free();
    this.state = 'freed';
    this.release();
  }

  private check(index: number): void {
    if (this.live && index >= 0 && index < this.count) return;
    throw new DoorbellError(
      'BAD_VECTOR',
      `${this.device.name} has no vector ${index} here (${this.live ? this.count : 'freed'})`,
      'use an index below count',
      { device: this.device.name, index, count: this.count },
    );
  }
}

const PROGRAMS = COMMAND.BusMaster.mask | COMMAND.InterruptDisable.mask;

/**
 * prepare → compose → program: allocates `max` vectors or as many as there are down to `min`, writes the function's messages and
 * turns them on. On any error everything is as before, configuration space included.
 *
 * Errors: `BAD_VECTOR` (min, max), `MSI_NOT_SUPPORTED`, `MSI_ALREADY_ENABLED`, `IRQ_EXHAUSTED`, `NO_BAR`, `MSI_ONE_ADDRESS`, `MSI_REFUSED`
 * (hardware), and whatever a level of the interrupt chain says (`MSI_WINDOW_MISSING`, …).
 */
export function enable(
  interrupts: InterruptCore,
  device: PciDevice,
  kind: VectorKind,
  min: number,
  max: number,
  options: EnableOptions,
  released: () => void,
): Vectors {
  if (!Number.isInteger(min) || !Number.isInteger(max) || min < 1 || max < min)
    throw new DoorbellError(
      'BAD_VECTOR',
      `${device.name}: no number of vectors lies between ${min} and ${max}`,
      'ask for min ≥ 1 and max ≥ min',
      { min, max },
    );
  const offered = kind === 'msix' ? device.msixVectors : device.msiVectors;
  if (offered === 0)
    throw new DoorbellError(
      'MSI_NOT_SUPPORTED',
      `${device.name} has no ${NAMES[kind]} capability`,
      'allow another kind of interrupt',
      { device: device.name, kind },
    );
  if (offered < min) throw tooFew(device, kind, min, offered);

  const programmer = kind === 'msix' ? new MsixProgrammer(device) : new MsiProgrammer(device);
  const addressBits = programmer instanceof MsiProgrammer && !programmer.address64 ? 32 : 64;
  const { block, count } = allocate(interrupts, device, kind, min, Math.min(max, offered), addressBits, options);
  const messages = Array.from({ length: block.count }, (_, i) => block.message(i));
  if (!programmer.fits(messages)) {
    const cpus = [...new Set(block.cpus)];
    block.free();
    throw oneAddress(
      device,
      messages.length,
      `its ${messages.length} MSI vectors cannot go to CPUs ${cpus.join(', ')}`,
    );
  }
  const command = device.read(COMMAND.$.at);
  try {
    device.setCommand(PROGRAMS, PROGRAMS);
    programmer.start(messages);
  } catch (error) {
    try {
      programmer.undo();
      device.setCommand(PROGRAMS, command);
    } finally {
      block.free();
    }
    throw error;
  }
  const owner = new ProgrammedOwner(programmer, block, messages);
  block.owner = owner;
  return new Vectors(device, kind, count, block, programmer, owner, () => {
    // Bus mastering stays: DMA may be under way. The pin may be used again.
    device.setCommand(COMMAND.InterruptDisable.mask, command);
    released();
  });
}

const NAMES = { msix: 'MSI-X', msi: 'MSI' } as const;

/** The largest number of vectors from `max` down to `min` that the chain gives. MSI goes by powers of two. */
function allocate(
  interrupts: InterruptCore,
  device: PciDevice,
  kind: VectorKind,
  min: number,
  max: number,
  addressBits: 32 | 64,
  options: EnableOptions,
): { block: MsiBlock; count: number } {
  const domain = interrupts.domainFor(device);
  for (let n = max; ; ) {
    const numbers = kind === 'msi' ? 2 ** Math.ceil(Math.log2(n)) : n;
    try {
      const block = domain.allocate({
        count: numbers,
        contiguous: kind === 'msi',
        addressBits,
        ...(options.cpus && { cpus: options.cpus }),
      });
      return { block, count: n };
    } catch (error) {
      const available =
        error instanceof DoorbellError && error.code === 'IRQ_EXHAUSTED' ? error.details['available'] : null;
      if (typeof available !== 'number') throw error;
      // A run of half the length may start where one of the whole length cannot: what is `available` says nothing of it.
      const next = kind === 'msi' ? numbers / 2 : Math.min(available, numbers - 1);
      if (next < min) throw error;
      n = Math.min(n, next);
    }
  }
}

/** How a live move gets at the function: messages that did not change are not written. */
class ProgrammedOwner implements MsiOwner {
  readonly canMask: boolean;
  /** Why the messages as they are now cannot be programmed: not together, or not at once. The function still has the last ones that could. */
  misfit: 'apart' | 'torn' | null = null;
  private depth = 0;

  constructor(
    private readonly programmer: Programmer,
    private readonly block: MsiBlock,
    private readonly programmed: Message[],
  ) {
    this.canMask = programmer.canMask;
  }

  maskAll(): void {
    if (this.depth++ === 0) this.programmer.holdAll();
  }

  rewrite(): void {
    const now = this.programmed.map((_, i) => this.block.message(i));
    const torn = !this.canMask && registersApart(now[0]!, this.programmed[0]!) > 1;
    this.misfit = !this.programmer.fits(now) ? 'apart' : torn ? 'torn' : null;
    if (this.misfit !== null) return;
    for (const [i, message] of now.entries()) {
      if (sameMessage(message, this.programmed[i]!)) continue;
      this.programmed[i] = message;
      this.programmer.write(i, message);
    }
  }

  unmaskAll(): void {
    if (--this.depth === 0) this.programmer.letGo();
  }
}

const registersApart = (a: Message, b: Message): number =>
  Number(a.addressLo !== b.addressLo) + Number(a.addressHi !== b.addressHi) + Number(a.data !== b.data);

const cannotMoveLive = (device: PciDevice): DoorbellError =>
  new DoorbellError(
    'MSI_CANNOT_MOVE_LIVE',
    `${device.name} has live MSIs that cannot be masked, and both their address and their data would change`,
    'use MSI-X, interrupt remapping, or disable its MSIs for the change',
    { device: device.name },
  );

const oneAddress = (device: PciDevice, count: number, what: string): DoorbellError =>
  new DoorbellError(
    'MSI_ONE_ADDRESS',
    `${device.name}: ${what}, since MSI has one address for all`,
    'use MSI-X, one vector, one CPU, or interrupt remapping',
    { device: device.name, count },
  );

const tooFew = (device: PciDevice, kind: VectorKind, needed: number, available: number): DoorbellError =>
  new DoorbellError(
    'IRQ_EXHAUSTED',
    `${device.name} offers ${available} ${NAMES[kind]} vectors, ${needed} needed`,
    'ask for fewer vectors',
    { what: `${NAMES[kind]} of ${device.name}`, needed, available },
  );

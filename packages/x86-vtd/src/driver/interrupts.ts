import { setAt, setLong } from '@doorbell/bits';
import {
  NumberSpace,
  unitFor,
  type ChainLevel,
  type Message,
  type MsiBlock,
  type MsiRequest,
  type Prepared,
  type PreparedMove,
  type SenderCheck,
} from '@doorbell/irqchip';
import { DoorbellError, hex, showBdf, type Device, type SoftwareHost } from '@doorbell/platform';
import { IRTE, remappableAddress, SourceValidation, SQ_IGNORES } from '../spec/index.js';
import type { DriverOptions } from './options.js';
import type { Invalidation } from './queue.js';

/** What the level above aims at: x86 vectors. */
interface ApicTarget {
  readonly vector: number;
  readonly destination: number;
  readonly logical: number;
}

/** SVT, SQ and SID of an entry, and the same for people. */
interface SourceCheck {
  readonly svt: number;
  readonly sq: number;
  readonly sid: number;
  readonly witness: string;
}

/** Entries of one block. */
interface Share extends Prepared<number> {
  /** Index of each vector's entry. */
  readonly targets: readonly number[];
  readonly parent: Prepared<ApicTarget>;
  readonly source: SourceCheck;
  /** Multi-message MSI: one handle, the sub-handle counts. */
  readonly contiguous: boolean;
}

/**
 * Interrupt remapping of one unit: the level between the vectors and the device. It gives each vector an entry of the table and
 * composes remappable messages (VT-d §5.1.2.2), so that a change of CPU rewrites the entry and leaves the device alone.
 */
export class VtdInterrupts implements ChainLevel {
  readonly renumbers = true;
  /** Physical address of the table. */
  readonly table: number;
  private readonly indices: NumberSpace;

  constructor(
    readonly name: string,
    private readonly host: SoftwareHost,
    private readonly invalidation: Invalidation,
    /** Entries: a power of two. */
    readonly entries: number,
    /** IRTA.EIME: 32-bit destinations. */
    readonly extended: boolean,
    /** CAP.CM: absent entries are cached too. */
    private readonly cachingMode: boolean,
    private readonly options: DriverOptions,
  ) {
    this.table = host.pages.allocate(Math.max(4096, entries * 16));
    this.indices = new NumberSpace(`interrupt remapping entries of ${name}`, 0, entries);
  }

  applies(): boolean {
    return true;
  }

  /** Errors: `IRQ_EXHAUSTED`, `DESTINATION_UNREACHABLE`. */
  prepare(request: MsiRequest, parent: Prepared | null): Share {
    const targets = parent!.targets as readonly ApicTarget[];
    for (const target of targets) this.checkDestination(target);
    const { count } = request;
    const contiguous = request.contiguous && count > 1;
    const block = contiguous ? 2 ** Math.ceil(Math.log2(count)) : count;
    const first = contiguous ? this.indices.takeBlock(block, block) : 0;
    const taken = contiguous ? Array.from({ length: block }, (_, i) => first + i) : this.indices.take(count);
    const share: Share = {
      targets: taken.slice(0, count),
      parent: parent as Prepared<ApicTarget>,
      source: this.sourceOf(request.device),
      contiguous,
      commit: () => this.enable(share),
      release: () => {
        this.disable(share);
        this.indices.give(taken);
      },
      cancel: () => this.indices.give(taken),
    };
    return share;
  }

  /** SHV is always set, as Linux does: the data word is the sub-handle. */
  compose(_message: Message, block: MsiBlock, index: number): Message {
    const share = block.share<Share>(this);
    const handle = share.targets[share.contiguous ? 0 : index]!;
    return { addressHi: 0, addressLo: remappableAddress(handle, 1), data: share.contiguous ? index : 0 };
  }

  /** The entry takes the vector that the root has planned; the device keeps its message. */
  prepareAffinity(block: MsiBlock, index: number): PreparedMove {
    const share = block.share<Share>(this);
    const at = this.table + share.targets[index]! * 16;
    const { memory } = this.host;
    let before: { hi: number; lo: number } | null = null;
    const back = () => {
      if (!before) return;
      memory.write64(at, before.hi, before.lo);
      before = null;
    };
    return {
      commit: () => {
        // The root has committed, so its target is the new one.
        const target = share.parent.targets[index]!;
        this.checkDestination(target);
        const w = this.entry(target, share.source);
        before = { hi: memory.read32(at + 4), lo: memory.read32(at) };
        // Vector and destination share the low half: one store moves the interrupt.
        memory.write64(at, w[1]!, w[0]!);
        memory.barrier();
        try {
          this.forget([share.targets[index]!]);
        } catch (error) {
          back();
          this.forgetQuietly(share.targets);
          throw error;
        }
      },
      cancel: () => {
        if (!before) return;
        back();
        this.forgetQuietly(share.targets);
      },
    };
  }

  senderCheck(device: Device): SenderCheck {
    const { svt, witness } = this.sourceOf(device);
    return { scope: svt === SourceValidation.none ? 'none' : 'vector', witness };
  }

  digest(): string {
    return this.indices.digest();
  }

  private enable(share: Share): void {
    const { memory } = this.host;
    share.targets.forEach((index, i) => {
      const w = this.entry(share.parent.targets[i]!, share.source);
      memory.write64(this.table + index * 16 + 8, w[3]!, w[2]!);
    });
    memory.barrier();
    share.targets.forEach((index, i) => {
      const w = this.entry(share.parent.targets[i]!, share.source);
      memory.write64(this.table + index * 16, w[1]!, w[0]!);
    });
    memory.barrier();
    if (!this.cachingMode) return;
    try {
      this.forget(share.targets);
    } catch (error) {
      this.clear(share);
      this.forgetQuietly(share.targets);
      throw error;
    }
  }

  /** A refused invalidation is asked for once more: an entry that the unit still holds must not be given to another device. */
  private disable(share: Share): void {
    this.clear(share);
    try {
      this.forget(share.targets);
    } catch {
      this.forget(share.targets);
    }
  }

  private clear(share: Share): void {
    const { memory } = this.host;
    for (const index of share.targets) memory.write64(this.table + index * 16, 0, 0);
    memory.barrier();
    for (const index of share.targets) memory.write64(this.table + index * 16 + 8, 0, 0);
    memory.barrier();
  }

  /** Runs of consecutive indices become as few commands as alignment allows. */
  private forget(indices: readonly number[]): void {
    if (this.options.mutant === 'forget-entry-flush') return;
    const sorted = [...indices].sort((a, b) => a - b);
    for (let i = 0; i < sorted.length; ) {
      const first = sorted[i]!;
      let im = 0;
      while (first % 2 ** (im + 1) === 0 && sorted[i + 2 ** (im + 1) - 1] === first + 2 ** (im + 1) - 1) im++;
      this.invalidation.entries(first, im);
      i += 2 ** im;
    }
    this.invalidation.sync();
  }

  private forgetQuietly(indices: readonly number[]): void {
    try {
      this.forget(indices);
    } catch {
      // The first refusal is what the caller hears.
    }
  }

  private entry(target: ApicTarget, source: SourceCheck): Uint32Array {
    const w = new Uint32Array(4);
    setAt(w, 0, IRTE.P, 1);
    setAt(w, 0, IRTE.DM, target.logical);
    setAt(w, 0, IRTE.V, target.vector);
    setLong(w, 0, IRTE.DST, 0, this.extended ? target.destination : target.destination << 8);
    setAt(w, 0, IRTE.SVT, source.svt);
    setAt(w, 0, IRTE.SQ, source.sq);
    setAt(w, 0, IRTE.SID, this.options.mutant === 'wrong-sid' ? source.sid ^ 8 : source.sid);
    return w;
  }

  /** Verifies the tightest set of ids that holds all of the device's: one id, ids that differ in function bits, a range of buses. */
  private sourceOf(device: Device): SourceCheck {
    const ids = this.idsOf(device);
    const show = ids.map((id) => showBdf(id, device.segment)).join(', ');
    if (this.options.verifySource === false) {
      return { svt: SourceValidation.none, sq: 0, sid: 0, witness: `${this.name}: IRTEs of ${show} have SVT = 0` };
    }
    const differ = ids.reduce((bits, id) => bits | (id ^ ids[0]!), 0);
    const sq = SQ_IGNORES.findIndex((ignored) => (differ & ~ignored) === 0);
    if (sq >= 0) {
      const witness = `${this.name}: IRTE SVT = 1, SQ = ${sq}, SID = ${hex(ids[0]!)}: only ${show} passes`;
      return { svt: SourceValidation.sid, sq, sid: ids[0]!, witness };
    }
    const buses = ids.map((id) => id >>> 8);
    const start = Math.min(...buses);
    const end = Math.max(...buses);
    return {
      svt: SourceValidation.busRange,
      sq: 0,
      sid: (start << 8) | end,
      witness: `${this.name}: IRTE SVT = 2: every requester on buses ${hex(start)}–${hex(end)} passes, since ${device.name} appears as ${show}`,
    };
  }

  /** The unit's ids for the device: its own and its aliases', through the host bridge's map. */
  private idsOf(device: Device): number[] {
    const ids = device.aliases.length > 0 ? device.aliases : [device.requester];
    const seen = new Set<number>();
    for (const id of ids)
      seen.add(unitFor(this.host.nodes, { ...device, requester: id, aliases: [id] }, 'iommuMap')?.id ?? id);
    return [...seen];
  }

  /** Destinations above 8 bits need extended mode. */
  private checkDestination({ destination }: ApicTarget): void {
    if (this.extended || destination < 0x100) return;
    throw new DoorbellError(
      'DESTINATION_UNREACHABLE',
      `${this.name} has 8-bit destinations (IRTA.EIME = 0), and APIC id ${destination} needs more`,
      'use a unit with ECAP.EIM, or a CPU with an APIC id below 255',
      { unit: this.name, destination },
    );
  }
}

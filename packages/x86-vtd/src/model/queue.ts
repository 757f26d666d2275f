import { decode, getAt, getLo } from '@doorbell/bits';
import { hex, join64, type HardwareHost, type RegisterFile } from '@doorbell/platform';
import {
  CONTEXT_CACHE_INV,
  DescriptorType,
  DEVICE_TLB_INV,
  FM_IGNORES,
  FSTS,
  Granularity,
  ICS,
  IEC_INV,
  IECTL,
  IOTLB_INV,
  IQA,
  IQERCD,
  IQH,
  IQT,
  QueueError,
  WAIT,
} from '../spec/index.js';
import type { DmaRemapper } from './dma.js';
import { EventMessage } from './events.js';
import type { FaultRecorder } from './faults.js';
import type { InterruptRemapper } from './interrupts.js';
import { TableReader } from './memory.js';
import type { MessagePort } from './messages.js';
import { MAX_ADDRESS_MASK, type VtdConfig } from './options.js';

/** Queued invalidation (VT-d §6.5.2). Each descriptor is one piece of work of the unit's queue. */
export class InvalidationQueue {
  /** GSTS.QIES. */
  enabled = false;
  private readonly reader: TableReader;
  private readonly event: EventMessage;
  private readonly lane;
  /** A descriptor is under way. */
  private busy = false;
  /** Set while `pump` waits for a lane that may run its work at once. */
  private pumping = false;
  /** Commands until one is refused whatever it says; 0: none is. */
  private refuseIn = 0;
  /** The descriptor that was refused last. */
  private readonly refused = new Uint32Array(4);
  /** Work of an earlier life (before a reset or a restore) is void. */
  private epoch = 0;
  private turn = this.turnOf(0);

  constructor(
    private readonly name: string,
    private readonly registers: RegisterFile,
    private readonly host: HardwareHost,
    private readonly config: VtdConfig,
    private readonly dma: DmaRemapper,
    private readonly interrupts: InterruptRemapper,
    private readonly faults: FaultRecorder,
    messages: MessagePort,
  ) {
    this.reader = new TableReader(host.memoryModel);
    this.lane = host.clock.lane();
    this.event = new EventMessage(registers, IECTL.$.at, messages, config.extendedInterruptMode);
    registers.onWrite(IQT.$.at, () => this.pump());
    registers.onWrite(ICS.$.at, (now) => {
      if ((now & ICS.IWC.mask) === 0) this.event.withdraw();
    });
  }

  /** GCMD.QIE: IQH is 0 while the queue is off. */
  enable(on: boolean): void {
    this.enabled = on;
    this.registers.set(IQH.$.at, 0);
    if (on) this.pump();
  }

  /**
   * For tests: the k-th descriptor from now on (1: the next) is refused as one of an unknown type, whatever it says. 0 takes it back.
   * Returns how many were left of the last request: 0 once it has happened.
   */
  refuseCommand(k: number): number {
    const left = this.refuseIn;
    this.refuseIn = k;
    return left;
  }

  reset(): void {
    this.turn = this.turnOf(++this.epoch);
    this.refuseIn = 0;
    this.enabled = this.busy = false;
  }

  /** Consumes what stands between IQH and IQT, unless an error stopped the queue. */
  pump(): void {
    if (this.pumping) return;
    this.pumping = true;
    while (!this.busy && this.pending()) {
      this.busy = true;
      this.lane.run(this.turn);
    }
    this.pumping = false;
  }

  /** One descriptor, of this life of the unit. */
  private turnOf(epoch: number): () => void {
    return () => {
      if (epoch !== this.epoch) return;
      this.busy = false;
      this.consume();
      this.pump();
    };
  }

  /** IQH = IQT. */
  get empty(): boolean {
    return this.registers.get(IQH.$.at) === this.registers.get(IQT.$.at);
  }

  /**
   * Software cleared IQE: fetching goes on (§6.5.2.9). While what was refused still stands there it waits for the next IQT, as QEMU always
   * does: the error would come back before software could mend anything.
   */
  resume(): void {
    if (this.ringError() !== QueueError.none || !this.reader.read128(this.headAddress)) return;
    const { refused } = this;
    if (!this.reader.words.every((word, i) => word === refused[i])) this.pump();
  }

  /** Whether there is a descriptor to take; an impossible tail or width is an error of its own. */
  private pending(): boolean {
    if (!this.enabled || this.faults.status & FSTS.IQE.mask || this.empty) return false;
    const error = this.ringError();
    return error === QueueError.none || this.error(error, RING_WHY[error]!);
  }

  private ringError(): number {
    const iqa = this.registers.get(IQA.$.at);
    // 256-bit descriptors belong to scalable mode.
    if (iqa & IQA.DW.mask) return QueueError.descriptorWidth;
    return this.registers.get(IQT.$.at) >= 4096 << (iqa & 7) ? QueueError.invalidTail : QueueError.none;
  }

  private get headAddress(): number {
    const r = this.registers;
    return join64(r.get(IQA.$.at + 4), (r.get(IQA.$.at) & 0xffff_f000) >>> 0) + r.get(IQH.$.at);
  }

  private consume(): void {
    if (!this.pending()) return;
    const at = this.headAddress;
    if (!this.reader.read128(at)) {
      this.error(QueueError.fetch, `no memory at ${hex(at)}`);
      return;
    }
    const r = this.registers;
    const w = this.reader.words;
    const error = this.execute(w, at);
    if (error !== QueueError.none) {
      this.refused.set(w);
      this.error(error, hex(at));
    } else r.set(IQH.$.at, (r.get(IQH.$.at) + 16) % (4096 << (r.get(IQA.$.at) & 7)));
  }

  private execute(w: Uint32Array, at: number): number {
    if (this.refuseIn > 0 && --this.refuseIn === 0) return this.step('refused', null, w, at, QueueError.invalidType);
    // Bits 11:9 extend the type; every type of this mode has them zero.
    if (w[0]! & 0xe00 && (w[0]! & 15) !== DescriptorType.wait)
      return this.step('unknown', null, w, at, QueueError.invalidType);
    switch (w[0]! & 15) {
      case DescriptorType.contextCache:
        return this.contextCache(w, at);
      case DescriptorType.iotlb:
        return this.iotlb(w, at);
      case DescriptorType.deviceTlb:
        return this.deviceTlb(w, at);
      case DescriptorType.interruptEntryCache:
        return this.interruptEntries(w, at);
      case DescriptorType.wait:
        return this.wait(w, at);
      default:
        // Types 6 to 9 are of scalable mode: the same refusal, but nobody should wonder why.
        if ((w[0]! & 15) >= DescriptorType.pasidIotlb && (w[0]! & 15) <= DescriptorType.pageGroupResponse)
          this.host.diagnostics.unimplemented(
            this.name,
            `invalidation descriptor of type ${w[0]! & 15} (scalable mode)`,
          );
        return this.step('unknown', null, w, at, QueueError.invalidType);
    }
  }

  private contextCache(w: Uint32Array, at: number): number {
    const d = CONTEXT_CACHE_INV;
    const g = getAt(w, 0, d.G);
    const bad = w[0]! & 0xffc0 || w[1]! & 0xfffc_0000 || w[2]! || w[3]! || g === 0;
    this.step(d.$.name, d, w, at, 0);
    if (bad) return QueueError.reserved;
    this.invalidateContexts(g, getAt(w, 0, d.DID), getAt(w, 0, d.SID), getAt(w, 0, d.FM));
    return 0;
  }

  /** Also CCMD's work. Returns the granularity that was really done. */
  invalidateContexts(granularity: number, did: number, sid: number, fm: number): number {
    const coarse = granularity === Granularity.domain && !this.config.domainContexts;
    const done = coarse ? Granularity.global : granularity;
    if (done === Granularity.global) this.dma.contexts.clear();
    else if (done === Granularity.domain) this.dma.contexts.invalidateDomain(did);
    else this.dma.contexts.invalidateDevice(sid, FM_IGNORES[fm]!);
    return done;
  }

  private iotlb(w: Uint32Array, at: number): number {
    const d = IOTLB_INV;
    const g = getAt(w, 0, d.G);
    const am = getAt(w, 0, d.AM);
    const bad =
      w[0]! & 0xff00 || w[1]! || w[2]! & 0xf80 || g === 0 || (g === Granularity.page && am > MAX_ADDRESS_MASK);
    this.step(d.$.name, d, w, at, 0);
    if (bad) return QueueError.reserved;
    this.invalidateIotlb(g, getAt(w, 0, d.DID), w[3]!, w[2]!, am);
    return 0;
  }

  /** Also the IOTLB register's work. Returns the granularity that was really done. */
  invalidateIotlb(granularity: number, did: number, hi: number, lo: number, am: number): number {
    const done = granularity === Granularity.page && !this.config.pageSelective ? Granularity.domain : granularity;
    if (this.config.mutant === 'deaf-iotlb') return done;
    if (done === Granularity.global) this.dma.iotlb.clear();
    else if (done === Granularity.domain) this.dma.iotlb.invalidateDomain(did);
    else this.dma.iotlb.invalidatePages(did, hi, lo, am);
    return done;
  }

  /** No device-TLB of a modelled function caches anything, so there is nothing to drop: it completes at once. */
  private deviceTlb(w: Uint32Array, at: number): number {
    this.step(DEVICE_TLB_INV.$.name, DEVICE_TLB_INV, w, at, 0);
    // PFSID is reserved too where ECAP.DIT = 0.
    return w[0]! & 0xffe0_fff0 || w[1]! & 0xffff_0000 || w[2]! & 0xffe ? QueueError.reserved : 0;
  }

  private interruptEntries(w: Uint32Array, at: number): number {
    const d = IEC_INV;
    this.step(d.$.name, d, w, at, 0);
    if (w[0]! & 0x07ff_ffe0 || w[1]! & 0xffff_0000 || w[2]! || w[3]!) return QueueError.reserved;
    if (getAt(w, 0, d.G) === 0) this.interrupts.invalidateAll();
    else this.interrupts.invalidate(getAt(w, 0, d.IIDX), getAt(w, 0, d.IM));
    return 0;
  }

  private wait(w: Uint32Array, at: number): number {
    const d = WAIT;
    this.step(d.$.name, d, w, at, 0);
    if (w[0]! & 0xffff_ff80 || w[2]! & 3) return QueueError.reserved;
    // The status is written before the interrupt is signalled.
    if (w[0]! & d.SW.mask) {
      const address = join64(w[3]!, (w[2]! & 0xffff_fffc) >>> 0);
      if (!this.host.memoryModel.has(address)) {
        this.host.diagnostics.illegal(this.name, `wait status address ${hex(address)} is not memory`);
        return QueueError.reserved;
      }
      this.host.memoryModel.write32(address, getLo(w, 0, d.DATA));
    }
    if (w[0]! & d.IF.mask && (this.registers.get(ICS.$.at) & ICS.IWC.mask) === 0) {
      this.registers.set(ICS.$.at, ICS.IWC.mask);
      this.event.raise();
    }
    return 0;
  }

  /** The queue stops at the descriptor until software clears IQE. */
  private error(code: number, why: string): false {
    const r = this.registers;
    r.set(IQERCD.$.at, code);
    if (this.host.trace.on)
      this.host.trace.step({
        by: this.name,
        what: 'invalidation queue',
        at: null,
        words: [],
        decoded: `IQEI=${code}`,
        why: `IQE: ${why}`,
      });
    this.faults.raiseStatus(FSTS.IQE.mask);
    return false;
  }

  private step(
    what: string,
    layout: Parameters<typeof decode>[0] | null,
    w: Uint32Array,
    at: number,
    result: number,
  ): number {
    if (this.host.trace.on)
      this.host.trace.step({
        by: this.name,
        what: `descriptor: ${what}`,
        at,
        words: Array.from(w),
        decoded: layout ? decode(layout, w) : '',
        why: result ? 'refused' : 'taken from the queue',
      });
    return result;
  }
}

const RING_WHY: Readonly<Record<number, string>> = {
  [QueueError.descriptorWidth]: 'IQA.DW = 1 without scalable mode',
  [QueueError.invalidTail]: 'IQT is beyond the queue',
};

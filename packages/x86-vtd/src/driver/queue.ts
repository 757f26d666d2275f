import { setAddress, setAt, setLong } from '@doorbell/bits';
import { HardwareError, hex, type RegisterPort, type SoftwareHost } from '@doorbell/platform';
import {
  CONTEXT_CACHE_INV,
  DescriptorType,
  FSTS,
  IEC_INV,
  IOTLB_INV,
  IQA,
  IQERCD,
  IQH,
  IQT,
  WAIT,
} from '../spec/index.js';

const ENTRIES = 256;
const BYTES = 16;

/** What a driver tells a unit to forget. Each call queues one command; `sync` sends them and returns when all are done. */
export interface Invalidation {
  /** Context cache. `did` is a hint for device granularity. */
  contextGlobal(): void;
  contextDomain(did: number): void;
  contextDevice(did: number, stream: number): void;
  iotlbGlobal(): void;
  iotlbDomain(did: number): void;
  /** 2^am pages from `address` on, aligned to them. */
  iotlbPages(did: number, address: number, am: number): void;
  /** Interrupt entry cache: everything, or the 2^im entries from `index` on. */
  entriesGlobal(): void;
  entries(index: number, im: number): void;
  /** Errors: `HardwareError` `INVALIDATION_REFUSED` (the unit works on, the refused command has not been done), `HARDWARE_TIMEOUT`. */
  sync(): void;
}

/**
 * Queued invalidation (VT-d §6.5.2): one page of 128-bit descriptors, each batch ended by a wait whose status word is polled.
 * Synchronous: the ring is empty between calls.
 */
export class InvalidationQueue implements Invalidation {
  private readonly ring: number;
  private readonly status: number;
  private readonly words = new Uint32Array(4);
  /** Next free slot; the unit's IQT stands at `sent`. */
  private tail = 0;
  private sent = 0;
  private sequence = 0;
  /** The last poll ended because the unit refused something. */
  private stopped = false;
  private readonly what: string;

  constructor(
    private readonly name: string,
    private readonly registers: RegisterPort,
    private readonly host: SoftwareHost,
    /** CAP.DRD and CAP.DWD: the unit can drain reads and writes under way. */
    private readonly drain: { readonly reads: boolean; readonly writes: boolean },
  ) {
    this.what = `${name}: invalidation wait`;
    // The ring, and a page whose first word the waits write.
    this.ring = host.pages.allocate(2 * 4096);
    this.status = this.ring + 4096;
  }

  /** IQT = 0 and the ring's address; GCMD.QIE comes next. */
  program(): void {
    this.registers.write64(IQT.$.at, 0, 0);
    this.registers.write64(IQA.$.at, Math.floor(this.ring / 2 ** 32), this.ring >>> 0);
  }

  contextGlobal(): void {
    const d = this.start(DescriptorType.contextCache);
    setAt(d, 0, CONTEXT_CACHE_INV.G, 1);
    this.push();
  }
  contextDomain(did: number): void {
    const d = this.start(DescriptorType.contextCache);
    setAt(d, 0, CONTEXT_CACHE_INV.G, 2);
    setAt(d, 0, CONTEXT_CACHE_INV.DID, did);
    this.push();
  }
  contextDevice(did: number, stream: number): void {
    const d = this.start(DescriptorType.contextCache);
    setAt(d, 0, CONTEXT_CACHE_INV.G, 3);
    setAt(d, 0, CONTEXT_CACHE_INV.DID, did);
    setAt(d, 0, CONTEXT_CACHE_INV.SID, stream);
    this.push();
  }
  iotlbGlobal(): void {
    this.startIotlb(1, 0);
    this.push();
  }
  iotlbDomain(did: number): void {
    this.startIotlb(2, did);
    this.push();
  }
  iotlbPages(did: number, address: number, am: number): void {
    const d = this.startIotlb(3, did);
    setAt(d, 0, IOTLB_INV.AM, am);
    setAddress(d, 0, IOTLB_INV.ADDR, address);
    this.push();
  }
  entriesGlobal(): void {
    this.start(DescriptorType.interruptEntryCache);
    this.push();
  }
  entries(index: number, im: number): void {
    const d = this.start(DescriptorType.interruptEntryCache);
    setAt(d, 0, IEC_INV.G, 1);
    setAt(d, 0, IEC_INV.IM, im);
    setAt(d, 0, IEC_INV.IIDX, index);
    this.push();
  }

  sync(): void {
    if (this.tail === this.sent) return;
    this.finish();
    if (!this.poll()) return;
    const refused = this.recover();
    throw new HardwareError(
      'INVALIDATION_REFUSED',
      `${this.name} refused an invalidation: ${refused}`,
      'the unit works on; what was changed in memory is as before',
      { unit: this.name, refused },
    );
  }

  private startIotlb(granularity: number, did: number): Uint32Array {
    const d = this.start(DescriptorType.iotlb);
    setAt(d, 0, IOTLB_INV.G, granularity);
    setAt(d, 0, IOTLB_INV.DR, +this.drain.reads);
    setAt(d, 0, IOTLB_INV.DW, +this.drain.writes);
    setAt(d, 0, IOTLB_INV.DID, did);
    return d;
  }

  /** Room for the wait and for one that recovery adds stays free. */
  private start(type: number): Uint32Array {
    if ((this.tail - this.sent + ENTRIES) % ENTRIES >= ENTRIES - 4) this.sync();
    this.words.fill(0);
    this.words[0] = type;
    return this.words;
  }

  private push(): void {
    this.put(this.ring + this.tail * BYTES);
    this.tail = (this.tail + 1) % ENTRIES;
  }

  private put(at: number): void {
    const { memory } = this.host;
    const d = this.words;
    memory.write64(at, d[1]!, d[0]!);
    memory.write64(at + 8, d[3]!, d[2]!);
  }

  /** A wait that writes `data` at `address`: one with neither status nor interrupt is not valid everywhere. */
  private putWait(at: number, data: number, address: number): void {
    this.words.fill(0);
    this.words[0] = DescriptorType.wait | WAIT.SW.mask;
    setLong(this.words, 0, WAIT.DATA, 0, data);
    setLong(this.words, 0, WAIT.ADDR, Math.floor(address / 2 ** 34) >>> 0, Math.floor(address / 4) >>> 0);
    this.put(at);
  }

  /** The wait, and the unit is told. */
  private finish(): void {
    this.sequence = (this.sequence + 1) >>> 0;
    this.putWait(this.ring + this.tail * BYTES, this.sequence, this.status);
    this.tail = (this.tail + 1) % ENTRIES;
    this.host.memory.barrier();
    this.sent = this.tail;
    this.registers.write64(IQT.$.at, 0, this.tail * BYTES);
  }

  /** Until the wait has written its word (false) or the queue has stopped (true). */
  private poll(): boolean {
    this.stopped = false;
    this.host.waitUntil(this.what, this.isOver);
    return this.stopped;
  }

  /** Made once: a poll allocates nothing. */
  private readonly isOver = (): boolean => {
    if (this.host.memory.read32(this.status) === this.sequence) return true;
    return (this.stopped = (this.registers.read32(FSTS.$.at) & FSTS.IQE.mask) !== 0);
  };

  /**
   * IQE: IQH stands on the refused descriptor. It becomes a wait whose status nobody reads, the error is cleared, and the rest of the batch is done
   * (VT-d §6.5.2.9). Returns what was refused, for people.
   */
  private recover(): string {
    const { registers } = this;
    const { memory } = this.host;
    let first = '';
    // Each round removes one descriptor of the batch.
    for (let round = 0; round < ENTRIES; round++) {
      const head = registers.read32(IQH.$.at);
      const at = this.ring + head;
      const error = registers.read32(IQERCD.$.at) & 15;
      const was = [0, 4, 8, 12].map((o) => hex(memory.read32(at + o))).join(' ');
      first ||= `descriptor ${was} (IQEI ${error})`;
      this.putWait(at, 0, this.status + 4);
      memory.barrier();
      registers.write32(FSTS.$.at, FSTS.IQE.mask);
      // The refused one may have been the wait itself.
      this.finish();
      if (!this.poll()) return first;
    }
    throw new HardwareError('QUEUE_DEAD', `${this.name} refuses every invalidation: ${first}`, 'reset the unit', {
      unit: this.name,
    });
  }
}

import type { SystemBus } from './bus.js';
import { hex, hex64, join64 } from './address.js';
import { showBdf } from './device.js';
import { DoorbellError } from './errors.js';
import { Trace } from './trace.js';

/** Rights and kinds of access, as bits. */
export const READ = 1;
export const WRITE = 2;
export const EXEC = 4;
export const PRIVILEGED = 8;

/** The AT field of a request (PCIe Base, chapter 10). */
export const UNTRANSLATED = 0;
export const TRANSLATION_REQUEST = 1;
export const TRANSLATED = 2;

/** What became of a request. */
export const Verdict = {
  /** Page tables were walked (or a TLB hit); `pa`, `pageSize`, `permissions` hold. */
  translated: 0,
  /** Passed unchanged; `pa` holds. */
  bypass: 1,
  /** Refused; `code`, `fault`, `recorded` hold. */
  fault: 2,
  /** An interrupt request, not a DMA (x86: a DWORD write to 0xFEEx_xxxx). */
  interrupt: 3,
} as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

/** A request on its way upstream. Issuers keep one and reuse it; nobody on the way retains it. */
export interface Request {
  /** Requester id on the wire, after bridges took ownership; the translation unit sees it through its id map as `stream`. */
  requester: number;
  /** The unit's own id for the requester: source-id, StreamID, LIODN. */
  stream: number;
  hi: number;
  lo: number;
  /** Bytes. */
  size: number;
  /** `READ`, `WRITE`, with `EXEC`, `PRIVILEGED`. */
  access: number;
  /** `UNTRANSLATED`, `TRANSLATION_REQUEST`, `TRANSLATED`. */
  kind: number;
  /** -1: none. */
  pasid: number;
  /** Payload of a 4-byte write: what an interrupt request carries. */
  data: number;
}

/** Where a unit puts its answer. Reused. */
export interface Outcome {
  pa: number;
  pageSize: number;
  permissions: number;
  /** The architecture's fault code; -1 where it has none. */
  code: number;
  /** The specification's name of the fault. */
  fault: string;
  /** Whether the hardware recorded it where software can see it. */
  recorded: boolean;
}

export const newRequest = (): Request => ({
  requester: 0,
  stream: 0,
  hi: 0,
  lo: 0,
  size: 4,
  access: READ,
  kind: UNTRANSLATED,
  pasid: -1,
  data: 0,
});
export const newOutcome = (): Outcome => ({ pa: 0, pageSize: 0, permissions: 0, code: -1, fault: '', recorded: false });

/** An IOMMU model as the host bridge sees it. Neither method throws, whatever the tables hold. */
export interface TranslationUnit {
  readonly name: string;
  translate(request: Request, out: Outcome): Verdict;
  /** Takes an interrupt request (verdict `interrupt`): remaps and delivers it, or blocks it. True: delivered. */
  interrupt?(request: Request, out: Outcome): boolean;
}

/** Ids that go elsewhere under another number: PCI iommu-map and msi-map, IORT mappings, DMAR scopes. */
export interface IdMapEntry {
  readonly inputBase: number;
  readonly count: number;
  readonly outputBase: number;
  /** The node that takes them. */
  readonly to: string;
  /** All ids go to `outputBase` itself: whoever comes this way cannot be told apart (a PCIe controller with one LIODN). */
  readonly shared?: boolean;
}

/** Later entries win; `null` where none holds the id. */
export function mapId(map: readonly IdMapEntry[], id: number): { to: string; id: number; shared?: boolean } | null {
  for (let i = map.length - 1; i >= 0; i--) {
    const e = map[i]!;
    if (!(id >= e.inputBase && id < e.inputBase + e.count)) continue;
    if (e.shared) return { to: e.to, id: e.outputBase, shared: true };
    return { to: e.to, id: e.outputBase + (id - e.inputBase) };
  }
  return null;
}

/**
 * Upstream of the root ports of one PCI segment: each request goes to the unit that claims its requester, and what comes out to
 * the system bus. Without a unit it goes straight through.
 */
export class PcieFabric {
  private readonly units: (TranslationUnit | undefined)[] = new Array<TranslationUnit | undefined>(65536).fill(
    undefined,
  );
  private readonly streams = new Uint32Array(65536);
  private readonly deviceIds = new Uint32Array(65536).map((_, i) => i);
  private readonly request = newRequest();
  /** The answer to the last request. */
  readonly outcome = newOutcome();
  /** Whether memory, a register or an interrupt unit took the last access: false where nothing answered at `outcome.pa`. */
  landed = false;

  constructor(
    readonly segment: number,
    private readonly bus: SystemBus,
    private readonly trace = new Trace(),
  ) {}

  /** Sends requester ids [first, first + count) to `unit`, which knows them from `stream` on. Later claims win (a scope beats include-all if claimed after). */
  claim(unit: TranslationUnit, first = 0, count = 65536, stream = first, shared = false): void {
    for (let i = 0; i < count && first + i < 65536; i++) {
      this.units[first + i] = unit;
      this.streams[first + i] = shared ? stream : stream + i;
    }
  }

  /** The DeviceID that travels beside the requester's writes (msi-map, IORT). Identity where nothing says otherwise. */
  mapDeviceIds(first: number, count: number, deviceId: number): void {
    for (let i = 0; i < count && first + i < 65536; i++) this.deviceIds[first + i] = deviceId + i;
  }

  unitOf(requester: number): TranslationUnit | undefined {
    return this.units[requester];
  }
  streamOf(requester: number): number {
    return this.streams[requester]!;
  }
  deviceIdOf(requester: number): number {
    return this.deviceIds[requester]!;
  }

  /** Translates without performing the access. */
  translate(request: Request, out: Outcome): Verdict {
    const unit = this.units[request.requester];
    if (unit === undefined) {
      out.pa = join64(request.hi, request.lo);
      out.pageSize = 0;
      out.permissions = READ | WRITE | EXEC;
      return Verdict.bypass;
    }
    request.stream = this.streams[request.requester]!;
    return unit.translate(request, out);
  }

  /** A 4-byte posted write: how an MSI leaves a function. The verdict says where it went; `outcome` holds the rest. */
  write32(requester: number, hi: number, lo: number, value: number, pasid = -1, kind = UNTRANSLATED): Verdict {
    if ((requester & 0xffff) !== requester) throw badRequester(requester);
    const q = this.request;
    const out = this.outcome;
    q.requester = requester;
    q.hi = hi;
    q.lo = lo;
    q.size = 4;
    q.access = WRITE;
    q.kind = kind;
    q.pasid = pasid;
    q.data = value;
    if (this.trace.on) this.tellRoute(q);
    const verdict = this.translate(q, out);
    if (verdict === Verdict.interrupt) this.landed = this.units[requester]?.interrupt?.(q, out) ?? false;
    else {
      this.landed = verdict !== Verdict.fault && this.bus.deviceWrite(out.pa, 4, value, this.deviceIds[requester]!);
      if (this.trace.on && verdict !== Verdict.fault) this.tellArrival(q, out.pa, this.landed);
    }
    return verdict;
  }

  /** Reads memory for a function. A fault leaves the rest of `into` 0. */
  read(requester: number, hi: number, lo: number, into: Uint8Array, pasid = -1, kind = UNTRANSLATED): Verdict {
    return this.transfer(requester, hi, lo, into, READ, pasid, kind);
  }

  /** Writes memory for a function, page by page; it stops at the first fault. */
  write(requester: number, hi: number, lo: number, from: Uint8Array, pasid = -1, kind = UNTRANSLATED): Verdict {
    return this.transfer(requester, hi, lo, from, WRITE, pasid, kind);
  }

  private transfer(
    requester: number,
    hi: number,
    lo: number,
    bytes: Uint8Array,
    access: number,
    pasid: number,
    kind: number,
  ): Verdict {
    if ((requester & 0xffff) !== requester) throw badRequester(requester);
    const q = this.request;
    const out = this.outcome;
    let verdict: Verdict = Verdict.bypass;
    this.landed = true;
    for (let done = 0; done < bytes.length; ) {
      const low = lo + done;
      q.requester = requester;
      q.hi = (hi + Math.floor(low / 0x1_0000_0000)) >>> 0;
      q.lo = low >>> 0;
      q.access = access;
      q.kind = kind;
      q.pasid = pasid;
      const n = Math.min(bytes.length - done, 4096 - (q.lo & 4095));
      q.size = n;
      q.data =
        n === 4 && access === WRITE
          ? (bytes[done]! | (bytes[done + 1]! << 8) | (bytes[done + 2]! << 16) | (bytes[done + 3]! << 24)) >>> 0
          : 0;
      if (this.trace.on) this.tellRoute(q);
      verdict = this.translate(q, out);
      if (verdict === Verdict.fault) {
        // A completion without data: what the device makes of it is its own affair, and QEMU's see 0.
        if (access === READ) bytes.fill(0, done);
        this.landed = false;
        return verdict;
      }
      if (verdict === Verdict.interrupt) {
        // Nothing answers a read of the interrupt range.
        if (access === READ) bytes.fill(0, done, done + n);
        if (access === READ || !this.units[requester]?.interrupt?.(q, out)) this.landed = false;
      } else {
        const all = this.perform(out.pa, bytes, done, n, access, this.deviceIds[requester]!);
        if (!all) this.landed = false;
        if (this.trace.on) this.tellArrival(q, out.pa, all);
      }
      done += n;
    }
    return verdict;
  }

  private tellRoute(q: Request): void {
    const unit = this.units[q.requester];
    const { requester, pasid } = q;
    this.trace.step({
      by: `host bridge of segment ${this.segment}`,
      what: 'route',
      at: null,
      words: [],
      decoded: `${showBdf(requester, this.segment)} ${verb(q)} ${q.size} bytes at ${hex64(q.hi, q.lo)}${pasid < 0 ? '' : `, PASID ${pasid}`}`,
      why: unit
        ? `${unit.name} claims it and sees stream ${hex(this.streams[requester]!)}`
        : 'no unit claims it: it goes straight to the bus',
    });
  }

  private tellArrival(q: Request, pa: number, landed: boolean): void {
    const region = this.bus.regionAt(pa)?.name;
    this.trace.step({
      by: 'system bus',
      what: region ?? (this.bus.memory.has(pa) ? 'RAM' : 'nothing'),
      at: pa,
      words: q.access & WRITE && q.size === 4 ? [q.data] : [],
      decoded: `${verb(q)} ${q.size} bytes`,
      why: landed ? `DeviceID ${hex(this.deviceIds[q.requester]!)} travels beside it` : 'not all of it was taken',
    });
  }

  /** RAM takes bytes in one go; registers see naturally aligned accesses of at most 4 bytes. False: a part went nowhere. */
  private perform(pa: number, bytes: Uint8Array, at: number, n: number, access: number, source: number): boolean {
    const bus = this.bus;
    if (bus.memory.contains(pa, n)) {
      if (access === READ) bus.memory.readBytes(pa, bytes, at, n);
      else bus.memory.writeBytes(pa, bytes, at, n);
      return true;
    }
    let all = true;
    for (let i = 0; i < n; ) {
      const here = pa + i;
      const size = n - i >= 4 && here % 4 === 0 ? 4 : n - i >= 2 && here % 2 === 0 ? 2 : 1;
      if (access === READ) {
        const v = bus.deviceRead(here, size);
        if (!bus.memory.has(here) && bus.regionAt(here) === undefined) all = false;
        for (let j = 0; j < size; j++) bytes[at + i + j] = (v >>> (8 * j)) & 0xff;
      } else {
        let v = 0;
        for (let j = 0; j < size; j++) v |= bytes[at + i + j]! << (8 * j);
        if (!bus.deviceWrite(here, size, v >>> 0, source)) all = false;
      }
      i += size;
    }
    return all;
  }
}

const verb = (q: Request): string => (q.access & WRITE ? 'writes' : 'reads');

const badRequester = (requester: number): DoorbellError =>
  new DoorbellError('BAD_REQUESTER', `${requester} is no requester id`, 'bus, device and function make 16 bits', {
    requester,
  });

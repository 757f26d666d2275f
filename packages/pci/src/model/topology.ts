import { TRANSLATED, UNTRANSLATED, Verdict, type Diagnostics, type PcieFabric, type Trace } from '@doorbell/platform';
import { Acs, PortType } from '../spec/index.js';
import type { PciBridge } from './bridge.js';
import { Decoder, type Target } from './decoder.js';
import type { PciFunction } from './function.js';

/** How functions of one bus reach each other: through the bridge above only, through a switch, or all on the same wires. */
export type BusKind = 'root' | 'link' | 'switch' | 'conventional';

/** One bus: the functions on it, by device and function. */
export class Bus {
  readonly functions: (PciFunction | undefined)[] = [];
  constructor(
    readonly kind: BusKind,
    readonly bridge: PciBridge | undefined,
    private readonly first: number,
  ) {}
  get number(): number {
    return this.bridge ? this.bridge.secondaryNumber : this.first;
  }
  *all(): Iterable<PciFunction> {
    for (const f of this.functions) if (f) yield f;
  }
}

/** A bus where a request may turn to a peer, and the child that it comes from. */
interface Turn {
  readonly bus: Bus;
  readonly from: PciFunction;
  /** Redirect is on, and Direct Translated P2P lets translated requests turn all the same. */
  readonly translatedOnly: boolean;
}

/** A function's way to the root, worked out once per configuration. */
export interface Route {
  readonly generation: number;
  /** The id on the wire at the root, after bridges took ownership. */
  readonly requester: number;
  /** Why nothing gets through; empty where it does. */
  readonly closed: string;
  /** Where a request may turn to a peer instead of going on. */
  readonly turns: readonly Turn[];
  /** Ports with Translation Blocking on. */
  readonly blocksTranslated: boolean;
}

/** A message that provokes a message, and so on: hardware would go on for ever, the model stops here. */
const MAX_NESTING = 32;
/** And it may provoke several each time: so many requests at most come out of one. */
const MAX_PROVOKED = 65536;

/**
 * The buses of one segment: finds functions by number and by address, and takes their requests to the root.
 */
export class Topology {
  readonly root: Bus;
  readonly decoder = new Decoder(this);
  private generation = 0;
  private readonly byNumber: (Bus | undefined)[] = [];
  private nesting = 0;
  private provoked = 0;

  constructor(
    readonly segment: number,
    readonly firstBus: number,
    readonly lastBus: number,
    private readonly fabric: PcieFabric,
    private readonly diagnostics: Diagnostics,
    private readonly trace: Trace,
  ) {
    this.root = new Bus('root', undefined, firstBus);
  }

  /** Bus numbers changed, or everything may have. */
  changed(): void {
    this.byNumber.length = 0;
    this.generation++;
    this.decoder.changed();
  }
  /** What decides about requests on their way up: a bridge's Bus Master Enable, ACS. */
  routesChanged(): void {
    this.generation++;
  }
  /** What decides about addresses: BARs, windows, Memory Space Enable. */
  memoryChanged(): void {
    this.decoder.changed();
  }

  /** Every function, bridges before what is below them. */
  *all(bus: Bus = this.root): Iterable<PciFunction> {
    for (const f of bus.all()) {
      yield f;
      if ('secondary' in f) yield* this.all((f as PciBridge).secondary);
    }
  }

  /** Whether the host bridge decodes a bus number. */
  has(bus: number): boolean {
    return bus >= this.firstBus && bus <= this.lastBus;
  }

  /** The function that a configuration request reaches, or none. */
  configTarget(busNumber: number, devfn: number): PciFunction | undefined {
    if (this.byNumber.length === 0) this.number();
    const bus = this.byNumber[busNumber];
    // Below a port there is one device: others get no request through (PCIe Base §7.3.1).
    return bus === undefined || (bus.kind === 'link' && devfn > 7) ? undefined : bus.functions[devfn];
  }

  /** Extended configuration space is out of reach behind a conventional bus (PCIe Base §7.2.1). */
  reachesExtended(fn: PciFunction): boolean {
    for (let bus: Bus | undefined = fn.bus; bus; bus = bus.bridge?.bus) if (bus.kind === 'conventional') return false;
    return true;
  }

  write32(fn: PciFunction, hi: number, lo: number, value: number, pasid: number, kind: number): Verdict {
    const route = this.routeOf(fn);
    if (!this.passes(fn, route, kind)) return Verdict.fault;
    if (this.endless(fn)) return Verdict.fault;
    this.nesting++;
    try {
      const peer = route.turns.length ? this.peer(route, hi, lo, kind) : undefined;
      if (peer) {
        peer.fn.barWrite(peer.bar, peer.offset, 4, value);
        fn.landed = true;
        return Verdict.bypass;
      }
      const verdict = this.fabric.write32(route.requester, hi, lo, value, pasid, kind);
      fn.landed = this.fabric.landed;
      return verdict;
    } finally {
      this.nesting--;
    }
  }

  transfer(
    fn: PciFunction,
    hi: number,
    lo: number,
    bytes: Uint8Array,
    writing: boolean,
    pasid: number,
    kind: number,
  ): Verdict {
    const route = this.routeOf(fn);
    if (!this.passes(fn, route, kind) || this.endless(fn)) {
      if (!writing) bytes.fill(0xff);
      return Verdict.fault;
    }
    this.nesting++;
    try {
      const peer = route.turns.length ? this.peer(route, hi, lo, kind) : undefined;
      if (peer) {
        fn.landed = true;
        if (writing) peerWrite(peer, bytes);
        else peerRead(peer, bytes);
        return Verdict.bypass;
      }
      const verdict = writing
        ? this.fabric.write(route.requester, hi, lo, bytes, pasid, kind)
        : this.fabric.read(route.requester, hi, lo, bytes, pasid, kind);
      fn.landed = this.fabric.landed;
      return verdict;
    } finally {
      this.nesting--;
    }
  }

  private routeOf(fn: PciFunction): Route {
    const known = fn.route;
    return known !== undefined && known.generation === this.generation ? known : (fn.route = this.findRoute(fn));
  }

  private passes(fn: PciFunction, route: Route, kind: number): boolean {
    const why =
      route.closed || (route.blocksTranslated && kind !== UNTRANSLATED ? 'ACS Translation Blocking on the way' : '');
    if (why === '') return true;
    if (this.trace.on)
      this.trace.step({ by: fn.name, what: 'request', at: null, words: [], decoded: 'dropped by a bridge', why });
    return false;
  }

  /** From the function to the root: who owns the request, what stops it, where it may turn. */
  private findRoute(fn: PciFunction): Route {
    const { dmaAlias } = fn.definition;
    let requester =
      fn.spoofed >= 0 ? fn.spoofed : dmaAlias === undefined ? fn.requester : (fn.bus.number << 8) | dmaAlias;
    let closed = '';
    let blocksTranslated = false;
    const turns: Turn[] = [];
    let from: PciFunction = fn;
    for (let bus = fn.bus; bus.bridge !== undefined; bus = bus.bridge.bus) {
      const bridge = bus.bridge;
      const acs = 'acsControl' in from ? (from as PciBridge).acsControl : 0;
      // P2P Request Redirect sends requests up instead of across; Direct Translated P2P exempts translated ones (PCIe Base §6.12.1.1).
      if (bus.kind === 'conventional') turns.push({ bus, from, translatedOnly: false });
      else if (bus.kind === 'switch' && (!(acs & Acs.RR) || acs & Acs.DT))
        turns.push({ bus, from, translatedOnly: (acs & Acs.RR) !== 0 });
      if ((bridge.command & 4) === 0) closed ||= `${bridge.name}: Bus Master Enable = 0`;
      const port = bridge.pcieType === PortType.rootPort || bridge.pcieType === PortType.downstreamPort;
      if (port && bridge.acsControl & Acs.SV && !bridge.leadsTo(requester >>> 8))
        closed ||= `${bridge.name}: ACS Source Validation`;
      if (port && bridge.acsControl & Acs.TB) blocksTranslated = true;
      requester = bridge.ownerOf(requester);
      from = bridge;
    }
    return { generation: this.generation, requester, closed, turns, blocksTranslated };
  }

  /** Whoever claims the address on a bus on the way, beside the branch that the request comes from. */
  private peer(route: Route, hi: number, lo: number, kind: number): Target | undefined {
    const target = this.decoder.find(hi, lo);
    if (target === undefined) return undefined;
    for (const { bus, from, translatedOnly } of route.turns) {
      if (translatedOnly && kind !== TRANSLATED) continue;
      let below: PciFunction = target.fn;
      while (below.bus !== bus && below.bus.bridge) below = below.bus.bridge;
      if (below.bus !== bus || below === from) continue;
      if (kind === UNTRANSLATED && this.trace.on)
        this.trace.step({
          by: bus.bridge!.name,
          what: 'peer-to-peer request',
          at: null,
          words: [],
          decoded: `to ${target.fn.name}`,
          why:
            bus.kind === 'conventional'
              ? 'a conventional bus: all see it'
              : `${from.name}: ACS P2P Request Redirect off`,
        });
      return target;
    }
    return undefined;
  }

  private endless(fn: PciFunction): boolean {
    if (this.nesting === 0) this.provoked = 0;
    else this.provoked++;
    if (this.nesting < MAX_NESTING && this.provoked < MAX_PROVOKED) return false;
    this.diagnostics.illegal(fn.name, `requests that provoke each other without end: dropped`);
    return true;
  }

  private number(): void {
    const visit = (bus: Bus, first: number, last: number): void => {
      for (const f of bus.all()) {
        if (!('secondary' in f)) continue;
        const b = f as PciBridge;
        const n = b.secondaryNumber;
        // Type 1 requests reach what the bridge says is behind it, inside what the bridges above say.
        if (n <= first || n > last || n > b.subordinateNumber || this.byNumber[n]) continue;
        this.byNumber[n] = b.secondary;
        visit(b.secondary, n, Math.min(last, b.subordinateNumber));
      }
    };
    this.byNumber[this.firstBus] = this.root;
    visit(this.root, this.firstBus, this.lastBus);
  }
}

function peerWrite({ fn, bar, offset }: Target, bytes: Uint8Array): void {
  let i = 0;
  if (offset % 4 === 0)
    for (; i + 4 <= bytes.length; i += 4)
      fn.barWrite(
        bar,
        offset + i,
        4,
        (bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)) >>> 0,
      );
  for (; i < bytes.length; i++) fn.barWrite(bar, offset + i, 1, bytes[i]!);
}

function peerRead({ fn, bar, offset }: Target, bytes: Uint8Array): void {
  for (let i = 0; i < bytes.length; i++) bytes[i] = fn.barRead(bar, offset + i, 1) & 0xff;
}

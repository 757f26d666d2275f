import {
  at,
  conventionalBridge,
  downstreamPort,
  edu,
  pcieToPciBridge,
  rootPort,
  upstreamPort,
  type BridgeDefinition,
  type BridgeOptions,
  type DmaPort,
  type FunctionDefinition,
  type FunctionPort,
  type Placed,
} from '@doorbell/pci';
import { Verdict, type PcieFabric } from '@doorbell/platform';
import { DeviceOption } from './device-option.js';

/** A DMA that a device begins. */
export interface DmaBegin {
  readonly requester: number;
  readonly direction: 'read' | 'write';
  readonly address: { readonly hi: number; readonly lo: number };
  readonly size: number;
}
/** What became of it; `physical`: of its last page, null where it went nowhere. */
export interface DmaEnd {
  readonly verdict: 'translated' | 'bypass' | 'fault' | 'interrupt';
  readonly physical: number | null;
  readonly landed: boolean;
}
export type DmaObserver = (begin: DmaBegin) => (end: DmaEnd) => void;

/** How a board makes `edu` functions that tell of their DMA. */
export interface EduMaker {
  readonly observe: DmaObserver | undefined;
  fabric(): PcieFabric;
}

interface BusPlan {
  readonly name: string;
  /** `link`: below a port, where only device 0 is. */
  readonly kind: 'root' | 'link' | 'open';
  readonly firstSlot: number;
  readonly members: Member[];
}
interface Member {
  readonly slot: number;
  readonly fn: number;
  readonly option: DeviceOption | undefined;
  /** Of a bridge: the bus below. */
  readonly below?: BusPlan;
  readonly make: (children: readonly Placed[]) => FunctionDefinition;
}

type BridgeMaker = (children: readonly Placed[], options?: BridgeOptions) => BridgeDefinition;

/** QEMU's names of bridges. `firstSlot`: what it gives out first below them. */
const BRIDGES: Readonly<Record<string, { make: BridgeMaker; kind: BusPlan['kind']; firstSlot: number }>> = {
  'pcie-root-port': { make: rootPort, kind: 'link', firstSlot: 0 },
  'x3130-upstream': { make: upstreamPort, kind: 'open', firstSlot: 0 },
  'xio3130-downstream': { make: downstreamPort, kind: 'link', firstSlot: 0 },
  'pcie-pci-bridge': { make: pcieToPciBridge, kind: 'open', firstSlot: 1 },
  'pci-bridge': { make: conventionalBridge, kind: 'open', firstSlot: 1 },
};

/** The bridges and functions that the options put on the root bus; `edu` at `defaultPlace` unless an option brings one. */
export function placeDevices(
  options: readonly DeviceOption[],
  defaultPlace: { readonly slot: number; readonly fn: number },
  maker: EduMaker,
): Placed[] {
  const root: BusPlan = { name: 'pcie.0', kind: 'root', firstSlot: 1, members: [] };
  const buses = new Map<string, BusPlan>([[root.name, root]]);
  if (!options.some((o) => o.driver === 'edu'))
    root.members.push({ ...defaultPlace, option: undefined, make: () => eduOf(ALL_ONES, maker) });
  let first = true;
  for (const option of options) {
    const bridge = Object.hasOwn(BRIDGES, option.driver) ? BRIDGES[option.driver]! : undefined;
    if (!bridge && option.driver !== 'edu')
      throw option.bad(
        `there is no device ${option.driver} on this board`,
        `known are edu, ${Object.keys(BRIDGES).join(', ')} and the board's IOMMU`,
      );
    const bus = busOf(option, buses, root);
    const own = first && !bridge && bus === root ? defaultPlace : undefined;
    if (!bridge) first = false;
    const place = option.place() ?? freePlace(option, bus, own);
    checkPlace(option, bus, place);
    for (const name of ['multifunction', 'romfile', 'rombar']) option.get(name);
    if (bridge) {
      // Numbers that software reads in slot capabilities; nothing here decides by them.
      for (const name of ['chassis', 'chassis_nr', 'slot', 'port']) option.number(name);
      option.flag('msi');
      option.flag('shpc');
      const id = option.get('id');
      const name = id ?? `${option.driver}.${buses.size}`;
      if (buses.has(name)) throw option.bad(`there is a bus ${name} already`, 'give each bridge its own id');
      const below: BusPlan = { name, kind: bridge.kind, firstSlot: bridge.firstSlot, members: [] };
      buses.set(name, below);
      const acs = option.driver === 'pcie-root-port' || option.driver === 'xio3130-downstream';
      bus.members.push({ ...place, option, below, make: (children) => bridge.make(children, { acs }) });
    } else {
      option.get('id');
      const mask = option.number('dma_mask') ?? ALL_ONES;
      bus.members.push({ ...place, option, make: () => eduOf(mask, maker, option) });
    }
    option.finish();
  }
  return built(root);
}

/** Innermost first: a bridge's definition holds what is below it. */
const built = (bus: BusPlan): Placed[] =>
  bus.members.map(({ slot, fn, below, make }) =>
    at(`${slot.toString(16)}.${fn}`, make(below === undefined ? [] : built(below))),
  );

function busOf(option: DeviceOption, buses: ReadonlyMap<string, BusPlan>, root: BusPlan): BusPlan {
  const name = option.get('bus');
  const bus = name === undefined || name === 'pcie' ? root : buses.get(name);
  if (bus) return bus;
  throw option.bad(`there is no bus ${name}`, `known so far are ${[...buses.keys()].join(', ')}; bridges come first`);
}

function freePlace(option: DeviceOption, bus: BusPlan, own: { slot: number; fn: number } | undefined) {
  const taken = (slot: number) => bus.members.some((m) => m.slot === slot);
  if (own && !taken(own.slot)) return own;
  for (let slot = bus.firstSlot; slot < (bus.kind === 'link' ? 1 : 32); slot++)
    if (!taken(slot)) return { slot, fn: 0 };
  throw option.bad(`bus ${bus.name} is full`, 'put it on another bus');
}

function checkPlace(option: DeviceOption, bus: BusPlan, { slot, fn }: { slot: number; fn: number }): void {
  const place = `${slot.toString(16).padStart(2, '0')}.${fn}`;
  if (bus.kind === 'root' && slot === 0) throw option.bad(`the host bridge is at ${place}`, 'use another slot');
  if (bus.kind === 'link' && slot !== 0)
    throw option.bad(`${place} is not below a port: there is device 0 only`, 'leave addr out, or use addr=0.0');
  if (bus.members.some((m) => m.slot === slot && m.fn === fn))
    throw option.bad(`${place} of ${bus.name} is taken`, 'give each function its own place');
}

const ALL_ONES = (1n << 64n) - 1n;

function eduOf(mask: bigint, maker: EduMaker, option?: DeviceOption): FunctionDefinition {
  const bits = mask.toString(2).length;
  if (option && mask !== (1n << BigInt(bits)) - 1n)
    throw option.bad(`dma_mask=0x${mask.toString(16)} has a gap`, 'use a mask of the lowest n bits');
  const plain = edu({ dmaBits: bits });
  const { observe } = maker;
  if (observe === undefined) return plain;
  return { ...plain, create: (port) => plain.create!(watched(port, observe, maker)) };
}

/** The same port, with a DMA engine that tells of each request. */
function watched(port: FunctionPort, observe: DmaObserver, maker: EduMaker): FunctionPort {
  const { dma } = port;
  const tell = (direction: 'read' | 'write', hi: number, lo: number, bytes: Uint8Array, go: () => Verdict): Verdict => {
    const end = observe({ requester: port.requester, direction, address: { hi, lo }, size: bytes.length });
    const { outcome } = maker.fabric();
    outcome.pa = -1; // a peer on the same bus takes the request before the fabric sees it
    const verdict = go();
    const went = verdict === Verdict.translated || verdict === Verdict.bypass;
    end({
      verdict: VERDICTS[verdict],
      physical: went && dma.landed && outcome.pa >= 0 ? outcome.pa : null,
      landed: dma.landed,
    });
    return verdict;
  };
  const watching: DmaPort = {
    get landed() {
      return dma.landed;
    },
    read: (hi, lo, into, pasid, kind) => tell('read', hi, lo, into, () => dma.read(hi, lo, into, pasid, kind)),
    write: (hi, lo, from, pasid, kind) => tell('write', hi, lo, from, () => dma.write(hi, lo, from, pasid, kind)),
    write32: (hi, lo, value, pasid, kind) => dma.write32(hi, lo, value, pasid, kind),
    spoof: (requester) => dma.spoof(requester),
  };
  return {
    get name() {
      return port.name;
    },
    get requester() {
      return port.requester;
    },
    get msiEnabled() {
      return port.msiEnabled;
    },
    get msixEnabled() {
      return port.msixEnabled;
    },
    clock: port.clock,
    diagnostics: port.diagnostics,
    trace: port.trace,
    config: port.config,
    dma: watching,
    fire: (vector) => port.fire(vector),
    withdraw: (vector) => port.withdraw(vector),
    intx: (asserted) => port.intx(asserted),
  };
}

const VERDICTS = ['translated', 'bypass', 'fault', 'interrupt'] as const;

import type { Machine } from '@doorbell/firmware';
import { IOMMU } from '@doorbell/iommu';
import { INTERRUPTS } from '@doorbell/irqchip';
import { PCI, type PciDevice } from '@doorbell/pci';
import { DoorbellError, hex, mapId, type Platform, type PlatformNode } from '@doorbell/platform';
import type { Backends, TourChanges } from './backends.js';
import { buildPlatform, type Failure, type MachinePlatform } from './build.js';
import { drive, fire, shown, write, type FunctionReport, type Seen } from './drive.js';

/** Everything that the tour shows of one machine. */
export interface MachineTour {
  readonly name: string;
  readonly kinds: readonly string[];
  readonly controllers: readonly string[];
  readonly functions: readonly FunctionReport[];
  readonly failures: readonly Failure[];
  readonly refusal: Refusal | null;
  readonly forgery: { readonly guarded: Forgery; readonly unguarded: Forgery | null } | null;
}
/** A call that could not succeed, and that nothing changed by it. */
export interface Refusal {
  readonly setting: string;
  readonly call: string;
  readonly code: string;
  readonly message: string;
  readonly remedy: string;
  /** Parts of the machine that were compared before and after, and whether they are equal. */
  readonly unchanged: Readonly<Record<string, boolean>>;
  readonly then: string | null;
}
/** One function writes another's message. */
export interface Forgery {
  readonly setting: string;
  readonly victim: string;
  readonly attacker: string;
  readonly index: number;
  readonly address: string;
  readonly data: string;
  /** What the victim's own write comes to. */
  readonly own: Seen;
  readonly forged: Seen;
  /** Whether the CPU takes the forged write for the victim's. */
  readonly deceived: boolean;
}

/** Everything arrived, the refused call changed nothing, and the forgery was blocked where it is checked. */
export const asItShould = (t: MachineTour): boolean =>
  t.failures.length === 0 &&
  (t.refusal === null || Object.values(t.refusal.unchanged).every(Boolean)) &&
  (t.forgery === null || (!t.forgery.guarded.deceived && t.forgery.unguarded?.deceived !== false));

export function tourOf(name: string, machine: Machine, backends: Backends): MachineTour {
  const build: Build = (adjust = (n) => n) => buildPlatform(machine, backends, { name, adjust });
  const { functions, failures, kinds, nodes } = using(build(), (b) => {
    const driven = drive(b.platform, b);
    const all = [...b.failures, ...driven.failures];
    return { functions: driven.functions, failures: all, kinds: b.description.kinds, nodes: b.platform.allNodes };
  });
  const controllers = [...new Set(functions.flatMap((f) => f.msiController ?? []))].map(
    (c) => nodes.find((n) => n.name === c)?.compatible ?? c,
  );
  const pair = choose(functions);
  if (pair === null) return { name, kinds, controllers, functions, failures, refusal: null, forgery: null };
  return {
    name,
    kinds,
    controllers,
    functions,
    failures,
    refusal: refuse(build, pair, nodes, backends),
    forgery: forge(build, pair, nodes, backends),
  };
}

type Build = (adjust?: (nodes: readonly PlatformNode[]) => readonly PlatformNode[]) => MachinePlatform;

function using<T>(built: MachinePlatform, body: (built: MachinePlatform) => T): T {
  try {
    return body(built);
  } finally {
    built.platform.dispose();
  }
}

/** Whose message is forged, and who forges it: the first two of the root bus behind one unit, each in a group of its own. */
interface Pair {
  readonly victim: FunctionReport;
  readonly attacker: FunctionReport;
}
function choose(functions: readonly FunctionReport[]): Pair | null {
  const able = functions.filter((f) => f.iommu !== null && (f.msi?.offered ?? 0) > 1);
  const victim = able.find((f) => f.msi!.kind === 'msix');
  const attacker = able.find((f) => f !== victim && f.iommu === victim?.iommu && f.group !== victim.group);
  return victim && attacker ? { victim, attacker } : null;
}

/** Asks for more than there is room for: window space where messages are translated, table entries where they are not. */
function refuse(build: Build, pair: Pair, nodes: readonly PlatformNode[], backends: Backends): Refusal | null {
  return pair.victim.window?.kind === 'software'
    ? using(
        build((n) => withSecondController(n, pair)),
        (b) => windowTooSmall(b.platform, pair),
      )
    : changed(nodes, backends, 'small', pair.victim.iommu!, (adjust, what) =>
        using(build(adjust), (b) => tableTooSmall(b.platform, pair, what)),
      );
}

function windowTooSmall(platform: Platform, { victim, attacker }: Pair): Refusal | null {
  const [pci, iommu] = [platform.service(PCI), platform.service(IOMMU)];
  const [a, b] = [pci.get(victim.bdf), pci.get(attacker.bdf)];
  const domain = iommu.createDomain({ type: 'unmanaged', devices: [a, b], name: 'the shared domain' });
  for (const d of [a, b]) iommu.attach(d, domain);
  const { granule } = iommu.msiDemand([a, b], domain);
  const base = 0x800_0000;
  domain.reserveMsiWindow({ base, size: granule });
  pci.allocateVectors(a, { min: 1, max: 1 });
  return refusal(
    platform,
    b,
    `${a.name} and ${b.name} share a domain, each with a controller of its own; the window is ${hex(base)}, ${granule} bytes`,
    `allocateVectors(${b.name}, { min: 1 })`,
    () => pci.allocateVectors(b, { min: 1, max: 1 }),
    ({ details }) => {
      // The error says how much would have been enough.
      const size = details['smallest'] as number;
      domain.reserveMsiWindow({ base, size });
      const { address } = shown(pci.allocateVectors(b, { min: 1, max: 1 }).message(0));
      const arrived = fire(platform, b, 0).delivered !== null ? 'its MSI arrives' : 'its MSI does not arrive';
      return `With a window of ${hex(size)} bytes ${b.name} is programmed with ${address}, and ${arrived}.`;
    },
  );
}

function tableTooSmall(platform: Platform, { victim, attacker }: Pair, setting: string): Refusal | null {
  const [pci, iommu] = [platform.service(PCI), platform.service(IOMMU)];
  const [a, b] = [pci.get(victim.bdf), pci.get(attacker.bdf)];
  for (const d of [a, b]) iommu.attach(d, iommu.createDomain({ type: 'unmanaged', devices: [d] }));
  const held = pci.allocateVectors(a, { min: 1, max: 3 });
  const want = Math.min(2, Math.max(b.msixVectors, b.msiVectors));
  return refusal(
    platform,
    b,
    `${setting}, of which ${a.name} uses ${held.count}; there is no window to reserve here`,
    `allocateVectors(${b.name}, { min: ${want} })`,
    () => pci.allocateVectors(b, { min: want, max: want }),
    () => {
      held.free();
      pci.allocateVectors(b, { min: want, max: want });
      const arrived = fire(platform, b, want - 1).delivered !== null ? 'they arrive' : 'they do not arrive';
      return `Once ${a.name} gave its vectors back, the same call succeeds, and ${arrived}.`;
    },
  );
}

/** Makes the call, which has to fail, and compares everything before and after. */
function refusal(
  platform: Platform,
  device: PciDevice,
  setting: string,
  call: string,
  attempt: () => unknown,
  afterwards: (error: DoorbellError) => string,
): Refusal | null {
  const before = stateOf(platform, device);
  try {
    attempt();
    return null;
  } catch (error) {
    if (!(error instanceof DoorbellError)) throw error;
    const after = stateOf(platform, device);
    const unchanged = Object.fromEntries(Object.entries(before).map(([part, value]) => [part, value === after[part]]));
    const message = error.message.replace(` (${error.remedy})`, '');
    return { setting, call, code: error.code, message, remedy: error.remedy, unchanged, then: afterwards(error) };
  }
}

function stateOf(platform: Platform, device: PciDevice): Record<string, string> {
  return {
    memory: platform.memoryModel.digest(),
    registers: JSON.stringify(platform.snapshot().models, (_, v: unknown) =>
      ArrayBuffer.isView(v) ? Array.from(v as Uint8Array) : v,
    ),
    'configuration space': JSON.stringify(Array.from({ length: 64 }, (_, i) => device.read(4 * i))),
    allocators: platform.service(INTERRUPTS).digest() + platform.service(IOMMU).digest(),
  };
}

/** The same machine with one more controller like the victim's, which takes the attacker's messages. */
function withSecondController(nodes: readonly PlatformNode[], { victim, attacker }: Pair): readonly PlatformNode[] {
  if (victim.msiController !== attacker.msiController) return nodes;
  const first = nodes.find((n) => n.name === victim.msiController)!;
  const { base, size } = first.reg![0]!;
  const taken = nodes.flatMap((n) => n.reg ?? []);
  let at = base + size;
  while (taken.some((t) => t.base < at + size && t.base + t.size > at)) at += size;
  const second = { ...first, name: `${first.name}-b`, reg: [{ base: at, size }] };
  return [
    ...nodes
      .flatMap((n) => (n === first ? [n, second] : [n]))
      .map((n) => {
        const id = mapId(n.msiMap ?? [], attacker.requesterId);
        if (id?.to !== first.name) return n;
        const own = { inputBase: attacker.requesterId, count: 1, outputBase: id.id, to: second.name };
        return { ...n, msiMap: [...n.msiMap!, own] };
      }),
  ];
}

/** The attacker really writes what the victim was programmed with; then once more where nobody checks. */
function forge(build: Build, pair: Pair, nodes: readonly PlatformNode[], backends: Backends): MachineTour['forgery'] {
  const guarded = using(build(), (b) => forgeOn(b.platform, pair, 'as it is'));
  const checks = [pair.victim.iommu!, pair.victim.msiController!];
  const unguarded = checks.reduce<Forgery | null>(
    (done, node) =>
      done ??
      changed(nodes, backends, 'unverified', node, (adjust, what) =>
        using(build(adjust), (b) => forgeOn(b.platform, pair, what)),
      ),
    null,
  );
  return { guarded, unguarded: unguarded ?? sharing(build, pair) };
}

/** Where each has a controller of its own, that is the check: once more with one for both. */
function sharing(build: Build, pair: Pair): Forgery | null {
  const [own, other] = [pair.victim.msiController!, pair.attacker.msiController!];
  if (own === other) return null;
  const shared = (n: PlatformNode): PlatformNode =>
    n.msiMap ? { ...n, msiMap: n.msiMap.map((e) => (e.to === other ? { ...e, to: own } : e)) } : n;
  const setting = `both send to ${own}: who may write its page may raise each of its interrupts`;
  return using(
    build((nodes) => nodes.map(shared)),
    (b) => forgeOn(b.platform, pair, setting),
  );
}

function forgeOn(platform: Platform, { victim, attacker }: Pair, setting: string): Forgery {
  const [pci, iommu] = [platform.service(PCI), platform.service(IOMMU)];
  const [a, b] = [pci.get(victim.bdf), pci.get(attacker.bdf)];
  for (const d of [a, b]) {
    const domain = iommu.createDomain({ type: 'unmanaged', devices: [d] });
    iommu.attach(d, domain);
    if (iommu.msiDemand([d], domain).pages > 0) iommu.placeMsiWindow(domain, [d]);
  }
  const vectors = pci.allocateVectors(a, { min: 1, max: 2 });
  // The attacker has one vector of its own, so that the doorbell is within its reach where its unit maps it.
  pci.allocateVectors(b, { min: 1, max: 1 });
  const index = vectors.count - 1;
  const message = vectors.message(index);
  const own = fire(platform, a, index);
  const forged = write(platform, b, message);
  const deceived = forged.delivered !== null && JSON.stringify(forged.delivered) === JSON.stringify(own.delivered);
  return { setting, victim: a.name, attacker: b.name, index, ...shown(message), own, forged, deceived };
}

/** Calls `body` with a change to one node that the configuration offers, if it does. */
function changed<T>(
  nodes: readonly PlatformNode[],
  backends: Backends,
  kind: keyof TourChanges,
  name: string,
  body: (adjust: (nodes: readonly PlatformNode[]) => readonly PlatformNode[], what: string) => T,
): T | null {
  const node = nodes.find((n) => n.name === name);
  const change = node && backends.tourOf(node)[kind];
  if (!change) return null;
  return body((all) => all.map((n) => (n.name === name ? change.node(n) : n)), change.what);
}

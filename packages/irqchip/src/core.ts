import {
  DoorbellError,
  effectiveId,
  mapId,
  token,
  type Device,
  type PlatformNode,
  type Service,
  type SoftwareHost,
} from '@doorbell/platform';
import { MsiDomain } from './domain.js';
import type { MsiBlock } from './block.js';
import type { IrqLevel, RootLevel, SenderCheck } from './level.js';

/** Where one level of a chain stands: below the root, a remapper changes the message, a translator its address. */
export interface ChainLevel extends IrqLevel {
  /** False: this unit leaves the device's interrupts alone (remapping off, device not behind it). */
  applies(device: Device): boolean;
  /** Whether it checks who sends a message; undefined: it does not. */
  senderCheck?(device: Device): SenderCheck | undefined;
}

/**
 * The interrupt core of a platform: knows the controllers and, from the host bridges' maps, the chain of each device. It keeps
 * no vectors of its own.
 */
export class InterruptCore {
  private readonly roots = new Map<string, RootLevel>();
  private readonly remappers = new Map<string, ChainLevel>();
  private readonly translators = new Map<string, ChainLevel>();
  private readonly domains = new Map<Device, MsiDomain>();

  constructor(private readonly host: SoftwareHost) {
    host.hooks.deviceRemoved.tap('irqchip', (device) => this.domains.delete(device));
  }

  /** `name` is the node's, as `msiMap` entries call it. */
  addRoot(name: string, level: RootLevel): void {
    this.roots.set(name, level);
  }
  /** `unit` is the node's, as `iommuMap` entries call it. */
  addRemapper(unit: string, level: ChainLevel): void {
    this.remappers.set(unit, level);
  }
  addTranslator(unit: string, level: ChainLevel): void {
    this.translators.set(unit, level);
  }

  /** The device's interrupt chain; the same object each time. Errors: `NO_MSI_CONTROLLER`. */
  domainFor(device: Device): MsiDomain {
    let domain = this.domains.get(device);
    if (!domain) this.domains.set(device, (domain = this.chain(device)));
    return domain;
  }

  /** Blocks that are live on a device. */
  blocksOf(device: Device): readonly MsiBlock[] {
    return [...(this.domains.get(device)?.blocks ?? [])];
  }

  /** Whose interrupt a number at a CPU interface is. */
  owner(cpu: number, number: number): { block: MsiBlock; index: number } | undefined {
    for (const root of this.roots.values()) {
      const found = root.owner(cpu, number);
      if (found) return found;
    }
    return undefined;
  }

  /** Who checks the sender of the device's messages: the remapper where there is one, else the controller. */
  senderCheck(device: Device): SenderCheck {
    const domain = this.domainFor(device);
    for (const level of domain.levels.slice(1).reverse()) {
      const check = (level as ChainLevel).senderCheck?.(device);
      if (check) return check;
    }
    return domain.root.senderCheck(device);
  }

  /** Equal for equal allocator states of all controllers and remappers. */
  digest(): string {
    return [...this.roots.values(), ...this.remappers.values(), ...this.translators.values()]
      .map((l) => `${l.name}:${l.digest?.() ?? ''}`)
      .join('|');
  }

  private chain(device: Device): MsiDomain {
    const unit = unitFor(this.host.nodes, device, 'iommuMap');
    const root = this.rootFor(device);
    const levels: IrqLevel[] = [root];
    for (const candidates of [this.remappers, this.translators]) {
      const level = unit === null ? undefined : candidates.get(unit.to);
      if (level?.applies(device)) levels.push(level);
    }
    return new MsiDomain(device, root, levels);
  }

  private rootFor(device: Device): RootLevel {
    const mapped = unitFor(this.host.nodes, device, 'msiMap');
    const root = mapped ? this.roots.get(mapped.to) : this.roots.size === 1 ? [...this.roots.values()][0] : undefined;
    if (root) return root;
    const why = mapped
      ? `its msiMap names ${mapped.to}, which has no driver`
      : `no msiMap names one and there are ${this.roots.size} controllers`;
    throw new DoorbellError(
      'NO_MSI_CONTROLLER',
      `${device.name} has no MSI controller: ${why}`,
      'use an irqchip plugin, or give the host bridge an msiMap',
      {
        device: device.name,
        controllers: [...this.roots.keys()],
      },
    );
  }
}

/** Where a device's effective id goes by a host bridge's (or the platform device's own) map: node and id there. */
export function unitFor(
  nodes: readonly PlatformNode[],
  device: Device,
  map: 'iommuMap' | 'msiMap',
): { to: string; id: number; shared?: boolean } | null {
  let found: { to: string; id: number; shared?: boolean } | null = null;
  for (const node of nodes) {
    const entries = node[map];
    if (!entries) continue;
    if (device.kind === 'platform' ? node.name !== device.name : (node.segment ?? 0) !== device.segment) continue;
    found = mapId(entries, effectiveId(device)) ?? found;
  }
  return found;
}

/** `platform.service(INTERRUPTS)`: the platform's interrupt core. */
export const INTERRUPTS: Service<InterruptCore> = {
  token: token<InterruptCore>('software:interrupts'),
  create: (host) => new InterruptCore(host),
};

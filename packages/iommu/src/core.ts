import { DoorbellError, token, type Device, type Service, type SoftwareHost } from '@doorbell/platform';
import { INTERRUPTS, unitFor, type Doorbell, type InterruptCore } from '@doorbell/irqchip';
import { intersect, lacks } from './capabilities.js';
import { withDirect } from './direct.js';
import { Domain } from './domain.js';
import type { DomainType, FlushMode, GuestView, MsiDemand } from './domain-types.js';
import * as errors from './errors.js';
import { Groups, type Group } from './groups.js';
import { moveGroup, switchStreams, type Member } from './move.js';
import { MsiTranslator } from './translator.js';
import type { GuestStage1, IommuUnit, ReservedRegion, UnitFault } from './unit.js';
import type { MsiWindow } from './window.js';

/** What a domain is made from. */
export interface CreateDomain {
  readonly type: DomainType;
  /** Who will be attached: the domain has what all their units have in common. Default: every unit of the platform. */
  readonly devices?: readonly Device[];
  readonly name?: string;
  /** Default: strict. */
  readonly flush?: FlushMode;
  /** For `nested`: the domain below, the guest's stage 1 and where the guest sees doorbells. */
  readonly parent?: Domain;
  readonly guest?: GuestStage1;
  readonly guestView?: GuestView;
}

/** A fault with the device and domain it belongs to, as far as the core knows them. */
export interface IommuFault extends UnitFault {
  readonly device: Device | null;
  readonly domain: Domain | null;
}

/** Whether only the device itself can raise its interrupts, and the sentences that show it. */
export interface MsiIsolation {
  readonly isolated: boolean;
  readonly witness: readonly string[];
}

/**
 * The IOMMU API of a platform. Every device starts blocked; `attach` gives its whole group a domain, `move` changes it under live
 * interrupts, `detach` blocks it again.
 */
export class IommuCore {
  private readonly units = new Map<string, IommuUnit>();
  private readonly translators = new Map<string, MsiTranslator>();
  private readonly keepers: ((device: Device) => readonly ReservedRegion[])[] = [];
  private readonly groups: Groups;
  private readonly current = new Map<Device, Domain>();
  private readonly blocked = new Domain({
    name: 'blocked',
    type: 'blocked',
    flush: 'strict',
    table: null,
    capabilities: null,
    parent: null,
    guest: null,
  });
  private created = 0;

  constructor(
    private readonly host: SoftwareHost,
    private readonly interrupts: InterruptCore,
  ) {
    this.groups = new Groups(host.hooks, (device) => {
      const mapped = unitFor(host.nodes, device, 'iommuMap');
      return mapped?.shared ? `${mapped.to}:${mapped.id}` : null;
    });
    host.hooks.deviceRemoved.intercept({
      // Before anybody else forgets the device: its streams must not outlive it.
      call: (device) => {
        if (this.current.has(device)) this.leave(device);
      },
    });
  }

  /** Registers a unit's driver. Where it translates MSIs it becomes a level of the interrupt chains behind it. */
  addUnit(unit: IommuUnit): void {
    this.units.set(unit.name, unit);
    if (unit.capabilities.msiWindow !== null) return;
    const translator = new MsiTranslator(unit.name, (device) => this.domainOf(device));
    this.translators.set(unit.name, translator);
    this.interrupts.addTranslator(unit.name, translator);
  }

  /** Ranges of a device's IOVA space that somebody in front of the unit keeps: a host bridge's windows onto something else. */
  addRegions(of: (device: Device) => readonly ReservedRegion[]): void {
    this.keepers.push(of);
  }

  get allUnits(): readonly IommuUnit[] {
    return [...this.units.values()];
  }

  /** The unit that sees a device's requests, or null. */
  unitOf(device: Device): IommuUnit | null {
    const to = unitFor(this.host.nodes, device, 'iommuMap')?.to;
    return (to === undefined ? undefined : this.units.get(to)) ?? null;
  }

  /** Ids under which the unit may see the device. */
  streamsOf(device: Device): readonly number[] {
    const ids = device.aliases.length > 0 ? device.aliases : [device.requester];
    const streams = new Set<number>();
    for (const id of ids) {
      const mapped = unitFor(this.host.nodes, { ...device, requester: id, aliases: [id] }, 'iommuMap');
      if (mapped && this.units.has(mapped.to)) streams.add(mapped.id);
    }
    return [...streams];
  }

  /** The devices that are always owned together with this one. */
  groupOf(device: Device): Group {
    return this.groups.of(device);
  }

  /** The domain of a device; the blocked one until it is attached. */
  domainOf(device: Device): Domain {
    return this.current.get(device) ?? this.blocked;
  }

  /** Errors: `INCOMPATIBLE_UNIT`, `NO_IOMMU`, `NESTING_UNSUPPORTED`, `DOMAIN_DESTROYED` (the parent). */
  createDomain(options: CreateDomain): Domain {
    options.parent?.mustStand();
    const name = options.name ?? `${options.type}${this.created}`;
    const setup = { name, type: options.type, flush: options.flush ?? 'strict', guest: options.guestView ?? null };
    if (options.type === 'identity' || options.type === 'blocked') {
      this.created++;
      return new Domain({ ...setup, table: null, capabilities: null, parent: null });
    }
    const units = options.parent ? [...options.parent.units.keys()] : this.unitsFor(options.devices, name);
    const capabilities = options.parent?.capabilities ?? intersect(name, units);
    const first = units[0] ?? this.allUnits[0]!;
    if (options.type === 'nested') {
      if (!options.parent?.table || !options.guest || !first.createNested || !capabilities.nested) {
        throw new DoorbellError(
          'NESTING_UNSUPPORTED',
          `${name} cannot be nested: ${options.parent && options.guest ? `${first.name} has no second stage for guests` : 'it has no parent or no guest tables'}`,
          'use an unmanaged domain, or a unit whose capabilities say nested',
          { domain: name, unit: first.name },
        );
      }
      const table = first.createNested(options.parent.table, options.guest);
      this.created++;
      return new Domain({ ...setup, table, capabilities, parent: options.parent });
    }
    const table = first.createTable({ aperture: capabilities.aperture, pageSizes: capabilities.pageSizes });
    for (const unit of units) {
      const answer = unit.accepts(table);
      if (answer === true) continue;
      table.destroy();
      throw errors.incompatibleUnit(name, unit.name, answer);
    }
    this.created++;
    return new Domain({ ...setup, table, capabilities, parent: null });
  }

  /** Gives back tables and ids. Errors: `DOMAIN_BUSY`, `DOMAIN_DESTROYED`. */
  destroyDomain(domain: Domain): void {
    domain.mustStand();
    const users = [...this.current].filter(([, used]) => this.chainOf(used).includes(domain));
    if (users.length > 0)
      throw errors.domainBusy(
        domain.name,
        users.map(([device]) => device.name),
      );
    domain.destroy();
  }

  /**
   * Gives the whole group of a device this domain: all of it or nothing. Errors: `NO_IOMMU`, `GROUP_BUSY`, `INCOMPATIBLE_UNIT`, `IOVA_RESERVED`,
   * `MSI_WINDOW_CONFLICT`, `DOMAIN_DESTROYED`, `HardwareError`.
   */
  attach(device: Device, domain: Domain): void {
    const group = this.groups.of(device);
    const busy = group.devices.find((d) => this.current.has(d));
    if (busy) {
      throw errors.groupBusy(
        device.name,
        group.devices.map((d) => d.name),
        this.domainOf(busy).name,
      );
    }
    this.enter(group, domain);
  }

  /** Blocks the group again. Errors: `MSI_CANNOT_MOVE_LIVE` while interrupts depend on the domain. */
  detach(device: Device): void {
    const group = this.groups.of(device);
    for (const member of group.devices) this.mustHaveNoWindow(member);
    const from = this.domainOf(device);
    if (from === this.blocked) return;
    switchStreams(this.membersOf(group), from.target, 'blocked');
    this.settleIn(group, from, this.blocked);
  }

  /**
   * Gives the group another domain while its interrupts go on: an MSI between any two steps is delivered or coalesced. Errors as `attach`, and
   * `MSI_CANNOT_MOVE_LIVE`, `MSI_WINDOW_*`: then everything is as before.
   */
  move(device: Device, to: Domain): void {
    const group = this.groups.of(device);
    const from = this.domainOf(device);
    if (from === to) return;
    const regions = this.regionsOf(group);
    this.checkUnits(group, to);
    to.checkRegions(regions);
    withDirect(to, regions, () =>
      moveGroup({
        members: this.membersOf(group),
        from,
        to,
        blocksOf: (d) => this.interrupts.blocksOf(d),
        translatorOf: (d) => this.translatorOf(d),
        settle: () => this.settleIn(group, from, to),
      }),
    );
  }

  /** What the device's IOVA space has that is not free: firmware's regions, the fixed MSI window, and its domain's software window. */
  reservedRegions(device: Device): readonly ReservedRegion[] {
    const own = this.ownRegions(device);
    const window = this.domainOf(device).msiWindow;
    const regions: ReservedRegion[] = [...own];
    if (window) regions.push({ ...window.range, kind: 'software-msi', why: 'MSI window' });
    return regions.sort((a, b) => a.first - b.first);
  }

  /** Window space that the devices' interrupts will need in a domain: before anything is enabled. */
  msiDemand(devices: readonly Device[], domain: Domain): MsiDemand {
    return domain.demandFor(this.doorbellsOf(devices));
  }

  /** Finds and reserves a window that all these devices can reach. Default size: what they need. Errors: `IOVA_EXHAUSTED`. */
  placeMsiWindow(
    domain: Domain,
    devices: readonly Device[],
    options: { readonly size?: number; readonly limit?: number } = {},
  ): MsiWindow {
    const demand = this.msiDemand(devices, domain);
    const size = options.size ?? Math.max(demand.bytes, demand.granule);
    // Every MSI capability reaches 32 bits, so the place is sought there first.
    const reach = Math.min(32, ...devices.map((d) => d.dmaBits));
    const base = domain.findWindowPlace(size, options.limit ?? 2 ** reach - 1);
    return domain.reserveMsiWindow({ base, size });
  }

  /** Who else could raise the device's interrupts. */
  msiIsolation(device: Device): MsiIsolation {
    const check = this.interrupts.senderCheck(device);
    const witness = [check.witness];
    let isolated = check.scope === 'vector' || check.scope === 'device';
    const unit = this.unitOf(device);
    if (unit?.capabilities.msiWindow === null) {
      for (const doorbell of this.doorbellsOf([device])) {
        if (doorbell.exposes.length === 0) continue;
        witness.push(`the page of ${doorbell.name} also holds ${doorbell.exposes.join(', ')}`);
        isolated = false;
      }
    }
    return { isolated, witness };
  }

  /** Takes the recorded faults out of every unit. */
  faults(): readonly IommuFault[] {
    return this.allUnits.flatMap((unit) =>
      unit.drainFaults().map((fault) => {
        const device = this.groups.devices.find(
          (d) => this.unitOf(d) === unit && this.streamsOf(d).includes(fault.stream),
        );
        return { ...fault, device: device ?? null, domain: device ? this.domainOf(device) : null };
      }),
    );
  }

  /** Equal strings for equal allocator states of the core and every unit. */
  digest(): string {
    const domains = new Set(this.current.values());
    return [
      ...[...domains].map((d) => d.digest()),
      ...this.allUnits.map((u) => `${u.name}:${u.digest?.() ?? ''}`),
    ].join('|');
  }

  private unitsFor(devices: readonly Device[] | undefined, name: string): IommuUnit[] {
    const units = new Set<IommuUnit>();
    for (const device of devices ?? []) {
      const unit = this.unitOf(device);
      if (!unit) throw errors.noIommu(device.name);
      units.add(unit);
    }
    if (devices === undefined) for (const unit of this.allUnits) units.add(unit);
    if (units.size === 0) throw errors.noIommu(name);
    return [...units];
  }

  private enter(group: Group, domain: Domain): void {
    this.checkUnits(group, domain);
    const regions = this.regionsOf(group);
    domain.checkRegions(regions);
    withDirect(domain, regions, () => switchStreams(this.membersOf(group), 'blocked', domain.target));
    this.settleIn(group, this.blocked, domain);
  }

  private leave(device: Device): void {
    const from = this.domainOf(device);
    switchStreams(this.membersOf({ key: device.name, devices: [device] }), from.target, 'blocked');
    this.settleIn({ key: device.name, devices: [device] }, from, this.blocked);
  }

  /** The core's own books after the streams are switched. Cannot fail. */
  private settleIn(group: Group, from: Domain, to: Domain): void {
    for (const { device, unit, streams } of this.membersOf(group)) {
      from.devices.delete(device);
      if (to === this.blocked) this.current.delete(device);
      else {
        this.current.set(device, to);
        to.devices.add(device);
      }
      // First in, then out: a parent that both sides use stays with the unit.
      for (const domain of this.chainOf(to)) domain.units.set(unit, (domain.units.get(unit) ?? 0) + streams.length);
      for (const domain of this.chainOf(from)) {
        const left = (domain.units.get(unit) ?? 0) - streams.length;
        if (left > 0) domain.units.set(unit, left);
        else {
          domain.units.delete(unit);
          if (domain.table) unit.detachTable(domain.table);
        }
      }
      this.host.hooks.attach.call(device, to === this.blocked ? null : to.type);
    }
    for (const domain of [from, to]) {
      if (domain === this.blocked) continue;
      domain.setRegions([...domain.devices].flatMap((d) => this.ownRegions(d)));
    }
  }

  /** A domain and those below it: streams of a nested domain go through its parent's tables too, and unmaps there have to reach them. */
  private chainOf(domain: Domain): Domain[] {
    if (domain === this.blocked) return [];
    return domain.parent ? [domain, domain.parent] : [domain];
  }

  private checkUnits(group: Group, domain: Domain): void {
    domain.mustStand();
    for (const device of group.devices) {
      const unit = this.unitOf(device);
      if (!unit) throw errors.noIommu(device.name);
      if (domain.table === null) continue;
      const why = domain.capabilities ? lacks(unit, domain.capabilities) : null;
      const answer = why ?? unit.accepts(domain.table);
      if (answer !== true) throw errors.incompatibleUnit(domain.name, unit.name, answer);
    }
  }

  private membersOf(group: Group): Member[] {
    return group.devices.flatMap((device) => {
      const unit = this.unitOf(device);
      return unit ? [{ device, unit, streams: this.streamsOf(device) }] : [];
    });
  }

  private ownRegions(device: Device): readonly ReservedRegion[] {
    const unit = this.unitOf(device);
    if (!unit) return [];
    const fixed = unit.capabilities.msiWindow;
    const regions = this.streamsOf(device).flatMap((s) => [...unit.reservedRegions(s)]);
    for (const of of this.keepers) regions.push(...of(device));
    if (fixed) regions.push({ ...fixed, kind: 'msi', why: `interrupt requests, as ${unit.name} sees them` });
    return regions;
  }

  private regionsOf(group: Group): readonly ReservedRegion[] {
    return group.devices.flatMap((d) => this.ownRegions(d));
  }

  private doorbellsOf(devices: readonly Device[]): readonly Doorbell[] {
    return devices.flatMap((d) => {
      const { root } = this.interrupts.domainFor(d);
      return root.doorbells(d, root.cpus);
    });
  }

  private translatorOf(device: Device): MsiTranslator | undefined {
    const unit = this.unitOf(device);
    return unit ? this.translators.get(unit.name) : undefined;
  }

  private mustHaveNoWindow(device: Device): void {
    if (this.translatorOf(device) && this.interrupts.blocksOf(device).length > 0)
      throw errors.cannotMoveLive(device.name, 'a blocked device cannot deliver them');
  }
}

/** `platform.service(IOMMU)`: the platform's IOMMU API. */
export const IOMMU: Service<IommuCore> = {
  token: token<IommuCore>('software:iommu'),
  create: (host) => new IommuCore(host, host.service(INTERRUPTS)),
};

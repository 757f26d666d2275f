import type { Iova, Range } from '@doorbell/platform';
import type { Domain, IommuCore, MsiDemand, MsiWindow, ReservedRegion } from '@doorbell/iommu';
import { PciDevice, type PciBus } from '@doorbell/pci';
import { VfioDevice } from './device.js';
import { directRegion, groupNotViable, notIsolated, usable } from './errors.js';

/** What a VMM has to know before it lays out its guest. */
export interface ContainerInfo {
  readonly pageSizes: readonly number[];
  /** IOVAs that mappings can use: the aperture without everything reserved. */
  readonly usable: readonly Range[];
  readonly reserved: readonly ReservedRegion[];
  /** Window space that the devices' interrupts will take; `fixed` where the hardware has its own. */
  readonly msi: MsiDemand;
}

export interface OpenOptions {
  /** Accepts a device whose interrupts others could raise. The owner answers for it. */
  readonly allowUnsafeInterrupts?: boolean;
}

/** An address space for devices that one owner passes through: the VFIO container. */
export class Container {
  private readonly open = new Map<PciDevice, VfioDevice>();
  /** Devices that joined because their group did. */
  private readonly held = new Set<PciDevice>();

  constructor(
    readonly name: string,
    private readonly domain: Domain,
    private readonly devices: readonly PciDevice[],
    private readonly iommu: IommuCore,
    private readonly pci: PciBus,
    private readonly closed: () => void,
  ) {}

  /** What the IOVA space looks like with all the container's devices, before any of them is opened. */
  info(): ContainerInfo {
    const own = this.devices.flatMap((d) => this.iommu.reservedRegions(d));
    const all = [...own, ...this.domain.reservedRegions()];
    const reserved = all.filter((r, i) => all.findIndex((o) => o.first === r.first && o.last === r.last) === i);
    return {
      pageSizes: this.domain.pageSizes,
      usable: usable(this.domain.aperture, reserved),
      reserved: reserved.sort((a, b) => a.first - b.first),
      msi: this.iommu.msiDemand(this.devices, this.domain),
    };
  }

  /** Where doorbells may lie in this address space: the one thing that the owner says about MSIs. Errors: `MSI_WINDOW_*`. */
  registerMsiWindow(window: { readonly base: Iova; readonly size: number }): MsiWindow {
    return this.domain.reserveMsiWindow(window);
  }

  /** Errors as `Domain.map`. */
  map(iova: Iova, physical: number, size: number, permissions: number): void {
    this.domain.map(iova, physical, size, permissions);
  }
  unmap(iova: Iova, size: number): number {
    return this.domain.unmap(iova, size);
  }

  /**
   * Takes a function with its whole group. Errors: `MSI_NOT_ISOLATED`, `DIRECT_REGION_PASSTHROUGH`, `GROUP_NOT_VIABLE`, and those of
   * `IommuCore.attach`: then nothing has changed.
   */
  openDevice(fn: PciDevice, options: OpenOptions = {}): VfioDevice {
    const already = this.open.get(fn);
    if (already) return already;
    const group = this.membersOf(fn);
    for (const member of group) {
      if (this.iommu.domainOf(member) !== this.domain && this.iommu.domainOf(member).type !== 'blocked')
        throw groupNotViable(fn.name, member.name, this.iommu.domainOf(member).name);
      const direct = this.iommu.reservedRegions(member).find((r) => r.kind === 'direct');
      if (direct) throw directRegion(member.name, direct);
    }
    if (!options.allowUnsafeInterrupts) {
      const { isolated, witness } = this.iommu.msiIsolation(fn);
      if (!isolated) throw notIsolated(fn.name, witness);
    }
    if (!this.held.has(fn)) this.iommu.attach(fn, this.domain);
    for (const member of group) this.held.add(member);
    const device = new VfioDevice(fn, this.pci, (d) => this.release(d));
    this.open.set(fn, device);
    fn.setBusMaster(true);
    return device;
  }

  /** Closes every device and gives the address space back. */
  close(): void {
    for (const device of [...this.open.values()]) device.close();
    this.iommu.destroyDomain(this.domain);
    this.closed();
  }

  /** The open device of a function, if it is this container's. */
  deviceOf(fn: unknown): VfioDevice | undefined {
    return this.open.get(fn as PciDevice);
  }

  private release(device: VfioDevice): void {
    this.open.delete(device.fn);
    const group = this.membersOf(device.fn);
    if (group.some((d) => this.open.has(d))) return;
    this.iommu.detach(device.fn);
    for (const member of group) this.held.delete(member);
  }

  private membersOf(fn: PciDevice): readonly PciDevice[] {
    return this.iommu.groupOf(fn).devices.filter((d): d is PciDevice => d instanceof PciDevice);
  }
}

import { token, type Service, type SoftwareHost } from '@doorbell/platform';
import { INTERRUPTS, type InterruptCore } from '@doorbell/irqchip';
import { IOMMU, type IommuCore } from '@doorbell/iommu';
import { PCI, type PciBus, type PciDevice } from '@doorbell/pci';
import { Container } from './container.js';

/** Passing functions through to a guest or a user-space driver. */
export class Vfio {
  private readonly containers = new Set<Container>();
  private readonly iommu: IommuCore;
  private readonly pci: PciBus;
  private readonly interrupts: InterruptCore;

  constructor(host: SoftwareHost) {
    this.iommu = host.service(IOMMU);
    this.pci = host.service(PCI);
    this.interrupts = host.service(INTERRUPTS);
  }

  /** An address space that all these functions can join; none of them does yet. Errors: `NO_IOMMU`, `INCOMPATIBLE_UNIT`. */
  createContainer(devices: readonly PciDevice[], name = `container${this.containers.size}`): Container {
    const domain = this.iommu.createDomain({ type: 'unmanaged', devices, name });
    const container: Container = new Container(
      name,
      domain,
      devices,
      this.iommu,
      this.pci,
      () => void this.containers.delete(container),
    );
    this.containers.add(container);
    return container;
  }

  /** A CPU took an interrupt: signals whoever it belongs to. False: it is nobody's here. */
  interrupt(cpu: number, number: number): boolean {
    const owner = this.interrupts.owner(cpu, number);
    if (!owner) return false;
    for (const container of this.containers) {
      const device = container.deviceOf(owner.block.device);
      if (!device) continue;
      device.deliver(owner.index);
      return true;
    }
    return false;
  }
}

/** `platform.service(VFIO)`. */
export const VFIO: Service<Vfio> = {
  token: token<Vfio>('software:vfio'),
  create: (host) => new Vfio(host),
};

import { INTERRUPTS, type InterruptCore, type MsiBlock } from '@doorbell/irqchip';
import { IOMMU, type IommuCore } from '@doorbell/iommu';
import {
  DoorbellError,
  registerPort,
  type BlockContext,
  type Device,
  type Driver,
  type PlatformNode,
  type RegisterPort,
  type SoftwareHost,
} from '@doorbell/platform';
import { FEADDR, FECTL, FEDATA, FEUADDR, IRTA, RTADDR } from '../spec/index.js';
import { readCapabilities, type VtdCapabilities } from './capabilities.js';
import { GlobalControl } from './control.js';
import { VtdDma } from './dma.js';
import { FaultReader } from './faults.js';
import { VtdInterrupts } from './interrupts.js';
import type { DriverOptions } from './options.js';
import { InvalidationQueue, type Invalidation } from './queue.js';
import { RegisterInvalidation } from './register-invalidation.js';

/**
 * The software of one unit: brings it up with every stream blocked and interrupt remapping on, and registers its two halves with the
 * cores. Works on whatever stands behind the ports, from what CAP and ECAP say.
 */
export class VtdDriver implements Driver {
  readonly unit: VtdCapabilities;
  readonly dma: VtdDma;
  /** Null where the unit cannot remap interrupts, or was told not to. */
  readonly interrupts: VtdInterrupts | null;
  readonly faults: FaultReader;
  private readonly control: GlobalControl;
  private readonly invalidation: Invalidation;
  /** The unit's own fault interrupt. */
  private event: MsiBlock | null = null;

  constructor(
    readonly name: string,
    private readonly registers: RegisterPort,
    host: SoftwareHost,
    options: DriverOptions = {},
  ) {
    const unit = (this.unit = readCapabilities(registers));
    this.control = new GlobalControl(name, registers, host);
    this.faults = new FaultReader(name, registers, unit);
    this.turnOff();
    if (unit.queuedInvalidation) {
      const queue = new InvalidationQueue(name, registers, host, unit.drain);
      queue.program();
      this.control.level('QIE', true);
      this.invalidation = queue;
    } else this.invalidation = new RegisterInvalidation(name, registers, host, unit);
    this.dma = new VtdDma(name, host, unit, this.invalidation, this.faults, options);
    this.setRoot();
    this.control.level('TE', true);
    const remap = unit.interruptRemapping && options.remapInterrupts !== false;
    this.interrupts = remap
      ? new VtdInterrupts(
          name,
          host,
          this.invalidation,
          options.interruptEntries ?? 65536,
          unit.extendedInterruptMode && options.x2apic !== false,
          unit.cachingMode,
          options,
        )
      : null;
    if (this.interrupts) this.setInterruptTable(this.interrupts);
  }

  /**
   * Points the fault event at a vector of the root's: the unit's own messages are not remapped (VT-d §5.1.6). Without a free vector or a
   * controller the event stays masked and faults are polled.
   */
  enableFaultEvent(core: InterruptCore, node: PlatformNode): void {
    try {
      this.event = core.domainFor(asDevice(node)).allocate({ count: 1 });
    } catch (error) {
      if (error instanceof DoorbellError && POLLED.includes(error.code)) return;
      throw error;
    }
    const { addressHi, addressLo, data } = this.event.message(0);
    this.registers.write32(FEDATA.$.at, data);
    this.registers.write32(FEADDR.$.at, addressLo);
    this.registers.write32(FEUADDR.$.at, addressHi);
    this.registers.write32(FECTL.$.at, 0);
  }

  /** Gives the fault interrupt's vector back. The unit stays as it is: nobody may get at memory because a driver went away. */
  dispose(): void {
    this.event?.free();
    this.event = null;
  }

  /** Whatever firmware or an earlier driver left on. */
  private turnOff(): void {
    this.control.level('IRE', false);
    this.control.level('TE', false);
    this.control.level('QIE', false);
    this.registers.write32(FECTL.$.at, FECTL.IM.mask >>> 0);
    this.faults.drain();
  }

  private setRoot(): void {
    const { rootTable } = this.dma;
    this.registers.write64(RTADDR.$.at, Math.floor(rootTable / 2 ** 32), rootTable >>> 0);
    this.control.shot('SRTP');
    if (this.unit.enhancedSetRoot) return;
    this.invalidation.contextGlobal();
    this.invalidation.sync();
    this.invalidation.iotlbGlobal();
    this.invalidation.sync();
  }

  private setInterruptTable({ table, entries, extended }: VtdInterrupts): void {
    const low = ((table >>> 0) | (extended ? IRTA.EIME.mask : 0) | (Math.log2(entries) - 1)) >>> 0;
    this.registers.write64(IRTA.$.at, Math.floor(table / 2 ** 32), low);
    this.control.shot('SIRTP');
    if (!this.unit.enhancedSetInterruptTable) {
      this.invalidation.entriesGlobal();
      this.invalidation.sync();
    }
    this.control.level('IRE', true);
    this.control.level('CFI', false);
  }
}

/** Why a unit has no fault interrupt. */
const POLLED = ['NO_MSI_CONTROLLER', 'IRQ_EXHAUSTED', 'DESTINATION_UNREACHABLE'];

/** A unit as the sender of its own message. */
const asDevice = (node: PlatformNode): Device => ({
  name: node.name,
  kind: 'platform',
  segment: node.segment ?? 0,
  requester: 0,
  aliases: [],
  dmaBits: 64,
  isolation: { group: -1, isolated: true, witness: [`${node.name} sends its own messages past its remapping`] },
});

/** The driver half of a node: made, registered with both cores, its fault event pointed once the controllers stand. */
export function createDriver(ctx: BlockContext<SoftwareHost>): VtdDriver {
  const { node, host } = ctx;
  const driver = new VtdDriver(node.name, registerPort(host.cpu, node.reg![0]!.base), host, node.options ?? {});
  const interrupts = ctx.service(INTERRUPTS);
  const iommu: IommuCore = ctx.service(IOMMU);
  iommu.addUnit(driver.dma);
  if (driver.interrupts) interrupts.addRemapper(node.name, driver.interrupts);
  host.hooks.composed.tap(node.name, () => driver.enableFaultEvent(interrupts, node));
  return driver;
}

import type { CompletionPolicy, Device, Platform } from '@doorbell/platform';
import { INTERRUPTS, type InterruptCore } from '@doorbell/irqchip';
import type { IrqchipSupports } from './irqchip/subject.js';
import { IOMMU, type Domain, type IommuCore, type IommuUnit } from '@doorbell/iommu';

/** A composed platform with the back-end under test, and what the kit needs to know about it. */
export interface Subject {
  readonly platform: Platform;
  /** Devices in groups of their own: the first two behind one unit, the third behind another of the same kind. */
  readonly devices: readonly [Device, Device, Device];
  /** RAM that the kit may use for data: at least 64 MiB, aligned to 2 MiB. */
  readonly data: number;
  /** CPUs that interrupts can go to: at least two where the controller has them. */
  readonly cpus: readonly number[];
  /** Test control: the hardware refuses the k-th command (0: the next) that a driver gives it; -1: none. */
  refuse(k: number): void;
}

/** Makes a subject. Called for every case, so that cases share nothing. */
export type SubjectFactory = (options: { readonly completion: CompletionPolicy }) => Subject;

/** What a back-end has. Mapping, translation, permissions, faults, MSI, two units and atomicity cannot be left out. */
export interface Supports {
  /** Mappings without read permission exist. */
  readonly writeOnly: boolean;
  /** Mappings without write permission exist. */
  readonly readOnly: boolean;
  /** Faults that the hardware records until software takes them: at least this many in a row. */
  readonly faultsInARow: number;
  /** Tables take any mapping of whole granules (false: a windowed geometry with few slots). */
  readonly anyLayout: boolean;
  /** One domain can span both units. */
  readonly spanningDomain: boolean;
  /** Devices can be given physical memory unchanged. */
  readonly identity: boolean;
  /** Vectors can move to another CPU one by one. */
  readonly affinity: boolean;
  /** MSIs are translated, so domains have software windows (false: a fixed window). */
  readonly softwareWindow: boolean;
  /** A window above 4 GiB is possible. */
  readonly highWindow: boolean;
  /** Doorbell pages that the controller of the subject has for one device: one, or one per CPU; with one alone a window cannot be full. */
  readonly doorbellPages: number;
  /** Register ranges that hostile input may hit; empty: left out. */
  readonly hostileRegisters: readonly { readonly base: number; readonly size: number }[];
}

/** The smallest of what a back-end may support, with reasons for people: what is excluded is printed. */
export const excluded = (supports: Supports | IrqchipSupports): readonly string[] =>
  Object.entries(supports)
    .filter(
      ([name, value]) => value === false || (Array.isArray(value) && value.length === 0) || isOnePage(name, value),
    )
    .map(([name]) => name);

const isOnePage = (name: string, value: unknown): boolean => name === 'doorbellPages' && value === 1;

/** A subject with the services at hand. */
export class Lab {
  readonly iommu: IommuCore;
  readonly interrupts: InterruptCore;

  constructor(
    readonly subject: Subject,
    readonly supports: Supports,
    /** Another lab of the same kind. */
    readonly fresh: () => Lab,
  ) {
    this.iommu = subject.platform.service(IOMMU);
    this.interrupts = subject.platform.service(INTERRUPTS);
    // As bus code would announce them: the core knows whose a fault is.
    for (const device of subject.devices) this.iommu.groupOf(device);
  }

  get platform(): Platform {
    return this.subject.platform;
  }
  get data(): number {
    return this.subject.data;
  }
  get a(): Device {
    return this.subject.devices[0];
  }
  get b(): Device {
    return this.subject.devices[1];
  }
  /** Behind the second unit. */
  get c(): Device {
    return this.subject.devices[2];
  }
  get unit(): IommuUnit {
    return this.iommu.unitOf(this.a)!;
  }
  get granule(): number {
    return this.unit.capabilities.pageSizes[0]!;
  }

  /** An unmanaged domain that the given devices are attached to. */
  domain(...devices: Device[]): Domain {
    const domain = this.iommu.createDomain({ type: 'unmanaged', devices });
    for (const device of devices) this.iommu.attach(device, domain);
    return domain;
  }

  /** An IOVA that the kit maps at: `n` granules behind a round place of the aperture that no device reserves. */
  iova(n = 0): number {
    const { aperture } = this.unit.capabilities;
    const base = 0x4000_0000 >= aperture.first && 0x8000_0000 <= aperture.last ? 0x4000_0000 : aperture.first;
    return base + n * this.granule;
  }
}

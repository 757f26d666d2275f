import type { Gicv3 } from '@doorbell/arm-gic';
import { at, definePciFunction, PCI_HARDWARE } from '@doorbell/pci';
import { Platform, type MmioRegion } from '@doorbell/platform';
import type { Ioapic } from '@doorbell/x86-apic';
import type { VtdNode } from '@doorbell/x86-vtd';
import { DeviceOption } from './device-option.js';
import { q35, q35Memory } from './q35.js';
import { placeDevices, type DmaObserver } from './serve-devices.js';
import { virt, virtMemory } from './virt.js';

/** A controller's wired inputs by number. */
export interface ServedInputs {
  /** False: there is no such pin. */
  set(pin: number, level: boolean): boolean;
  listen(tell: (pin: number, level: boolean) => void): void;
}

/** Hardware that a qtest client drives: no driver of ours touches it. */
export interface ServedBoard {
  readonly platform: Platform;
  /** Registers in place of what the bus has there, for accesses that no CPU makes. */
  readonly overlay?: readonly MmioRegion[];
  /** Addresses that nothing else claims go to BARs. */
  readonly subtractive?: boolean;
  /** By the path that qtest clients say. */
  readonly inputs?: Readonly<Record<string, ServedInputs>>;
  /** CPUs that acknowledge interrupts at once. */
  readonly acknowledging?: number;
}

/** Makes a board. `devices`: QEMU's `-device` strings. Errors: `BAD_OPTION`, `COMPOSITION_FAILED`. */
export type ServeBoard = (devices: readonly string[], observe?: DmaObserver) => ServedBoard;

const CPUS = 2;
const MIB = 2 ** 20;
const RAM = 64 * MIB;

/** QEMU's q35 with `intel-iommu`: 64 MiB, two CPUs that are halted. `irq_intercept_in` and `set_irq_in` know `ioapic`. */
export const serveQ35: ServeBoard = (devices, observe) => {
  const options = devices.map((text) => new DeviceOption(text));
  const unit = vtdOptions(options.filter((o) => o.driver === 'intel-iommu'));
  const board = q35({
    cpus: CPUS,
    // As QEMU's, of version 1.0.
    vtd: { domainContexts: false, recordInterruptRange: false, ...unit },
    functions: placeDevices(
      options.filter((o) => o.driver !== 'intel-iommu'),
      { slot: 5, fn: 0 },
      { observe, fabric: () => platform.fabric() },
    ),
    // A PC's PCI hole: whatever no RAM and no fixed device has. The ECAM is cut out where PCIEXBAR puts it.
    windows: [
      { base: RAM, size: 0xb000_0000 - RAM },
      { base: 0xc000_0000, size: 0x3ec0_0000 },
    ],
  });
  const platform: Platform = new Platform({ name: 'q35-vtd', memory: q35Memory(RAM), software: false })
    .use(board)
    .compose();
  const ioapic = platform.model('ioapic0') as Ioapic;
  const inputs = wires(24, (pin, level) => ioapic.setLine(pin, level));
  // ICH9: slots below 25 swizzle to PIRQE–PIRQH, which are inputs 20 to 23.
  platform
    .hardwareService(PCI_HARDWARE)
    .onIntx((_, slot, pin, asserted) => inputs.set(20 + ((slot + pin - 1) & 3), asserted));
  return { platform, subtractive: true, overlay: [noLocalApic(platform)], inputs: { ioapic: inputs } };
};

/** What QEMU's generic host bridge shows of itself. */
const HOST_BRIDGE = definePciFunction({
  name: 'generic host bridge',
  vendor: 0x1b36,
  device: 0x0008,
  subsystem: { vendor: 0x1af4, device: 0x1100 },
  classCode: 0x060000,
  pcie: false,
});

/** QEMU's virt with `iommu=smmuv3,gic-version=3,its=on`: 256 MiB, two CPUs that acknowledge at once. */
export const serveVirt: ServeBoard = (devices, observe) => {
  const options = devices.map((text) => new DeviceOption(text));
  const functions = [
    at('00.0', HOST_BRIDGE),
    ...placeDevices(options, { slot: 4, fn: 0 }, { observe, fabric: () => platform.fabric() }),
  ];
  const platform: Platform = new Platform({ name: 'virt-smmuv3', memory: virtMemory(256 * MIB), software: false })
    .use(virt({ cpus: CPUS, functions }))
    .compose();
  const gic = platform.model('gic0') as Gicv3;
  // Inputs of the distributor are SPIs from INTID 32 on; INTx has 3 to 6.
  const inputs = wires(224, (pin, level) => void (level && gic.pulse(32 + pin)));
  platform
    .hardwareService(PCI_HARDWARE)
    .onIntx((_, slot, pin, asserted) => inputs.set(3 + ((slot + pin - 1) & 3), asserted));
  return { platform, acknowledging: CPUS };
};

/** QEMU's properties of `intel-iommu`, as options of the model. Errors: `BAD_OPTION`. */
function vtdOptions(units: readonly DeviceOption[]): VtdNode {
  const [unit, second] = units;
  if (second) throw second.bad('there is one intel-iommu', 'give all properties in one --device');
  if (!unit) return {};
  const bits = unit.number('aw-bits');
  if (bits !== undefined && bits !== 39n && bits !== 48n)
    throw unit.bad(`aw-bits=${bits} is neither 39 nor 48`, 'as QEMU: use one of them');
  // QEMU 7.2 grants EIM without KVM only by x-buggy-eim.
  const buggy = unit.flag('x-buggy-eim');
  const eim = unit.flag('eim') ?? buggy;
  const remapping = unit.flag('intremap');
  if (remapping === false && eim) throw unit.bad('eim=on needs intremap=on', 'drop one of them');
  const known: Record<string, unknown> = {
    awBits: bits === undefined ? undefined : Number(bits),
    cachingMode: unit.flag('caching-mode'),
    interruptRemapping: remapping,
    extendedInterruptMode: eim,
    snoopControl: unit.flag('snoop-control'),
    deviceTlb: unit.flag('device-iotlb'),
    passThrough: unit.flag('pt'),
    scalableMode: unit.flag('x-scalable-mode') || undefined,
  };
  unit.get('id');
  if (unit.flag('dma-drain') === false) throw unit.bad('the unit always drains DMA', 'leave dma-drain out');
  if (unit.flag('dma-translation') === false) throw unit.bad('the unit always translates', 'leave dma-translation out');
  unit.finish();
  return Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined));
}

/** Input lines that remember their level and tell of changes. */
function wires(count: number, drive: (pin: number, level: boolean) => void): ServedInputs {
  const levels = new Uint8Array(count);
  const listeners: ((pin: number, level: boolean) => void)[] = [];
  return {
    set(pin, level) {
      if (!(pin >= 0 && pin < count)) return false;
      if (levels[pin] === Number(level)) return true;
      levels[pin] = Number(level);
      drive(pin, level);
      for (const tell of listeners) tell(pin, level);
      return true;
    },
    listen: (tell) => void listeners.push(tell),
  };
}

/** A local APIC belongs to a CPU and a qtest access to none: it reads 0 and swallows writes, but for those at offset 0, which are interrupt messages in QEMU. */
function noLocalApic(platform: Platform): MmioRegion {
  const base = 0xfee0_0000;
  return {
    name: 'local APIC page without a CPU',
    base,
    size: 0x1000,
    sizes: [4],
    read: () => 0,
    write: (offset, size, value) => {
      if (offset < 0x10) platform.bus.deviceWrite(base + offset, size, value, 0);
    },
  };
}

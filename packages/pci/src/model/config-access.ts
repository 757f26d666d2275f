import { get } from '@doorbell/bits';
import type { MmioRegion, PortRegion } from '@doorbell/platform';
import { ABSENT, CONFIG_ADDRESS, CONFIG_ADDRESS_PORT, CONFIG_BYTES, CONFIG_DATA_PORT } from '../spec/index.js';
import type { Topology } from './topology.js';

const ones = (size: number): number => (size === 4 ? ABSENT : size === 2 ? 0xffff : 0xff);

function read(t: Topology, bus: number, devfn: number, offset: number, size: number): number {
  const fn = t.configTarget(bus, devfn);
  if (fn === undefined || (offset >= CONFIG_BYTES && !t.reachesExtended(fn))) return ones(size);
  return fn.config.read(offset, size);
}

function write(t: Topology, bus: number, devfn: number, offset: number, size: number, value: number): void {
  const fn = t.configTarget(bus, devfn);
  if (fn === undefined || (offset >= CONFIG_BYTES && !t.reachesExtended(fn))) return;
  fn.config.write(offset, size, value);
}

/** Enhanced configuration access: bus, device, function and register as address bits (PCIe Base §7.2.2). */
export class EcamRegion implements MmioRegion {
  readonly sizes = [1, 2, 4, 8];

  constructor(
    readonly name: string,
    readonly base: number,
    readonly size: number,
    private readonly topology: Topology,
  ) {}

  read(offset: number, size: number): number {
    const t = this.topology;
    return read(t, t.firstBus + Math.floor(offset / 2 ** 20), (offset >>> 12) & 0xff, offset & 0xfff, size);
  }

  write(offset: number, size: number, value: number): void {
    const t = this.topology;
    write(t, t.firstBus + Math.floor(offset / 2 ** 20), (offset >>> 12) & 0xff, offset & 0xfff, size, value);
  }
}

/** Configuration mechanism #1 (PCI 3.0 §3.2.2.3.2): an address port and a data port, 256 bytes per function. */
export class ConfigPorts implements PortRegion {
  readonly first = CONFIG_ADDRESS_PORT;
  readonly last = CONFIG_DATA_PORT + 3;
  address = 0;

  constructor(
    readonly name: string,
    private readonly topology: Topology,
  ) {}

  in32(port: number): number {
    if (port === CONFIG_ADDRESS_PORT) return this.address;
    const a = this.address;
    if (port !== CONFIG_DATA_PORT || !get(a, CONFIG_ADDRESS.Enable)) return ABSENT;
    return read(this.topology, get(a, CONFIG_ADDRESS.Bus), (a >>> 8) & 0xff, a & 0xfc, 4);
  }

  out32(port: number, value: number): void {
    const a = this.address;
    if (port === CONFIG_ADDRESS_PORT) this.address = (value & 0x80ff_fffc) >>> 0;
    else if (port === CONFIG_DATA_PORT && get(a, CONFIG_ADDRESS.Enable))
      write(this.topology, get(a, CONFIG_ADDRESS.Bus), (a >>> 8) & 0xff, a & 0xfc, 4, value);
  }
  /** CONFIG_ADDRESS is written as a whole or not at all (PCI 3.0 §3.2.2.3.2); its bytes can be read, as on QEMU's q35. */
  in(port: number, size: 1 | 2): number {
    if (port < CONFIG_DATA_PORT) return this.address & ones(size); // whichever of its ports
    const a = this.address;
    if (!get(a, CONFIG_ADDRESS.Enable)) return ones(size);
    return read(this.topology, get(a, CONFIG_ADDRESS.Bus), (a >>> 8) & 0xff, (a & 0xfc) | (port & 3), size);
  }

  out(port: number, size: 1 | 2, value: number): void {
    const a = this.address;
    if (port < CONFIG_DATA_PORT || !get(a, CONFIG_ADDRESS.Enable)) return;
    write(this.topology, get(a, CONFIG_ADDRESS.Bus), (a >>> 8) & 0xff, (a & 0xfc) | (port & 3), size, value);
  }
}

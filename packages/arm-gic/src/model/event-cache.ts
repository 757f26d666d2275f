/** A power of two. */
const SLOTS = 4096;

/**
 * Events that were translated before, direct-mapped: DeviceID and EventID to LPI, collection and redistributor. The tables belong to the
 * ITS (IHI 0069 §5.2): only commands and registers change them, and after any of these everything here is forgotten.
 */
export class EventCache {
  private readonly devices = new Int32Array(SLOTS);
  private readonly events = new Int32Array(SLOTS);
  /** Which generation the slot belongs to. */
  private readonly stamps = new Int32Array(SLOTS);
  private readonly intids = new Int32Array(SLOTS);
  private readonly icids = new Int32Array(SLOTS);
  private readonly cpus = new Int32Array(SLOTS);
  private generation = 1;

  /** The slot of an event, or -1. */
  find(device: number, event: number): number {
    const slot = slotOf(device, event);
    return this.events[slot] === (event | 0) &&
      this.devices[slot] === (device | 0) &&
      this.stamps[slot] === this.generation
      ? slot
      : -1;
  }

  intid(slot: number): number {
    return this.intids[slot]!;
  }
  icid(slot: number): number {
    return this.icids[slot]!;
  }
  cpu(slot: number): number {
    return this.cpus[slot]!;
  }

  fill(device: number, event: number, intid: number, icid: number, cpu: number): void {
    const slot = slotOf(device, event);
    this.devices[slot] = device;
    this.events[slot] = event;
    this.intids[slot] = intid;
    this.icids[slot] = icid;
    this.cpus[slot] = cpu;
    this.stamps[slot] = this.generation;
  }

  clear(): void {
    if (this.generation === 0x7fff_ffff) {
      this.stamps.fill(0);
      this.generation = 0;
    }
    this.generation++;
  }
}

/** The events of one device lie side by side. */
const slotOf = (device: number, event: number): number => (event ^ Math.imul(device, 0x9e5)) & (SLOTS - 1);

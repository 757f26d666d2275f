import type { Device, PlatformHooks } from '@doorbell/platform';

/** Devices that cannot be told apart or kept apart: owned together. */
export interface Group {
  readonly key: string;
  readonly devices: readonly Device[];
}

/** Who shares a group, from the isolation that the bus code derived. */
export class Groups {
  private readonly members = new Map<string, Set<Device>>();

  constructor(
    hooks: PlatformHooks,
    /** A stream that the device shares with whoever comes the same way: one group for all of them; null: none. */
    private readonly sharedStream: (device: Device) => string | null = () => null,
  ) {
    hooks.deviceAdded.tap('iommu', (device) => this.add(device));
    hooks.deviceRemoved.tap('iommu', (device) => this.members.get(this.keyOf(device))?.delete(device));
  }

  get devices(): readonly Device[] {
    return [...this.members.values()].flatMap((g) => [...g]);
  }

  of(device: Device): Group {
    this.add(device);
    return { key: this.keyOf(device), devices: [...this.members.get(this.keyOf(device))!] };
  }

  private add(device: Device): void {
    const key = this.keyOf(device);
    let group = this.members.get(key);
    if (!group) this.members.set(key, (group = new Set()));
    group.add(device);
  }

  private keyOf(device: Device): string {
    return this.sharedStream(device) ?? `${device.kind}:${device.segment}:${device.isolation.group}`;
  }
}

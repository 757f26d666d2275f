import type { Device, PlatformHooks } from '@doorbell/platform';

/** Devices that cannot be told apart or kept apart: owned together. */
export interface Group {
  readonly key: string;
  readonly devices: readonly Device[];
}

/** Who shares a group, from the isolation that the bus code derived. */
export class Groups {
  private readonly members = new Map<string, Set<Device>>();

  constructor(hooks: PlatformHooks) {
    hooks.deviceAdded.tap('iommu', (device) => this.add(device));
    hooks.deviceRemoved.tap('iommu', (device) => this.members.get(keyOf(device))?.delete(device));
  }

  get devices(): readonly Device[] {
    return [...this.members.values()].flatMap((g) => [...g]);
  }

  of(device: Device): Group {
    this.add(device);
    return { key: keyOf(device), devices: [...this.members.get(keyOf(device))!] };
  }

  private add(device: Device): void {
    const key = keyOf(device);
    let group = this.members.get(key);
    if (!group) this.members.set(key, (group = new Set()));
    group.add(device);
  }
}

const keyOf = (device: Device): string => `${device.kind}:${device.segment}:${device.isolation.group}`;

/** bus[15:8], device[7:3], function[2:0] (PCIe Base §2.2.4). */
export type RequesterId = number;

/** `0000:00:04.0`. */
export function showBdf(requester: RequesterId, segment = 0): string {
  const h = (n: number, width: number) => n.toString(16).padStart(width, '0');
  return `${h(segment, 4)}:${h(requester >>> 8, 2)}:${h((requester >>> 3) & 31, 2)}.${requester & 7}`;
}

/** `[segment:]bus:device.function`; null where the text is none. */
export function parseBdf(text: string): { segment: number; requester: RequesterId } | null {
  const m = /^(?:([0-9a-f]{4,6}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])$/i.exec(text.trim());
  if (!m) return null;
  const device = parseInt(m[3]!, 16);
  if (device > 31) return null;
  return {
    segment: m[1] ? parseInt(m[1], 16) : 0,
    requester: (parseInt(m[2]!, 16) << 8) | (device << 3) | Number(m[4]),
  };
}

/** Whether a device can be told apart from others, and why not: `witness` is the path or the register that shows it. */
export interface Isolation {
  /** Devices with the same number must be owned together. */
  readonly group: number;
  readonly isolated: boolean;
  /** Sentences, each naming the bridge, bit or page that decides. */
  readonly witness: readonly string[];
}

/**
 * A device as the core packages share it: a PCI function or a platform device. Core software keys its own state by this
 * object; nobody adds fields to it.
 */
export interface Device {
  /** `0000:00:04.0`, or the node's name. */
  readonly name: string;
  readonly kind: 'pci' | 'platform';
  readonly segment: number;
  /** Its own requester id (platform devices: their stream id). */
  readonly requester: RequesterId;
  /** Every id under which its requests can arrive at the unit: the last is the effective one on the wire (pci-msi §8). */
  readonly aliases: readonly RequesterId[];
  /** Address bits that the device can drive. */
  readonly dmaBits: number;
  readonly isolation: Isolation;
}

/** The id that a unit sees on the device's requests. */
export const effectiveId = (device: Device): RequesterId =>
  device.aliases[device.aliases.length - 1] ?? device.requester;

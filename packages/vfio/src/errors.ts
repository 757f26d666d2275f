import { DoorbellError, showRange, type Range } from '@doorbell/platform';
import type { ReservedRegion } from '@doorbell/iommu';

/** `MSI_NOT_ISOLATED`: others could raise the device's interrupts, or its doorbell page exposes registers. */
export const notIsolated = (device: string, witness: readonly string[]): DoorbellError =>
  new DoorbellError(
    'MSI_NOT_ISOLATED',
    `nothing makes sure that only ${device} raises its interrupts: ${witness.join('; ')}`,
    'use what checks senders (interrupt remapping, an ITS), or pass allowUnsafeInterrupts where the owner is trusted',
    { device, witness },
  );

/** `DIRECT_REGION_PASSTHROUGH`: firmware uses memory through the device behind its owner's back. */
export const directRegion = (device: string, region: ReservedRegion): DoorbellError =>
  new DoorbellError(
    'DIRECT_REGION_PASSTHROUGH',
    `${device} has the direct region ${showRange(region)} (${region.why}), which has to stay mapped one to one`,
    'pass another device through, or ask firmware to give the region up',
    { device, region },
  );

/** `GROUP_NOT_VIABLE`: a device that cannot be told apart from this one is somebody else's. */
export const groupNotViable = (device: string, other: string, owner: string): DoorbellError =>
  new DoorbellError(
    'GROUP_NOT_VIABLE',
    `${device} shares its group with ${other}, which belongs to ${owner}`,
    'release every device of the group first',
    { device, other, owner },
  );

/** `DEVICE_CLOSED`: the handle was closed. */
export const deviceClosed = (device: string): DoorbellError =>
  new DoorbellError('DEVICE_CLOSED', `${device} is closed`, 'open it again', { device });

/** `BAD_SIGNALS`: more signals than vectors, or none. */
export const badSignals = (device: string, asked: number, offered: number, kind: string): DoorbellError =>
  new DoorbellError(
    'BAD_SIGNALS',
    `${device} has ${offered} ${kind} vectors, ${asked} signals were given`,
    'give one signal per vector that you use',
    { device, asked, offered, kind },
  );

/** What of `aperture` is left beside the reserved ranges, ascending. */
export function usable(aperture: Range, reserved: readonly Range[]): readonly Range[] {
  const free: Range[] = [];
  let first = aperture.first;
  for (const r of [...reserved].sort((a, b) => a.first - b.first)) {
    if (r.last < first) continue;
    if (r.first > aperture.last) break;
    if (r.first > first) free.push({ first, last: r.first - 1 });
    first = r.last + 1;
  }
  if (first <= aperture.last) free.push({ first, last: aperture.last });
  return free;
}

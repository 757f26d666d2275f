import type { Device } from '@doorbell/platform';

/** A function without configuration space: enough for the cores. */
export const nic = (requester = 0x20): Device => ({
  name: `0000:00:${(requester >>> 3).toString(16).padStart(2, '0')}.0`,
  kind: 'pci',
  segment: 0,
  requester,
  aliases: [requester],
  dmaBits: 64,
  isolation: { group: 0, isolated: true, witness: [] },
});

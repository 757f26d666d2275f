import type { CaptureContribution } from '@doorbell/platform';
import { apic, APIC_COMPATIBLE } from './plugin.js';

/** Local APICs of a captured machine: where messages end. Their registers are no part of a capture; logical ids are those after a reset. */
export const apicCapture: CaptureContribution = {
  compatible: [APIC_COMPATIBLE],
  plugin: () => apic(),
  remedies: {
    RESERVED_DELIVERY_MODE: 'send a delivery mode that is defined: fixed, lowest priority, SMI, NMI, INIT, ExtINT',
  },
};

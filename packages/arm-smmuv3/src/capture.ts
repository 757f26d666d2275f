import type { CaptureContribution } from '@doorbell/platform';
import { tablesOf } from './model/tables.js';
import type { Smmu } from './model/smmu.js';
import { SMMU_COMPATIBLE, smmuv3 } from './plugin.js';

/** Captures of SMMUv3 units. Their ID registers say what they can do, so the node needs nothing. */
export const smmuv3Capture: CaptureContribution = {
  compatible: [SMMU_COMPATIBLE],
  plugin: () => smmuv3(null),
  // What a driver would be told (reserved ranges) is no business of the hardware.
  node: ({ options: _options, ...node }) => node,
  tables: (model, memory) => tablesOf(model as Smmu, memory),
  remedies: {
    STE_ABORT: 'attach the device: software left Config = 0b000, which aborts and records nothing',
    GBPA_ABORT: 'enable the unit (CR0.SMMUEN), or let GBPA.ABORT be 0',
    F_UUT: 'send transactions that the unit supports',
    C_BAD_STREAMID: 'give the stream an STE (a larger SPAN or LOG2SIZE), or mend the id map of the host bridge',
    F_STE_FETCH: 'let STRTAB_BASE and the level-1 descriptors point to memory',
    C_BAD_STE: 'write a legal STE with V = 1, then CFGI_STE',
    F_BAD_ATS_TREQ: 'switch ATS off in the function, or allow it with EATS',
    F_STREAM_DISABLED: 'send with a SubstreamID, or let S1DSS accept transactions without one',
    F_TRANSL_FORBIDDEN: 'switch ATS off in the function, or allow it with EATS',
    C_BAD_SUBSTREAMID: 'send a SubstreamID within S1CDMax that has a CD',
    F_CD_FETCH: 'let S1ContextPtr point to memory',
    C_BAD_CD: 'write a legal CD with V = 1, then CFGI_CD',
    F_WALK_EABT: 'let TTB and the table descriptors point to memory',
    F_TRANSLATION: 'map the page before the device uses it, and keep it mapped until the device is done',
    F_ADDR_SIZE: 'use addresses and tables within IPS and OAS',
    F_ACCESS: 'set AF in the leaf, or AFFD in the CD',
    F_PERMISSION:
      'map the page with the right that the access needs (AP[2] = 0 to write), or let the device only read there',
  },
};

import type { CaptureContribution } from '@doorbell/platform';
import { Smmu } from './model/smmu.js';
import { SMMU_COMPATIBLE, smmuv3, smmuv3Node } from './plugin.js';

/** How captures of machines with an SMMUv3 are asked. */
export const capture: CaptureContribution = {
  compatible: [SMMU_COMPATIBLE],
  kind: 'smmuv3',
  plugin: () => smmuv3(null),
  bare: (registers) => {
    const base = Number((registers as { base?: string | number } | null)?.base);
    return smmuv3Node(Number.isSafeInteger(base) ? { base } : {});
  },
  tables: (model) => (model instanceof Smmu ? model.tables() : []),
  remedies: {
    C_BAD_STREAMID: 'give the stream table an entry for the StreamID: LOG2SIZE, or SPAN of its level-1 descriptor',
    C_BAD_STE: 'write a legal STE (V = 1) and send CMD_CFGI_STE',
    C_BAD_CD: 'write a legal CD (V = 1) and send CMD_CFGI_CD',
    C_BAD_SUBSTREAMID: 'let S1CDMax and the CD table hold the SubstreamID',
    F_STREAM_DISABLED: 'use a SubstreamID, or set S1DSS so that transactions without one have a CD',
    F_STE_FETCH: 'point STRTAB_BASE, or the level-1 descriptor, at memory',
    F_CD_FETCH: 'point S1ContextPtr at memory',
    F_WALK_EABT: 'point the table descriptor, or TTBx, at memory',
    F_TRANSLATION: 'map the address in the domain of the device',
    F_ADDR_SIZE:
      'stay below the output size (CD.IPS, IDR5.OAS) with what the descriptor points to, or with the address where nothing is translated',
    F_ACCESS: 'set AF in the descriptor (or AFFD in the CD)',
    F_PERMISSION: 'map the address with the right that the access needs',
    F_UUT: 'send transactions that the unit supports',
    F_BAD_ATS_TREQ: 'switch ATS off in the function: the unit has none',
    F_TRANSL_FORBIDDEN: 'switch ATS off in the function: the unit has none',
    STE_ABORT: 'attach the device to a domain: its STE aborts everything',
    GBPA_ABORT: 'enable the SMMU, or clear GBPA.ABORT',
  },
};

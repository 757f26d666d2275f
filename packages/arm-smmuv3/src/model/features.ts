import { get } from '@doorbell/bits';
import { ADDRESS_BITS, IDR0, IDR1, IDR3, IDR5 } from '../spec/index.js';

/** What a unit is built with: the values of its ID registers, in plain terms. */
export interface SmmuOptions {
  /** StreamID bits. Default 16. */
  readonly sidBits?: number;
  /** SubstreamID bits; 0: no substreams. Default 0. */
  readonly ssidBits?: number;
  /** Two-level CD tables. Default false. */
  readonly cd2l?: boolean;
  /** Two-level stream tables. Default true. */
  readonly twoLevelStreamTable?: boolean;
  /** Output address bits: 32, 36, 40, 42, 44 or 48. Default 44. */
  readonly oas?: number;
  /** Granules in KiB. Default all. */
  readonly granules?: readonly (4 | 16 | 64)[];
  /** Range TLB invalidation. Default true. */
  readonly ril?: boolean;
  /** Small translation tables (TxSZ up to 48). Default false. */
  readonly stt?: boolean;
  /** The unit's own interrupts and SYNC as MSIs. Default false. */
  readonly msi?: boolean;
  readonly asid16?: boolean;
  /** Which stages the unit has: 1 (default, as QEMU 7.2), 2, or both, which makes it nest. */
  readonly stages?: 1 | 2 | 'both';
  /** Default true where there is a stage 2. */
  readonly vmid16?: boolean;
  /** STE.PRIVCFG and INSTCFG act. Default false. */
  readonly permsOverride?: boolean;
  /** log2 of the largest queues. Default 19. */
  readonly queueBits?: number;
  /** INTIDs of the wired interrupts, as QEMU's virt has them: 106, 109, 108. */
  readonly interrupts?: { readonly event?: number; readonly gerror?: number; readonly sync?: number };
  /** DeviceID of the unit's own MSIs (IORT single mapping). Default 0. */
  readonly deviceId?: number;
}

/** The ID registers of a unit with these options; the defaults are those of QEMU 7.2's virt machine. */
export function idRegisters(o: SmmuOptions = {}): { idr0: number; idr1: number; idr3: number; idr5: number } {
  const granules = o.granules ?? [4, 16, 64];
  const queues = o.queueBits ?? 19;
  const on = (flag: boolean | undefined, field: { mask: number }) => (flag ? field.mask : 0);
  const at = (value: number, field: { lsb: number }) => value << field.lsb;
  const stages = o.stages ?? 1;
  return {
    idr0:
      (on(stages !== 2, IDR0.S1P) |
        on(stages !== 1, IDR0.S2P) |
        on(stages !== 1 && (o.vmid16 ?? true), IDR0.VMID16) |
        at(2, IDR0.TTF) |
        IDR0.COHACC.mask |
        on(o.asid16 ?? true, IDR0.ASID16) |
        on(o.msi, IDR0.MSI) |
        on(o.cd2l, IDR0.CD2L) |
        at(2, IDR0.TTENDIAN) |
        at(1, IDR0.STALL_MODEL) |
        IDR0.TERM_MODEL.mask |
        at(o.twoLevelStreamTable === false ? 0 : 1, IDR0.ST_LEVEL)) >>>
      0,
    idr1:
      (at(o.sidBits ?? 16, IDR1.SIDSIZE) |
        at(o.ssidBits ?? 0, IDR1.SSIDSIZE) |
        at(queues, IDR1.EVENTQS) |
        at(queues, IDR1.CMDQS) |
        on(o.permsOverride, IDR1.ATTR_PERMS_OVR)) >>>
      0,
    idr3: IDR3.HAD.mask | on(o.stt, IDR3.STT) | on(o.ril ?? true, IDR3.RIL) | at(2, IDR3.BBML),
    idr5:
      at(ADDRESS_BITS.indexOf(o.oas ?? 44), IDR5.OAS) |
      on(granules.includes(4), IDR5.GRAN4K) |
      on(granules.includes(16), IDR5.GRAN16K) |
      on(granules.includes(64), IDR5.GRAN64K),
  };
}

/** What the rest of the model asks about the ID registers. */
export interface Features {
  readonly sidBits: number;
  readonly ssidBits: number;
  readonly cd2l: boolean;
  readonly twoLevel: boolean;
  readonly s1p: boolean;
  readonly s2p: boolean;
  readonly oasBits: number;
  readonly oasField: number;
  readonly ril: boolean;
  readonly stt: boolean;
  readonly msi: boolean;
  readonly sev: boolean;
  readonly asid16: boolean;
  readonly vmid16: boolean;
  readonly hyp: boolean;
  readonly ats: boolean;
  readonly had: boolean;
  readonly stallModel: number;
  readonly termModel: number;
  readonly permsOverride: boolean;
  readonly cmdqBits: number;
  readonly eventqBits: number;
  /** By log2 of the granule. */
  granule(g: number): boolean;
}

export function featuresOf(idr0: number, idr1: number, idr3: number, idr5: number): Features {
  const oas = get(idr5, IDR5.OAS);
  const granules = [
    get(idr5, IDR5.GRAN4K) ? 12 : 0,
    get(idr5, IDR5.GRAN16K) ? 14 : 0,
    get(idr5, IDR5.GRAN64K) ? 16 : 0,
  ];
  return {
    sidBits: get(idr1, IDR1.SIDSIZE),
    ssidBits: get(idr1, IDR1.SSIDSIZE),
    cd2l: get(idr0, IDR0.CD2L) === 1,
    twoLevel: get(idr0, IDR0.ST_LEVEL) === 1,
    s1p: get(idr0, IDR0.S1P) === 1,
    s2p: get(idr0, IDR0.S2P) === 1,
    oasField: oas,
    oasBits: ADDRESS_BITS[oas]!,
    ril: get(idr3, IDR3.RIL) === 1,
    stt: get(idr3, IDR3.STT) === 1,
    msi: get(idr0, IDR0.MSI) === 1,
    sev: get(idr0, IDR0.SEV) === 1,
    asid16: get(idr0, IDR0.ASID16) === 1,
    vmid16: get(idr0, IDR0.VMID16) === 1,
    hyp: get(idr0, IDR0.HYP) === 1,
    ats: get(idr0, IDR0.ATS) === 1,
    had: get(idr3, IDR3.HAD) === 1,
    stallModel: get(idr0, IDR0.STALL_MODEL),
    termModel: get(idr0, IDR0.TERM_MODEL),
    permsOverride: get(idr1, IDR1.ATTR_PERMS_OVR) === 1,
    cmdqBits: get(idr1, IDR1.CMDQS),
    eventqBits: get(idr1, IDR1.EVENTQS),
    granule: (g) => g !== 0 && granules.includes(g),
  };
}

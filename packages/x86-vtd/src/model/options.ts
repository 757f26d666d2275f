import { set, setAt, setWide } from '@doorbell/bits';
import { DoorbellError, overlaps } from '@doorbell/platform';
import { CAP, ECAP } from '../spec/index.js';

/** What a unit can do, and where. Everything has QEMU 7.2's value on q35 as its default. */
export interface VtdOptions {
  /** Widths of second-stage input: 39 → 3 levels; 48 → 3 and 4; 57 → 3, 4 and 5. Default 48. */
  readonly awBits?: 39 | 48 | 57;
  /** CAP.SAGAW where it is not what `awBits` gives: bit 1 for 39, bit 2 for 48, bit 3 for 57 bits. */
  readonly sagaw?: number;
  /** Bits of an input address (CAP.MGAW + 1) where they are not `awBits`. */
  readonly inputBits?: number;
  /** Physical address bits. Default: `awBits`, at most 52. */
  readonly hostAddressWidth?: number;
  /** CAP.CM: not-present entries are cached too, so software must invalidate after every change. */
  readonly cachingMode?: boolean;
  /** ECAP.QI. */
  readonly queuedInvalidation?: boolean;
  /** ECAP.IR. */
  readonly interruptRemapping?: boolean;
  /** ECAP.EIM: 32-bit APIC ids. */
  readonly extendedInterruptMode?: boolean;
  /** ECAP.PT. */
  readonly passThrough?: boolean;
  /** ECAP.DT: TT = 1, translation and translated requests. */
  readonly deviceTlb?: boolean;
  /** ECAP.SC: bit 11 of leaves. */
  readonly snoopControl?: boolean;
  /** CAP.ZLR: zero-length reads pass on write-only pages. */
  readonly zeroLengthReads?: boolean;
  /** CAP.SSLPS. */
  readonly largePages?: { readonly m2: boolean; readonly g1: boolean };
  /** CAP.PSI. Without it a page-selective invalidation does the domain. */
  readonly pageSelective?: boolean;
  /** Domain-selective context-cache invalidations do the domain; otherwise everything, as §11.4.6 allows and QEMU does. Default true. */
  readonly domainContexts?: boolean;
  /** CAP.PLMR and CAP.PHMR. */
  readonly protectedMemory?: boolean;
  /** CAP.ESRTPS and CAP.ESIRTPS: setting a table pointer invalidates what was cached. */
  readonly enhancedSetPointer?: boolean;
  /** CAP.NFR + 1, 1–256. */
  readonly faultRecords?: number;
  /** A pending record of a requester swallows its next faults (§7.2.1 allows it; QEMU does). */
  readonly collapseFaults?: boolean;
  /** Invalid requests to 0xFEEx_xxxx are recorded as 0x29 (newer revisions) or only aborted. */
  readonly recordInterruptRange?: boolean;
  /** A mistake put in on purpose, for showing that tests notice it. */
  readonly mutant?: ModelMutant | 'none';
  /** Byte offsets of FRCD0 and IVA, multiples of 16. */
  readonly faultOffset?: number;
  readonly iotlbOffset?: number;
}

/** `no-source-check`: every requester may use every IRTE. `deaf-iotlb`: IOTLB invalidations
 * complete and do nothing. `no-write-check`: writes pass where reads may. */
export type ModelMutant = 'no-source-check' | 'deaf-iotlb' | 'no-write-check';
export const MODEL_MUTANTS: readonly ModelMutant[] = ['no-source-check', 'deaf-iotlb', 'no-write-check'];

export type VtdConfig = Required<VtdOptions>;

/** QEMU 7.2's `intel-iommu,intremap=on` on q35. */
export const Q35: VtdConfig = {
  awBits: 48,
  sagaw: 0b0110,
  inputBits: 48,
  hostAddressWidth: 48,
  cachingMode: false,
  queuedInvalidation: true,
  interruptRemapping: true,
  extendedInterruptMode: false,
  passThrough: true,
  deviceTlb: false,
  snoopControl: false,
  zeroLengthReads: false,
  largePages: { m2: true, g1: true },
  pageSelective: true,
  domainContexts: true,
  protectedMemory: false,
  enhancedSetPointer: false,
  faultRecords: 1,
  collapseFaults: true,
  recordInterruptRange: true,
  mutant: 'none',
  faultOffset: 0x220,
  iotlbOffset: 0xf0,
};

export const configOf = (options: VtdOptions = {}): VtdConfig => {
  const awBits = options.awBits ?? Q35.awBits;
  const sagaw = awBits === 39 ? 0b0010 : awBits === 48 ? 0b0110 : 0b1110;
  return { ...Q35, sagaw, inputBits: awBits, hostAddressWidth: Math.min(awBits, 52), ...options };
};

/** What is wrong with a set of options; `others` and `mutants` are known elsewhere. Errors: `BAD_OPTION`, `NOT_MODELLED`. */
export function checkOptions(
  node: string,
  options: Readonly<Record<string, unknown>>,
  size = 0x1000,
  others: readonly string[] = [],
  mutants: readonly string[] = MODEL_MUTANTS,
): DoorbellError[] {
  const problems: DoorbellError[] = [];
  const bad = (option: string, why: string, code = 'BAD_OPTION') =>
    problems.push(
      new DoorbellError(code, `${node}: ${option} = ${String(options[option])}: ${why}`, 'change the option', {
        node,
        option,
        value: options[option],
      }),
    );
  if (options['scalableMode']) bad('scalableMode', 'this unit works in legacy mode only', 'NOT_MODELLED');
  if (options['postedInterrupts']) bad('postedInterrupts', 'no posted interrupts', 'NOT_MODELLED');
  const known = new Set([...Object.keys(Q35), ...others]);
  for (const option of Object.keys(options))
    if (!known.has(option) && option !== 'scalableMode' && option !== 'postedInterrupts')
      bad(option, `no such option (there are ${[...known].join(', ')})`);
  const c = configOf(options);
  if (![39, 48, 57].includes(c.awBits)) bad('awBits', 'is 39, 48 or 57');
  if (!((c.sagaw & 0b1110) === c.sagaw && c.sagaw !== 0)) bad('sagaw', 'has one or more of bits 1 to 3');
  if (!(c.inputBits >= 32 && c.inputBits <= 57)) bad('inputBits', 'is 32 to 57');
  if (!(c.hostAddressWidth >= 32 && c.hostAddressWidth <= 52)) bad('hostAddressWidth', 'is 32 to 52');
  if (!(Number.isInteger(c.faultRecords) && c.faultRecords >= 1 && c.faultRecords <= 256))
    bad('faultRecords', 'is 1 to 256');
  const records = { first: c.faultOffset, last: c.faultOffset + 16 * c.faultRecords - 1 };
  const iotlb = { first: c.iotlbOffset, last: c.iotlbOffset + 15 };
  for (const [option, range] of Object.entries({ faultOffset: records, iotlbOffset: iotlb })) {
    if (range.first % 16 !== 0 || range.first < 0xc0) bad(option, 'is a multiple of 16 from 0xc0 on');
    else if (range.last >= size) bad(option, `leads beyond the ${size} bytes of registers`);
  }
  if (overlaps(records, iotlb)) bad('faultOffset', 'and iotlbOffset put registers on top of each other');
  if (!['none', undefined, ...mutants].includes(options['mutant'] as string | undefined))
    bad('mutant', `is one of ${mutants.join(', ')}`);
  if (c.interruptRemapping && !c.queuedInvalidation) bad('interruptRemapping', 'needs queued invalidation');
  if (c.extendedInterruptMode && !c.interruptRemapping) bad('extendedInterruptMode', 'needs interrupt remapping');
  return problems;
}

/** CAP's two words, low first. */
export function capWords(c: VtdConfig): Uint32Array {
  const w = new Uint32Array(2);
  setAt(w, 0, CAP.ND, 6); // 2^16 domains
  setAt(w, 0, CAP.PLMR, +c.protectedMemory);
  setAt(w, 0, CAP.PHMR, +c.protectedMemory);
  setAt(w, 0, CAP.CM, +c.cachingMode);
  setAt(w, 0, CAP.SAGAW, c.sagaw);
  setAt(w, 0, CAP.MGAW, c.inputBits - 1);
  setAt(w, 0, CAP.ZLR, +c.zeroLengthReads);
  setWide(w, 0, CAP.FRO, c.faultOffset / 16);
  setAt(w, 0, CAP.SSLPS_2M, +c.largePages.m2);
  setAt(w, 0, CAP.SSLPS_1G, +c.largePages.g1);
  setAt(w, 0, CAP.PSI, +c.pageSelective);
  setAt(w, 0, CAP.NFR, c.faultRecords - 1);
  setAt(w, 0, CAP.MAMV, MAX_ADDRESS_MASK);
  setAt(w, 0, CAP.DWD, 1);
  setAt(w, 0, CAP.DRD, 1);
  setAt(w, 0, CAP.ESIRTPS, +c.enhancedSetPointer);
  setAt(w, 0, CAP.ESRTPS, +c.enhancedSetPointer);
  return w;
}

/** CAP.MAMV: 2^18 pages, as QEMU. */
export const MAX_ADDRESS_MASK = 18;

/** ECAP's two words, low first. */
export function ecapWords(c: VtdConfig): Uint32Array {
  let lo = 0;
  lo = set(lo, ECAP.QI, +c.queuedInvalidation);
  lo = set(lo, ECAP.DT, +c.deviceTlb);
  lo = set(lo, ECAP.IR, +c.interruptRemapping);
  lo = set(lo, ECAP.EIM, +c.extendedInterruptMode);
  lo = set(lo, ECAP.PT, +c.passThrough);
  lo = set(lo, ECAP.SC, +c.snoopControl);
  lo = set(lo, ECAP.IRO, c.iotlbOffset / 16);
  lo = set(lo, ECAP.MHMV, c.interruptRemapping ? 15 : 0);
  return Uint32Array.of(lo, 0);
}

import { getAddress, getAt, setAddress, setAt } from '@doorbell/bits';
import type { DomainTable, GuestStage1 } from '@doorbell/iommu';
import { DoorbellError, hex } from '@doorbell/platform';
import { CMD_CFGI, CMD_TLBI, CONFIG, OP, OP_NAMES, STE } from '../spec/index.js';
import type { Stage2Table } from './stage2-table.js';

/** What a guest says of its stage 1 on an SMMUv3. */
export interface SmmuGuestStage1 extends GuestStage1 {
  /**
   * The guest's STE, DW0 and DW1 as four words, as a hypervisor reads it from the guest's stream table. Default: stage 1 with one CD at
   * `tables`, an IPA.
   */
  readonly ste?: readonly [number, number, number, number];
}

/** Fields that a guest decides (those that Linux lets through): all else of an STE is the host's. */
const GUEST_FIELDS = [
  STE.V,
  STE.Config,
  STE.S1Fmt,
  STE.S1ContextPtr,
  STE.S1CDMax,
  STE.S1DSS,
  STE.S1CIR,
  STE.S1COR,
  STE.S1CSH,
  STE.S1STALLD,
] as const;
const ALLOWED = (() => {
  const w = new Uint32Array(4);
  for (const field of GUEST_FIELDS) {
    if (field.kind === 'wide') setAddress(w, 0, field, 2 ** 56 - 64);
    else setAt(w, 0, field, field.max);
  }
  return w;
})();

/** What the guest's STE comes to on this stream. */
export type GuestStage = 'abort' | 'bypass' | 'stage1';

/**
 * A guest's stage 1 on a parent: tables that the guest owns, with nothing to map here. The address space below it, and so the MSI window, is
 * the parent's.
 */
export class NestedTable implements DomainTable {
  readonly granule: number;
  readonly stage: GuestStage;
  /** DW0 and DW1 as far as they are the guest's. */
  readonly ste: Uint32Array;

  /** Errors: `GUEST_STE_REFUSED`. */
  constructor(
    readonly parent: Stage2Table,
    guest: SmmuGuestStage1,
  ) {
    this.granule = parent.granule;
    this.ste = guest.ste ? Uint32Array.from(guest.ste) : plain(guest.tables);
    this.stage = vet(this.ste);
  }

  map(): void {
    throw guestOwned('map');
  }
  unmap(): number {
    throw guestOwned('unmap');
  }
  undoUnmap(): void {
    throw guestOwned('undoUnmap');
  }
  iovaToPhys(): number {
    throw guestOwned('iovaToPhys');
  }
  reclaim(): void {}
  mappedIn(): null {
    return null;
  }
  destroy(): void {}
}

function plain(cd: number): Uint32Array {
  const w = new Uint32Array(4);
  setAt(w, 0, STE.V, 1);
  setAt(w, 0, STE.Config, CONFIG.S1);
  setAddress(w, 0, STE.S1ContextPtr, cd);
  setAt(w, 0, STE.S1CIR, 1);
  setAt(w, 0, STE.S1COR, 1);
  setAt(w, 0, STE.S1CSH, 3);
  return w;
}

/** Nothing in it may reach beyond the guest: only its own fields, and stage 1, bypass or abort. V = 0 aborts. */
function vet(ste: Uint32Array): GuestStage {
  if (getAt(ste, 0, STE.V) === 0) return 'abort';
  for (let i = 0; i < 4; i++) {
    const foreign = (ste[i]! & ~ALLOWED[i]!) >>> 0;
    if (foreign !== 0) throw refusedSte(ste, `bits ${hex(foreign)} of word ${i} are not the guest's`);
  }
  switch (getAt(ste, 0, STE.Config)) {
    case CONFIG.ABORT:
      return 'abort';
    case CONFIG.BYPASS:
      return 'bypass';
    case CONFIG.S1:
      return 'stage1';
    default:
      throw refusedSte(ste, `Config = ${getAt(ste, 0, STE.Config)}: a guest has stage 1, bypass or abort`);
  }
}

/**
 * A guest's invalidation command as it may go to the hardware: its VMID becomes the parent's, its StreamID the real one, and "all" is all of
 * this VMID. Errors: `GUEST_COMMAND_REFUSED`.
 */
export function vetCommand(
  words: Uint32Array,
  index: number,
  vmid: number,
  streamOf: (virtual: number) => number | undefined,
): Uint32Array {
  const w = words.slice(0, 4);
  const op = w[0]! & 0xff;
  switch (op) {
    case OP.TLBI_NSNH_ALL:
      w.fill(0);
      w[0] = OP.TLBI_NH_ALL;
      setAt(w, 0, CMD_TLBI.VMID, vmid);
      return w;
    case OP.TLBI_NH_ALL:
    case OP.TLBI_NH_ASID:
    case OP.TLBI_NH_VA:
    case OP.TLBI_NH_VAA:
      setAt(w, 0, CMD_TLBI.VMID, vmid);
      return w;
    case OP.CFGI_CD:
    case OP.CFGI_CD_ALL: {
      const virtual = getAt(w, 0, CMD_CFGI.SID);
      const stream = streamOf(virtual);
      if (stream === undefined) throw refusedCommand(op, index, `the guest has no stream ${hex(virtual)}`);
      if (getAt(w, 0, CMD_CFGI.SSEC) === 1) throw refusedCommand(op, index, 'SSec = 1');
      setAt(w, 0, CMD_CFGI.SID, stream);
      return w;
    }
    default:
      throw refusedCommand(op, index, 'it does not concern the guest alone');
  }
}

const guestOwned = (call: string): DoorbellError =>
  new DoorbellError(
    'NOT_A_PAGING_DOMAIN',
    `${call}() on a guest's stage 1`,
    "the guest writes its tables itself; map its memory in the parent's domain",
    { call },
  );

const refusedSte = (ste: Uint32Array, why: string): DoorbellError =>
  new DoorbellError(
    'GUEST_STE_REFUSED',
    `the guest's STE cannot be used: ${why}`,
    'let the guest set V, Config, S1Fmt, S1ContextPtr, S1CDMax, S1DSS, S1CIR, S1COR, S1CSH and S1STALLD only',
    { ste: [...ste], pointer: getAddress(ste, 0, STE.S1ContextPtr) },
  );

const refusedCommand = (op: number, index: number, why: string): DoorbellError =>
  new DoorbellError(
    'GUEST_COMMAND_REFUSED',
    `the guest's command ${index} (${OP_NAMES[op] ?? hex(op)}) is refused: ${why}`,
    'a guest invalidates its own stage 1: TLBI_NH_*, TLBI_NSNH_ALL, CFGI_CD, CFGI_CD_ALL',
    { op, index },
  );

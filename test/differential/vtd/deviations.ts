import type { Seen } from './bench.js';

/** What an operation was about, as far as a deviation depends on it. */
export interface Note {
  /** Both quadwords (hi, lo) of the IRTE that the message names. */
  readonly irte?: readonly [readonly [number, number], readonly [number, number]];
  /** Requester of the message. */
  readonly sid?: number;
  readonly message?: readonly [number, number];
  /** The context entry has reserved bits set, and FPD; and this was asked of it. */
  readonly fpdReserved?: { readonly iova: number; readonly sid: number; readonly write: boolean };
  /** The page has been translated before and not been invalidated. */
  readonly cached?: boolean;
}

/** One known difference between QEMU 7.2 and the architecture. It excuses one field, and only with exactly this result. */
export interface Deviation {
  readonly id: string;
  /** Where the architecture's side and QEMU's are written. */
  readonly citation: string;
  readonly field: string;
  applies(note: Note, model: Seen, qemu: Seen): boolean;
  /** QEMU's exact result; undefined: the field is absent. */
  qemu(note: Note, model: Seen): string | number | undefined;
}

const INTERRUPT = (reason: unknown) => Number(reason) >= 0x20 && Number(reason) <= 0x29;

/** Interrupt faults are never recorded: every part of the record is as without one. */
const unrecorded = (field: string, value: string | number): Deviation => ({
  id: `interrupt-fault-${field}`,
  citation: 'qemu-oracle: interrupt-remapping faults are never recorded',
  field,
  applies: (_note, model) => INTERRUPT(model['reason']),
  qemu: () => value,
});

/** What stands in the IOTLB is checked there, and a refusal is blocked without a record. */
const cachedPermission = (field: string, value: string | number): Deviation => ({
  id: `cached-permission-${field}`,
  citation: 'qemu-oracle: a permission failure on a page that is in the IOTLB is blocked but not recorded',
  field,
  applies: ({ cached }, model) => cached === true && (model['reason'] === 5 || model['reason'] === 6),
  qemu: () => value,
});

/** FPD hides reason 0xb in the architecture. */
const reservedContext = (
  field: string,
  value: (asked: NonNullable<Note['fpdReserved']>) => string | number,
): Deviation => ({
  id: `context-reserved-fpd-${field}`,
  citation: 'fact sheet §6, row 0xB: masked by FPD; QEMU reports it regardless',
  field,
  applies: ({ fpdReserved }) => fpdReserved !== undefined,
  qemu: ({ fpdReserved }) => value(fpdReserved!),
});

/** The message that an IRTE makes, whatever keeps the architecture from sending it. EIME = 0. */
function made({ irte }: Note): { text: string; single: boolean } {
  const [[destination, low]] = irte!;
  const logical = (low >>> 2) & 1;
  const mode = (low >>> 5) & 7;
  const id = (destination >>> 8) & 0xff;
  const text = `vector ${(low >>> 16) & 0xff} to ${logical ? 'logical' : 'physical'} ${id}, mode ${mode}${low & 16 ? ', level' : ''}`;
  return { text, single: logical === 0 && mode === 0 && id < 2 };
}

/** QEMU delivers what the architecture blocks. */
const delivered = (id: string, citation: string, applies: (note: Note, model: Seen) => boolean): Deviation[] => [
  { id, citation, field: 'sent', applies, qemu: (note) => made(note).text },
  {
    id: `${id}-irr`,
    citation,
    field: 'irr',
    applies: (note, model) => applies(note, model) && made(note).single,
    qemu: () => 'true',
  },
];

const low = ({ irte }: Note): number => irte?.[0][1] ?? 0;
const range = ({ irte }: Note): { start: number; end: number } | null => {
  const sid = irte?.[1][1] ?? 0;
  return ((sid >>> 18) & 3) === 2 ? { start: (sid >>> 8) & 0xff, end: sid & 0xff } : null;
};

/** QEMU takes the end of a bus range for its start. */
const swapped = (note: Note): boolean => {
  const r = range(note);
  const bus = (note.sid ?? 0) >>> 8;
  return r !== null && r.start !== r.end && bus >= r.start && bus <= r.end;
};
const SWAPPED = 'qemu-oracle: SVT = 2 takes its two bytes in the wrong order';

export const DEVIATIONS: readonly Deviation[] = [
  {
    id: 'pasid-ffff',
    citation: 'fact sheet §10: QEMU stores 16 PASID bits in FRCD, 0xffff for none',
    field: 'pasid',
    applies: ({ fpdReserved }, model, qemu) => !fpdReserved && model['record'] === 1 && qemu['record'] === 1,
    qemu: () => 0xffff,
  },
  unrecorded('fsts', 0),
  unrecorded('record', 0),
  unrecorded('address', '-'),
  unrecorded('reason', 0),
  unrecorded('sid', 0),
  cachedPermission('fsts', 0),
  cachedPermission('record', 0),
  cachedPermission('address', '-'),
  cachedPermission('reason', 0),
  cachedPermission('type', 0),
  cachedPermission('sid', 0),
  reservedContext('fsts', () => 2),
  reservedContext('record', () => 1),
  reservedContext(
    'address',
    ({ iova }) => `0x${Math.floor(iova / 2 ** 32).toString(16)}_${((iova & 0xffff_f000) >>> 0).toString(16)}`,
  ),
  reservedContext('reason', () => 0xb),
  reservedContext('type', ({ write }) => (write ? 0 : 4)),
  reservedContext('sid', ({ sid }) => sid),
  { id: 'bus-range', citation: SWAPPED, field: 'sent', applies: swapped, qemu: () => 'nothing' },
  {
    id: 'bus-range-irr',
    citation: SWAPPED,
    field: 'irr',
    applies: (note) => swapped(note) && made(note).single,
    qemu: () => undefined,
  },
  ...delivered(
    'posted-accepted',
    'qemu-oracle: IRTE IM = 1 is accepted',
    (note, model) => model['reason'] === 0x24 && (low(note) & 0x8000) !== 0,
  ),
  ...delivered(
    'destination-unchecked',
    'qemu-oracle: reserved DST bits are accepted',
    (note, model) => model['reason'] === 0x24 && ((note.irte?.[0][0] ?? 0) & 0xffff_00ff) !== 0,
  ),
  {
    id: 'compatibility-passes',
    citation: 'qemu-oracle: compatibility-format messages always pass (CFIS and EIME ignored)',
    field: 'sent',
    applies: (_note, model) => model['reason'] === 0x25,
    qemu: ({ message }) => `vector ${message![1] & 0xff} to physical ${(message![0] >>> 12) & 0xff}, mode 0`,
  },
  {
    id: 'compatibility-passes-irr',
    citation: 'qemu-oracle: compatibility-format messages always pass (CFIS and EIME ignored)',
    field: 'irr',
    applies: (_note, model) => model['reason'] === 0x25,
    qemu: () => 'true',
  },
  {
    id: 'cfis-not-shown',
    citation: 'qemu-oracle: CFIS ignored; GCMD.CFI changes no status',
    field: 'GSTS',
    applies: (_note, model) => (Number(model['GSTS']) & 0x80_0000) !== 0,
    qemu: (_note, model) => (Number(model['GSTS']) & ~0x80_0000) >>> 0,
  },
];

import { AT } from './sides.js';

/** Commands by their words. */
export const op = {
  mapd: (device: number, bits = 3, valid = true, itt = device & 3): number[] => [
    8,
    device,
    bits - 1,
    0,
    AT.itt + 0x100 * itt,
    valid ? 0x8000_0000 : 0,
  ],
  mapc: (icid: number, cpu: number, valid = true): number[] => [
    9,
    0,
    0,
    0,
    ((cpu << 16) | icid) >>> 0,
    valid ? 0x8000_0000 : 0,
  ],
  mapti: (device: number, event: number, lpi: number, icid: number): number[] => [0xa, device, event, lpi, icid],
  mapi: (device: number, event: number, icid: number): number[] => [0xb, device, event, 0, icid],
  movi: (device: number, event: number, icid: number): number[] => [1, device, event, 0, icid],
  movall: (from: number, to: number): number[] => [0xe, 0, 0, 0, from << 16, 0, to << 16],
  discard: (device: number, event: number): number[] => [0xf, device, event],
  int: (device: number, event: number): number[] => [3, device, event],
  clear: (device: number, event: number): number[] => [4, device, event],
  inv: (device: number, event: number): number[] => [0xc, device, event],
  invall: (icid: number): number[] => [0xd, 0, 0, 0, icid],
  sync: (cpu: number): number[] => [5, 0, 0, 0, cpu << 16],
} as const;

/** A command, or a CPU's message, or a configuration byte that software changes. */
export type Action = readonly number[] | { readonly message: number } | { readonly lpi: number; readonly byte: number };

export const USUAL: readonly Action[] = [
  op.mapc(0, 0),
  op.mapc(1, 1),
  op.mapd(0),
  op.mapd(1),
  op.mapti(0, 0, 8192, 0),
  op.mapti(0, 1, 8193, 0),
  op.mapti(1, 0, 8194, 1),
];
const ENABLE = { lpi: 1, byte: 0xa3 };
const DISABLE = { lpi: 0, byte: 0xa2 };

/** [command and circumstance: what it shows, actions after USUAL]. */
export const ROWS: readonly (readonly [string, readonly Action[]])[] = [
  ['MAPD maps', [op.mapd(2)]],
  ['MAPD with V = 0 leaves the ITT as it is', [op.mapd(0, 3, false), op.int(0, 0)]],
  ['MAPD with V = 0 of a device that is not mapped', [op.mapd(3, 1, false)]],
  ['MAPD again with fewer events', [op.mapd(0, 1), op.int(0, 1), op.int(0, 0), op.int(0, 2)]],
  ['MAPD of a DeviceID beyond the table', [op.mapd(0x2000)]],
  ['MAPD with Size beyond ID_bits', [op.mapd(2, 17)]],
  ['MAPC moves a collection', [op.mapc(0, 1), op.int(0, 0)]],
  ['MAPC with V = 0: the event is dropped', [op.mapc(0, 0, false), op.int(0, 0), op.mapc(0, 1), op.int(0, 0)]],
  ['MAPC to a redistributor that is not there', [op.mapc(2, 7)]],
  ['MAPC of an ICID beyond the table', [op.mapc(0x2000, 0)]],
  ['MAPTI to a device that is not mapped', [op.mapti(2, 0, 8195, 0)]],
  ['MAPTI of an EventID beyond Size', [op.mapti(0, 8, 8195, 0)]],
  ['MAPTI of an INTID below 8192', [op.mapti(0, 2, 8191, 0)]],
  ['MAPTI of an INTID beyond IDbits', [op.mapti(0, 2, 65536, 0)]],
  ['MAPTI to a collection that is not mapped', [op.mapti(0, 2, 8196, 5), op.int(0, 2), op.mapc(5, 1), op.int(0, 2)]],
  ['MAPTI of an ICID beyond the table', [op.mapti(0, 2, 8196, 0x2000)]],
  ['MAPTI over a mapped event', [op.mapti(0, 0, 8198, 1), op.int(0, 0)]],
  ['MAPI: EventID below 8192 is no LPI', [op.mapi(0, 2, 0)]],
  ['MAPI: EventID is the INTID', [op.mapd(2, 14), op.mapi(2, 8192, 0)]],
  ['MOVI', [op.movi(0, 0, 1), op.int(0, 0)]],
  ['MOVI carries a pending LPI along', [op.int(0, 1), op.movi(0, 1, 1), ENABLE, op.inv(0, 1)]],
  ['MOVI of an event that is not mapped', [op.movi(0, 5, 1)]],
  ['MOVI to a collection that is not mapped', [op.movi(0, 0, 6), op.int(0, 0)]],
  ['MOVALL', [op.int(0, 1), op.movall(0, 1)]],
  ['MOVALL to the same redistributor', [op.int(0, 1), op.movall(0, 0)]],
  ['MOVALL from a redistributor that is not there', [op.int(0, 1), op.movall(5, 1)]],
  ['DISCARD clears pending and unmaps', [op.int(0, 1), op.discard(0, 1), op.int(0, 1)]],
  ['DISCARD of an event that is not mapped', [op.discard(0, 6)]],
  ['CLEAR keeps the mapping', [op.int(0, 1), op.clear(0, 1), ENABLE, op.inv(0, 1), op.int(0, 1)]],
  ['INT of an enabled LPI is taken', [op.int(0, 0)]],
  ['INT of a disabled LPI stays pending', [op.int(0, 1)]],
  ['INT at the other CPU', [op.int(1, 0)]],
  ['INT of a device that is not mapped', [op.int(3, 0)]],
  ['a changed configuration byte without INV is not seen', [op.int(0, 1), ENABLE]],
  ['INV enables a pending LPI', [op.int(0, 1), ENABLE, op.inv(0, 1)]],
  ['INV disables', [DISABLE, op.inv(0, 0), op.int(0, 0)]],
  ['INVALL enables pending LPIs', [op.int(0, 1), ENABLE, op.invall(0)]],
  ['SYNC', [op.sync(1)]],
  ['SYNC of a redistributor that is not there', [op.sync(9)]],
  ['a command that does not exist', [[0x77]]],
  ['a message of a mapped event', [{ message: 0 }]],
  ['a message beyond Size', [{ message: 8 }]],
  ['a message of an event that is not mapped', [{ message: 3 }]],
];

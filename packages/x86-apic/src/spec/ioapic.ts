import { bit, bits, layout } from '@doorbell/bits';

/** Memory-mapped window of an I/O APIC (82093AA §3.1): select a register, then read or write it. */
export const IOREGSEL = 0x00;
export const IOWIN = 0x10;
/** Direct EOI register of version 0x20 parts. */
export const IOEOI = 0x40;

/** Indirect registers. */
export const IOAPICID = 0x00;
export const IOAPICVER = 0x01;
export const IOAPICARB = 0x02;
/** Redirection entry n: low word at 0x10 + 2n, high word after it. */
export const IOREDTBL = 0x10;

/** Redirection entry, compatibility format (82093AA §3.2.4). */
export const RTE = layout('RTE', '82093AA §3.2.4', 0, 64, {
  DESTINATION: bits(63, 56),
  MASK: bit(16, { reset: 1 }),
  TRIGGER: bit(15, { is: { 0: 'edge', 1: 'level' } }),
  REMOTE_IRR: bit(14, { access: 'ro' }),
  POLARITY: bit(13, { is: { 0: 'high', 1: 'low' } }),
  STATUS: bit(12, { access: 'ro' }),
  DM: bit(11, { is: { 0: 'physical', 1: 'logical' } }),
  DELIVERY: bits(10, 8),
  VECTOR: bits(7, 0),
});

/** Redirection entry, remappable format (VT-d §5.1.5.1). The vector must equal the IRTE's. */
export const REMAPPABLE_RTE = layout('REMAPPABLE_RTE', 'VT-d §5.1.5.1', 0, 64, {
  HANDLE_LOW: bits(63, 49),
  FORMAT: bit(48, { is: { 0: 'compatibility', 1: 'remappable' } }),
  MASK: bit(16, { reset: 1 }),
  TRIGGER: bit(15, { is: { 0: 'edge', 1: 'level' } }),
  REMOTE_IRR: bit(14, { access: 'ro' }),
  POLARITY: bit(13),
  STATUS: bit(12, { access: 'ro' }),
  HANDLE_HIGH: bit(11),
  DELIVERY: bits(10, 8),
  VECTOR: bits(7, 0),
});

/** The address word that a remappable redirection entry sends: handle, format 1, no sub-handle. */
export const remappableAddressOf = (handle: number): number =>
  (0xfee0_0010 | ((handle & 0x7fff) << 5) | ((handle >>> 13) & 4)) >>> 0;

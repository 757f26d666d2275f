import { bit, bits, layout, long } from '@doorbell/bits';

/** Interrupt remapping table entry, remapped format (VT-d §9.9). 16 bytes. */
export const IRTE = layout('IRTE', 'VT-d §9.9', 0, 128, {
  P: bit(0),
  FPD: bit(1),
  DM: bit(2, { is: { 0: 'physical', 1: 'logical' } }),
  RH: bit(3),
  TM: bit(4, { is: { 0: 'edge', 1: 'level' } }),
  DLM: bits(7, 5, { is: { 0: 'fixed', 1: 'lowest-priority', 2: 'smi', 4: 'nmi', 5: 'init', 7: 'extint' } }),
  AVAIL: bits(11, 8),
  IM: bit(15, { is: { 0: 'remapped', 1: 'posted' } }),
  V: bits(23, 16),
  DST: long(63, 32, { doc: 'EIME = 0: the id is bits 47:40' }),
  SID: bits(79, 64),
  SQ: bits(81, 80),
  SVT: bits(83, 82, { is: { 0: 'none', 1: 'sid', 2: 'bus-range' } }),
});

/** Reserved bits of a remapped IRTE, per word; word 1 only while EIME = 0. */
export const IRTE_RESERVED = [0xff00_7000, 0xffff_00ff, 0xfff0_0000, 0xffff_ffff] as const;

/** Source validation types. */
export const SourceValidation = { none: 0, sid: 1, busRange: 2 } as const;
/** Bits of the source id that SQ leaves out: none, function bit 2, bits 2:1, bits 2:0. */
export const SQ_IGNORES: readonly number[] = [0, 0x4, 0x6, 0x7];

/** Address word of a remappable message (VT-d §5.1.2.2). */
export const REMAPPABLE_ADDRESS = layout('REMAPPABLE_ADDRESS', 'VT-d §5.1.2.2', 0, 32, {
  PREFIX: bits(31, 20, { reset: 0xfee }),
  HANDLE_LOW: bits(19, 5),
  FORMAT: bit(4, { reset: 1, is: { 0: 'compatibility', 1: 'remappable' } }),
  SHV: bit(3, { doc: 'the data word carries a sub-handle' }),
  HANDLE_HIGH: bit(2),
});

/** handle[15:0] of an address word. */
export const handleOf = (address: number): number => ((address >>> 5) & 0x7fff) | ((address & 4) << 13);
/** The address word for a handle. */
export const remappableAddress = (handle: number, shv: number): number =>
  (0xfee0_0010 | ((handle & 0x7fff) << 5) | (shv << 3) | ((handle >>> 13) & 4)) >>> 0;

import { bit, bits, layout, long, wide, type AnyField } from '@doorbell/bits';

const descriptor = <F extends Record<string, AnyField>>(name: string, ref: string, table: F) =>
  layout(name, ref, 0, 128, { TYPE: bits(3, 0), ...table });

export const DescriptorType = {
  contextCache: 1,
  iotlb: 2,
  deviceTlb: 3,
  interruptEntryCache: 4,
  wait: 5,
  pasidIotlb: 6,
  pasidCache: 7,
  pasidDeviceTlb: 8,
  pageGroupResponse: 9,
} as const;

/** Granularities of context-cache and IOTLB invalidations; the registers CCMD and IOTLB use the same numbers. */
export const Granularity = { global: 1, domain: 2, device: 3, page: 3 } as const;

export const CONTEXT_CACHE_INV = descriptor('context-cache invalidate', 'VT-d §6.5.2.1', {
  G: bits(5, 4, { is: { 1: 'global', 2: 'domain', 3: 'device' } }),
  DID: bits(31, 16),
  SID: bits(47, 32),
  FM: bits(49, 48),
});
export const IOTLB_INV = descriptor('IOTLB invalidate', 'VT-d §6.5.2.3', {
  G: bits(5, 4, { is: { 1: 'global', 2: 'domain', 3: 'page' } }),
  DW: bit(6),
  DR: bit(7),
  DID: bits(31, 16),
  AM: bits(69, 64),
  IH: bit(70),
  ADDR: wide(127, 76),
});
export const DEVICE_TLB_INV = descriptor('device-TLB invalidate', 'VT-d §6.5.2.5', {
  PFSID_LOW: bits(15, 12),
  MIP: bits(20, 16),
  SID: bits(47, 32),
  PFSID_HIGH: bits(63, 52),
  S: bit(64),
  ADDR: wide(127, 76),
});
export const IEC_INV = descriptor('interrupt entry cache invalidate', 'VT-d §6.5.2.7', {
  G: bit(4, { is: { 0: 'global', 1: 'index' } }),
  IM: bits(31, 27),
  IIDX: bits(47, 32),
});
export const WAIT = descriptor('invalidation wait', 'VT-d §6.5.2.8', {
  IF: bit(4),
  SW: bit(5),
  FN: bit(6),
  DATA: long(63, 32),
  ADDR: long(127, 66),
});

/** IQERCD.IQEI (VT-d §11.4.9.9). */
export const QueueError = {
  none: 0,
  invalidTail: 1,
  fetch: 2,
  invalidType: 3,
  reserved: 4,
  descriptorWidth: 5,
  tailAlignment: 6,
  invalidForMode: 7,
} as const;

/** FM: which function bits of a source id an invalidation leaves out. */
export const FM_IGNORES: readonly number[] = [0, 0x4, 0x6, 0x7];

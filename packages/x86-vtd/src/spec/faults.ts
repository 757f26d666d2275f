/** Fault reasons (VT-d ch. 7 and annex; legacy mode, interrupt remapping, and the scalable one for a bad RTADDR). */
export const FaultReason = {
  rootNotPresent: 0x1,
  contextNotPresent: 0x2,
  contextInvalid: 0x3,
  addressBeyondMgaw: 0x4,
  writePermission: 0x5,
  readPermission: 0x6,
  pagingEntryRead: 0x7,
  rootTableRead: 0x8,
  contextTableRead: 0x9,
  rootReserved: 0xa,
  contextReserved: 0xb,
  pagingEntryReserved: 0xc,
  blockedByTranslationType: 0xd,
  outputInInterruptRange: 0xe,
  requestReserved: 0x20,
  indexBeyondTable: 0x21,
  irteNotPresent: 0x22,
  irteRead: 0x23,
  irteReserved: 0x24,
  compatibilityBlocked: 0x25,
  irteSourceId: 0x26,
  invalidInterruptRequest: 0x29,
  badRootTableAddress: 0x30,
  pasidInLegacyMode: 0x31,
} as const;

/** Names that `explain` prints, by reason. */
export const FAULT_NAMES: readonly string[] = names({
  0x1: 'ROOT_NOT_PRESENT',
  0x2: 'CONTEXT_NOT_PRESENT',
  0x3: 'INVALID_CONTEXT_ENTRY',
  0x4: 'ADDRESS_BEYOND_MGAW',
  0x5: 'WRITE_WITHOUT_PERMISSION',
  0x6: 'READ_WITHOUT_PERMISSION',
  0x7: 'PAGING_ENTRY_READ_ERROR',
  0x8: 'ROOT_TABLE_READ_ERROR',
  0x9: 'CONTEXT_TABLE_READ_ERROR',
  0xa: 'ROOT_RESERVED_BITS',
  0xb: 'CONTEXT_RESERVED_BITS',
  0xc: 'PAGING_ENTRY_RESERVED_BITS',
  0xd: 'BLOCKED_BY_TRANSLATION_TYPE',
  0xe: 'OUTPUT_IN_INTERRUPT_RANGE',
  0x20: 'REQUEST_RESERVED_BITS',
  0x21: 'INDEX_BEYOND_TABLE',
  0x22: 'IRTE_NOT_PRESENT',
  0x23: 'IRTE_READ_ERROR',
  0x24: 'IRTE_RESERVED_BITS',
  0x25: 'COMPATIBILITY_FORMAT_BLOCKED',
  0x26: 'IRTE_SOURCE_ID',
  0x29: 'INVALID_INTERRUPT_REQUEST',
  0x30: 'BAD_ROOT_TABLE_ADDRESS',
  0x31: 'PASID_REQUEST_IN_LEGACY_MODE',
});

/** Which reasons FPD of the context entry (0x2–0x7, 0xb–0xe) or of the IRTE (0x22, 0x24, 0x26) keeps out of the records. */
export const FPD_MASKS: Uint8Array = Uint8Array.from({ length: 256 }, (_, reason) =>
  (reason >= 0x2 && reason <= 0x7) || (reason >= 0xb && reason <= 0xe) || [0x22, 0x24, 0x26].includes(reason) ? 1 : 0,
);

function names(table: Record<number, string>): string[] {
  const list = new Array<string>(256).fill('RESERVED_REASON');
  for (const [reason, name] of Object.entries(table)) list[Number(reason)] = name;
  return list;
}

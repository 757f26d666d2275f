import { capturedBlock, type CaptureContribution } from '@doorbell/platform';
import { tablesOf } from './model/tables.js';
import type { VtdUnit } from './model/unit.js';
import { capture, vtd, VTD_COMPATIBLE } from './plugin.js';

/** Captures of VT-d units in legacy mode. */
export const vtdCapture: CaptureContribution = {
  compatible: [VTD_COMPATIBLE],
  kind: capture.kind,
  plugin: () => vtd(),
  node(node, registers) {
    const width = node.options?.['hostAddressWidth'];
    const exact = capture.node(blockOf(registers, node.reg?.[0]?.base), {
      name: node.name,
      ...(typeof width === 'number' && { hostAddressWidth: width }),
    });
    const { reg = exact.reg, segment } = node;
    return { ...exact, ...(reg && { reg }), ...(segment !== undefined && { segment }) };
  },
  bare: (registers) => capture.node(registers),
  tables: (model, memory) => tablesOf(model as VtdUnit, memory),
  remedies: {
    ROOT_NOT_PRESENT:
      'software has set up no function of this bus: attach one, which sets P in the root entry of its bus',
    CONTEXT_NOT_PRESENT:
      'attach the function to a domain (its context entry gets P = 1), or ask under the id that its bridge uses',
    INVALID_CONTEXT_ENTRY:
      'write a context entry with TT and AW that CAP and ECAP offer, and a table that lies in memory',
    ADDRESS_BEYOND_MGAW: 'use an address within MGAW and within the width that AW of the context entry gives the table',
    WRITE_WITHOUT_PERMISSION: 'map the page with W = 1 at every level, or let the device only read there',
    READ_WITHOUT_PERMISSION:
      'map the page (R = 1 at every level) before the device uses it, and keep it mapped until the device is done',
    PAGING_ENTRY_READ_ERROR: 'let the entry above point to a table that lies in memory',
    ROOT_TABLE_READ_ERROR: 'let RTADDR point to a table that lies in memory',
    CONTEXT_TABLE_READ_ERROR: 'let the root entry point to a context table that lies in memory',
    ROOT_RESERVED_BITS: 'clear the reserved bits of the root entry',
    CONTEXT_RESERVED_BITS: 'clear the reserved bits of the context entry',
    PAGING_ENTRY_RESERVED_BITS: 'clear the reserved bits of the entry; page sizes must be among those of CAP.SSLPS',
    BLOCKED_BY_TRANSLATION_TYPE: 'allow translated requests with TT = 1, or switch ATS off in the function',
    OUTPUT_IN_INTERRUPT_RANGE: 'map to memory outside 0xFEEx_xxxx',
    REQUEST_RESERVED_BITS: 'send data with zero upper bits in a message with SHV = 1',
    INDEX_BEYOND_TABLE: 'send a handle below 2^(IRTA.S + 1), or enlarge the table',
    IRTE_NOT_PRESENT:
      'allocate the entry (P = 1) before the message is programmed, and free it after the device is quiet',
    IRTE_READ_ERROR: 'let IRTA point to a table that lies in memory',
    IRTE_RESERVED_BITS: 'clear the reserved bits of the entry',
    COMPATIBILITY_FORMAT_BLOCKED:
      'program the message in remappable format (address bit 4 = 1), or let software set CFI while EIME = 0',
    IRTE_SOURCE_ID:
      'nothing, if it is forged: another function owns this entry; else program the function with its own handle, or set SID to the id that it sends with',
    INVALID_INTERRUPT_REQUEST: 'write 0xFEEx_xxxx with aligned DWORDs only, and never read there',
    BAD_ROOT_TABLE_ADDRESS: 'set RTADDR.TTM to a mode that ECAP offers',
    PASID_REQUEST_IN_LEGACY_MODE: 'send without PASID, or run the unit in scalable mode',
    PROTECTED_MEMORY: 'disable protected memory (PMEN.EPM = 0) once translation is on',
  },
};

/** The unit's own registers, where a capture has those of several units. */
function blockOf(registers: unknown, base: number | undefined): unknown {
  const block = base === undefined ? null : capturedBlock(registers, base);
  return block ? { kind: capture.kind, base: block.base, words: Object.fromEntries(block.words) } : registers;
}

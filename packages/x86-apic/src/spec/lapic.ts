import { bit, bits, each, layout } from '@doorbell/bits';

const REF = 'SDM vol. 3 §11.4.1';
const reg = <F extends Parameters<typeof layout>[4]>(name: string, at: number, table: F) =>
  layout(name, REF, at, 32, table);

export const LAPIC_ID = reg('ID', 0x20, { APIC_ID: bits(31, 24, { access: 'ro' }) });
export const LAPIC_VERSION = reg('VERSION', 0x30, {
  MAX_LVT: bits(23, 16, { access: 'ro', reset: 5 }),
  VERSION: bits(7, 0, { access: 'ro', reset: 0x14 }),
});
export const LAPIC_TPR = reg('TPR', 0x80, { PRIORITY: bits(7, 0) });
export const LAPIC_PPR = reg('PPR', 0xa0, { PRIORITY: bits(7, 0, { access: 'ro' }) });
export const LAPIC_EOI = reg('EOI', 0xb0, { EOI: bits(31, 0, { access: 'wo' }) });
/** Logical destination: bits 31:24 are the id's mask in flat mode, cluster:mask in cluster mode. */
export const LAPIC_LDR = reg('LDR', 0xd0, { LOGICAL_ID: bits(31, 24) });
/** Destination format. Bits 27:0 read as ones. */
export const LAPIC_DFR = reg('DFR', 0xe0, {
  MODEL: bits(31, 28, { reset: 0xf, is: { 0: 'cluster', 15: 'flat' } }),
  ONES: bits(27, 0, { access: 'ro', reset: 0xfff_ffff }),
});
export const LAPIC_SVR = reg('SVR', 0xf0, {
  ENABLE: bit(8),
  VECTOR: bits(7, 0, { reset: 0xff }),
});
/** Eight words each, 16 bytes apart; bit n of word w is vector 32w + n. */
export const LAPIC_ISR_BASE = 0x100;
export const LAPIC_TMR_BASE = 0x180;
export const LAPIC_IRR_BASE = 0x200;
export const VECTOR_WORD = each('V', 32, (n) => bit(n, { access: 'ro' }));

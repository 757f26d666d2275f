/**
 * What the Arm CPUs run: take every interrupt that the GIC presents and write its INTID into RAM, where a probe reads it.
 * The words are AArch64 (Arm ARM, C6); `test/stub-arm.test.ts` checks them against an assembler where there is one.
 *
 * Per CPU there is a page at LOG + 0x1000 * cpu: +0 is 1 once the CPU interface is enabled, +4 counts the acknowledged
 * INTIDs, +0x100 + 4 * (count mod 512) holds them.
 */
export const STUB_ADDRESS = 0x4080_0000;
export const LOG_ADDRESS = 0x4081_0000;
export const LOG_STRIDE = 0x1000;
export const LOG_READY = 0;
export const LOG_COUNT = 4;
export const LOG_ENTRIES = 0x100;
export const LOG_LENGTH = 512;

/** [word, assembler text]. Branch targets are relative to the instruction. */
export const STUB: readonly (readonly [number, string])[] = [
  [0xd53800b3, 'mrs x19, mpidr_el1'],
  [0x92401e73, 'and x19, x19, #0xff'], // Aff0 = CPU number
  [0x52a81034, 'mov w20, #0x40810000'], // LOG
  [0x8b133294, 'add x20, x20, x19, lsl #12'], // + 0x1000 * cpu
  [0xd2800021, 'mov x1, #1'],
  [0xd518cca1, 'msr s3_0_c12_c12_5, x1'], // ICC_SRE_EL1.SRE
  [0xd5033fdf, 'isb'],
  [0xd2801fe2, 'mov x2, #0xff'],
  [0xd5184602, 'msr s3_0_c4_c6_0, x2'], // ICC_PMR_EL1: every priority
  [0xd518cce1, 'msr s3_0_c12_c12_7, x1'], // ICC_IGRPEN1_EL1.Enable
  [0xd5033fdf, 'isb'],
  [0xb9000281, 'str w1, [x20]'], // ready
  [0xb50000f3, 'cbnz x19, .+28'], // only CPU 0 starts the other
  [0xd2800060, 'mov x0, #3'],
  [0xf2b88000, 'movk x0, #0xc400, lsl #16'], // PSCI CPU_ON (64-bit)
  [0xd2800021, 'mov x1, #1'], // MPIDR of CPU 1
  [0x52a81002, 'mov w2, #0x40800000'], // entry: STUB
  [0xd2800003, 'mov x3, #0'],
  [0xd4000002, 'hvc #0'],
  [0xd503207f, 'wfi'], // wakes on a pending interrupt though PSTATE.I masks it
  [0xd538cc01, 'mrs x1, s3_0_c12_c12_0'], // ICC_IAR1_EL1
  [0xd10ff022, 'sub x2, x1, #1020'],
  [0xf100105f, 'cmp x2, #4'],
  [0x54ffff83, 'b.lo .-16'], // 1020–1023: nothing there (§2.2.1)
  [0xb9400683, 'ldr w3, [x20, #4]'],
  [0x12002064, 'and w4, w3, #0x1ff'],
  [0x91040285, 'add x5, x20, #0x100'],
  [0xb82478a1, 'str w1, [x5, x4, lsl #2]'],
  [0x11000463, 'add w3, w3, #1'],
  [0xd5033bbf, 'dmb ish'], // the entry before the count
  [0xb9000683, 'str w3, [x20, #4]'],
  [0xd518cc21, 'msr s3_0_c12_c12_1, x1'], // ICC_EOIR1_EL1
  [0x17fffff4, 'b .-48'], // acknowledge the next
];

/** The stub as bytes. */
export function stubBytes(): Uint8Array {
  const bytes = new DataView(new ArrayBuffer(STUB.length * 4));
  STUB.forEach(([word], i) => bytes.setUint32(i * 4, word, true));
  return new Uint8Array(bytes.buffer);
}

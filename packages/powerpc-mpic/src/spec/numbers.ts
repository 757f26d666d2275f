/** Where numbers of shared MSIs start: above every 16-bit vector. */
export const MSI_NUMBERS = 0x1_0000;

/**
 * 32 MSIs share one vector, and IACK gives that vector only: software reads MSIRs to find out which. At the CPU interface (and for the
 * owner of a number) an MSI is therefore its source and its bit of MSIRs; every other interrupt is its vector.
 */
export const msiInterrupt = (source: number, bit: number): number => MSI_NUMBERS + 32 * source + bit;
export const fromMsiInterrupt = (number: number): { source: number; bit: number } | null =>
  number < MSI_NUMBERS ? null : { source: (number - MSI_NUMBERS) >>> 5, bit: (number - MSI_NUMBERS) & 31 };

/** Bank and MSIR of an MPIC source, or null: the inverse of `msiSource` (B2). */
export function msirOf(source: number): { bank: number; msir: number } | null {
  if (source >= 0xe0 && source < 0x100) return { bank: (source - 0xe0) >>> 3, msir: source & 7 };
  if (source >= 0x100 && source < 0x120) return { bank: (source - 0x100) >>> 3, msir: 8 + (source & 7) };
  return null;
}

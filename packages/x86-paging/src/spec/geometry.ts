/** Entries of one table; each table is one 4 KiB page of 8-byte entries. */
export const ENTRIES = 512;
export const PAGE_SIZE = 4096;
/** Bytes that a leaf at `level` maps: 4 KiB, 2 MiB, 1 GiB. */
export const leafSize = (level: number): number => 4096 * 512 ** (level - 1);
/** Input address bits that a walk starting at `level` covers: 39, 48, 57. */
export const inputBits = (level: number): number => 12 + 9 * level;

/** Index into the table of `level` for the input address (hi, lo). */
export function tableIndex(hi: number, lo: number, level: number): number {
  switch (level) {
    case 1:
      return (lo >>> 12) & 0x1ff;
    case 2:
      return (lo >>> 21) & 0x1ff;
    case 3:
      return ((hi << 2) | (lo >>> 30)) & 0x1ff;
    case 4:
      return (hi >>> 7) & 0x1ff;
    default:
      return (hi >>> 16) & 0x1ff;
  }
}

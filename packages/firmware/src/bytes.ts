/** Little-endian reads with bounds that the caller asks about first (`has`). Offsets are from the start of the file. */
export class Bytes {
  readonly length: number;
  private readonly view: DataView;

  constructor(
    readonly data: Uint8Array,
    length = data.length,
  ) {
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    this.length = Math.min(length, data.length);
  }

  has(offset: number, size: number): boolean {
    return offset >= 0 && size >= 0 && offset + size <= this.length;
  }
  u8(offset: number): number {
    return this.view.getUint8(offset);
  }
  u16(offset: number): number {
    return this.view.getUint16(offset, true);
  }
  u32(offset: number): number {
    return this.view.getUint32(offset, true);
  }
  u64(offset: number): bigint {
    return this.view.getBigUint64(offset, true);
  }
  /** The bytes as Latin-1, up to the first NUL. */
  text(offset: number, size: number): string {
    let s = '';
    for (let i = 0; i < size; i++) {
      const c = this.u8(offset + i);
      if (c === 0) break;
      s += String.fromCharCode(c);
    }
    return s;
  }
}

/** `0x…` lower case. */
export const hex = (value: number | bigint): string => '0x' + value.toString(16);

/** Both ends belong to the range; 64-bit, hence bigint. */
export interface Range64 {
  readonly first: bigint;
  readonly last: bigint;
}
export const overlaps64 = (a: Range64, b: Range64): boolean => a.first <= b.last && b.first <= a.last;

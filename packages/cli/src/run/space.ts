import { DoorbellError, hex, type MemoryBank } from '@doorbell/platform';

/** The system's addresses, for finding room beside what a machine's firmware names. */
export class AddressSpace {
  private readonly taken: { readonly first: number; readonly last: number }[] = [];

  take(...banks: readonly MemoryBank[]): void {
    for (const { base, size } of banks) this.taken.push({ first: base, last: base + size - 1 });
  }

  isFree({ base, size }: MemoryBank): boolean {
    return !this.taken.some((t) => t.first < base + size && t.last >= base);
  }

  /**
   * Takes the first free range of `size` bytes from `from` on that ends below `end`, aligned to `align`.
   * Errors: `NO_ROOM`.
   */
  place(size: number, options: { readonly from?: number; readonly end?: number; readonly align?: number } = {}) {
    const { from = 0, end = 2 ** 48, align = size } = options;
    for (let base = Math.ceil(from / align) * align; base + size <= end; ) {
      const bank = { base, size };
      const hit = this.taken.find((t) => t.first < base + size && t.last >= base);
      if (hit === undefined) {
        this.take(bank);
        return bank;
      }
      base = Math.ceil((hit.last + 1) / align) * align;
    }
    throw new DoorbellError(
      'NO_ROOM',
      `no ${hex(size)} free bytes below ${hex(end)}`,
      'the machine is fuller than usual',
      {
        size,
        from,
        end,
      },
    );
  }
}

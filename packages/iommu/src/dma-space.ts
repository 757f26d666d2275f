import type { Range } from '@doorbell/platform';
import { IovaAllocator } from './iova-allocator.js';

/**
 * The addresses that a `dma` domain gives out itself. What a lazy domain has unmapped is held back until a flush: a unit may still translate
 * it.
 */
export class DmaSpace {
  private readonly allocator: IovaAllocator;
  /** Held back: base and size in turn. */
  private held: number[] = [];

  constructor(
    aperture: Range,
    granule: number,
    /** Ends every stale translation, and calls `flushed`. */
    private readonly flush: () => void,
  ) {
    this.allocator = new IovaAllocator(aperture, granule);
  }

  /** The base of `size` bytes at or below `limit`, or -1. What is held back is flushed before this fails. */
  allocate(size: number, limit: number): number {
    const iova = this.allocator.allocate(size, limit);
    if (iova >= 0 || this.held.length === 0) return iova;
    this.flush();
    return this.allocator.allocate(size, limit);
  }

  /** Whether `allocate` can have given it. */
  fits(iova: number, size: number): boolean {
    return this.allocator.fits(iova, size);
  }

  free(iova: number, size: number): void {
    this.allocator.free(iova, size);
  }

  /** To be freed with the next flush. */
  hold(iova: number, size: number): void {
    this.held.push(iova, size);
  }

  flushed(): void {
    for (let i = 0; i < this.held.length; i += 2) this.allocator.free(this.held[i]!, this.held[i + 1]!);
    this.held.length = 0;
  }

  /** Keeps a range out, now and when what is held back comes free. */
  exclude(range: Range): void {
    if (this.held.length > 0) this.flush();
    this.allocator.exclude(range);
  }

  include(range: Range): void {
    this.allocator.include(range);
  }

  digest(): string {
    return this.allocator.digest();
  }
}

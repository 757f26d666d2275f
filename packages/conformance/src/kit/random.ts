/** xorshift32: the same seed gives the same run. */
export class Random {
  private state: number;
  constructor(seed: number) {
    this.state = (Math.imul(seed, 0x9e3779b9) ^ 0x6a09e667) | 0 || 1;
  }
  /** An unsigned 32-bit word. */
  word(): number {
    let s = this.state;
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    this.state = s;
    return s >>> 0;
  }
  below(n: number): number {
    return this.word() % n;
  }
}
